"""What is special to `09_attention_visualization`: its numbers, its pictures, its widget."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from conftest import title_of

from helpers import attention, head_ablation, session
from helpers.errors import WorkbookError
from helpers.plots import attention as plots

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "09_attention_visualization.ipynb"
TEXT = "The keeper lit the lamp before the storm came."


def test_recorded_head_by_hand_is_the_librarys(recorded):
    assert recorded["by_hand_max_abs_diff"] < 1e-5


def test_recorded_patterns_have_heads_of_their_own(recorded):
    for name in ("student", "teacher"):
        tops = recorded["patterns"][name]
        assert tops["previous"][0] == "0.2"  # the student's layer 0 is the teacher's, copied
        assert tops["previous"][1] > 50
        assert tops["next"][1] > 15
        assert tops["same word"][1] > 4
        assert tops["[CLS]"][1] > 30
        assert tops["other text"][1] < 1.5, "no head has made the other text its business"


def test_recorded_resting_place_takes_more_than_it_brings(recorded):
    looked, brought = np.array(list(recorded["resting_place"].values())).T
    assert looked.max() > 0.25
    assert (brought < looked / 2).all()


def test_recorded_ablation_is_the_stored_files(recorded):
    report, kinds = head_ablation.load(), {"student": "distilbert", "teacher": "bert"}
    for label, share in recorded["ablation"]["below_the_noise"].items():
        name, examination = label.split(", ")
        grid = head_ablation.grid(report, examination, kinds[name])
        assert share == pytest.approx(1 - grid.clear.mean())
        assert share > 0.5, "most heads can go, one at a time"
        assert recorded["ablation"]["worst"][label][1] == pytest.approx(grid.change.min())
    assert recorded["live_equals_stored"] is True


def test_recorded_student_layers_moved_on(recorded):
    alike = recorded["most_alike"]
    assert alike["maps, after"] == alike["copied from"]
    before, after = alike["hidden states, before"], alike["hidden states, after"]
    assert all(b <= a for b, a in zip(before, after, strict=True))
    assert after[-1] == 5


def test_recorded_views_are_light(recorded):
    sizes = recorded["view_bytes"]
    assert set(sizes) == {"head", "model", "neuron"}
    assert max(sizes.values()) < 300_000
    assert sum(sizes.values()) < 600_000


def test_the_views_stand_above_their_stills():
    import nbformat

    cells = [c for c in nbformat.read(NOTEBOOK, as_version=4).cells if c.cell_type == "code"]
    at = [i for i, cell in enumerate(cells) if cell.source.rstrip().endswith("_view")]
    assert len(at) == 3
    stills = ("plots.thumbnails(", "plots.overlaid(", "plots.neurons(")
    assert all(still in cells[i + 1].source for i, still in zip(at, stills, strict=True))


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("LIVE_HEADS", -1, "LIVE_HEADS is -1; it must be a whole number, 0 or more"),
        ("LIVE_HEADS", True, "a whole number"),
        ("PAIR", " ", "PAIR is ' '; it must be a text that is not empty"),
        ("PAIR", 3, "a text that is not empty"),
    ],
)
def test_the_parameters_are_checked(name, value, line):
    session.check_parameters({"LIVE_HEADS": 0, "PAIR": "A text."})
    with pytest.raises(WorkbookError, match=line):
        session.check_parameters({name: value})


def test_the_recipe_runs_alone_offline(recipe, python, tmp_path, distilbert_model, tokenizer):
    from PIL import Image

    from helpers.checkpoints import bert, distilbert

    for kind, where in {"student": distilbert(), "teacher": bert()}.items():
        out = tmp_path / kind
        names = {"CHECKPOINT": str(where), "TEXT": TEXT + " It cost 2$.", "OUT": str(out)}
        done = python(recipe, HF_HUB_OFFLINE="1", **names)
        assert done.returncode == 0, done.stderr
        assert "the word that is looked at most:" in done.stdout
        Image.open(out / "attention.png").verify()
    saved = np.load(tmp_path / "student" / "attention.npy")
    read = attention.read(distilbert_model, tokenizer, names["TEXT"])
    assert np.abs(saved - read.weights).max() < 1e-5


@pytest.fixture(scope="module")
def grids():
    report = head_ablation.load()
    return {
        f"{kind} {exam}": head_ablation.grid(report, exam, kind)
        for exam in ("masked", "entities")
        for kind in head_ablation.KINDS
    }


def test_the_ablation_picture_is_what_is_stored(grids):
    """Every cell of it, and a dot on each clear change."""
    runs = head_ablation.load()["runs"]
    figure = plots.removed(grids, "points")
    panels = [ax for ax in figure.axes if title_of(ax)]
    assert len(panels) == 4
    for ax, (name, grid) in zip(panels, grids.items(), strict=True):
        drawn = np.asarray(ax.images[0].get_array())
        kind, exam = name.split()
        parts = [f"masked/{kind}"]
        if exam != "masked":
            parts = [f"{exam}/{kind}/{seed}" for seed in range(9) if _whole(runs, kind, seed)]
        for (layer, head), value in np.ndenumerate(drawn):
            rows = [runs[f"{part}/{layer}.{head}"]["change"] for part in parts]
            assert value == pytest.approx(100 * np.mean(rows), abs=1e-6)
        dots = set(zip(*(map(int, d) for d in ax.lines[0].get_data()), strict=True))
        assert dots == {(h, la) for la, h in zip(*np.nonzero(grid.clear), strict=True)}


def _whole(runs, kind, seed):
    layers = {"bert": 6, "distilbert": 3}[kind]
    return f"entities/{kind}/{seed}/{layers - 1}.11" in runs


@pytest.fixture(scope="module")
def sentence(distilbert_model, tokenizer):
    return attention.read(distilbert_model, tokenizer, TEXT)


def test_pictures_hold_what_they_are_given(sentence):
    weights, tokens = sentence.weights, sentence.tokens
    left, right, *_ = plots.maps({"$one": weights[0, 0], "two": weights[1, 3]}, tokens).axes
    assert np.allclose(left.images[0].get_array(), weights[0, 0])
    assert left.images[0].get_clim() == right.images[0].get_clim()
    assert [label.get_text() for label in right.get_xticklabels()] == tokens
    few = plots.thumbnails(weights, "student").axes
    assert len(few) == 36
    assert np.allclose(few[13].images[0].get_array(), weights[1, 1])
    layer = plots.overlaid(weights[1], tokens, None, "layer 1").axes[0]
    assert np.allclose(layer.images[0].get_array(), weights[1].max(0))
    numbers = [int(text.get_text()) for text in layer.texts]
    assert numbers == weights[1].argmax(0)[weights[1].max(0) >= 0.2].tolist()


def test_the_neuron_pictures_bars_are_the_weights(distilbert_model, tokenizer):
    given = attention.neurons(distilbert_model, tokenizer, TEXT)
    query, keys = given.queries[1, 3, 4], given.keys[1, 3]
    weights = given.sentence.weights[1, 3, 4]
    figure = plots.neurons(query, keys, weights, given.sentence.tokens, 4)
    sums, softmax = ([bar.get_width() for bar in ax.patches] for ax in figure.axes[1:3])
    exponents = np.exp(np.array(sums) - max(sums))
    assert softmax == pytest.approx(weights.tolist())
    assert exponents / exponents.sum() == pytest.approx(weights, abs=1e-5)


def test_pattern_and_likeness_pictures_mark_the_highest():
    from helpers.attention_patterns import Pattern

    one = np.full((3, 12), 0.1)
    one[2, 5] = 0.8
    figure = plots.patterns({"student": {"next": Pattern(one, 0.05, 9)}})
    (ring,) = figure.axes[0].lines
    assert [list(data) for data in ring.get_data()] == [[5], [2]]
    grid = np.array([[0.9, 0.2], [0.5, 0.7], [0.1, 0.3]])
    ax = plots.likeness({"maps": {"before": grid}}).axes[0]
    assert [tuple(map(round, (p.get_x() + 0.5, p.get_y() + 0.5))) for p in ax.patches] == [
        (0, 0),
        (1, 1),
    ]


def test_curves_end_where_all_heads_are_gone():
    report = head_ablation.load()
    curves = {kind: head_ablation.curves(report, kind) for kind in head_ablation.KINDS}
    left, right = plots.together(curves, 0.05).axes
    for ax, kind in ((left, "distilbert"), (right, "bert")):
        line = ax.lines[0]
        assert line.get_xdata()[-1] == 100
        shares = list(curves[kind]["least missed first"].values())
        assert line.get_ydata().tolist() == pytest.approx([100 * share for share in shares])


def test_a_picture_file_is_small_and_true_to_its_colours(sentence):
    from PIL import Image

    figure = plots.one_head(sentence.weights[0, 2], sentence.tokens, 0.0, "head")
    plain, small = io.BytesIO(), io.BytesIO()
    figure.savefig(small, format="png", dpi=110)
    canvas = figure.canvas
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).print_png(plain)
    assert type(canvas) is not FigureCanvasAgg
    assert len(small.getvalue()) < 0.6 * len(plain.getvalue())
    a, b = (np.asarray(Image.open(f).convert("RGB"), dtype=int) for f in (plain, small))
    if a.shape == b.shape:
        assert np.abs(a - b).mean() < 2


def test_a_threshold_hides_what_is_below_it(sentence):
    weights = sentence.weights[1, 8]
    ax = plots.one_head(weights, sentence.tokens, 0.2, "head").axes[0]
    drawn = np.ma.filled(np.ma.masked_invalid(ax.images[0].get_array()), -1)
    assert ((drawn == -1) == (weights < 0.2)).all()
    share = weights[weights >= 0.2].sum() / weights.sum()
    assert f"{share:.0%} of the weight" in title_of(ax)


@pytest.fixture(scope="module")
def explorer(distilbert_model, bert_model, tokenizer):
    from helpers.widgets.attention import MapReader, head_explorer

    reader = MapReader({"student": distilbert_model, "teacher": bert_model}, tokenizer)
    return head_explorer(reader, "student", TEXT, 1, 8).children


def test_every_control_changes_the_picture(explorer):
    box, model, layer, head, threshold, picture = explorer
    seen = [picture.value]
    for control, value in (
        (layer, 2),
        (head, 3),
        (threshold, 0.5),
        (model, "teacher"),
        (box, f"{TEXT} || A boat saw it."),
    ):
        control.value = value
        assert "data:image/png" in picture.value
        seen.append(picture.value)
    assert len(set(seen)) == 6
    assert "teacher, layer 2, head 3, weights from 0.5" in picture.value
    model.value, layer.value = "student", 5
    assert picture.value == "<p>The student has no layer 5: 0 to 2.</p>"
    layer.value, threshold.value = 1, 0.1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("text", "line"), [("  ", "the text is empty"), ("A ||  ", "the second text is empty")]
)
def test_a_text_without_a_word_gets_a_friendly_line(explorer, text, line):
    box, *_, picture = explorer
    box.value = text
    assert line in picture.value
    assert "<img" not in picture.value
    box.value = "<script>alert(1)</script> $x^2 \\frac{ ウ <b>" + " word" * 60
    assert "data:image/png" in picture.value
    assert "<script" not in picture.value
    assert "<b>" not in picture.value


def test_the_bar_counts_what_it_is_told(monkeypatch):
    from helpers.widgets.progress import Bar

    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
    bar = Bar(10, clock=lambda: 0.0)
    bar.tick(4)
    bar.tick()
    assert "step 5 of 10" in bar.text


def test_a_long_text_is_cut_behind_a_piece(tokenizer):
    from helpers.widgets.attention import shortened

    text = "Unbelievable jellyfish, <b>again</b>! " * 9
    short = shortened(tokenizer, text, 10)
    assert text.startswith(short)
    assert tokenizer.tokenize(short) == tokenizer.tokenize(text)[:10]
    assert shortened(tokenizer, TEXT) == TEXT
    assert shortened(tokenizer, "") == ""

"""What is special to `09_attention_visualization`: numbers, pictures, widget."""

from __future__ import annotations

import ast
import io

import nbformat
import numpy as np
import pytest
import torch
from conftest import ROOT, title_of
from matplotlib.backends.backend_agg import FigureCanvasAgg
from pictures import axes, widths, words, xs, ys
from PIL import Image

from helpers.attention import head_ablation, maps, plots
from helpers.attention.explorers import head_explorer, shortened
from helpers.checkpoints import bert, distilbert
from helpers.core import session
from helpers.core.errors import WorkbookError
from helpers.show.progress import Bar

NOTEBOOK = ROOT / "notebooks" / "09_attention_visualization.ipynb"
TEXT = "The keeper lit the lamp before the storm came."


def test_recorded_patterns_have_heads_of_their_own(recorded):
    assert recorded["by_hand_max_abs_diff"] < 1e-5
    for name in ("student", "teacher"):
        tops = recorded["patterns"][name]
        assert tops["previous"][0] == "0.2"  # the student's layer 0 is the teacher's
        bounds = {"previous": 50, "next": 15, "same word": 4, "[CLS]": 30}
        for pattern, least in bounds.items():
            assert tops[pattern][1] > least
        assert tops["other text"][1] < 1.5, "no head has made it its business"


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
        worst = recorded["ablation"]["worst"][label][1]
        assert worst == pytest.approx(grid.change.min())
    assert recorded["live_equals_stored"] is True


def test_recorded_student_layers_moved_on(recorded):
    alike = recorded["most_alike"]
    assert alike["maps, after"] == alike["copied from"]
    before, after = alike["hidden states, before"], alike["hidden states, after"]
    assert all(b <= a for b, a in zip(before, after, strict=True))
    assert after[-1] == 5


def test_recorded_views_are_light_and_stand_above_their_stills(recorded):
    sizes = recorded["view_bytes"]
    assert set(sizes) == {"head", "model", "neuron"}
    assert max(sizes.values()) < 300_000
    assert sum(sizes.values()) < 600_000
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "code"]
    at = [i for i, source in enumerate(sources) if source.rstrip().endswith("_view")]
    stills = ("plots.thumbnails(", "plots.overlaid(", "plots.neurons(")
    assert all(still in sources[i + 1] for i, still in zip(at, stills, strict=True))


def defined(name, **given):
    """A function that a cell of the notebook defines, and which needs `given`."""
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        for part in ast.parse(cell.source).body if cell.cell_type == "code" else ():
            if isinstance(part, ast.FunctionDef) and part.name == name:
                exec(ast.unparse(part), given)
    return given[name]


def counts(pattern, ids, sides, query, key):
    """Whether `key` counts for `query`, said once more and one pair at a time."""
    special = {"[CLS]": 101, "[SEP]": 102}
    if ids[query] in special.values():
        return False
    if pattern in special:
        return ids[key] == special[pattern]
    if ids[key] in special.values():
        return False
    return {
        "next": key == query + 1,
        "previous": key == query - 1,
        "itself": key == query,
        "same word": key != query and ids[key] == ids[query],
        "other text": sides[key] != sides[query],
    }[pattern]


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
@pytest.mark.parametrize(
    "seconds", [None, ["Yes, rye.", "Nobody spoke in it.", "It is."]]
)
def test_patterns_are_those_of_plain_loops(kind, seconds, request, tokenizer):
    """Measured in one padded batch, they are those of each text alone."""
    model = request.getfixturevalue(f"{kind}_model")
    texts = ["Rye.", "Nobody spoke in the lift, and the lift spoke to nobody.", "It?"]
    bar = Bar(3)
    given = {"torch": torch, "attention": maps, "tokenizer": tokenizer, "bar": bar}
    given["pattern_keys"] = defined("pattern_keys", **given)
    measured = defined("measure", **given)(model, texts, seconds)
    assert bar.done == 3
    names = ["next", "previous", "itself", "[CLS]", "[SEP]", "same word", "other text"]
    assert list(measured) == names[: 6 if seconds is None else 7]
    pairs = zip(texts, seconds or [None] * 3, strict=True)
    alone = [maps.read(model, tokenizer, *pair) for pair in pairs]
    for name, (given, even, asked) in measured.items():
        total, chance, words = 0, 0, 0
        for tokens, weights, second, *_ in alone:
            ids, places = tokenizer.convert_tokens_to_ids(tokens), range(len(tokens))
            how = ids, [at >= (second or len(ids)) for at in places]
            for query in places:
                keys = [key for key in places if counts(name, *how, query, key)]
                if keys:
                    total += weights[:, :, query, keys].sum(-1)
                    chance += len(keys) / len(ids)
                    words += 1
        assert asked == words
        assert even == pytest.approx(chance / words)
        assert np.allclose(given, total / words, atol=1e-5)


def test_cka_is_blind_to_turning_and_scale():
    cka, draw = defined("cka", torch=torch), np.random.default_rng(1).normal
    one, other = draw(size=(40, 6)), draw(size=(40, 9))
    turn, _ = np.linalg.qr(draw(size=(6, 6)))
    first, second = torch.tensor(one), torch.tensor(other)
    assert cka(first, torch.tensor(3 * one @ turn + 5)).item() == pytest.approx(1)
    centre = np.eye(40) - 1 / 40  # the definition, by Gram matrices
    k, m = (centre @ x @ x.T @ centre for x in (one, other))
    hsic = (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())
    assert cka(first, second).item() == pytest.approx(hsic)
    assert cka(first, second) < 0.5


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


def test_the_recipe_runs_alone(
    recipe, python, tmp_path, distilbert_model, tokenizer, monkeypatch, capsys
):
    names = {"CHECKPOINT": str(distilbert()), "TEXT": TEXT + " It cost 2$."}
    out = tmp_path / "student"
    done = python(recipe, HF_HUB_OFFLINE="1", OUT=str(out), **names)
    assert done.returncode == 0, done.stderr
    assert "the word that is looked at most:" in done.stdout
    Image.open(out / "attention.png").verify()
    read = maps.read(distilbert_model, tokenizer, names["TEXT"])
    assert np.abs(np.load(out / "attention.npy") - read.weights).max() < 1e-5
    # and in this process with the other model
    out = tmp_path / "teacher"
    for name, value in (names | {"CHECKPOINT": str(bert()), "OUT": str(out)}).items():
        monkeypatch.setenv(name, value)
    exec(recipe, {})
    assert "the word that is looked at most:" in capsys.readouterr().out
    Image.open(out / "attention.png").verify()
    assert np.load(out / "attention.npy").shape == (6, 12, *read.weights.shape[2:])


def test_the_ablation_pictures_are_what_is_stored():
    """Every cell, a dot on each clear change, and curves that end at no head."""
    report = head_ablation.load()
    runs, grids = report["runs"], {}
    for exam in ("masked", "entities"):
        for kind in head_ablation.KINDS:
            grids[f"{kind} {exam}"] = head_ablation.grid(report, exam, kind)
    panels = [ax for ax in axes(plots.removed(grids, "points")) if title_of(ax)]
    for ax, (name, grid) in zip(panels, grids.items(), strict=True):
        drawn = np.asarray(ax.images[0].get_array())
        kind, exam = name.split()
        last = f"{len(drawn) - 1}.11"  # only seeds of which every head was tried
        seeds = [f"entities/{kind}/{seed}" for seed in range(9)]
        whole = [part for part in seeds if f"{part}/{last}" in runs]
        parts = [f"masked/{kind}"] if exam == "masked" else whole
        for (layer, head), value in np.ndenumerate(drawn):
            rows = [runs[f"{part}/{layer}.{head}"]["change"] for part in parts]
            assert value == pytest.approx(100 * np.mean(rows), abs=1e-6)
        dots = set(zip(map(int, xs(ax)), map(int, ys(ax)), strict=True))
        assert dots == {(h, la) for la, h in zip(*np.nonzero(grid.clear), strict=True)}
    curves = {kind: head_ablation.curves(report, kind) for kind in head_ablation.KINDS}
    left, right = axes(plots.together(curves, 0.05))
    for ax, kind in ((left, "distilbert"), (right, "bert")):
        shares = curves[kind]["least missed first"].values()
        assert xs(ax)[-1] == 100
        assert ys(ax) == pytest.approx([100 * share for share in shares])


@pytest.fixture(scope="module")
def sentence(distilbert_model, tokenizer):
    return maps.read(distilbert_model, tokenizer, TEXT)


def test_pictures_hold_what_they_are_given(sentence):
    weights, tokens = sentence.weights, sentence.tokens
    pair = {"$one": weights[0, 0], "two": weights[1, 3]}
    left, right, *_ = axes(plots.maps(pair, tokens))
    assert np.allclose(left.images[0].get_array(), weights[0, 0])
    assert left.images[0].get_clim() == right.images[0].get_clim()
    assert words(right.get_xticklabels()) == tokens
    few = axes(plots.thumbnails(weights, "student"))
    assert len(few) == 36
    assert np.allclose(few[13].images[0].get_array(), weights[1, 1])
    layer = axes(plots.overlaid(weights[1], tokens, None, "layer 1"))[0]
    most, places = weights[1].max(0), weights[1].argmax(0)
    assert np.allclose(layer.images[0].get_array(), most)
    assert list(map(int, words(layer.texts))) == places[most >= 0.2].tolist()
    # the neuron picture's bars are the weights
    query, keys = sentence.queries[1, 3, 4], sentence.keys[1, 3]
    want = weights[1, 3, 4]
    panels = axes(plots.neurons(query, keys, want, tokens, 4))
    sums, softmax = (widths(ax) for ax in panels[1:3])
    exponents = np.exp(np.array(sums) - max(sums))
    assert softmax == pytest.approx(want.tolist())
    assert exponents / exponents.sum() == pytest.approx(want, abs=1e-5)
    # patterns and likeness mark the highest
    one = np.full((3, 12), 0.1)
    one[2, 5] = 0.8
    ax = axes(plots.patterns({"student": {"next": one}}))[0]
    assert len(ax.lines) == 1
    assert (xs(ax), ys(ax)) == ([5], [2])
    grid = np.array([[0.9, 0.2], [0.5, 0.7], [0.1, 0.3]])
    ax = axes(plots.likeness({"maps": {"before": grid}}))[0]
    corners = [(round(p.get_x() + 0.5), round(p.get_y() + 0.5)) for p in ax.patches]
    assert corners == [(0, 0), (1, 1)]
    # a threshold hides what is below it
    weights = weights[1, 8]
    ax = axes(plots.one_head(weights, tokens, 0.2, "head"))[0]
    drawn = np.ma.filled(np.ma.masked_invalid(ax.images[0].get_array()), -1)
    assert ((drawn == -1) == (weights < 0.2)).all()
    share = weights[weights >= 0.2].sum() / weights.sum()
    assert f"{share:.0%} of the weight" in title_of(ax)


def test_a_picture_file_is_small_and_true_to_its_colours(sentence):
    figure = plots.one_head(sentence.weights[0, 2], sentence.tokens, 0.0, "head")
    assert type(figure.canvas) is not FigureCanvasAgg
    plain, small = io.BytesIO(), io.BytesIO()
    figure.savefig(small, format="png", dpi=110)
    FigureCanvasAgg(figure).print_png(plain)
    assert len(small.getvalue()) < 0.6 * len(plain.getvalue())
    a, b = (np.asarray(Image.open(f).convert("RGB"), dtype=int) for f in (plain, small))
    assert a.shape != b.shape or np.abs(a - b).mean() < 2


@pytest.fixture(scope="module")
def explorer(distilbert_model, bert_model, tokenizer):
    models = {"student": distilbert_model, "teacher": bert_model}
    return head_explorer(models, tokenizer, "student", TEXT, 1, 8).children


def test_every_control_changes_the_picture(explorer):
    box, model, layer, head, threshold, picture = explorer
    seen = [picture.value]
    changes = {layer: 2, head: 3, threshold: 0.5, model: "teacher"}
    for control, value in (*changes.items(), (box, f"{TEXT} || A boat saw it.")):
        control.value = value
        assert "data:image/png" in picture.value
        seen.append(picture.value)
    assert len(set(seen)) == 6
    assert "teacher, layer 2, head 3, weights from 0.5" in picture.value
    model.value, layer.value = "student", 5
    assert picture.value == "<p>there is no layer 5: the student has layers 0 to 2</p>"
    layer.value, threshold.value = 1, 0.1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("text", "line"),
    [("  ", "the text is empty"), ("A ||  ", "the second text is empty")],
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


def test_the_bar_counts_and_a_long_text_is_cut_behind_a_piece(tokenizer):
    bar = Bar(10, clock=lambda: 0.0)
    bar.tick(4)
    bar.tick()
    assert "step 5 of 10" in bar.text
    text = "Unbelievable jellyfish, <b>again</b>! " * 9
    short = shortened(tokenizer, text, 10)
    assert text.startswith(short)
    assert tokenizer.tokenize(short) == tokenizer.tokenize(text)[:10]
    assert shortened(tokenizer, TEXT) == TEXT
    assert shortened(tokenizer, "") == ""

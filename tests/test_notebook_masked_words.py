"""What is special to `04_masked_language_modeling`: numbers, gaps, recipe."""

from __future__ import annotations

import math
import random

import pytest
import torch
from conftest import ROOT
from pictures import axes, heights, widths, words, ys

from helpers.checkpoints import base_tokenizer, distilbert
from helpers.core import session
from helpers.core.errors import WorkbookError
from helpers.data import passages
from helpers.masked_lm import gaps, plots
from helpers.masked_lm.explorers import gap_explorer
from helpers.show.progress import Progress

NOTEBOOK = ROOT / "notebooks" / "04_masked_language_modeling.ipynb"
KINDS = ("a word in\none piece", "first piece of\na split word", "a later\npiece (##)")
WHOLE = {"whole_word_mask": True, "mask_replace_prob": 1.0, "random_replace_prob": 0.0}
PASSAGES, FEW = passages("classroom", "train")[:12], passages("smoke", "test")


def test_recorded_pieces_are_harder_when_the_whole_word_is_hidden(recorded):
    assert recorded["pipeline_max_abs_diff"] < 1e-5
    found = recorded["surprise_by_kind"]
    pieces, whole = found["pieces"], found["whole words"]
    for kind in KINDS[1:]:
        apart = whole[kind][0] - pieces[kind][0]
        assert apart > 2 * math.hypot(whole[kind][1], pieces[kind][1]), kind
        assert pieces[kind][2] > 100
    assert recorded["put_first_by_kind"]["pieces"]["all"][0] > 0.1
    shuffled = recorded["pseudo_perplexity_shuffled"]  # it knows word order
    assert 1 < recorded["pseudo_perplexity_fluent"] < shuffled / 3
    assert recorded["preferred"]["fluent"] > 0.9


def test_recorded_draws_vary_as_their_standard_error_says(recorded):
    draws = recorded["masked_accuracy_by_draw"]
    students, teachers = draws["student"], draws["teacher"]
    assert len(students) == len(teachers) == 12
    spread = torch.tensor(students).std().item()
    assert 0.3 < spread / recorded["masked_accuracy_standard_error"] < 2
    assert min(students) > recorded["most_frequent_share"]
    losses = recorded["losses"]
    assert losses["student"] < losses["by frequency"] < losses["a blind guess"]
    assert losses["a blind guess"] == pytest.approx(math.log(30_522))


def test_recorded_adaptation(recorded):
    before = recorded["masked_accuracy_before"]
    assert 0.15 < before < 0.6
    assert recorded["masked_accuracy_after"] > before - 0.02
    moved, error = recorded["changes_and_errors"]["held out"]
    change = recorded["loss_after"] - recorded["loss_before"]
    assert change == pytest.approx(moved, abs=1e-3)
    assert moved < 2 * error, "it must not get worse on the field that it learned"
    last = list(recorded["loss_after_by_texts"].values())
    assert last[-1] == pytest.approx(recorded["loss_after"], abs=1e-3)
    assert last[-1] < last[0], "more texts help, at equal steps"


def test_recorded_silent_failures_look_as_they_should(recorded):
    assert recorded["untrained_head_accuracy"] < 0.02
    everywhere = recorded["accuracy_with_labels_everywhere"]
    assert everywhere > recorded["masked_accuracy_before"] + 0.2
    asked = recorded["asked_after_eight_epochs"]
    assert asked["static masks"] == pytest.approx(0.15, abs=0.03)
    assert asked["dynamic masks"] == pytest.approx(1 - 0.85**8, abs=0.03)
    truth, stray, guess = recorded["azure"]["judge_nats"]
    assert stray > max(truth, guess)


@pytest.fixture
def corpus_file(tmp_path):
    """A real text file: passages of the sample corpus, with blank lines between."""
    path = tmp_path / "my texts.txt"
    path.write_text("\n\n".join(PASSAGES), encoding="utf8")
    return path


def test_a_real_file_is_split_and_nothing_is_lost(corpus_file):
    learn, held = gaps.own_texts(str(corpus_file))
    assert len(held) == (len(learn) + len(held)) // 5
    assert max(map(len, [*learn, *held])) <= gaps.LONGEST
    assert " ".join([*learn, *held]).split() == " ".join(PASSAGES).split()
    session.check_parameters({"TEXT_FILE": ""})
    line = "TEXT_FILE is 3; it must be the path of a UTF-8"
    with pytest.raises(WorkbookError, match=line):
        session.check_parameters({"TEXT_FILE": 3})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Too short.\n" * 5, "5 texts of 50 characters in all; expected 5 and 1,000"),
        ("word " * 60 + "\n", "1 texts of 299 characters"),
    ],
)
def test_too_little_text_is_one_clear_line(tmp_path, text, line):
    path = tmp_path / "texts.txt"
    path.write_text(text)
    with pytest.raises(WorkbookError, match=line) as raised:
        gaps.own_texts(str(path))
    assert "\n" not in str(raised.value)
    assert "texts.txt" in str(raised.value)


def test_the_recipe_runs_alone_offline(
    recipe, corpus_file, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "adapted"
    monkeypatch.setenv("CHECKPOINT", str(distilbert()))
    monkeypatch.setenv("TEXTS", str(corpus_file))
    monkeypatch.setenv("OUT", str(out))
    exec(recipe, {})
    lines = capsys.readouterr().out.splitlines()
    losses = next(line for line in lines if line.startswith("held-out loss"))
    before, after = (float(word) for word in losses.split() if word[0].isdigit())
    assert 1 < after < before + 0.1
    assert (out / "model.safetensors").exists()
    assert "opened." in lines[-1]


def test_one_seed_hides_the_same_tokens_and_another_others(own, tokenizer):
    hidden_tokens = own(
        "hidden_tokens", gaps=gaps, tokenizer=tokenizer, held=FEW, torch=torch
    )
    hidden = hidden_tokens(1)
    assert torch.equal(hidden, hidden_tokens(1))
    assert not torch.equal(hidden, hidden_tokens(2))
    assert 0.1 < hidden.float().mean() < 0.2
    assert gaps.answers(gaps.draw(tokenizer, FEW, 1)).shape[0] == hidden.sum()


def test_whole_words_go_together_with_the_sign_that_touches_them(tokenizer):
    text = "Photosynthesis feeds the jellyfish, the seaweed and the lighthouse keeper."
    pieces = tokenizer.tokenize(text)
    at = [pieces.index(piece) + 1 for piece in ("jelly", "##fish", ",")]  # after [CLS]
    seen = set()
    for seed in range(40):
        (batch,) = gaps.draw(tokenizer, [text], seed, mlm_probability=0.3, **WHOLE)
        gone = batch["labels"][0] != -100
        assert torch.equal(gone, batch["input_ids"][0] == tokenizer.mask_token_id)
        seen.add(tuple(gone[at].tolist()))
    assert seen == {(True, True, True), (False, False, False)}


def test_kinds_are_counted_right(own, tokenizer):
    text = "the jellyfish sleeps"
    labels = tokenizer(text, return_tensors="pt")["input_ids"]
    assert tokenizer.tokenize(text) == ["the", "jelly", "##fish", "sleeps"]
    batch = {"labels": labels.clone(), "input_ids": labels}
    batch["labels"][0, [0, -1]] = -100
    inner = torch.zeros(len(tokenizer), dtype=torch.bool)
    inner[tokenizer.convert_tokens_to_ids("##fish")] = True
    by_kind = own("by_kind", torch=torch, KINDS=KINDS, inner=inner)
    found = by_kind([batch], torch.arange(4.0))
    rows = dict(zip(KINDS, [(1.5, 2), (1.0, 1), (2.0, 1)], strict=True))
    assert {kind: row[::2] for kind, row in found.items()} == rows | {"all": (1.5, 4)}


def test_ask_agrees_with_masked_accuracy_by_hand(tokenizer, distilbert_model):
    (batch,) = gaps.draw(tokenizer, FEW[:3], 0)
    right, nats = gaps.ask(distilbert_model, [batch])
    with torch.inference_mode():
        output = distilbert_model(**batch)
    hidden = batch["labels"] != -100
    assert torch.equal(right, (output.logits.argmax(-1) == batch["labels"])[hidden])
    assert nats.mean().item() == pytest.approx(output.loss.item(), abs=1e-4)


def test_small_sums(own):
    change = own("change")
    found = change(torch.tensor([1.0, 2, 3]), torch.tensor([2.0, 2, 5]))
    assert found == pytest.approx((1.0, 1 / 3**0.5))
    text = "The sea was calm that night."
    mixed = own("shuffled", random=random, SEED=3)(text)
    assert mixed != text
    assert sorted(mixed.rstrip(".").split()) == sorted(text.rstrip(".").split())


# The explorer and the pictures


@pytest.fixture(scope="module")
def guesses(own, tiny_masked_lm):
    """The notebook's own, on a tiny model with the real vocabulary."""
    session = type("Session", (), {"device": "cpu"})
    models = {"student": tiny_masked_lm, "teacher": tiny_masked_lm}
    names = {"torch": torch, "tokenizer": base_tokenizer("DistilBERT")}
    return own("guesses", models=models, workbook=session, **names)


@pytest.fixture
def explorer(guesses):
    explorer = gap_explorer(guesses, ["student", "teacher"], "The [MASK] barked.")
    return explorer.children


def test_text_model_and_k_change_the_picture(explorer, guesses):
    box, slider, which, picture = explorer
    pictures = [picture.value]
    assert "gap 1, student" in picture.value
    for control, value, then in [
        (which, "teacher", "gap 1, teacher"),
        (slider, 9, "gap 1, teacher"),
        (box, "The [MASK] saw the [MASK].", "gap 2, teacher"),
        (
            box,
            "word " * 300 + "[MASK]",
            "gap 1, teacher",
        ),  # of 512 pieces, all are read
    ]:
        control.value = value
        assert then in picture.value
        pictures.append(picture.value)
    assert len(set(pictures)) == 5
    assert all("data:image/png" in value for value in pictures)
    ((title, ranked),) = guesses("student", "The [MASK] barked.", 30_522).items()
    assert title == "gap 1, student"
    assert sum(share for _, share in ranked) == pytest.approx(1, abs=1e-3)
    assert ranked == sorted(ranked, key=lambda row: -row[1])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("nothing hidden <b>", "Write [MASK] where a word"),
        ("the [mask] barked", "in capitals, no spaces"),
        ("the &lt; mask > [ MASK ]", "in capitals, no spaces"),
        ("[MASK] " * 4, "4 gaps are too many"),
        ("word " * 600 + "[MASK]", "The text was cut: the model reads 512 tokens"),
        ("[MASK]" + " word" * 600 + "[MASK]", "there is a [MASK] behind them"),
    ],
)
def test_a_text_without_a_usable_gap_gets_a_friendly_line(explorer, text, line):
    box, _, _, picture = explorer
    box.value = text
    assert line in picture.value
    assert "<img" not in picture.value
    assert "<b>" not in picture.value
    box.value = "$ [MASK] \\frac{ ウ <i>"
    assert "data:image/png" in picture.value
    assert "<i>" not in picture.value


def test_progress_says_how_long_it_still_takes():
    now = [0.0]
    progress = Progress(4, clock=lambda: now[0])
    assert "starting" in progress.text
    now[0] = 10
    progress.on_step_end(None, None, None)
    progress.say("held-out loss 3.2")
    assert progress.text == "step 1 of 4, about 30 seconds left. held-out loss 3.2"
    for _ in range(3):
        progress.on_step_end(None, None, None)
    assert progress.text == "4 of 4 steps, 10 seconds. held-out loss 3.2"


def test_pictures_hold_what_they_are_given():
    pieces, whole = {"a": (0.5, 0.1, 4)}, {"a": (0.4, 0.1, 4), "b": (0.1, 0.0, 1)}
    rows = {"pieces": pieces, "whole": whole}
    above, below = axes(plots.kinds(rows, rows, 10.3))
    assert len(above.patches) == len(below.patches) == 3
    assert max(heights(above)) == pytest.approx(50)
    drawn = {"m": [0.2, 0.3], "n": [0.1, 0.2]}
    (ax,) = axes(plots.draws(drawn, 0.02, ("always ','", 0.05)))
    assert ys(ax) == pytest.approx([20, 30])
    texts = {"$one": (["a", "##b"], [1.0, 3.0]), "two": (["c"], [2.0])}
    assert heights(axes(plots.surprises(texts))[0]) == [1.0, 3.0]
    curves = {"all": [(0, 5.0, 0.2), (2, 4.0, 0.3)]}
    losses, shares = axes(plots.learning_curves(curves, 0.01))
    assert ys(losses) == [5.0, 4.0]
    assert ys(shares) == pytest.approx([20, 30])
    moved = {"here": (5.0, 4.5, 0.1), "there": (4.0, 4.2, 0.1)}
    (ax,) = axes(plots.before_and_after(moved))
    assert widths(ax) == pytest.approx([-0.5, 0.2])
    (ax,) = axes(plots.word_changes({"sea (3)": 1.5, "the (4)": -0.5}))
    assert words(ax.get_yticklabels()) == ["sea (3)", "the (4)"]
    assert axes(plots.word_changes({}))
    (ax,) = axes(plots.asked({"static": [0.15, 0.15], "dynamic": [0.15, 0.28]}))
    assert ys(ax, 1) == pytest.approx([15, 28])
    page = plots.hidden_pieces({"<b>": [("<i>", True), ("##s", False)]}).data
    assert "&lt;i&gt;" in page
    assert "<i>" not in page

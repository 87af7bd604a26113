"""What is special to `04_masked_language_modeling`: its numbers, its gaps, its recipe."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from helpers import gaps, session
from helpers.data import passages
from helpers.errors import WorkbookError

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "04_masked_language_modeling.ipynb"
WHOLE = {"whole_word_mask": True, "mask_replace_prob": 1.0, "random_replace_prob": 0.0}


def test_recorded_gap_by_hand_is_the_pipelines(recorded):
    assert recorded["pipeline_max_abs_diff"] < 1e-5


def test_recorded_pieces_are_harder_when_the_whole_word_is_hidden(recorded):
    pieces, words = (recorded["surprise_by_kind"][name] for name in ("pieces", "whole words"))
    for kind in gaps.KINDS[1:]:
        apart = words[kind][0] - pieces[kind][0]
        assert apart > 2 * math.hypot(words[kind][1], pieces[kind][1]), kind
        assert pieces[kind][2] > 100
    assert recorded["put_first_by_kind"]["pieces"]["all"][0] > 0.1


def test_recorded_draws_vary_as_their_standard_error_says(recorded):
    students, teachers = (recorded["masked_accuracy_by_draw"][m] for m in ("student", "teacher"))
    assert len(students) == len(teachers) == 12
    spread = torch.tensor(students).std().item()
    assert 0.3 < spread / recorded["masked_accuracy_standard_error"] < 2
    assert min(students) > recorded["most_frequent_share"]
    losses = recorded["losses"]
    assert losses["student"] < losses["by frequency"] < losses["a blind guess"]
    assert losses["a blind guess"] == pytest.approx(math.log(30_522))


def test_recorded_pseudo_perplexity_knows_word_order(recorded):
    assert 1 < recorded["pseudo_perplexity_fluent"] < recorded["pseudo_perplexity_shuffled"] / 3
    assert recorded["preferred"]["fluent"] > 0.9


def test_recorded_adaptation(recorded):
    before, after = recorded["masked_accuracy_before"], recorded["masked_accuracy_after"]
    assert 0.15 < before < 0.6
    assert after > before - 0.02
    moved, error = recorded["changes_and_errors"]["held out"]
    assert recorded["loss_after"] - recorded["loss_before"] == pytest.approx(moved, abs=1e-3)
    assert moved < 2 * error, "it must not get worse on the field that it learned"
    last = list(recorded["loss_after_by_texts"].values())
    assert last[-1] == pytest.approx(recorded["loss_after"], abs=1e-3)
    assert last[-1] < last[0], "more texts help, at equal steps"


def test_recorded_silent_failures_look_as_they_should(recorded):
    assert recorded["untrained_head_accuracy"] < 0.02
    assert recorded["accuracy_with_labels_everywhere"] > recorded["masked_accuracy_before"] + 0.2
    asked = recorded["asked_after_eight_epochs"]
    assert asked["static masks"] == pytest.approx(0.15, abs=0.03)
    assert asked["dynamic masks"] == pytest.approx(1 - 0.85**8, abs=0.03)
    truth, stray, guess = recorded["azure"]["judge_nats"]
    assert stray > max(truth, guess)


def test_the_text_file_parameter_is_checked():
    session.check_parameters({"TEXT_FILE": ""})
    with pytest.raises(WorkbookError, match="TEXT_FILE is 3; it must be the path of a UTF-8"):
        session.check_parameters({"TEXT_FILE": 3})


@pytest.fixture
def corpus_file(tmp_path):
    """A real text file: passages of the sample corpus, one a line, with blank lines between."""
    path = tmp_path / "my texts.txt"
    path.write_text("\n\n".join(passages("classroom", "train")[:24]), encoding="utf8")
    return path


def test_a_real_file_is_split_and_nothing_is_lost(corpus_file):
    learn, held = gaps.own_texts(str(corpus_file))
    assert len(held) == (len(learn) + len(held)) // 5
    assert max(map(len, [*learn, *held])) <= gaps.LONGEST
    words = " ".join([*learn, *held]).split()
    assert words == " ".join(passages("classroom", "train")[:24]).split()


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (None, "no such text file"),
        (b"", "no text in there"),
        (b"caf\xe9 " * 300, "is not UTF-8"),
        (b"Too short.\n" * 5, "5 texts of 50 characters in all; expected 5 and 1,000"),
        (b"word " * 60 + b"\n", "1 texts of 299 characters"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path, raw, line):
    path = tmp_path / "texts.txt"
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(WorkbookError, match=line) as raised:
        gaps.own_texts(str(path))
    assert "\n" not in str(raised.value)
    assert "texts.txt" in str(raised.value)


def test_the_recipe_runs_alone_offline(recipe, python, corpus_file, tmp_path):
    from helpers.checkpoints import distilbert

    out = tmp_path / "adapted"
    names = {"CHECKPOINT": str(distilbert()), "TEXTS": str(corpus_file), "OUT": str(out)}
    done = python(recipe, HF_HUB_OFFLINE="1", **names)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("held-out loss")]
    before, after = (float(word) for word in lines[0].split() if word[0].isdigit())
    assert 1 < after < before + 0.1
    assert (out / "model.safetensors").exists()
    assert "opened." in done.stdout.splitlines()[-1]


def test_one_seed_hides_the_same_tokens_and_another_others(tokenizer):
    texts = passages("smoke", "test")
    once, again, other = (gaps.hidden(gaps.draw(tokenizer, texts, seed)) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert 0.1 < once.float().mean() < 0.2
    assert gaps.answers(gaps.draw(tokenizer, texts, 1)).shape[0] == once.sum()


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


def test_kinds_are_counted_right(tokenizer):
    labels = tokenizer("the jellyfish sleeps", return_tensors="pt")["input_ids"]
    batch = {"labels": labels.clone(), "input_ids": labels.clone()}
    batch["labels"][0, [0, -1]] = -100
    values = torch.arange(labels.shape[1] - 2.0)  # the, jelly, ##fish, sleeps
    found = gaps.by_kind(tokenizer, [batch], values)
    assert tokenizer.tokenize("the jellyfish sleeps") == ["the", "jelly", "##fish", "sleeps"]
    assert {kind: row[::2] for kind, row in found.items()} == {
        gaps.KINDS[0]: (1.5, 2),
        gaps.KINDS[1]: (1.0, 1),
        gaps.KINDS[2]: (2.0, 1),
        "all": (1.5, 4),
    }


def test_ask_agrees_with_masked_accuracy_by_hand(tokenizer, distilbert_model):
    batches = gaps.draw(tokenizer, passages("smoke", "test")[:3], 0)
    right, nats = gaps.ask(distilbert_model, batches)
    (batch,) = batches
    with torch.inference_mode():
        output = distilbert_model(**batch)
    hidden = batch["labels"] != -100
    assert torch.equal(right, (output.logits.argmax(-1) == batch["labels"])[hidden])
    assert nats.mean().item() == pytest.approx(output.loss.item(), abs=1e-4)
    (wrong,) = gaps.everywhere(batches)
    assert int((wrong["labels"] != -100).sum()) == int(batch["attention_mask"].sum())
    assert torch.equal(wrong["labels"][hidden], batch["labels"][hidden])


def test_small_sums(tokenizer):
    change, error = gaps.paired_change(torch.tensor([1.0, 2, 3]), torch.tensor([2.0, 2, 5]))
    assert (change, error) == (pytest.approx(1.0), pytest.approx(1 / 3**0.5))
    wanted = torch.tensor(tokenizer("the sea the , sea the")["input_ids"][1:-1])
    rows = gaps.changes_by_word(tokenizer, wanted, torch.tensor([1.0, 5, 1, 9, 7, 4]), 2)
    assert rows == [("sea", 6.0, 2), ("the", 2.0, 3)]
    never_seen = gaps.frequency_loss(tokenizer, [""], wanted)
    assert never_seen == pytest.approx(math.log(len(tokenizer)))
    assert gaps.frequency_loss(tokenizer, ["the the the"] * 9, wanted[:1]) < never_seen


def test_one_gap_each_hides_a_word_that_the_tokenizer_keeps_whole(tokenizer):
    sentences = ["The sea was calm that night.", "Photosynthesis."]
    ((gap, truth, stray),) = gaps.one_gap_each(tokenizer, sentences, seed=0)
    assert gap.replace("[MASK]", truth).lower() == sentences[0].lower()
    assert truth in tokenizer.vocab
    assert stray in ["The", "sea", "was", "calm", "that", "night", "Photosynthesis"]
    assert sorted(gaps.shuffled(sentences[0], 3).rstrip(".").split()) == sorted(
        sentences[0].rstrip(".").split()
    )


@pytest.fixture(scope="module")
def filler():
    """The explorer's engine on two tiny models with the real vocabulary."""
    from transformers import DistilBertConfig, DistilBertForMaskedLM

    from helpers.checkpoints import base_tokenizer
    from helpers.widgets.masked_words import GapFiller

    torch.manual_seed(0)
    config = DistilBertConfig(n_layers=1, dim=32, n_heads=4, hidden_dim=64)
    models = {name: DistilBertForMaskedLM(config) for name in ("student", "teacher")}
    return GapFiller(models, base_tokenizer("DistilBERT"))


@pytest.fixture
def explorer(filler):
    from helpers.widgets.masked_words import gap_explorer

    return gap_explorer(filler, "student", "The [MASK] barked.").children


def test_text_model_and_k_change_the_picture(explorer):
    box, slider, which, picture = explorer
    pictures = [picture.value]
    assert "gap 1, student" in picture.value
    which.value = "teacher"
    assert "gap 1, teacher" in picture.value
    pictures.append(picture.value)
    slider.value = 9
    pictures.append(picture.value)
    box.value = "The [MASK] saw the [MASK]."
    assert "gap 2, teacher" in picture.value
    pictures.append(picture.value)
    assert len(set(pictures)) == 4
    assert all("data:image/png" in value for value in pictures)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("nothing hidden <b>", "Write [MASK] where a word"),
        ("the [mask] barked", "in capitals, no spaces"),
        ("the &lt; mask > [ MASK ]", "in capitals, no spaces"),
        ("[MASK] " * 4, "4 gaps are too many"),
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


def test_answers_are_the_models_probabilities(filler):
    ((title, ranked),) = filler.answers("student", "The [MASK] barked.", 30_522).items()
    assert title == "gap 1, student"
    assert sum(share for _, share in ranked) == pytest.approx(1, abs=1e-3)
    assert ranked == sorted(ranked, key=lambda row: -row[1])


def test_progress_says_how_long_it_still_takes(monkeypatch):
    from helpers.widgets.masked_words import Progress

    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
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
    from helpers.plots import masked_words as plots

    rows = {"pieces": {"a": (0.5, 0.1, 4)}, "whole": {"a": (0.4, 0.1, 4), "b": (0.1, 0.0, 1)}}
    above, below = plots.kinds(rows, rows, 10.3).axes
    assert len(above.patches) == len(below.patches) == 3
    assert max(patch.get_height() for patch in above.patches) == pytest.approx(50)
    (ax,) = plots.draws({"m": [0.2, 0.3], "n": [0.1, 0.2]}, 0.02, ("always ','", 0.05)).axes
    assert list(ax.lines[0].get_ydata()) == pytest.approx([20, 30])
    panels = plots.surprises({"$one": (["a", "##b"], [1.0, 3.0]), "two": (["c"], [2.0])}).axes
    assert [patch.get_height() for patch in panels[0].patches] == [1.0, 3.0]
    losses, shares = plots.learning_curves({"all": [(0, 5.0, 0.2), (2, 4.0, 0.3)]}, 0.01).axes
    assert list(losses.lines[0].get_ydata()) == [5.0, 4.0]
    assert list(shares.lines[0].get_ydata()) == pytest.approx([20, 30])
    (ax,) = plots.before_and_after({"here": (5.0, 4.5, 0.1), "there": (4.0, 4.2, 0.1)}).axes
    assert [patch.get_width() for patch in ax.patches] == pytest.approx([-0.5, 0.2])
    (ax,) = plots.word_changes([("sea", 1.5, 3), ("the", -0.5, 4)]).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["sea (3)", "the (4)"]
    assert plots.word_changes([]).axes
    (ax,) = plots.asked({"static": [0.15, 0.15], "dynamic": [0.15, 0.28]}).axes
    assert list(ax.lines[1].get_ydata()) == pytest.approx([15, 28])
    page = plots.hidden_pieces({"<b>": [("<i>", True), ("##s", False)]}).data
    assert "&lt;i&gt;" in page
    assert "<i>" not in page

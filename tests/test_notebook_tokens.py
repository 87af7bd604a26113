"""What is special to `06_token_classification`: its numbers, its errors, its recipe."""

from __future__ import annotations

import itertools
import json

import pytest
import torch
from conftest import ROOT
from pictures import axes, heights, widths, xs, ys
from seqeval.metrics import classification_report, f1_score
from seqeval.metrics.sequence_labeling import get_entities
from transformers import DistilBertConfig, DistilBertForTokenClassification

from helpers import data
from helpers.checkpoints import base_tokenizer, distilbert
from helpers.token_classification import exercises as check
from helpers.token_classification import plots
from helpers.token_classification.explorers import EntityReader, entity_explorer
from helpers.training import entities, head_results
from helpers.training.spans import align_labels

NOTEBOOK = ROOT / "notebooks" / "06_token_classification.ipynb"
PLACE, DATE = ["B-place", "I-place"], ["B-date", "I-date"]
RIGHT = ["O", *PLACE, "O", "B-person", "O", *DATE, "O", "B-place"]
GUESSED = ["B-date", *PLACE, "O", "B-place", "O", "O", "B-date", "O", "O"]
TRAIN, TEST = (list(data.rows("entities", split)) for split in data.SPLITS)


def test_recorded_scores(recorded):
    assert recorded["head_max_abs_diff"] < 1e-3
    assert recorded["loop_and_helper_agree"] is True
    stored = head_results.summary(head_results.load())["entities"]
    figures, live = recorded["entity_f1"], recorded["live"]
    assert figures["bert"] == pytest.approx(stored["bert"]["mean"], abs=1e-6)
    for kind, name in (("distilbert", "student"), ("bert", "teacher")):
        low, high = head_results.spread(stored[kind]["runs"])
        assert low <= live[name] <= high
    assert figures["live"] == live["student"] > figures["baseline"]
    assert live["teacher"] > 0.7


def test_recorded_accuracy_flatters(recorded):
    scores = recorded["accuracy_and_f1"]
    nothing, everywhere = scores["O everywhere"], recorded["o_everywhere"]
    assert nothing[1] == 0
    assert nothing[0] > 0.8
    for name in ("window, no capitals", "window of three", "student", "teacher"):
        accuracy, f1 = scores[name]
        assert accuracy > f1 + 0.1, name
    assert everywhere["words"] == pytest.approx(nothing[0])
    assert everywhere["positions"] > everywhere["words"] + 0.1


def test_recorded_verdicts_are_all_entities(recorded):
    for name, row in recorded["verdicts"].items():
        true = sum(size for _, _, size in recorded["by_kind"][name].values())
        assert sum(row.values()) - row["invented"] == true
        assert 0.5 < row["right"] / true < 1
        seen = recorded["recall_of_seen_and_new"][name]
        assert seen["seen in training"] > seen["new"]


def test_recorded_decoding_and_silent_failures(recorded):
    ways, live = recorded["decoding"], recorded["live"]["student"]
    own, torn = ways["own: a word's first piece"]
    assert torn == 0
    assert own == pytest.approx(live, abs=1e-6)
    simple, first = ways["pipeline, 'simple'"], ways["pipeline, 'first'"]
    assert simple[0] < first[0] - 0.03
    assert simple[1] > 3 * first[1]  # piece by piece tears words
    assert recorded["misaligned"]["wrong_labels"] > 0.1
    assert 0.1 < recorded["misaligned"]["f1"] < live - 0.1
    assert recorded["f1_by_pieces"] < live - 0.03
    left, whole = recorded["truncated"]["12"]
    assert whole < left - 0.1
    assert recorded["truncated"]["128"] == pytest.approx([live, live], abs=1e-9)


def test_the_recipe_runs_alone_offline(recipe, python, tmp_path):
    file, out, blocks = tmp_path / "my sentences.conll", tmp_path / "tagger", []
    for row in TRAIN[:72]:
        words = zip(row["tokens"], row["tags"], strict=True)
        blocks.append("\n".join(map("\t".join, words)))
    file.write_text("\n\n".join(blocks) + "\n", encoding="utf8")
    names = {"CHECKPOINT": str(distilbert()), "DATA": str(file), "OUT": str(out)}
    done = python(recipe, HF_HUB_OFFLINE="1", **names)
    assert done.returncode == 0, done.stderr
    score, found = done.stdout.splitlines()[-2:]
    assert 0 < float(score.removeprefix("F1 ")) <= 1, score
    assert "'entity_group'" in found
    config = json.loads((out / "config.json").read_text())
    assert "B-person" in config["id2label"].values()
    assert (out / "model.safetensors").exists()


def test_the_recipe_and_the_exercises_are_the_helpers_and_seqevals(recipe, tokenizer):
    lines = map(str.strip, recipe.splitlines())
    line = next(line for line in lines if line.startswith("tags = "))
    names = list(data.TAGS)
    for row in TEST[:30]:
        ids = tokenizer(row["tokens"], is_split_into_words=True).word_ids()
        pairs = list(zip(row["tokens"], row["tags"], strict=True))
        scope = {"at": ids, "names": names, "row": pairs}
        exec(line, scope)
        labels = [names.index(tag) for tag in row["tags"]]
        assert scope["tags"] == align_labels(ids, labels)
    inside = {1: 2, 3: 4}  # O, B-person, I-person, B-place, I-place
    for ids, labels in check.every_piece.inputs:
        wanted = align_labels(ids, labels, every_piece=inside)
        assert check.every_piece.answer(ids, labels) == wanted
    for tags in itertools.product(["O", "B-a", "I-a", "B-b", "I-b"], repeat=4):
        assert check.entities.answer(list(tags)) == get_entities(list(tags)), tags


# Errors


def test_every_case_has_its_verdict():
    verdicts = [case.verdict for case in plots.compare(RIGHT, GUESSED)]
    assert verdicts == ["right", "wrong kind", "wrong boundary", "missed", "invented"]
    assert plots.counted([RIGHT], [GUESSED]) == dict.fromkeys(verdicts, 1)
    assert plots.counted([RIGHT], [RIGHT])["right"] == 4
    # one guess over two entities is a wrong boundary twice
    right, guessed = ["B-person", "B-person", "O"], ["B-person", "I-person", "O"]
    cases = plots.compare(right, guessed)
    assert [case.verdict for case in cases] == ["wrong boundary"] * 2
    page = plots.judged([("", ["Ada", "Bo", "sang"], right, guessed)]).data
    body = page.split("true entity</p>")[1]
    assert body.count("Ada Bo") == 2  # once in each caption; in the text, underlined
    assert "<u>Ada</u> <u>Bo</u>" in body


def test_judged_text_is_whole_escaped_and_readable_without_colour():
    words = ["<b>", "Saint", "Ives", "met", "Ada", "on", "the", "first", "in", "Bath"]
    page = plots.judged([("0.1 nats", words, RIGHT, GUESSED)]).data
    body = page.split("true entity</p>")[1]
    assert "&lt;b&gt;" in body
    assert "<b><b>" not in body
    for sign in ("✓ place", "≠ person, not place", "↔ date", "✗ place", "+ date"):
        assert sign in body
    assert "guessed “first” date" in body


TORN = {
    (3, 8): [],
    (3, 4): ["'Z' (place) in 'Zwoll'"],
    (4, 8): ["'woll' (place) in 'Zwoll'"],
    (0, 8): [],
    (0, 1): ["'I' (place) in 'In'"],
    (9, 10): [],
}


def test_places_are_characters_and_torn_words_are_seen():
    tokens = ["In", "Saint", "Ives", "on", "May", "1", "."]
    tags, text = ["O", *PLACE, "O", "B-date", "B-date", "O"], " ".join(tokens)
    found = [(kind, text[a:b]) for kind, a, b in entities.places(tokens, tags)]
    assert found == [("place", "Saint Ives"), ("date", "May"), ("date", "1")]
    for (first, last), lines in TORN.items():
        assert entities.torn("In Zwoll .", [("place", first, last)]) == lines


def test_by_kind_and_the_baseline_are_seqevals():
    right, guessed = [RIGHT, ["B-date", "O"]], [GUESSED, ["B-date", "I-date"]]
    report = classification_report(right, guessed, output_dict=True, zero_division=0)
    kinds = ["person", "place", "date"]
    for kind, row in entities.by_kind(right, guessed, kinds).items():
        theirs = [report[kind][name] for name in ("precision", "recall", "support")]
        assert list(row) == pytest.approx(theirs), kind
    told = [[r["tokens"] for r in TRAIN], [r["tags"] for r in TRAIN]]
    said = entities.window_tags(*told, [r["tokens"] for r in TEST])
    stored = json.loads(head_results.BASELINES.read_text(encoding="utf8"))["baselines"]
    score = f1_score([r["tags"] for r in TEST], said)
    assert score == pytest.approx(stored["entity_f1"], abs=0.015)
    lower, upper = ["a", "May"], ["A", "may"]  # without capitals the window sees none
    assert entities.window(lower, 1, False) == entities.window(upper, 1, False)
    assert entities.window(["a", "May"], 1) != entities.window(["a", "may"], 1)


def test_groups_of_entities():
    train = [["Ada", "in", "Bath"]], [["B-person", "O", "B-place"]]
    test = [["ADA", "Bath", "Rome"]], [["B-person", "B-person", "B-place"]]
    groups = entities.seen_and_new(train, test)  # by words and kind
    assert groups["seen in training"] == {(0, "person", 0, 0)}
    assert groups["new"] == {(0, "person", 1, 1), (0, "place", 2, 2)}
    # doubles: capitalised entity words whose small letters are ordinary
    words, small = ["May", "Ruby", "the", "Bank"], {"may", "bank", "the"}
    right = ["B-date", "B-person", "I-place", "O"]
    said = ["I-date", "O", "O", "B-place"]
    groups = entities.with_and_without_doubles(small, [words], [right], [said])
    assert groups == {"with a double": [True], "without": [False]}


# The explorer and the pictures


@pytest.fixture(scope="module")
def reader():
    """The explorer's engine on two tiny untrained models with the real vocabulary."""
    sizes = {"n_layers": 1, "dim": 32, "n_heads": 4, "hidden_dim": 64}
    config = DistilBertConfig(**sizes, id2label=dict(enumerate(data.TAGS)))
    models = {}
    for seed, name in enumerate(("student", "teacher")):
        torch.manual_seed(seed)
        models[name] = DistilBertForTokenClassification(config)
        torch.nn.init.normal_(models[name].classifier.weight, std=0.5)
    return EntityReader(models, base_tokenizer("DistilBERT"), max_length=16)


def test_the_reader_tags_words_by_their_first_piece(reader):
    text = "Zwolle, said Ada's aunt?!"
    words = ["Zwolle", ",", "said", "Ada's", "aunt", "?", "!"]
    model = reader.models["student"].eval()
    batch = reader.tokenizer(words, is_split_into_words=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(batch["input_ids"], batch["attention_mask"]).logits[0]
    firsts = [batch.word_ids().index(word) for word in range(len(words))]
    best = logits.softmax(-1)[firsts].max(-1)
    tags = [data.TAGS[i] for i in best.indices.tolist()]
    found, unread = reader.read("student", text)
    expected = sorted(entities.found([tags]), key=lambda entity: entity[2])
    assert unread == 0
    for entity, (_, kind, first, last) in zip(found, expected, strict=True):
        assert entity.kind == kind
        assert text[entity.start :].startswith(words[first])
        assert text[: entity.end].endswith(words[last])
        share = best.values[first : last + 1].mean().item()
        assert entity.probability == pytest.approx(share, abs=1e-5)
    _, unread = reader.read("student", "one two three " * 10)
    assert unread == 30 - 14
    assert reader.read("student", " ") == ([], 0)
    assert reader.kinds("student") == ["person", "place", "organisation", "date"]


def test_text_and_model_change_the_page(reader):
    box, which, page = entity_explorer(reader, "student", "Ada met <b>Bo</b>.").children
    pages = [page.value]
    assert "&lt;" in page.value
    assert "<b>Bo" not in page.value
    which.value = "teacher"
    assert "teacher: " in page.value
    pages.append(page.value)
    box.value = "word " * 20
    assert "the last 6 words were cut off" in page.value
    assert len({*pages, page.value}) == 3
    box.value = "  "
    assert page.value == "<p>Type a sentence above.</p>"


def test_pages_keep_every_character_and_join_the_cells_of_a_word():
    page = plots.highlighted("a & Bo, c", [("person", 4, 6, "98%")], ["person"])
    assert "a &amp; <span" in page
    assert "<b>person 98%</b>" in page
    assert page.endswith("</span>, c</p>")
    rows = {"first": ["-100", "B-a", "-100", "O", "-100"]}
    pieces = ["[CLS]", "x", "##y", "<i>", "[SEP]"]
    page = plots.aligned(["xy", "<i>"], pieces, [None, 0, 0, 1, None], rows).data
    assert page.count("colspan='2'") == 1
    assert "<i>" not in page
    assert page.count("<tr>") == 4


def test_pictures_hold_what_they_are_given():
    three, none = dict.fromkeys(plots.VERDICTS, 3), plots.counted([], [])
    counts = {"student": three, "teacher": none}
    (ax,) = axes(plots.error_kinds(counts))
    assert heights(ax) == [3] * 4 + [0] * 4
    kinds = {"student": {"$a": (0.5, 0.25, 4)}, "teacher": {"$a": (1.0, 0.0, 4)}}
    assert xs(axes(plots.by_kind(kinds))[0]) == pytest.approx([50, 25])
    (ax,) = axes(plots.two_scores({"O": (0.8, 0.0), "m": (0.9, 0.7)}))
    assert widths(ax) == pytest.approx([80, 90, 0, 70])
    seeds = {"student": [0.7, 0.8]}, {"student": 0.72}, ("window", 0.5)
    assert widths(axes(plots.seeds(*seeds))[0])[0] == pytest.approx(75)
    panels = axes(plots.costs({"student": (0.7, 10, 17), "teacher": (0.8, 20, 23)}))
    assert [heights(panel)[1] for panel in panels] == pytest.approx([80, 20, 23])
    left, right = axes(plots.strategies({"own": (0.7, 0), "simple": (0.5, 9)}))
    assert widths(left) == pytest.approx([70, 50])
    assert widths(right) == [0, 9]
    (ax,) = axes(plots.cut_off({8: (0.7, 0.3), 128: (0.7, 0.7)}))
    assert ys(ax, 1) == pytest.approx([30, 70])

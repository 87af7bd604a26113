"""What is special to `06_token_classification`: its numbers, its errors, its recipe."""

from __future__ import annotations

import ast
import itertools
import json
import re
from types import SimpleNamespace

import cells
import pytest
import tiny
import torch
from conftest import ROOT
from pictures import axes, heights, widths, xs, ys
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities
from transformers import DistilBertConfig, DistilBertForTokenClassification

from helpers import data
from helpers.checkpoints import base_tokenizer, distilbert
from helpers.token_classification import exercises as check
from helpers.token_classification import plots
from helpers.token_classification.explorers import entity_explorer
from helpers.training import entities, head_results
from helpers.training.spans import align_labels

NOTEBOOK = ROOT / "notebooks" / "06_token_classification.ipynb"
PLACE, DATE = ["B-place", "I-place"], ["B-date", "I-date"]
RIGHT = ["O", *PLACE, "O", "B-person", "O", *DATE, "O", "B-place"]
GUESSED = ["B-date", *PLACE, "O", "B-place", "O", "O", "B-date", "O", "O"]
KINDS = ["person", "place", "organisation", "date"]
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
    pairs = [p for r in TEST for p in zip(r["tokens"], r["tags"], strict=True)]
    capitals = sum(tag != "O" and word[:1].isupper() for word, tag in pairs)
    assert sum(size for _, size in recorded["doubles"].values()) == capitals


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


def test_the_recipe_runs_alone_offline(recipe, tmp_path, monkeypatch, capsys):
    file, out, blocks = tmp_path / "my sentences.conll", tmp_path / "tagger", []
    for row in TRAIN[:72]:
        words = zip(row["tokens"], row["tags"], strict=True)
        blocks.append("\n".join(map("\t".join, words)))
    file.write_text("\n\n".join(blocks) + "\n", encoding="utf8")
    for name, value in {"CHECKPOINT": distilbert(), "DATA": file, "OUT": out}.items():
        monkeypatch.setenv(name, str(value))
    assert "helpers" not in recipe
    exec(recipe, {})
    score, found = capsys.readouterr().out.splitlines()[-2:]
    assert 0 < float(score.removeprefix("F1 ")) <= 1, score
    assert "'entity_group'" in found
    config = json.loads((out / "config.json").read_text())
    assert "B-person" in config["id2label"].values()
    assert (out / "model.safetensors").exists()


def test_the_recipe_and_the_exercises_are_the_helpers_and_seqevals(recipe, tokenizer):
    loops = [node for node in ast.parse(recipe).body if isinstance(node, ast.For)]
    line = next(
        text for text in map(ast.unparse, loops[0].body) if text.startswith("tags = ")
    )
    names = list(data.TAGS)
    for row in TEST[:30]:
        ids = tokenizer(row["tokens"], is_split_into_words=True).word_ids()
        pairs = list(zip(row["tokens"], row["tags"], strict=True))
        numbers = {name: i for i, name in enumerate(names)}
        scope = {"at": ids, "ids": numbers, "row": pairs}
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


JUDGE = cells.defined(NOTEBOOK, "judge", get_entities=get_entities)


def test_every_case_has_its_verdict():
    verdicts = [verdict for verdict, _, _ in JUDGE(RIGHT, GUESSED)]
    assert verdicts == ["right", "wrong kind", "wrong boundary", "missed", "invented"]
    assert verdicts == sorted(plots.VERDICTS, key=verdicts.index)
    assert [verdict for verdict, _, _ in JUDGE(RIGHT, RIGHT)] == ["right"] * 4
    # one guess over two entities is a wrong boundary twice
    cases = JUDGE(["B-person", "B-person", "O"], ["B-person", "I-person", "O"])
    assert [verdict for verdict, _, _ in cases] == ["wrong boundary"] * 2
    page = plots.judged([("", ["Ada", "Bo", "sang"], cases)]).data
    body = page.split("true entity</p>")[1]
    assert body.count("Ada Bo") == 2  # once in each caption; in the text, underlined
    assert "<u>Ada</u> <u>Bo</u>" in body


def test_judged_text_is_whole_escaped_and_readable_without_colour():
    words = ["<b>", "Saint", "Ives", "met", "Ada", "on", "the", "first", "in", "Bath"]
    page = plots.judged([("0.1 nats", words, JUDGE(RIGHT, GUESSED))]).data
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


def test_the_baseline_is_the_stored_one():
    told = [[r["tokens"] for r in TRAIN], [r["tags"] for r in TRAIN]]
    said = entities.window_tags(*told, [r["tokens"] for r in TEST])
    stored = json.loads(head_results.BASELINES.read_text(encoding="utf8"))["baselines"]
    score = f1_score([r["tags"] for r in TEST], said)
    assert score == pytest.approx(stored["entity_f1"], abs=0.015)
    lower, upper = ["a", "May"], ["A", "may"]  # without capitals the window sees none
    assert entities.window(lower, 1, False) == entities.window(upper, 1, False)
    assert entities.window(["a", "May"], 1) != entities.window(["a", "may"], 1)


def test_a_name_is_known_by_its_kind_and_words():
    named = cells.defined(NOTEBOOK, "named")
    assert named([["ADA", "in", "Bath"]], (0, "place", 0, 2)) == (
        "place",
        "ada in bath",
    )


# The explorer and the pictures


@pytest.fixture(scope="module")
def models():
    """Two tiny untrained models with the real vocabulary."""
    config = DistilBertConfig(**tiny.SHAPE, id2label=dict(enumerate(data.TAGS)))
    found = {}
    for seed, name in enumerate(("student", "teacher")):
        torch.manual_seed(seed)
        found[name] = DistilBertForTokenClassification(config).eval()
        torch.nn.init.normal_(found[name].classifier.weight, std=0.5)
    return found


@pytest.fixture(scope="module")
def read(models):
    """The notebook's own `read`, on these models."""
    around = {
        "WORD": cells.defined(NOTEBOOK, "WORD", re=re), "models": models,
        "recipe": SimpleNamespace(max_length=16), "get_entities": get_entities,
        "tokenizer": base_tokenizer("DistilBERT"), "torch": torch,
    }  # fmt: skip
    return cells.defined(NOTEBOOK, "read", **around)


def test_a_text_is_tagged_by_first_pieces(models, read):
    text, tokenizer = "Zwolle, said Ada's aunt?!", base_tokenizer("DistilBERT")
    words = ["Zwolle", ",", "said", "Ada's", "aunt", "?", "!"]
    batch = tokenizer(words, is_split_into_words=True, return_tensors="pt")
    with torch.inference_mode():
        logits = models["student"](batch["input_ids"], batch["attention_mask"]).logits
    firsts = [batch.word_ids().index(word) for word in range(len(words))]
    best = logits[0].softmax(-1)[firsts].max(-1)
    tags = [data.TAGS[i] for i in best.indices.tolist()]
    found, unread = read("student", text)
    expected = sorted(entities.found([tags]), key=lambda entity: entity[2])
    assert unread == 0
    for (kind, start, end, sure), entity in zip(found, expected, strict=True):
        _, wanted, first, last = entity
        assert kind == wanted
        assert text[start:].startswith(words[first])
        assert text[:end].endswith(words[last])
        share = best.values[first : last + 1].mean().item()
        assert sure == pytest.approx(share, abs=1e-5)
    _, unread = read("student", "one two three " * 10)
    assert unread == 30 - 14
    assert read("student", " ") == ([], 0)


def test_text_and_model_change_the_page(models, read):
    text = "Ada met <b>Bo</b>."
    box, which, page = entity_explorer(read, list(models), text, KINDS).children
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
    counts = {"student": dict.fromkeys(plots.VERDICTS, 3)}
    counts["teacher"] = dict.fromkeys(plots.VERDICTS, 0)
    (ax,) = axes(plots.error_kinds(counts))
    assert heights(ax) == [3] * 4 + [0] * 4
    kinds = {"student": {"$a": (0.5, 0.25, 4)}, "teacher": {"$a": (1.0, 0.0, 4)}}
    panel = axes(plots.by_kind(kinds))[0]
    assert [xs(panel, line) for line in (0, 1)] == [[50], [25]]
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

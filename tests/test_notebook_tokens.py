"""What is special to `06_token_classification`: its numbers, its errors, its recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from helpers import data, entities, tasks
from helpers.plots import tokens as plots
from helpers.spans import align_labels, insides

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "06_token_classification.ipynb"
RIGHT = ["O", "B-place", "I-place", "O", "B-person", "O", "B-date", "I-date", "O", "B-place"]
GUESSED = ["B-date", "B-place", "I-place", "O", "B-place", "O", "O", "B-date", "O", "O"]


def test_recorded_head_and_alignment(recorded):
    assert recorded["head_max_abs_diff"] < 1e-3
    assert recorded["loop_and_helper_agree"] is True


def test_recorded_scores(recorded):
    from helpers import heads

    stored = heads.summary(heads.load())["entities"]
    figures = recorded["entity_f1"]
    assert figures["bert"] == pytest.approx(stored["bert"]["mean"], abs=1e-6)
    for kind, name in (("distilbert", "student"), ("bert", "teacher")):
        low, high = heads.spread(stored[kind]["runs"])
        assert low <= recorded["live"][name] <= high
    assert figures["live"] == recorded["live"]["student"] > figures["baseline"]
    assert recorded["live"]["teacher"] > 0.7


def test_recorded_accuracy_flatters(recorded):
    nothing = recorded["accuracy_and_f1"]["O everywhere"]
    assert nothing[1] == 0
    assert nothing[0] > 0.8
    for name in ("window, no capitals", "window of three", "student", "teacher"):
        accuracy, f1 = recorded["accuracy_and_f1"][name]
        assert accuracy > f1 + 0.1, name
    assert recorded["o_everywhere"]["words"] == pytest.approx(nothing[0])
    assert recorded["o_everywhere"]["positions"] > recorded["o_everywhere"]["words"] + 0.1


def test_recorded_verdicts_are_all_entities(recorded):
    for name, row in recorded["verdicts"].items():
        true = sum(size for _, _, size in recorded["by_kind"][name].values())
        assert sum(row.values()) - row["invented"] == true
        recall = row["right"] / true
        assert 0.5 < recall < 1
        seen = recorded["recall_of_seen_and_new"][name]
        assert seen["seen in training"] > seen["new"]


def test_recorded_decoding_piece_by_piece_tears_words(recorded):
    ways = recorded["decoding"]
    own, torn = ways["own: a word's first piece"]
    assert torn == 0
    assert own == pytest.approx(recorded["live"]["student"], abs=1e-6)
    assert ways["pipeline, 'simple'"][0] < ways["pipeline, 'first'"][0] - 0.03
    assert ways["pipeline, 'simple'"][1] > 3 * ways["pipeline, 'first'"][1]


def test_recorded_silent_failures(recorded):
    live = recorded["live"]["student"]
    assert recorded["misaligned"]["wrong_labels"] > 0.1
    assert 0.1 < recorded["misaligned"]["f1"] < live - 0.1
    assert recorded["f1_by_pieces"] < live - 0.03
    left, whole = recorded["truncated"]["12"]
    assert whole < left - 0.1
    left, whole = recorded["truncated"]["128"]
    assert left == pytest.approx(whole, abs=1e-9) == pytest.approx(live, abs=1e-9)


@pytest.fixture
def conll_file(tmp_path):
    """Sentences of the sample set in the usual format, a word and its tag a line."""
    rows = list(data.rows("entities", "train"))[:72]
    blocks = [
        "\n".join(f"{word}\t{tag}" for word, tag in zip(row["tokens"], row["tags"], strict=True))
        for row in rows
    ]
    path = tmp_path / "my sentences.conll"
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf8")
    return path


@pytest.fixture
def jsonl_file(tmp_path):
    path = tmp_path / "mine.jsonl"
    rows = list(data.rows("entities", "train"))[:20]
    lines = [json.dumps({"tokens": row["tokens"], "tags": row["tags"]}) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf8")
    return path


@pytest.mark.parametrize(("file", "count"), [("conll_file", 72), ("jsonl_file", 20)])
def test_own_sentences_come_in_both_formats(file, count, request):
    path = request.getfixturevalue(file)
    sets = tasks.load(tasks.task("entities"), "smoke", str(path))
    held = -(-count // 5)
    sizes = [min(48, count - held), held]  # 48: as many as smoke learns from
    assert [len(sets[split]) for split in ("train", "test")] == sizes
    names = sets["train"].features["tags"].feature.names
    assert set(names) == {
        tag for r in list(data.rows("entities", "train"))[:count] for tag in r["tags"]
    }
    assert all(len(row["tokens"]) == len(row["tags"]) for row in sets["test"])


def test_the_recipe_runs_alone_offline(recipe, python, conll_file, tmp_path):
    from helpers.checkpoints import distilbert

    out = tmp_path / "tagger"
    names = {"CHECKPOINT": str(distilbert()), "DATA": str(conll_file), "OUT": str(out)}
    done = python(recipe, HF_HUB_OFFLINE="1", **names)
    assert done.returncode == 0, done.stderr
    score, found = done.stdout.splitlines()[-2:]
    assert 0 < float(score.removeprefix("F1 ")) <= 1, score
    assert "'entity_group'" in found
    config = json.loads((out / "config.json").read_text())
    assert "B-person" in config["id2label"].values()
    assert (out / "model.safetensors").exists()


def test_the_recipes_labels_are_those_of_the_helper(recipe, tokenizer):
    line = next(line for line in recipe.splitlines() if line.strip().startswith("tags = "))
    names = list(data.TAGS)
    for row in list(data.rows("entities", "test"))[:30]:
        ids = tokenizer(row["tokens"], is_split_into_words=True).word_ids()
        scope = {"at": ids, "names": names}
        scope["row"] = list(zip(row["tokens"], row["tags"], strict=True))
        exec(line.strip(), scope)
        wanted = align_labels(ids, [names.index(tag) for tag in row["tags"]])
        assert scope["tags"] == wanted


def test_every_case_has_its_verdict():
    verdicts = [case.verdict for case in plots.compare(RIGHT, GUESSED)]
    assert verdicts == ["right", "wrong kind", "wrong boundary", "missed", "invented"]
    assert plots.counted([RIGHT], [GUESSED]) == {
        "right": 1,
        "wrong boundary": 1,
        "wrong kind": 1,
        "missed": 1,
        "invented": 1,
    }
    assert plots.counted([RIGHT], [RIGHT])["right"] == 4


def test_one_guess_over_two_entities_is_a_wrong_boundary_twice():
    right = ["B-person", "B-person", "O"]
    cases = plots.compare(right, ["B-person", "I-person", "O"])
    assert [case.verdict for case in cases] == ["wrong boundary"] * 2
    page = plots.judged([("", ["Ada", "Bo", "sang"], right, ["B-person", "I-person", "O"])]).data
    body = page.split("true entity</p>")[1]
    assert body.count("Ada Bo") == 2  # once in each caption; in the text they are underlined
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


def test_places_are_characters():
    tokens = ["In", "Saint", "Ives", "on", "May", "1", "."]
    tags = ["O", "B-place", "I-place", "O", "B-date", "B-date", "O"]
    text = " ".join(tokens)
    found = [(kind, text[a:b]) for kind, a, b in entities.places(tokens, tags)]
    assert found == [("place", "Saint Ives"), ("date", "May"), ("date", "1")]


@pytest.mark.parametrize(
    ("entity", "line"),
    [
        (("place", 3, 8), None),
        (("place", 3, 4), "'Z' (place) in 'Zwoll'"),
        (("place", 4, 8), "'woll' (place) in 'Zwoll'"),
        (("place", 0, 8), None),
        (("place", 0, 1), "'I' (place) in 'In'"),
        (("place", 9, 10), None),
    ],
)
def test_torn_words_are_seen(entity, line):
    assert entities.torn("In Zwoll .", [entity]) == ([line] if line else [])


def test_by_kind_is_seqevals():
    from seqeval.metrics import classification_report

    right, guessed = [RIGHT, ["B-date", "O"]], [GUESSED, ["B-date", "I-date"]]
    report = classification_report(right, guessed, output_dict=True, zero_division=0)
    for kind, row in entities.by_kind(right, guessed, ["person", "place", "date"]).items():
        theirs = [report[kind][name] for name in ("precision", "recall", "support")]
        assert list(row) == pytest.approx(theirs), kind


def test_seen_and_new_go_by_words_and_kind():
    train = [["Ada", "in", "Bath"]], [["B-person", "O", "B-place"]]
    test = [["ADA", "Bath", "Rome"]], [["B-person", "B-person", "B-place"]]
    groups = entities.seen_and_new(train, test)
    assert groups["seen in training"] == {(0, "person", 0, 0)}
    assert groups["new"] == {(0, "person", 1, 1), (0, "place", 2, 2)}


def test_doubles_are_capitalised_entity_words_whose_small_letters_are_ordinary():
    words, right = [["May", "Ruby", "the", "Bank"]], [["B-date", "B-person", "I-place", "O"]]
    guessed = [["I-date", "O", "O", "B-place"]]
    groups = entities.with_and_without_doubles({"may", "bank", "the"}, words, right, guessed)
    assert groups == {"with a double": [True], "without": [False]}


def test_the_window_is_the_stored_baseline():
    from seqeval.metrics import f1_score

    from helpers.heads import BASELINES

    train, test = (list(data.rows("entities", split)) for split in ("train", "test"))
    said = entities.window_tags(
        [r["tokens"] for r in train], [r["tags"] for r in train], [r["tokens"] for r in test]
    )
    stored = json.loads(BASELINES.read_text(encoding="utf8"))["baselines"]["entity_f1"]
    assert f1_score([r["tags"] for r in test], said) == pytest.approx(stored, abs=0.015)


def test_without_capitals_the_window_sees_none():
    one, other = (entities.window(tokens, 1, False) for tokens in (["a", "May"], ["A", "may"]))
    assert one == other
    assert entities.window(["a", "May"], 1) != entities.window(["a", "may"], 1)


def test_every_piece_by_the_exercise_is_align_labels():
    from helpers.checks import tokens as check

    names = ["O", "B-person", "I-person", "B-place", "I-place"]
    for word_ids, labels in check.every_piece.inputs:
        wanted = align_labels(word_ids, labels, every_piece=insides(names))
        assert check.every_piece.answer(word_ids, labels) == wanted


def test_entities_by_the_exercise_are_seqevals():
    import itertools

    from seqeval.metrics.sequence_labeling import get_entities

    from helpers.checks import tokens as check

    for tags in itertools.product(["O", "B-a", "I-a", "B-b", "I-b"], repeat=4):
        assert check.entities.answer(list(tags)) == get_entities(list(tags)), tags


@pytest.fixture(scope="module")
def reader():
    """The explorer's engine on two tiny untrained models with the real vocabulary."""
    from transformers import DistilBertConfig, DistilBertForTokenClassification

    from helpers.checkpoints import base_tokenizer
    from helpers.widgets.tokens import EntityReader

    labels = dict(enumerate(data.TAGS))
    config = DistilBertConfig(n_layers=1, dim=32, n_heads=4, hidden_dim=64, id2label=labels)
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
        shares = model(batch["input_ids"], batch["attention_mask"]).logits[0].softmax(-1)
    firsts = [batch.word_ids().index(word) for word in range(len(words))]
    best = shares[firsts].max(-1)
    tags = [data.TAGS[i] for i in best.indices.tolist()]
    found, unread = reader.read("student", text)
    expected = sorted(entities.found([tags]), key=lambda entity: entity[2])
    assert unread == 0
    assert [entity.kind for entity in found] == [kind for _, kind, _, _ in expected]
    for entity, (_, _, first, last) in zip(found, expected, strict=True):
        assert text[entity.start :].startswith(words[first])
        assert text[: entity.end].endswith(words[last])
        assert entity.probability == pytest.approx(
            best.values[first : last + 1].mean().item(), abs=1e-5
        )


def test_words_that_are_cut_off_are_counted(reader):
    _, unread = reader.read("student", "one two three " * 10)
    assert unread == 30 - 14
    assert reader.read("student", " ") == ([], 0)
    assert reader.kinds("student") == ["person", "place", "organisation", "date"]


def test_text_and_model_change_the_page(reader):
    from helpers.widgets.tokens import entity_explorer

    box, which, page = entity_explorer(reader, "student", "Ada met <b>Bo</b>.").children
    pages = [page.value]
    assert "&lt;" in page.value
    assert "<b>Bo" not in page.value
    which.value = "teacher"
    assert "teacher: " in page.value
    pages.append(page.value)
    box.value = "word " * 20
    assert "the last 6 words were cut off" in page.value
    pages.append(page.value)
    assert len(set(pages)) == 3
    box.value = "  "
    assert page.value == "<p>Type a sentence above.</p>"


def test_highlighted_text_keeps_every_character():
    page = plots.highlighted("a & Bo, c", [("person", 4, 6, "98%")], ["person"])
    assert "a &amp; <span" in page
    assert "<b>person 98%</b>" in page
    assert page.endswith("</span>, c</p>")


def test_the_table_of_pieces_joins_the_cells_of_a_word():
    rows = {"first": ["-100", "B-a", "-100", "O", "-100"]}
    pieces = ["[CLS]", "x", "##y", "<i>", "[SEP]"]
    page = plots.aligned(["xy", "<i>"], pieces, [None, 0, 0, 1, None], rows).data
    assert page.count("colspan='2'") == 1
    assert "<i>" not in page
    assert page.count("<tr>") == 4


def test_pictures_hold_what_they_are_given():
    counts = {"student": dict.fromkeys(plots.VERDICTS, 3), "teacher": plots.counted([], [])}
    (ax,) = plots.error_kinds(counts).axes
    assert [patch.get_height() for patch in ax.patches] == [3] * 4 + [0] * 4
    kinds = {"student": {"$a": (0.5, 0.25, 4)}, "teacher": {"$a": (1.0, 0.0, 4)}}
    left, _ = plots.by_kind(kinds).axes
    assert list(left.lines[0].get_xdata()) == pytest.approx([50, 25])
    (ax,) = plots.two_scores({"O": (0.8, 0.0), "m": (0.9, 0.7)}).axes
    assert [patch.get_width() for patch in ax.patches] == pytest.approx([80, 90, 0, 70])
    (ax,) = plots.seeds({"student": [0.7, 0.8]}, {"student": 0.72}, ("window", 0.5)).axes
    assert ax.patches[0].get_width() == pytest.approx(75)
    panels = plots.costs({"student": (0.7, 10, 17), "teacher": (0.8, 20, 23)}).axes
    assert [panel.patches[1].get_height() for panel in panels] == pytest.approx([80, 20, 23])
    left, right = plots.strategies({"own": (0.7, 0), "simple": (0.5, 9)}).axes
    assert [patch.get_width() for patch in left.patches] == pytest.approx([70, 50])
    assert [patch.get_width() for patch in right.patches] == [0, 9]
    (ax,) = plots.cut_off({8: (0.7, 0.3), 128: (0.7, 0.7)}).axes
    assert list(ax.lines[1].get_ydata()) == pytest.approx([30, 70])

"""The sample sets are what their data sheet says: typed, balanced, varied, no leaks."""

import json
import re
from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from click.testing import CliRunner
from conftest import ROOT

from helpers import data
from helpers.cli import main
from helpers.core.errors import WorkbookError
from helpers.data import schemas, tasks

ROWS = {name: {s: list(data.rows(name, s)) for s in data.SPLITS} for name in data.NAMES}
BOTH = {name: [*parts["train"], *parts["test"]] for name, parts in ROWS.items()}
LEAST = {  # (train, test)
    "corpus": (120, 30),
    "reviews": (1_300, 430),
    "entities": (450, 150),
    "questions": (4 * 127, 4 * 32),
    "next": (900, 300),
    "endings": (300, 100),
    "pairs": (300, 100),
}
FIELDS = {
    "corpus": "topic text",
    "reviews": "text sentiment stars topic aspects style",
    "entities": "tokens tags",
    "questions": "context question answers",
    "next": "topic context choices label",
    "endings": "context choices label",
    "pairs": "text text_pair score relation",
}
WRITTEN = {"questions": ["question"], "pairs": ["text", "text_pair"]}
WRITTEN |= {"next": ["context"], "endings": ["context"]}
each = pytest.mark.parametrize("name", data.NAMES)
on_both = pytest.mark.parametrize("split", data.SPLITS)


def written(name, row):
    """What a person wrote for this row, as one text."""
    if name == "entities":
        return " ".join(row["tokens"])
    return " ".join(row[field] for field in WRITTEN.get(name, ["text"]))


def once(name, split):
    """The rows of a split; of `next` the longest context of each passage alone."""
    longest = {}
    for row in ROWS[name][split]:
        key = row["id"].split("-")[0] if name == "next" else row["id"]
        longest[key] = max(
            longest.get(key, row), row, key=lambda r: len(written(name, r))
        )
    return list(longest.values())


def trigrams(text):
    words = re.findall(r"\w+", text.lower())
    return set(zip(words, words[1:], words[2:], strict=False))


def counted(name, split, label):
    return Counter(row[label] for row in ROWS[name][split])


@each
def test_each_set_has_enough_clean_rows_of_its_fields(name):
    for split, least in zip(data.SPLITS, LEAST[name], strict=True):
        assert len(ROWS[name][split]) >= least
    for row in BOTH[name]:
        assert row.keys() == {"id", *FIELDS[name].split()}
        assert None not in row.values()
        text = written(name, row)
        assert text == text.strip()
        assert not re.search(r"\s{2,}|[\x00-\x1f<>|]|\[|\]|http", text), text
    assert len({row["id"] for row in BOTH[name]}) == len(BOTH[name])


@pytest.mark.parametrize("name", tasks.TASKS)
def test_each_task_reads_them_typed(name):
    task = tasks.task(name)
    typed = schemas.features(task.head, task.names, pair=name == "relation")
    for split, rows in tasks.sample(task).items():
        assert rows.features == typed
        part, style = (split, task.style) if split in data.SPLITS else ("test", split)
        assert len(rows) == len(list(data.rows(task.sample, part, style)))


@pytest.mark.parametrize(
    ("name", "field", "least", "most"),
    [
        ("corpus", "text", 60, 90),
        ("reviews", "text", 8, 40),
        ("questions", "question", 5, 18),
        ("next", "context", 12, 85),
        ("endings", "context", 12, 35),
        ("pairs", "text", 5, 20),
        ("pairs", "text_pair", 5, 20),
    ],
)
def test_lengths_in_words(name, field, least, most):
    for row in BOTH[name]:
        assert least <= len(row[field].split()) <= most, row[field]


@each
def test_no_two_texts_share_more_than_60_percent_of_their_trigrams(name):
    rows = [row for split in data.SPLITS for row in once(name, split)]
    sets = [(row["id"], trigrams(written(name, row))) for row in rows]
    where, shared = defaultdict(list), Counter()
    for i, (_, found) in enumerate(sets):
        for gram in found:
            shared.update((j, i) for j in where[gram])
            where[gram].append(i)
    for (i, j), count in shared.items():
        smaller = min(len(sets[i][1]), len(sets[j][1]))
        assert count <= 0.6 * smaller, (sets[i][0], sets[j][0])


@each
def test_no_near_duplicate_stands_across_the_splits(name):
    train, test = (
        [trigrams(written(name, r)) for r in once(name, s)] for s in data.SPLITS
    )
    for found in test:
        for other in train:
            assert len(found & other) <= 0.5 * min(len(found), len(other))


@each
def test_no_opening_starts_more_than_3_percent(name):
    rows = [row for split in data.SPLITS for row in once(name, split)]
    openings = Counter(" ".join(written(name, r).lower().split()[:3]) for r in rows)
    opening, count = openings.most_common(1)[0]
    assert count <= 0.03 * openings.total(), opening


@pytest.mark.parametrize(
    ("name", "label", "classes"),
    [
        ("reviews", "sentiment", 2),
        ("reviews", "stars", 5),
        ("reviews", "topic", 6),
        ("reviews", "style", 2),
        ("next", "label", 4),
        ("endings", "label", 4),
        ("pairs", "relation", 3),
    ],
)
@on_both
def test_no_class_has_under_half_its_fair_share(name, label, classes, split):
    counts = counted(name, split, label)
    assert len(counts) == classes
    assert min(counts.values()) >= counts.total() / classes / 2, counts


@on_both
def test_aspects_entities_and_scores_are_spread(split):
    reviews = [row["aspects"] for row in ROWS["reviews"][split]]
    for aspect in data.ASPECTS:
        share = sum(aspect in aspects for aspects in reviews) / len(reviews)
        assert 0.15 <= share <= 0.5, aspect
    assert all(1 <= len(set(found)) == len(found) <= 3 for found in reviews)
    tags = [tag for row in ROWS["entities"][split] for tag in row["tags"]]
    kinds = Counter(tag[2:] for tag in tags if tag.startswith("B-"))
    assert (
        min(kinds[kind] for kind in data.KINDS) >= kinds.total() / len(data.KINDS) / 2
    )
    bins = Counter(min(4, int(row["score"])) for row in ROWS["pairs"][split])
    assert min(bins[i] for i in range(5)) >= bins.total() / 5 / 2


def test_sentiment_agrees_with_stars():
    for row in BOTH["reviews"]:
        if row["stars"] != 3:
            right = "positive" if row["stars"] > 3 else "negative"
            assert row["sentiment"] == right, row


def test_tags_are_valid_bio():
    for row in BOTH["entities"]:
        assert len(row["tokens"]) == len(row["tags"])
        for before, tag in pairwise(["O", *row["tags"]]):
            assert tag in data.TAGS
            if tag.startswith("I-"):
                assert before in (f"B-{tag[2:]}", tag), row["tokens"]


def test_offsets_are_exact_and_no_answer_is_part_of_a_longer_word():
    for row in BOTH["questions"]:
        for text, start in zip(*row["answers"].values(), strict=True):
            before, found = row["context"][:start], row["context"][start:]
            assert found.startswith(text)
            assert not before[-1:].isalnum()
            assert not found[len(text) :][:1].isalnum()


def test_every_passage_has_its_questions_a_fifth_without_answer():
    for split in data.SPLITS:
        counts = counted("questions", split, "context")
        assert set(counts) == {row["text"] for row in ROWS["corpus"][split]}
        assert min(counts.values()) >= 4
    without = [not row["answers"]["text"] for row in BOTH["questions"]]
    assert 0.18 <= sum(without) / len(without) <= 0.27


@on_both
def test_plausible_answers_stand_in_the_passage(split):
    articles = json.loads((data.DATA / "questions" / f"{split}.json").read_text())
    paragraphs = [p for article in articles["data"] for p in article["paragraphs"]]
    for question in [asked for paragraph in paragraphs for asked in paragraph["qas"]]:
        assert question["is_impossible"] is (question["answers"] == [])
        assert bool(question.get("plausible_answers")) is question["is_impossible"]


@each
def test_no_test_passage_leaks_into_any_training_set(name):
    held_out = [trigrams(row["text"]) for row in ROWS["corpus"]["test"]]
    for row in ROWS[name]["train"]:
        found = trigrams(written(name, row))
        if len(found) >= 6:
            shared = max(len(found & passage) for passage in held_out)
            assert shared <= 0.4 * len(found), row


@pytest.mark.parametrize(("name", "most"), [("next", 25), ("endings", 9)])
def test_four_different_endings_and_groups_that_stay_on_one_side(name, most):
    for row in BOTH[name]:
        assert len(set(row["choices"])) == 4
        lengths = [len(choice.split()) for choice in row["choices"]]
        assert max(lengths) - min(lengths) <= most, row
    sides = [{r["id"].split("-")[0] for r in part} for part in ROWS[name].values()]
    assert not sides[0] & sides[1]


@on_both
def test_every_next_sentence_is_right_once_and_wrong_three_times(split):
    counts = defaultdict(Counter)
    for row in ROWS["next"][split]:
        for number, choice in enumerate(row["choices"]):
            place = (row["topic"], row["id"][-1], choice)
            counts[place][number == row["label"]] += 1
    assert all((n[True], n[False]) == (1, 3) for n in counts.values())


@on_both
@pytest.mark.parametrize("style", data.STYLES)
def test_both_styles_of_review_hold_every_topic_star_and_aspect(split, style):
    rows = list(data.rows("reviews", split, style))
    every = {(topic, stars) for topic in data.TOPICS for stars in range(1, 6)}
    assert {(row["topic"], row["stars"]) for row in rows} == every
    assert {a for row in rows for a in row["aspects"]} == set(data.ASPECTS)


def test_the_data_sheet_counts_right_and_the_command_shows_three_of_each():
    sheet = (ROOT / "data" / "README.md").read_text()
    done = CliRunner().invoke(main, ["data"])
    assert done.exit_code == 0, done.output
    for name in data.NAMES:
        train, test = (len(ROWS[name][split]) for split in data.SPLITS)
        assert f"| `{name}` | {train:,} + {test:,} |" in sheet, name
        assert f"{name}: {train:,} + {test:,}\n" in done.output
    assert done.output.count("\n  - ") == 3 * len(data.NAMES)


def test_passages_follow_the_profile():
    assert len(data.passages("smoke")) == 8
    for split, rows in ROWS["corpus"].items():
        assert data.passages("classroom", split) == [row["text"] for row in rows]


def test_bad_requests_and_bad_files_are_one_line(tmp_path, monkeypatch):
    def refused(words, name, split):
        with pytest.raises(WorkbookError, match=words):
            list(data.rows(name, split))

    there = "no sample set is called 'review'; there are corpus"
    refused(there, "review", "train")
    refused("split is 'dev'; it must be 'train' or 'test'", "corpus", "dev")
    monkeypatch.setattr(data, "DATA", tmp_path)
    refused("git checkout data", "corpus", "test")
    for folder in ("corpus", "questions"):
        (tmp_path / folder).mkdir()
    lines = '{"id": "a", "text": "fine"}\n["text"]\n'
    (tmp_path / "corpus" / "test.jsonl").write_text(lines)
    refused("line 2: expected one JSON object with an 'id'", "corpus", "test")
    (tmp_path / "questions" / "train.json").write_text("[]")
    refused("expected SQuAD JSON", "questions", "train")

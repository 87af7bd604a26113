"""The sample sets are what their data sheet says: schema, offsets, balance, variety, no
leaks.
"""

import collections
import json
import re

import datasets
import pytest
from conftest import ROOT

from helpers import data
from helpers.core.errors import WorkbookError

ROWS = {name: {s: list(data.rows(name, s)) for s in data.SPLITS} for name in data.NAMES}
LEAST = {  # (train, test)
    "corpus": (120, 30),
    "reviews": (1_300, 430),
    "entities": (450, 150),
    "questions": (4 * 127, 4 * 32),
    "next": (900, 300),
    "endings": (300, 100),
    "pairs": (300, 100),
}
each = pytest.mark.parametrize("name", data.NAMES)


def both(name):
    return [row for split in data.SPLITS for row in ROWS[name][split]]


def once(name, split):
    """The rows of a split; of `next` the longest context of each passage: it holds the
    others.
    """
    longest = {}
    for row in ROWS[name][split]:
        key = row["id"].split("-")[0] if name == "next" else row["id"]
        if key not in longest or len(written(name, row)) > len(
            written(name, longest[key])
        ):
            longest[key] = row
    return list(longest.values())


def written(name, row):
    """What a person wrote for this row, as one text."""
    if name == "entities":
        return " ".join(row["tokens"])
    fields = {"questions": ["question"], "pairs": ["text", "text_pair"]}
    fields |= {"next": ["context"], "endings": ["context"]}
    return " ".join(row[field] for field in fields.get(name, ["text"]))


@each
def test_each_set_loads_typed_with_enough_rows(name):
    loaded = data.load(name)
    assert isinstance(loaded, datasets.DatasetDict)
    assert list(loaded) == ["train", "test"]
    for split, least in zip(data.SPLITS, LEAST[name], strict=True):
        assert loaded[split].features == data.features(name)
        assert len(loaded[split]) >= least
        assert None not in [value for row in loaded[split] for value in row.values()]


@each
def test_ids_are_unique(name):
    assert len({row["id"] for row in both(name)}) == len(both(name))


@each
def test_texts_are_clean(name):
    for row in both(name):
        text = written(name, row)
        assert text == text.strip()
        assert not re.search(r"\s{2,}|[\x00-\x1f<>|]|\[|\]|http", text), text


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
    for row in both(name):
        assert least <= len(row[field].split()) <= most, row[field]


def trigrams(text):
    words = re.findall(r"\w+", text.lower())
    return set(zip(words, words[1:], words[2:], strict=False))


@each
def test_no_two_texts_share_more_than_60_percent_of_their_trigrams(name):
    rows = [row for split in data.SPLITS for row in once(name, split)]
    sets = [(row["id"], trigrams(written(name, row))) for row in rows]
    where = collections.defaultdict(list)
    for i, (_, found) in enumerate(sets):
        for gram in found:
            where[gram].append(i)
    shared = collections.Counter(
        (i, j) for rows in where.values() for i in rows for j in rows if i < j
    )
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
    openings = collections.Counter(
        " ".join(written(name, row).lower().split()[:3])
        for s in data.SPLITS
        for row in once(name, s)
    )
    opening, count = openings.most_common(1)[0]
    assert count <= 0.03 * openings.total(), opening


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("reviews", "sentiment"),
        ("reviews", "stars"),
        ("reviews", "topic"),
        ("reviews", "style"),
        ("next", "label"),
        ("endings", "label"),
        ("pairs", "relation"),
    ],
)
@pytest.mark.parametrize("split", data.SPLITS)
def test_no_class_has_under_half_its_fair_share(name, label, split):
    counts = collections.Counter(row[label] for row in ROWS[name][split])
    fair = len(ROWS[name][split]) / len(counts)
    assert min(counts.values()) >= fair / 2, counts
    expected = {
        "sentiment": 2,
        "stars": 5,
        "topic": 6,
        "style": 2,
        "label": 4,
        "relation": 3,
    }
    assert len(counts) == expected[label]


@pytest.mark.parametrize("split", data.SPLITS)
def test_aspects_entities_and_scores_are_spread(split):
    reviews = ROWS["reviews"][split]
    for aspect in data.ASPECTS:
        share = sum(aspect in row["aspects"] for row in reviews) / len(reviews)
        assert 0.15 <= share <= 0.5, aspect
    assert all(
        1 <= len(set(row["aspects"])) == len(row["aspects"]) <= 3 for row in reviews
    )
    kinds = collections.Counter(
        tag[2:]
        for row in ROWS["entities"][split]
        for tag in row["tags"]
        if tag.startswith("B-")
    )
    assert (
        min(kinds[kind] for kind in data.KINDS)
        >= sum(kinds.values()) / len(data.KINDS) / 2
    )
    bins = collections.Counter(
        min(4, int(row["score"])) for row in ROWS["pairs"][split]
    )
    assert min(bins[i] for i in range(5)) >= len(ROWS["pairs"][split]) / 5 / 2


def test_sentiment_agrees_with_stars():
    for row in both("reviews"):
        if row["stars"] != 3:
            assert row["sentiment"] == (
                "positive" if row["stars"] > 3 else "negative"
            ), row


def test_tags_are_valid_bio():
    for row in both("entities"):
        assert len(row["tokens"]) == len(row["tags"])
        for before, tag in zip(["O", *row["tags"]], row["tags"], strict=False):
            assert tag in data.TAGS
            if tag.startswith("I-"):
                assert before in (f"B-{tag[2:]}", tag), row["tokens"]


def test_offsets_are_exact():
    for row in both("questions"):
        answers = row["answers"]
        for text, start in zip(answers["text"], answers["answer_start"], strict=True):
            assert row["context"][start : start + len(text)] == text


def test_an_answer_is_no_part_of_a_longer_word():
    for row in both("questions"):
        for text, start in zip(*row["answers"].values(), strict=True):
            around = (
                row["context"][max(0, start - 1) : start],
                row["context"][start + len(text) :],
            )
            assert not around[0].isalnum()
            assert not around[1][:1].isalnum()


def test_every_passage_has_its_questions_a_fifth_without_answer():
    for split in data.SPLITS:
        counts = collections.Counter(row["context"] for row in ROWS["questions"][split])
        assert set(counts) == {row["text"] for row in ROWS["corpus"][split]}
        assert min(counts.values()) >= 4
    without = [not row["answers"]["text"] for row in both("questions")]
    assert 0.18 <= sum(without) / len(without) <= 0.27


def test_plausible_answers_stand_in_the_passage():
    for split in data.SPLITS:
        articles = json.loads((data.DATA / "questions" / f"{split}.json").read_text())[
            "data"
        ]
        for question in [
            q for a in articles for p in a["paragraphs"] for q in p["qas"]
        ]:
            assert question["is_impossible"] is (question["answers"] == [])
            assert bool(question.get("plausible_answers")) is question["is_impossible"]


def test_no_test_passage_leaks_into_any_training_set():
    held_out = [trigrams(row["text"]) for row in ROWS["corpus"]["test"]]
    for name in data.NAMES:
        for row in ROWS[name]["train"]:
            found = trigrams(written(name, row))
            if len(found) >= 6:
                assert max(len(found & passage) for passage in held_out) <= 0.4 * len(
                    found
                ), row


@pytest.mark.parametrize(("name", "most"), [("next", 25), ("endings", 9)])
def test_four_different_endings(name, most):
    for row in both(name):
        assert len(set(row["choices"])) == 4
        lengths = [len(choice.split()) for choice in row["choices"]]
        assert max(lengths) - min(lengths) <= most, row


def test_every_next_sentence_is_right_once_and_wrong_three_times():
    for split in data.SPLITS:
        places = [
            (row["topic"], row["id"][-1], choice, number == row["label"])
            for row in ROWS["next"][split]
            for number, choice in enumerate(row["choices"])
        ]
        counts = collections.Counter(places)
        sentences = {place[:3] for place in places}
        assert all(
            (counts[(*s, True)], counts[(*s, False)]) == (1, 3) for s in sentences
        )


def test_a_passage_stays_on_one_side():
    passages = [
        {row["id"].split("-")[0] for row in ROWS["next"][s]} for s in data.SPLITS
    ]
    assert not passages[0] & passages[1]


def test_both_styles_of_review_hold_every_topic_star_and_aspect():
    for split in data.SPLITS:
        for style in data.STYLES:
            rows = list(data.rows("reviews", split, style))
            assert {(r["topic"], r["stars"]) for r in rows} == {
                (topic, stars) for topic in data.TOPICS for stars in range(1, 6)
            }
            assert {aspect for row in rows for aspect in row["aspects"]} == set(
                data.ASPECTS
            )


def test_a_group_of_endings_stays_on_one_side():
    groups = [
        {row["id"].split("-")[0] for row in ROWS["endings"][s]} for s in data.SPLITS
    ]
    assert not groups[0] & groups[1]


def test_the_data_sheet_counts_right():
    sheet = (ROOT / "data" / "README.md").read_text()
    for name in data.NAMES:
        train, test = (len(ROWS[name][split]) for split in data.SPLITS)
        assert f"| `{name}` | {train:,} + {test:,} |" in sheet, name


def test_passages_follow_the_profile():
    assert len(data.passages("smoke")) == 8
    assert data.passages("classroom") == [row["text"] for row in ROWS["corpus"]["test"]]
    assert data.passages("classroom", "train") == [
        r["text"] for r in ROWS["corpus"]["train"]
    ]


def test_bad_requests_and_bad_files_are_one_line(tmp_path, monkeypatch):
    with pytest.raises(
        WorkbookError, match="no sample set is called 'review'; there are corpus"
    ):
        data.load("review")
    with pytest.raises(
        WorkbookError, match="split is 'dev'; it must be 'train' or 'test'"
    ):
        data.passages("smoke", "dev")
    monkeypatch.setattr(data, "DATA", tmp_path)
    with pytest.raises(WorkbookError, match="git checkout data"):
        data.passages("smoke")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "test.jsonl").write_text(
        '{"id": "a", "text": "fine"}\n["text"]\n'
    )
    with pytest.raises(
        WorkbookError, match="line 2: expected one JSON object with an 'id'"
    ):
        data.passages("smoke")
    (tmp_path / "questions").mkdir()
    (tmp_path / "questions" / "train.json").write_text("[]")
    with pytest.raises(WorkbookError, match="expected SQuAD JSON"):
        data.load("questions")


def test_the_command_shows_counts_and_three_examples_of_each(workbook):
    done = workbook("data")
    assert done.returncode == 0, done.stderr
    for name in data.NAMES:
        assert (
            f"{name}: {len(ROWS[name]['train']):,} + {len(ROWS[name]['test']):,}"
            in done.stdout
        )
    assert done.stdout.count("\n  - ") == 3 * len(data.NAMES)

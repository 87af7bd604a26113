"""What is held out: a fifth, equal texts on one side, every class on both."""

from collections import Counter

import pytest
from datasets import Dataset

from helpers.core.errors import WorkbookError
from helpers.data import tasks
from helpers.data.schemas import features
from helpers.data.splits import fewer, held_out


def classified(labels, texts=None):
    """Rows of these labels; each text another one, unless they are given."""
    texts = texts or [f"text {n}" for n in range(len(labels))]
    rows = [{"text": t, "label": n} for t, n in zip(texts, labels, strict=True)]
    return typed(rows, "classification", sorted(set(labels)))


def typed(rows, head, names=()):
    return Dataset.from_list(rows, features(head, names))


def kinds(rows):
    return Counter(rows.features["label"].int2str(rows["label"][:]))


def test_a_fifth_is_held_out_the_same_every_time():
    rows = classified(["good"] * 25 + ["bad"] * 25)
    sets = held_out(rows, "a.csv")
    assert {name: dict(kinds(part)) for name, part in sets.items()} == {
        "train": {"good": 20, "bad": 20},
        "test": {"good": 5, "bad": 5},
    }
    both = [*sets["train"]["text"], *sets["test"]["text"]]
    assert sorted(both) == sorted(rows["text"])
    assert 3 < sum(sets["train"]["label"][:10]) < 7  # no longer sorted by label
    assert held_out(rows, "a.csv")["test"]["text"][:] == sets["test"]["text"][:]


def test_equal_texts_stay_on_one_side():
    texts = [f"{'THE ' if n % 2 else 'the  '}text {n // 4}" for n in range(200)]
    sets = held_out(classified(["good", "bad"] * 100, texts), "a.csv")
    texts = [part["text"] for part in sets.values()]
    sides = [{" ".join(t.lower().split()) for t in part} for part in texts]
    assert not sides[0] & sides[1]
    assert [len(side) for side in sides] == [40, 10]


def test_a_text_of_most_rows_is_not_held_out():
    texts = ["ok"] * 60 + list("abcdefgh") * 5
    sets = held_out(classified(["x", "y"] * 50, texts), "a.csv")
    assert "ok" not in sets["test"]["text"]
    assert 5 <= len(sets["test"]) <= 20


@pytest.mark.parametrize(
    ("count", "held", "told"),
    [
        ({"ham": 147, "spam": 3}, {"ham": 29, "spam": 1}, ""),
        ({"ham": 20, "spam": 2}, {"ham": 4, "spam": 1}, ""),
        ({"ham": 50, "spam": 50, "eggs": 1}, {"ham": 10, "spam": 11}, "'eggs'"),
        ({f"c{n}": 2 for n in range(20)}, {f"c{n}": 1 for n in range(8)}, "and 4 more"),
    ],
)
def test_every_class_is_on_both_sides_or_kept_in_train_and_said(
    count, held, told, capsys
):
    rows = classified([name for name, n in count.items() for _ in range(n)])
    sets = held_out(rows, "folder/a.csv")
    found = kinds(sets["test"])
    assert len(found) == len(held)
    assert all(abs(found[name] - n) <= 1 for name, n in held.items())
    assert kinds(sets["train"]).keys() == count.keys()
    said = capsys.readouterr().out
    assert told in said
    assert said.startswith("a.csv: learned but too rare to be held out: ") == bool(told)


@pytest.mark.parametrize("seed", range(5))
def test_fewer_rows_have_every_class_too(seed):
    rows = classified(["ham"] * 147 + ["spam"] * 3)
    part = fewer(rows, 18, seed)
    assert len(part) == 18
    assert kinds(part)["spam"] in (1, 2)
    assert part["text"][:] != fewer(rows, 18, seed + 1)["text"][:]
    assert len(fewer(rows, 999, seed)) == 150


def test_the_beginning_of_each_side_has_every_class():
    sets = held_out(classified(["a"] * 190 + ["b"] * 6 + ["c"] * 4), "a.csv")
    first = [set(kinds(part.select(range(3)))) for part in sets.values()]
    assert first == [{"a", "b", "c"}] * 2


def test_rare_labels_kinds_and_numbers_are_on_both_sides():
    labels = [[0, 1] if n < 2 else [0] * (n % 3 > 0) for n in range(50)]
    rows = [{"text": f"t {n}", "label": label} for n, label in enumerate(labels)]
    several = held_out(typed(rows, "multilabel", ["a", "b"]), "a.csv")
    assert [sum(1 in row for row in p["label"]) for p in several.values()] == [1, 1]
    tags, names = [[3 if n < 2 else 1, 0] for n in range(50)], "O B-x I-x B-y I-y"
    rows = [{"tokens": [f"w{n}", "."], "tags": t} for n, t in enumerate(tags)]
    words = held_out(typed(rows, "tokens", names.split()), "a.bio")
    assert [sum(3 in row for row in p["tags"]) for p in words.values()] == [1, 1]
    rows = [{"text": f"t {n}", "label": float(n)} for n in range(50)]
    numbers = held_out(typed(rows, "regression"), "a.csv")
    assert [sum(v < 10 for v in part["label"]) for part in numbers.values()] == [8, 2]


def test_the_other_way_round_is_the_same_pair():
    pairs = [(f"a {n}", f"b {n}") for n in range(20)]
    rows = [
        {"text": one, "text_pair": two, "score": float(n)}
        for n, pair in enumerate(pairs)
        for one, two in (pair, pair[::-1])
    ]
    sets = held_out(typed(rows, "similarity"), "a.csv")
    sides = [{min(r["text"], r["text_pair"]) for r in part} for part in sets.values()]
    assert [len(side) for side in sides] == [16, 4]
    assert not sides[0] & sides[1]


@pytest.mark.parametrize("name", ["questions", "endings"])
def test_rows_on_one_text_stay_together(name):
    rows = tasks.sample(tasks.task(name))["train"].select(range(60))
    parts = held_out(rows, "mine.json")
    contexts = [set(part["context"]) for part in parts.values()]
    assert not contexts[0] & contexts[1]
    assert sum(map(len, parts.values())) == 60


def test_what_cannot_be_split_is_one_line():
    rows = tasks.sample(tasks.task("questions"))["train"].select(range(60))
    one = rows.filter(lambda row: row["context"] == rows[0]["context"])
    words = r"mine\.json: all questions are on one text"
    with pytest.raises(WorkbookError, match=words):
        held_out(one, "mine.json")
    with pytest.raises(WorkbookError, match=r"a\.csv: no class has two texts"):
        held_out(classified([f"c{n}" for n in range(15)]), "a.csv")

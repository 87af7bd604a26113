"""Plain scikit-learn models on the sample sets: baselines to beat, and controls that
must fail.

A *baseline* reads the whole input as a bag of words. A *control* is shown too little on
purpose (the endings without their situation, the length alone): when it does well, the
data has a leak. Everything is fitted on train and scored on test, with fixed seeds; it
takes a few seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from helpers import data
from helpers.data import tasks
from helpers.training import evidence

Rows = list[dict[str, Any]]


def _splits(name: str, style: str = "") -> tuple[Rows, Rows]:
    return list(data.rows(name, "train", style)), list(data.rows(name, "test", style))


def _words() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=1)


def _classify(x_train: Any, y_train: Any, x_test: Any) -> Any:
    from sklearn.linear_model import LogisticRegression

    return (
        LogisticRegression(max_iter=2000, C=10.0).fit(x_train, y_train).predict(x_test)
    )


def _accuracy(answers: Sequence, guesses: Sequence) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(answers, guesses))


def _text_accuracy(
    train: Rows, test: Rows, text: Callable[[dict], str], label: str
) -> float:
    """Accuracy of a bag of words of `text(row)` on the label `label`."""
    guesses = _by_words(
        map(text, train), [row[label] for row in train], map(text, test)
    )
    return _accuracy([row[label] for row in test], guesses)


def _by_words(train: Iterable[str], labels: Sequence, test: Iterable[str]) -> Any:
    words = _words()
    return _classify(words.fit_transform(train), labels, words.transform(test))


def baselines() -> dict[str, float]:
    """One figure per task, in the unit in which the notebooks report it.

    Accuracy for sentiment, topic, relation, next, endings; micro-F1 for aspects;
    Spearman's rho for stars and pairs; entity F1; F1 of word overlap for questions ("no
    answer" counts as a word).
    """
    return {
        task.record: evidence.score(task, evidence_of(name), numbers(task, "test"))
        for name, task in tasks.TASKS.items()
    }


def numbers(task: tasks.Task, split: str) -> Any:
    """The numbers to be told, (N,), where the score is a correlation; else None."""
    import numpy as np

    if task.head not in ("regression", "similarity"):
        return None
    return np.array(
        tasks.sample(task)[split]["score" if task.head == "similarity" else "label"]
    )


def evidence_of(name: str, split: str = "test") -> Any:
    """What each test row adds to the plain model's score, as `evidence.of_numbers`
    gives it.
    """
    task = tasks.task(name)
    sets = tasks.sample(task)
    return evidence.of_numbers(task, *_GUESSES[task.head](sets["train"], sets[split]))


def _texts(rows: Any) -> list[str]:
    """The texts of a classifier's rows, pairs joined."""
    if "text_pair" not in rows.column_names:
        return rows["text"][:]
    return [f"{a} {b}" for a, b in zip(rows["text"], rows["text_pair"], strict=True)]


def _classes(train: Any, test: Any) -> tuple[Any, Any]:
    return _by_words(_texts(train), train["label"][:], _texts(test)), test["label"][:]


def _label_sets(train: Any, test: Any) -> tuple[Any, Any]:
    count = len(train.features["label"].feature.names)
    columns = [
        _by_words(
            train["text"], [n in labels for labels in train["label"]], test["text"]
        )
        for n in range(count)
    ]
    return [[n for n in range(count) if columns[n][i]] for i in range(len(test))], test[
        "label"
    ][:]


def _numbers(train: Any, test: Any) -> tuple[Any, Any]:
    from sklearn.linear_model import Ridge

    words = _words()
    model = Ridge(alpha=1.0).fit(words.fit_transform(train["text"]), train["label"][:])
    return model.predict(words.transform(test["text"])), test["label"][:]


def _entities(train: Any, test: Any) -> tuple[Any, Any]:
    """What one sees through a window of three words, capitals included."""
    from seqeval.metrics.sequence_labeling import get_entities

    from helpers.training.entities import window_tags

    names = train.features["tags"].feature.names
    known, right = (
        [[names[t] for t in tags] for tags in rows["tags"]] for rows in (train, test)
    )
    guessed = window_tags(train["tokens"][:], known, test["tokens"][:])
    return tuple([get_entities(tags) for tags in side] for side in (guessed, right))


def _no_answer(train: Any, test: Any) -> tuple[Any, Any]:
    """The best that answers without reading: always "no answer"."""
    return [float(not answers["text"]) for answers in test["answers"]], None


def _likest_choice(train: Any, test: Any) -> tuple[Any, Any]:
    """The choice that shares most of its words with the context (tf-idf cosine)."""
    from sklearn.metrics.pairwise import cosine_similarity

    words = _words().fit(
        [*train["context"], *(c for cs in train["choices"] for c in cs)]
    )
    guesses = [
        int(
            cosine_similarity(
                words.transform([context]), words.transform(choices)
            ).argmax()
        )
        for context, choices in zip(test["context"], test["choices"], strict=True)
    ]
    return guesses, test["label"][:]


def _likeness(train: Any, test: Any) -> tuple[Any, Any]:
    """Tf-idf cosine of the two sentences; nothing is learned but the words' weights."""
    from sklearn.metrics.pairwise import paired_cosine_distances

    words = _words().fit(
        [
            text
            for pair in zip(test["text"], test["text_pair"], strict=True)
            for text in pair
        ]
    )
    sides = (words.transform(test[name][:]) for name in ("text", "text_pair"))
    return -paired_cosine_distances(*sides), test["score"][:]


_GUESSES = {
    "classification": _classes,
    "multilabel": _label_sets,
    "regression": _numbers,
    "similarity": _likeness,
    "tokens": _entities,
    "questions": _no_answer,
    "choices": _likest_choice,
}


def controls() -> dict[str, dict[str, float]]:
    """{name: {"score", "chance"}}: what a model reaches that is shown too little.

    Endings and second sentences alone are scored by five-fold cross-validation over
    both splits, since a test of a hundred rows would be too rough; lengths likewise.
    """
    return {
        "endings without the situation": {"score": _endings_only(), "chance": 0.25},
        "next sentences without the passage": {"score": _next_only(), "chance": 0.25},
        "relation from the second sentence alone": {
            "score": _second_only(),
            "chance": 1 / 3,
        },
        **{
            f"{name} from the length alone": value for name, value in _lengths().items()
        },
    }


def _both(name: str) -> Rows:
    train, test = _splits(name)
    return train + test


def _folds(count: int) -> list[tuple[Any, Any]]:
    from sklearn.model_selection import KFold

    return list(KFold(5, shuffle=True, random_state=0).split(range(count)))


def _folds_by_group(rows: Rows) -> list[tuple[Any, Any]]:
    """Folds of `endings` that keep a group together: its rows, d012-1 to d012-4, share
    phrases.
    """
    from sklearn.model_selection import GroupKFold

    groups = [row["id"].partition("-")[0] for row in rows]
    return list(GroupKFold(5).split(rows, groups=groups))


def _endings_only() -> float:
    rows, right = _both("endings"), 0.0
    for train, test in _folds_by_group(rows):
        right += len(test) * _choices_only(
            [rows[i] for i in train], [rows[i] for i in test]
        )
    return right / len(rows)


def _next_only() -> float:
    """Not in folds: a sentence comes four times, so that knowing it as wrong would
    betray it.
    """
    return _choices_only(*_splits("next"))


def _choices_only(train: Rows, test: Rows) -> float:
    """Accuracy of a bag of words that sees the choices and nothing else."""
    from sklearn.linear_model import LogisticRegression

    words = _words()
    x = words.fit_transform([choice for row in train for choice in row["choices"]])
    y = [number == row["label"] for row in train for number in range(4)]
    model = LogisticRegression(max_iter=2000, C=10.0).fit(x, y)
    scores = [model.decision_function(words.transform(row["choices"])) for row in test]
    return _accuracy(
        [row["label"] for row in test], [int(found.argmax()) for found in scores]
    )


def _second_only() -> float:
    rows, scores = _both("pairs"), []
    for train, test in _folds(len(rows)):
        part = [rows[i] for i in train], [rows[i] for i in test]
        scores.append(
            len(test) * _text_accuracy(*part, lambda r: r["text_pair"], "relation")
        )
    return sum(scores) / len(rows)


def _lengths() -> dict[str, dict[str, float]]:
    """Accuracy from numbers of words and characters alone, against the largest class's
    share.
    """
    reviews, pairs = _both("reviews"), _both("pairs")
    questions, endings = _both("questions"), _both("endings")
    found = {
        label: _from_lengths(
            [[r["text"]] for r in reviews], [r[label] for r in reviews]
        )
        for label in ("sentiment", "stars", "topic")
    }
    for aspect in data.ASPECTS:
        has = [aspect in row["aspects"] for row in reviews]
        found[f"aspect {aspect}"] = _from_lengths([[r["text"]] for r in reviews], has)
    sides = [[row["text"], row["text_pair"]] for row in pairs]
    found["relation"] = _from_lengths(sides, [row["relation"] for row in pairs])
    found["relation, second sentence"] = _from_lengths(
        [side[1:] for side in sides], [row["relation"] for row in pairs]
    )
    asked = [[row["question"]] for row in questions]
    found["answerable"] = _from_lengths(
        asked, [bool(r["answers"]["text"]) for r in questions]
    )
    found["ending"] = {"score": _longest_or_shortest(endings), "chance": 0.25}
    found["next sentence"] = {
        "score": _longest_or_shortest(_both("next")),
        "chance": 0.25,
    }
    return found


def _from_lengths(texts: list[list[str]], labels: Sequence) -> dict[str, float]:
    from collections import Counter

    x = [
        [size for text in row for size in (len(text.split()), len(text))]
        for row in texts
    ]
    right = 0
    for train, test in _folds(len(x)):
        scale = [max(column) for column in zip(*x, strict=True)]
        unit = [
            [value / top for value, top in zip(row, scale, strict=True)] for row in x
        ]
        guesses = _classify(
            [unit[i] for i in train],
            [labels[i] for i in train],
            [unit[i] for i in test],
        )
        right += sum(guess == labels[i] for guess, i in zip(guesses, test, strict=True))
    return {"score": right / len(x), "chance": max(Counter(labels).values()) / len(x)}


def _longest_or_shortest(rows: Rows) -> float:
    """The better of two rules: always the longest ending, always the shortest."""
    rates = []
    for pick in (max, min):
        hits = [
            pick(range(4), key=lambda i, r=row: len(r["choices"][i])) == row["label"]
            for row in rows
        ]
        rates.append(sum(hits) / len(rows))
    return max(rates)

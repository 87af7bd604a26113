"""Plain scikit-learn models on the sample sets: baselines to beat, and controls that must fail.

A *baseline* reads the whole input as a bag of words. A *control* is shown too little on purpose
(the endings without their situation, the length alone): when it does well, the data has a leak.
Everything is fitted on train and scored on test, with fixed seeds; it takes a few seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from helpers import data

Rows = list[dict[str, Any]]


def _splits(name: str, style: str = "") -> tuple[Rows, Rows]:
    return list(data.rows(name, "train", style)), list(data.rows(name, "test", style))


def _words() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=1)


def _classify(x_train: Any, y_train: Any, x_test: Any) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=2000, C=10.0).fit(x_train, y_train).predict(x_test)


def _accuracy(answers: Sequence, guesses: Sequence) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(answers, guesses))


def _text_accuracy(train: Rows, test: Rows, text: Callable[[dict], str], label: str) -> float:
    """Accuracy of a bag of words of `text(row)` on the label `label`."""
    words = _words()
    x_train = words.fit_transform([text(row) for row in train])
    x_test = words.transform([text(row) for row in test])
    guesses = _classify(x_train, [row[label] for row in train], x_test)
    return _accuracy([row[label] for row in test], guesses)


def baselines() -> dict[str, float]:
    """One figure per task, in the unit in which the notebooks report it.

    Accuracy for sentiment, topic, relation, next, endings; micro-F1 for aspects; Spearman's rho for
    stars and pairs; entity F1; F1 of word overlap for questions ("no answer" counts as a word).
    """
    train, test = _splits("reviews", "wry")
    pairs = _splits("pairs")
    return {
        "sentiment_accuracy": _text_accuracy(train, test, lambda r: r["text"], "sentiment"),
        "topic_accuracy": _text_accuracy(train, test, lambda r: r["text"], "topic"),
        "aspects_f1": _aspects_f1(train, test),
        "stars_spearman": _stars_spearman(train, test),
        "entity_f1": _entity_f1(*_splits("entities")),
        "questions_f1": _questions_f1(*_splits("questions")),
        "next_accuracy": _endings_accuracy(*_splits("next")),
        "endings_accuracy": _endings_accuracy(*_splits("endings")),
        "pairs_spearman": _pairs_spearman(pairs[1]),
        "relation_accuracy": _text_accuracy(
            *pairs, lambda r: f"{r['text']} {r['text_pair']}", "relation"
        ),
    }


def _aspects_f1(train: Rows, test: Rows) -> float:
    from sklearn.metrics import f1_score
    from sklearn.preprocessing import MultiLabelBinarizer

    words, labels = _words(), MultiLabelBinarizer(classes=list(data.ASPECTS))
    x_train = words.fit_transform([row["text"] for row in train])
    x_test = words.transform([row["text"] for row in test])
    y_train = labels.fit_transform([row["aspects"] for row in train])
    y_test = labels.transform([row["aspects"] for row in test])
    guesses = [_classify(x_train, column, x_test) for column in y_train.T]
    return float(f1_score(y_test.ravel(order="F"), [g for column in guesses for g in column]))


def _stars_spearman(train: Rows, test: Rows) -> float:
    from scipy.stats import spearmanr
    from sklearn.linear_model import Ridge

    words = _words()
    model = Ridge(alpha=1.0).fit(
        words.fit_transform([row["text"] for row in train]), [row["stars"] for row in train]
    )
    guesses = model.predict(words.transform([row["text"] for row in test]))
    return float(spearmanr(guesses, [row["stars"] for row in test]).statistic)


def _entity_f1(train: Rows, test: Rows) -> float:
    """What one sees through a window of three words, capitals included."""
    from seqeval.metrics import f1_score

    from helpers.entities import window_tags

    (words, tags), (asked, right) = (
        ([row["tokens"] for row in rows], [row["tags"] for row in rows]) for rows in (train, test)
    )
    return float(f1_score(right, window_tags(words, tags, asked)))


def _questions_f1(train: Rows, test: Rows) -> float:
    """The best that answers without reading: always "no answer"."""
    return sum(not row["answers"]["text"] for row in test) / len(test)


def _endings_accuracy(train: Rows, test: Rows) -> float:
    """The ending that shares most of its words with the situation (tf-idf cosine)."""
    from sklearn.metrics.pairwise import cosine_similarity

    situations = [row["context"] for row in train]
    words = _words().fit(situations + [choice for row in train for choice in row["choices"]])
    guesses = []
    for row in test:
        situation, choices = words.transform([row["context"]]), words.transform(row["choices"])
        guesses.append(int(cosine_similarity(situation, choices).argmax()))
    return _accuracy([row["label"] for row in test], guesses)


def _pairs_spearman(test: Rows) -> float:
    """Tf-idf cosine of the two sentences; nothing is learned but the words' weights."""
    from scipy.stats import spearmanr
    from sklearn.metrics.pairwise import paired_cosine_distances

    words = _words().fit([row[field] for row in test for field in ("text", "text_pair")])
    distances = paired_cosine_distances(
        words.transform([row["text"] for row in test]),
        words.transform([row["text_pair"] for row in test]),
    )
    return float(spearmanr(-distances, [row["score"] for row in test]).statistic)


def controls() -> dict[str, dict[str, float]]:
    """{name: {"score", "chance"}}: what a model reaches that is shown too little.

    Endings and second sentences alone are scored by five-fold cross-validation over both splits,
    since a test of a hundred rows would be too rough; lengths likewise.
    """
    return {
        "endings without the situation": {"score": _endings_only(), "chance": 0.25},
        "next sentences without the passage": {"score": _next_only(), "chance": 0.25},
        "relation from the second sentence alone": {"score": _second_only(), "chance": 1 / 3},
        **{f"{name} from the length alone": value for name, value in _lengths().items()},
    }


def _both(name: str) -> Rows:
    train, test = _splits(name)
    return train + test


def _folds(count: int) -> list[tuple[Any, Any]]:
    from sklearn.model_selection import KFold

    return list(KFold(5, shuffle=True, random_state=0).split(range(count)))


def _folds_by_group(rows: Rows) -> list[tuple[Any, Any]]:
    """Folds of `endings` that keep a group together: its rows, d012-1 to d012-4, share phrases."""
    from sklearn.model_selection import GroupKFold

    groups = [row["id"].partition("-")[0] for row in rows]
    return list(GroupKFold(5).split(rows, groups=groups))


def _endings_only() -> float:
    rows, right = _both("endings"), 0.0
    for train, test in _folds_by_group(rows):
        right += len(test) * _choices_only([rows[i] for i in train], [rows[i] for i in test])
    return right / len(rows)


def _next_only() -> float:
    """Not in folds: a sentence comes four times, so that knowing it as wrong would betray it."""
    return _choices_only(*_splits("next"))


def _choices_only(train: Rows, test: Rows) -> float:
    """Accuracy of a bag of words that sees the choices and nothing else."""
    from sklearn.linear_model import LogisticRegression

    words = _words()
    x = words.fit_transform([choice for row in train for choice in row["choices"]])
    y = [number == row["label"] for row in train for number in range(4)]
    model = LogisticRegression(max_iter=2000, C=10.0).fit(x, y)
    scores = [model.decision_function(words.transform(row["choices"])) for row in test]
    return _accuracy([row["label"] for row in test], [int(found.argmax()) for found in scores])


def _second_only() -> float:
    rows, scores = _both("pairs"), []
    for train, test in _folds(len(rows)):
        part = [rows[i] for i in train], [rows[i] for i in test]
        scores.append(len(test) * _text_accuracy(*part, lambda r: r["text_pair"], "relation"))
    return sum(scores) / len(rows)


def _lengths() -> dict[str, dict[str, float]]:
    """Accuracy from numbers of words and characters alone, against the largest class's share."""
    reviews, pairs = _both("reviews"), _both("pairs")
    questions, endings = _both("questions"), _both("endings")
    found = {
        label: _from_lengths([[r["text"]] for r in reviews], [r[label] for r in reviews])
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
    found["answerable"] = _from_lengths(asked, [bool(r["answers"]["text"]) for r in questions])
    found["ending"] = {"score": _longest_or_shortest(endings), "chance": 0.25}
    found["next sentence"] = {"score": _longest_or_shortest(_both("next")), "chance": 0.25}
    return found


def _from_lengths(texts: list[list[str]], labels: Sequence) -> dict[str, float]:
    from collections import Counter

    x = [[size for text in row for size in (len(text.split()), len(text))] for row in texts]
    right = 0
    for train, test in _folds(len(x)):
        scale = [max(column) for column in zip(*x, strict=True)]
        unit = [[value / top for value, top in zip(row, scale, strict=True)] for row in x]
        guesses = _classify(
            [unit[i] for i in train], [labels[i] for i in train], [unit[i] for i in test]
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

"""Plain scikit-learn models on the sample sets: baselines to beat, and controls that
must fail.

    python data/measurements/measure_baselines.py

A *baseline* reads the whole input as a bag of words. A *control* is shown too little on
purpose (the endings without their situation, the length alone): when it does well, the
data has a leak. All is fitted on train and scored on test, with fixed seeds, in half a
minute, and written to `baselines.json`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import click
import evidence
import numpy as np

from helpers import data
from helpers.core.cache import write_json
from helpers.data import tasks

Rows = list[dict[str, Any]]
STORED = Path(__file__).with_name("baselines.json")


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


def numbers(task: tasks.Task, split: str) -> np.ndarray | None:
    """The numbers to be told, (N,), where the score is a correlation; else None."""
    if task.head not in ("regression", "similarity"):
        return None
    column = "score" if task.head == "similarity" else "label"
    return np.array(tasks.sample(task)[split][column])


def evidence_of(name: str, split: str = "test") -> np.ndarray:
    """`evidence.of_numbers`: what each row adds to the plain model's score."""
    task = tasks.task(name)
    sets = tasks.sample(task)
    train, test = (sets[part].to_dict() for part in ("train", split))
    if task.head == "tokens":
        tags = sets["train"].features["tags"].feature.names
        return evidence.of_numbers(task, *_entities(train, test, tags))
    return evidence.of_numbers(task, _GUESSES[task.head](train, test), _right(test))


def _right(test: dict[str, list]) -> list | None:
    return test.get("score", test.get("label"))


# -- baselines: columns of train and test rows in, guesses for the test rows out -------


def _words() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)


def _classifier() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=2000, C=10.0)


def _bag(model: Any) -> Any:
    """`model` on a bag of words and pairs of words."""
    from sklearn.pipeline import make_pipeline

    return make_pipeline(_words(), model)


def _texts(rows: dict[str, list]) -> list[str]:
    """The texts of a classifier's rows, pairs joined."""
    if "text_pair" not in rows:
        return rows["text"]
    return [f"{a} {b}" for a, b in zip(rows["text"], rows["text_pair"], strict=True)]


def _classes(train: dict, test: dict) -> Any:
    return _bag(_classifier()).fit(_texts(train), train["label"]).predict(_texts(test))


def _label_sets(train: dict, test: dict) -> Any:
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import MultiLabelBinarizer

    columns = MultiLabelBinarizer()
    known = columns.fit_transform(train["label"])
    model = _bag(OneVsRestClassifier(_classifier())).fit(train["text"], known)
    return columns.inverse_transform(model.predict(test["text"]))


def _numbers(train: dict, test: dict) -> Any:
    from sklearn.linear_model import Ridge

    return _bag(Ridge()).fit(train["text"], train["label"]).predict(test["text"])


def _likeness(train: dict, test: dict) -> Any:
    """Tf-idf cosine of the two sentences; nothing is learned but the words' weights."""
    from sklearn.metrics.pairwise import paired_cosine_distances

    words = _words().fit(test["text"] + test["text_pair"])
    sides = (words.transform(test[name]) for name in ("text", "text_pair"))
    return -paired_cosine_distances(*sides)


def _entities(train: dict, test: dict, names: Sequence[str]) -> tuple[Any, Any]:
    """What a window of three words finds, capitals included; what is right."""
    from seqeval.metrics.sequence_labeling import get_entities

    from helpers.training.entities import window_tags

    known, right = (
        [[names[tag] for tag in tags] for tags in rows["tags"]]
        for rows in (train, test)
    )
    guessed = window_tags(train["tokens"], known, test["tokens"])
    return tuple([get_entities(tags) for tags in side] for side in (guessed, right))


def _no_answer(train: dict, test: dict) -> Any:
    """The best that answers without reading: always "no answer"."""
    return [float(not answers["text"]) for answers in test["answers"]]


def _likest_choice(train: dict, test: dict) -> Any:
    """The choice that shares most of its words with the context (tf-idf cosine)."""
    from sklearn.metrics.pairwise import cosine_similarity

    words = _words().fit([*train["context"], *chain(*train["choices"])])
    rows = zip(test["context"], test["choices"], strict=True)
    sides = ((words.transform([one]), words.transform(others)) for one, others in rows)
    return [int(cosine_similarity(*pair).argmax()) for pair in sides]


_GUESSES = {
    "classification": _classes,
    "multilabel": _label_sets,
    "regression": _numbers,
    "similarity": _likeness,
    "questions": _no_answer,
    "choices": _likest_choice,
}

# -- controls --------------------------------------------------------------------------


def controls() -> dict[str, dict[str, float]]:
    """{name: {"score", "chance"}}: what a model reaches that is shown too little.

    Endings and second sentences alone are scored by five-fold cross-validation over
    both splits, since a test of a hundred rows would be too rough; lengths likewise.
    """
    pairs = _both("pairs")
    second, relations = (
        [row[name] for row in pairs] for name in ("text_pair", "relation")
    )
    alone = _crossed(_bag(_classifier()), second, relations)
    # not in folds: a sentence comes four times, so that knowing it as wrong would
    # betray it
    sentences = np.mean(_choices_only(*_splits("next")))
    return {
        "endings without the situation": {"score": _endings_only(), "chance": 0.25},
        "next sentences without the passage": {"score": sentences, "chance": 0.25},
        "relation from the second sentence alone": {"score": alone, "chance": 1 / 3},
        **{
            f"{name} from the length alone": found for name, found in _lengths().items()
        },
    }


def _splits(name: str) -> tuple[Rows, Rows]:
    return list(data.rows(name, "train")), list(data.rows(name, "test"))


def _both(name: str) -> Rows:
    return list(chain(*_splits(name)))


def _crossed(model: Any, x: Any, labels: Sequence) -> float:
    """Accuracy in five folds, each row guessed by who did not see it."""
    from sklearn.model_selection import KFold, cross_val_predict

    folds = KFold(5, shuffle=True, random_state=0)
    guesses = cross_val_predict(model, x, labels, cv=folds)
    return float(np.mean(guesses == np.array(labels)))


def _endings_only() -> float:
    """In folds that keep a group (d012-1 to d012-4) together: it shares phrases."""
    from sklearn.model_selection import GroupKFold

    rows = _both("endings")
    groups = [row["id"].partition("-")[0] for row in rows]
    hits: list[bool] = []
    for sides in GroupKFold(5).split(rows, groups=groups):
        hits += _choices_only(*([rows[i] for i in side] for side in sides))
    return float(np.mean(hits))


def _choices_only(train: Rows, test: Rows) -> list[bool]:
    """Whether a bag of words is right that sees the choices and nothing else."""
    choices = [choice for row in train for choice in row["choices"]]
    right = [number == row["label"] for row in train for number in range(4)]
    model = _bag(_classifier()).fit(choices, right)
    return [
        model.decision_function(row["choices"]).argmax() == row["label"] for row in test
    ]


def _lengths() -> dict[str, dict[str, float]]:
    """Accuracy from lengths alone, in words and characters; the largest class."""
    reviews, pairs, questions = map(_both, ("reviews", "pairs", "questions"))
    texts = [[row["text"]] for row in reviews]
    sides = [[row["text"], row["text_pair"]] for row in pairs]
    relations = [row["relation"] for row in pairs]
    answerable = [bool(row["answers"]["text"]) for row in questions]
    asked = {
        label: (texts, [row[label] for row in reviews])
        for label in ("sentiment", "stars", "topic")
    }
    asked |= {
        f"aspect {aspect}": (texts, [aspect in row["aspects"] for row in reviews])
        for aspect in data.ASPECTS
    }
    asked["relation"] = (sides, relations)
    asked["relation, second sentence"] = ([side[1:] for side in sides], relations)
    asked["answerable"] = ([[row["question"]] for row in questions], answerable)
    found = {name: _from_lengths(*pair) for name, pair in asked.items()}
    for name, sample in {"ending": "endings", "next sentence": "next"}.items():
        found[name] = {"score": _longest_or_shortest(_both(sample)), "chance": 0.25}
    return found


def _from_lengths(texts: list[list[str]], labels: Sequence) -> dict[str, float]:
    sizes = [[n for t in row for n in (len(t.split()), len(t))] for row in texts]
    units = np.array(sizes) / np.max(sizes, axis=0)
    chance = max(Counter(labels).values()) / len(labels)
    return {"score": _crossed(_classifier(), units, labels), "chance": chance}


def _longest_or_shortest(rows: Rows) -> float:
    """The better of two rules: always the longest ending, always the shortest."""
    sizes = np.array([[len(choice) for choice in row["choices"]] for row in rows])
    labels = np.array([row["label"] for row in rows])
    picks = sizes.argmax(1), sizes.argmin(1)
    return max(float(np.mean(pick == labels)) for pick in picks)


@click.command()
@click.option("--output", type=click.Path(path_type=Path), default=STORED)
def main(output: Path) -> None:
    """Fit baselines and controls."""
    write_json(output, {"baselines": baselines(), "controls": controls()})


if __name__ == "__main__":
    main()

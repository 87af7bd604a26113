"""What each row adds to a score, and intervals over rows and seeds."""

from types import SimpleNamespace

import evidence
import numpy as np
import pytest

from helpers.data import tasks

TOPIC, ASPECTS, STARS, ENTITIES = map(
    tasks.task, ("topic", "aspects", "stars", "entities")
)


def predicted(logits, labels):
    return SimpleNamespace(predictions=np.array(logits), label_ids=np.array(labels))


def test_a_class_counts_where_it_is_right():
    found = evidence.of_prediction(
        TOPIC, predicted([[0, 2], [1, 0], [3, 1]], [1, 1, 0]), []
    )
    assert found.tolist() == [1, 0, 1]
    assert evidence.score(TOPIC, found) == pytest.approx(2 / 3)


def test_labels_and_entities_count_as_found_guessed_and_true():
    found = evidence.of_prediction(
        ASPECTS, predicted([[1, -1, 2], [-1, -1, -1]], [[1, 1, 0], [0, 0, 1]]), []
    )
    assert found.tolist() == [[1, 2, 2], [0, 0, 1]]
    assert evidence.score(ASPECTS, found) == pytest.approx(2 / 5)
    names = ["O", "B-place", "I-place"]
    logits = np.eye(3)[[[0, 1, 0, 1], [1, 1, 2, 0]]]  # (2, 4, 3)
    labels = [[-100, 1, 2, 1], [0, 1, 2, -100]]
    found = evidence.of_prediction(ENTITIES, predicted(logits, labels), names)
    assert found.tolist() == [[1, 2, 2], [1, 2, 1]]


def test_scores_from_evidence_are_those_of_the_libraries():
    from scipy.stats import spearmanr
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 6)), rng.integers(0, 2, size=(50, 6))
    found = evidence.of_prediction(ASPECTS, predicted(logits, labels), [])
    assert evidence.score(ASPECTS, found) == pytest.approx(
        f1_score(labels, logits > 0, average="micro")
    )
    guesses, right = rng.normal(size=(50, 1)), rng.integers(1, 6, size=50)
    found = evidence.of_prediction(STARS, predicted(guesses, right), [])
    expected = spearmanr(guesses[:, 0], right).statistic
    assert evidence.score(STARS, found, right) == pytest.approx(expected)


def test_the_interval_of_an_accuracy_is_the_textbooks():
    rows = np.array([1.0] * 150 + [0.0] * 50)
    drawn = evidence.draws(TOPIC, [rows], None)
    mean, low, high = evidence.interval(rows.mean(), drawn)
    error = (0.75 * 0.25 / 200) ** 0.5
    assert mean == 0.75
    assert (low, high) == pytest.approx(
        (0.75 - 1.96 * error, 0.75 + 1.96 * error), abs=0.012
    )


def test_seeds_widen_it_and_equal_rows_narrow_a_difference():
    rng = np.random.default_rng(1)
    one = (rng.random(200) < 0.7).astype(float)
    other = one.copy()
    other[:6] = 1 - other[:6]
    apart = evidence.draws(TOPIC, [one], None) - evidence.draws(TOPIC, [other], None)
    assert apart.std() < 0.4 * evidence.draws(TOPIC, [one], None).std()
    seeds = [one, np.zeros(200), np.ones(200)]
    assert (
        evidence.draws(TOPIC, seeds, None).std()
        > evidence.draws(TOPIC, [one], None).std()
    )

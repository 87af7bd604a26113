"""Each head's scores, counted by hand once and by a library where there is one."""

import math
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import EvalPrediction

from helpers.training import scores
from helpers.training.scores import (
    calibration,
    classification,
    multilabel,
    regression,
    tokens,
)
from helpers.training.squad import (
    answer_f1,
    exact_match,
    normalize_answer,
    squad_scores,
)

pytestmark = pytest.mark.filterwarnings("error")  # no F1, no correlation: silently
TAGS = ["O", "B-person", "I-person", "B-place", "I-place"]
few = settings(max_examples=150, deadline=None)


def logits_of(guesses, classes):
    """Logits that name these classes, a shape wider than `guesses`."""
    return np.eye(classes, dtype=np.float32)[np.array(guesses)] * 3 - 1


def asked(outputs, labels):
    outputs = outputs if isinstance(outputs, tuple) else np.array(outputs)
    return EvalPrediction(outputs, np.array(labels))


# One number or class a row


def test_classification_counts_rows_and_classes():
    result = classification(asked(logits_of([0, 0, 1, 1], 3), [0, 0, 0, 1]))
    # class 0: precision 1, recall 2/3; class 1: 1/2 and 1; class 2 does not occur
    # Matthews: (1 * 2 - 1 * 0) / sqrt(2 * 1 * 3 * 2) = 1 / sqrt(3)
    by_hand = {"accuracy": 0.75, "macro_f1": (0.8 + 2 / 3) / 2, "matthews": 3**-0.5}
    assert result == pytest.approx(by_hand)
    assert all(type(value) is float for value in result.values())
    assert scores.choices(asked(logits_of([3, 1], 4), [3, 0])) == {"accuracy": 0.5}
    # hidden states beside the logits are left alone
    outputs = (logits_of([0, 1], 2), np.full((2, 5), np.nan))
    assert classification(asked(outputs, [0, 1]))["accuracy"] == 1.0


LOGITS = [[1.0, -1.0, 0.0], [0.5, 2.0, -3.0]]
LABELS = [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
MANY = [
    # found: (0, 0), (1, 0), (1, 1), of which two are right, of three to find
    (LOGITS, LABELS, 0.0, 2 / 3, (2 / 3 + 1 + 0) / 3),
    (LOGITS, LABELS, 0.7, 0.8, 2 / 3),
    ([[-1.0, -1.0]], [[0, 0]], 0.0, 0, 0),
    # one label is a label as well
    ([[1.0], [-1.0], [1.0], [-1.0]], [[1], [0], [0], [0]], 0.0, 2 / 3, 2 / 3),
]


@pytest.mark.parametrize(("logits", "labels", "threshold", "micro", "macro"), MANY)
def test_multilabel_takes_what_exceeds(logits, labels, threshold, micro, macro):
    result = multilabel(asked(logits, labels), threshold=threshold)
    assert result == pytest.approx({"micro_f1": micro, "macro_f1": macro})


def test_regression_measures_order_line_and_distance():
    line = np.corrcoef([1, 2, 4, 8], [1, 2, 3, 4])[0, 1]
    for guesses, labels, spearman, pearson, square in [
        ([[1.0], [2.0], [4.0], [8.0]], [1.0, 2.0, 3.0, 4.0], 1, line, 17 / 4),
        ([3.0, 2.0, 1.0], [[1.0], [2.0], [3.0]], -1, -1, 8 / 3),
        ([2.0], [2.0], 0, 0, 0),
        # equal but for rounding
        ([0.1 + 0.2, 0.3, 0.3], [1.0, 2.0, 5.0], 0, 0, (0.49 + 2.89 + 22.09) / 3),
        # a constant correlates with nothing and warns of nothing
        *(
            (np.full((3, 1), c, dtype=np.float32), [1.0, 2.0, 5.0], 0, 0, None)
            for c in (0.0, 3.1, -1e6, 1e-9)
        ),
    ]:
        if square is None:
            square = np.mean((np.array(labels) - guesses[0, 0].item()) ** 2)
        want = {"spearman": spearman, "pearson": pearson, "rmse": math.sqrt(square)}
        assert regression(asked(guesses, labels)) == pytest.approx(want)
    assert scores.similarity is regression


WHOLE = "a label is {}; expected a whole number, 0 to {}"
BAD_CLASSES = [
    (np.zeros((0, 2)), [], "nothing to score"),
    ([[0.0, math.nan]], [0], "not finite; did the training diverge"),
    ([[0.0, math.inf]], [0], "not finite"),
    (np.zeros((3, 2)), [0, 1], r"labels are \(2,\); expected \(3,\)"),
    (np.zeros((2, 2)), [0, 2], WHOLE.format(2, 1)),
    (np.zeros((2, 2)), [0, -100], WHOLE.format(-100, 1)),
    (np.zeros((2, 2)), [0, 0.5], r"a label is 0\.5"),
    (np.zeros(2), [0, 1], r"logits are \(2,\); expected \(N, K\)"),
]
CLASSES = classification, scores.choices
NUMBERS = "labels are to be 2 finite numbers"
BAD = [
    *((metrics, *row) for row in BAD_CLASSES for metrics in CLASSES),
    (multilabel, np.zeros((2, 3)), [0, 1], r"labels are \(2,\); expected \(2, 3\)"),
    (multilabel, np.zeros((1, 2)), [[0, 2]], WHOLE.format(2, 1)),
    (multilabel, np.zeros(2), [0, 1], r"logits are \(2,\)"),
    (regression, np.zeros((2, 2)), [0, 1], r"of shape \(2, 2\); expected one for"),
    (regression, [1.0, 2.0], [0.0], NUMBERS),
    (regression, [1.0, 2.0], [0.0, math.nan], NUMBERS),
    (tokens(TAGS), np.zeros((1, 2, 3)), [[0, 0]], r"\(1, 2, 3\); expected \(N, S, 5\)"),
    (tokens(TAGS), np.zeros((1, 2, 5)), [[-100, 5]], WHOLE.format(5, 4)),
    (tokens(TAGS), np.zeros((1, 2, 5)), [[-100, -100]], "no word has a label"),
]


@pytest.mark.parametrize(("metrics", "outputs", "labels", "words"), BAD)
def test_what_does_not_fit_a_head_is_an_error(metrics, outputs, labels, words):
    with pytest.raises(ValueError, match=words):
        metrics(asked(outputs, labels))


# Entities


def test_tokens_counts_whole_entities_and_single_words():
    labels = [[-100, 1, 2, -100, 0, 3, -100], [-100, 0, 1, 0, 3, 4, -100]]
    guesses = [[3, 1, 2, 4, 0, 3, 1], [0, 0, 1, 2, 3, 4, 0]]  # a person too long
    count = tokens(TAGS)
    thirds = dict.fromkeys(("precision", "recall", "f1"), 3 / 4)
    found = count(asked(logits_of(guesses, 5), labels))
    assert found == pytest.approx(thirds | {"accuracy": 8 / 9})
    # kind, first and last word; as conlleval has it, an I- after no B- opens an entity
    for words, f1 in [
        ((1, 2, 0), 1),
        ((1, 0, 0), 0),
        ((3, 4, 0), 0),
        ((1, 2, 2), 0),
        ((2, 2, 0), 1),
    ]:
        assert count(asked(logits_of([words], 5), [[1, 2, 0]]))["f1"] == f1
    # without any entity
    result = count(asked(logits_of([[0, 0], [0, 0]], 5), [[0, 0], [0, -100]]))
    assert result == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "accuracy": 1.0}
    with pytest.raises(ValueError, match="'person' is no BIO tag; expected O, B-kind"):
        tokens(["O", "person"])


# Answers

NORMAL = {
    "The Cat": "cat",
    "an apple a day": "apple day",
    "Anna and theatre": "anna and theatre",  # no articles within words
    "  two\t\nspaces ": "two spaces",
    "U.S.A. (1969)!": "usa 1969",
    "the-end": "theend",  # punctuation goes before articles, and leaves no space
    "a.n. other": "other",
    "“quoted”": "“quoted”",  # only ASCII punctuation goes
    "": "",
    "The!": "",
}
F1 = [
    ("The Eiffel Tower", "eiffel tower.", 1),
    ("in the year 1969", "1969", 1 / 2),  # precision 1/3, recall 1
    ("red red blue", "red blue blue", 2 / 3),  # repeats: as often as both have them
    ("Paris", "London", 0),
    ("", "", 1),
    ("", "Paris", 0),
    ("Paris", "", 0),
    ("the", "a", 1),  # nothing is left of either
    ("the", "cat", 0),
]


def test_answers_are_compared_as_the_official_script_does():
    for text, normal in NORMAL.items():
        assert normalize_answer(text) == normal
        assert exact_match(text, normal) == 1.0
    for answer, gold, f1 in F1:
        assert answer_f1(answer, gold) == pytest.approx(f1)


def test_squad_scores_take_the_best_gold_and_split_by_answerability():
    golds = {"a": ["Paris", "the city of Paris"], "b": ["1969"], "c": [], "d": []}
    said = {"a": "city of Paris", "b": "in 1969", "c": "", "d": "Rome"}
    by_hand = {"exact_match": 2 / 4, "f1": (1 + 2 / 3 + 1 + 0) / 4}
    by_hand |= {"has_answer_exact_match": 1 / 2, "has_answer_f1": (1 + 2 / 3) / 2}
    by_hand |= {"no_answer_exact_match": 1 / 2, "no_answer_f1": 1 / 2}
    assert squad_scores(said, golds) == pytest.approx(by_hand)
    names = ["exact_match", "f1"]
    for text, gold, prefix in (("x", ["x"], "has_answer_"), ("", [], "no_answer_")):
        alone = squad_scores({1: text}, {1: gold})
        assert list(alone) == [*names, *(prefix + name for name in names)]
    # the official script of 2.0: right answers of which nothing is left do not count,
    # unless there are no others
    assert squad_scores({1: ""}, {1: ["The"]})["has_answer_exact_match"] == 1.0
    assert squad_scores({1: ""}, {1: ["The", "cat"]})["f1"] == 0.0
    assert squad_scores({1: "the cat"}, {1: ["The", "cat"]})["f1"] == 1.0


WORDS = st.sampled_from(["the", "A", "cat", "Cat!", "sat.", "on", "9"])
TEXTS = st.lists(WORDS, max_size=6).map(" ".join) | st.text(
    alphabet=string.printable + "éЖİ", max_size=12
)


@few
@given(TEXTS, TEXTS)
def test_f1_lies_between_exact_match_and_one_and_is_symmetric(answer, gold):
    f1 = answer_f1(answer, gold)
    assert exact_match(answer, gold) <= f1 <= 1
    assert f1 == answer_f1(gold, answer)
    assert answer_f1(answer, answer) == 1
    assert exact_match(answer, normalize_answer(answer)) == 1


ROWS = st.tuples(TEXTS, st.lists(TEXTS, max_size=3))


@few
@given(st.dictionaries(st.integers(), ROWS, min_size=1))
def test_the_whole_is_the_mean_of_its_two_parts(rows):
    golds = {key: gold for key, (_, gold) in rows.items()}
    result = squad_scores({key: text for key, (text, _) in rows.items()}, golds)
    share = sum(map(bool, golds.values())) / len(golds)
    for name in ("exact_match", "f1"):
        parts = result.get(f"has_answer_{name}", 0), result.get(f"no_answer_{name}", 0)
        assert result[name] == pytest.approx(share * parts[0] + (1 - share) * parts[1])
    best = squad_scores({key: (gold or [""])[0] for key, gold in golds.items()}, golds)
    empty = sum(bool(g) and not normalize_answer(g[0]) for g in golds.values())
    assert best["f1"] * len(golds) >= len(golds) - empty - 1e-9


# Confidence


def test_calibration_by_hand():
    sure = [[0.95, 0.05], [0.95, 0.05], [0.35, 0.65], [0.4, 0.6]]
    result = calibration(sure, [0, 1, 1, 0])
    # 0.6 lies in the bin that ends there: open on the left, closed on the right
    by_hand = [(0.5, 0.6, 0.6, 0, 1), (0.6, 0.7, 0.65, 1, 1), (0.9, 1.0, 0.95, 0.5, 2)]
    assert np.array(result.bins) == pytest.approx(np.array(by_hand))
    assert result.error == pytest.approx((0.6 + 0.35 + 2 * 0.45) / 4)
    assert calibration([1.0, 1.0], [0, 0]).error == 1.0
    assert calibration([1.0, 1.0], [1, 1]).error == 0.0


ROWS = st.lists(st.tuples(st.integers(0, 64), st.booleans()), min_size=1, max_size=40)


@few
@given(ROWS, st.integers(1, 20))
def test_calibration_splits_all_rows_and_keeps_the_means(rows, bins):
    sure, right = np.array([i / 64 for i, _ in rows]), np.array([r for _, r in rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "BINS", bins)
        result = calibration(sure, right)
    assert sum(b.count for b in result.bins) == len(rows)
    assert sum(b.count * b.confidence for b in result.bins) == pytest.approx(sure.sum())
    assert sum(b.count * b.accuracy for b in result.bins) == pytest.approx(right.sum())
    gap = abs(sure.mean() - right.mean())
    assert gap - 1e-9 <= result.error <= 1 + 1e-9
    assert bins > 1 or result.error == pytest.approx(gap)
    for b in result.bins:
        assert b.low <= b.confidence <= b.high
        low = b.low or -1  # 0 itself is in the first
        assert b.count == ((sure > low) & (sure <= b.high)).sum()


MISFITS = [
    (squad_scores, {"a": "x"}, {"a": ["x"], "b": ["y"]}, "'b' has no prediction"),
    (squad_scores, {"a": "x", "b": "y"}, {"a": ["x"]}, "'b' has no right answer"),
    (squad_scores, {}, {}, "no questions"),
    (scores.questions, None, ["x"], [["x"], []], "1 contexts, but right answers for 2"),
    (calibration, [[2.0, -1.0]], [0], r"outside \[0, 1\]; are these logits"),
    (calibration, [[math.nan, 1.0]], [0], r"outside \[0, 1\]"),
    (calibration, [0.5, 0.5], [1], r"probabilities are \(2,\), answers \(1,\)"),
    (calibration, [], [], r"probabilities are \(0,\)"),
]


@pytest.mark.parametrize("case", MISFITS, ids=lambda case: case[-1])
def test_what_cannot_be_scored_is_an_error(case):
    function, *arguments, words = case
    with pytest.raises(ValueError, match=words):
        function(*arguments)

"""Each head's scores, counted by hand once and by a library where there is one."""

import math
import string
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import EvalPrediction

from helpers import data, scores
from helpers.scores import calibration, retention
from helpers.squad import answer_f1, exact_match, normalize_answer, squad_scores
from helpers.windows import encode_questions, label_windows

TAGS = ["O", "B-person", "I-person", "B-place", "I-place"]
few = settings(max_examples=150, deadline=None)


@pytest.fixture(autouse=True)
def _no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def logits_of(guesses, classes):
    """Logits that name these classes, a shape wider than `guesses`."""
    return np.eye(classes, dtype=np.float32)[np.array(guesses)] * 3 - 1


def asked(outputs, labels):
    if not isinstance(outputs, tuple):
        outputs = np.array(outputs)
    return EvalPrediction(outputs, np.array(labels))


# One number or class a row


def test_classification_counts_rows_and_classes():
    result = scores.classification(asked(logits_of([0, 0, 1, 1], 3), [0, 0, 0, 1]))
    # class 0: precision 1, recall 2/3; class 1: 1/2 and 1; class 2 does not occur
    # Matthews: (1 * 2 - 1 * 0) / sqrt(2 * 1 * 3 * 2)
    expected = {"accuracy": 3 / 4, "macro_f1": (0.8 + 2 / 3) / 2, "matthews": 2 / 12**0.5}
    assert result == pytest.approx(expected)
    assert all(type(value) is float for value in result.values())
    assert scores.choices(asked(logits_of([3, 1], 4), [3, 0])) == {"accuracy": 0.5}


def test_hidden_states_beside_the_logits_are_left_alone():
    outputs = (logits_of([0, 1], 2), np.full((2, 5), np.nan))
    assert scores.classification(asked(outputs, [0, 1]))["accuracy"] == 1.0


def test_multilabel_takes_what_exceeds_the_threshold():
    logits = [[1.0, -1.0, 0.0], [0.5, 2.0, -3.0]]
    labels = [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    # found: (0, 0), (1, 0), (1, 1), of which two are right, of three to find
    result = scores.multilabel(asked(logits, labels))
    assert result == pytest.approx({"micro_f1": 2 / 3, "macro_f1": (2 / 3 + 1 + 0) / 3})
    result = scores.multilabel(asked(logits, labels), threshold=0.7)
    assert result == pytest.approx({"micro_f1": 0.8, "macro_f1": 2 / 3})
    assert scores.multilabel(asked([[-1.0, -1.0]], [[0, 0]])) == {"micro_f1": 0, "macro_f1": 0}
    assert scores.multilabel(asked([[1.0], [-1.0], [1.0], [-1.0]], [[1], [0], [0], [0]])) == (
        pytest.approx({"micro_f1": 2 / 3, "macro_f1": 2 / 3})  # one label is a label as well
    )


def test_regression_measures_order_line_and_distance():
    result = scores.regression(asked([[1.0], [2.0], [4.0], [8.0]], [1.0, 2.0, 3.0, 4.0]))
    expected = np.corrcoef([1, 2, 4, 8], [1, 2, 3, 4])[0, 1]
    assert result == pytest.approx(
        {"spearman": 1.0, "pearson": expected, "rmse": math.sqrt(17 / 4)}
    )
    turned = scores.regression(asked([3.0, 2.0, 1.0], [[1.0], [2.0], [3.0]]))
    assert turned == pytest.approx({"spearman": -1, "pearson": -1, "rmse": math.sqrt(8 / 3)})
    assert scores.similarity is scores.regression


@pytest.mark.parametrize("guess", [0.0, 3.1, -1e6, 1e-9])
def test_a_constant_correlates_with_nothing_and_warns_of_nothing(guess):
    labels = [1.0, 2.0, 5.0]
    result = scores.regression(asked(np.full((3, 1), guess, dtype=np.float32), labels))
    assert result["spearman"] == result["pearson"] == 0.0
    assert result["rmse"] == pytest.approx(math.sqrt(np.mean((np.array(labels) - guess) ** 2)))
    nearly = np.array([0.1 + 0.2, 0.3, 0.3])  # equal but for rounding
    assert scores.regression(asked(nearly, labels))["pearson"] == 0.0
    assert scores.regression(asked([2.0], [2.0])) == {"spearman": 0.0, "pearson": 0.0, "rmse": 0.0}


BAD = {
    "no rows": (np.zeros((0, 2)), [], "nothing to score"),
    "NaN": ([[0.0, math.nan]], [0], "not finite; did the training diverge"),
    "infinite": ([[0.0, math.inf]], [0], "not finite"),
    "fewer labels": (np.zeros((3, 2)), [0, 1], r"labels are \(2,\); expected \(3,\)"),
    "label too high": (np.zeros((2, 2)), [0, 2], "a label is 2; expected a whole number, 0 to 1"),
    "ignored label": (np.zeros((2, 2)), [0, -100], "a label is -100; expected a whole number"),
    "label with a fraction": (np.zeros((2, 2)), [0, 0.5], r"a label is 0\.5"),
    "one number a row": (np.zeros(2), [0, 1], r"logits are \(2,\); expected \(N, K\)"),
}


@pytest.mark.parametrize(("outputs", "labels", "words"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("metrics", [scores.classification, scores.choices])
def test_what_does_not_fit_a_class_is_an_error(metrics, outputs, labels, words):
    with pytest.raises(ValueError, match=words):
        metrics(asked(outputs, labels))


def test_what_does_not_fit_many_labels_or_a_number_is_an_error():
    with pytest.raises(ValueError, match=r"labels are \(2,\); expected \(2, 3\)"):
        scores.multilabel(asked(np.zeros((2, 3)), [0, 1]))
    with pytest.raises(ValueError, match="a label is 2; expected a whole number, 0 to 1"):
        scores.multilabel(asked(np.zeros((1, 2)), [[0, 2]]))
    with pytest.raises(ValueError, match=r"logits are \(2,\)"):
        scores.multilabel(asked(np.zeros(2), [0, 1]))
    with pytest.raises(ValueError, match=r"found numbers of shape \(2, 2\); expected one for each"):
        scores.regression(asked(np.zeros((2, 2)), [0, 1]))
    for labels in ([0.0], [0.0, math.nan]):
        with pytest.raises(ValueError, match="labels are to be 2 finite numbers"):
            scores.regression(asked([1.0, 2.0], labels))


# Entities


def test_tokens_counts_whole_entities_and_single_words():
    labels = [[-100, 1, 2, -100, 0, 3, -100], [-100, 0, 1, 0, 3, 4, -100]]
    guesses = [[3, 1, 2, 4, 0, 3, 1], [0, 0, 1, 2, 3, 4, 0]]  # the second person is too long
    result = scores.tokens(TAGS)(asked(logits_of(guesses, 5), labels))
    assert result == pytest.approx(
        {"precision": 3 / 4, "recall": 3 / 4, "f1": 3 / 4, "accuracy": 8 / 9}
    )


def test_tokens_wants_kind_first_and_last_word():
    count = scores.tokens(TAGS)
    labels = [[1, 2, 0]]
    for guesses, f1 in [([1, 2, 0], 1), ([1, 0, 0], 0), ([3, 4, 0], 0), ([1, 2, 2], 0)]:
        assert count(asked(logits_of([guesses], 5), labels))["f1"] == f1
    # as conlleval has it, an I- that follows no B- opens an entity
    assert count(asked(logits_of([[2, 2, 0]], 5), labels))["f1"] == 1.0


def test_without_any_entity_there_is_no_f1_and_no_warning():
    result = scores.tokens(TAGS)(asked(logits_of([[0, 0], [0, 0]], 5), [[0, 0], [0, -100]]))
    assert result == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "accuracy": 1.0}


def test_what_does_not_fit_tags_is_an_error():
    with pytest.raises(ValueError, match="'person' is no BIO tag; expected O, B-kind or I-kind"):
        scores.tokens(["O", "person"])
    count = scores.tokens(TAGS)
    with pytest.raises(ValueError, match=r"logits are \(1, 2, 3\); expected \(N, S, 5\)"):
        count(asked(np.zeros((1, 2, 3)), [[0, 0]]))
    with pytest.raises(ValueError, match="a label is 5; expected a whole number, 0 to 4"):
        count(asked(np.zeros((1, 2, 5)), [[-100, 5]]))
    with pytest.raises(ValueError, match="no word has a label"):
        count(asked(np.zeros((1, 2, 5)), [[-100, -100]]))


# Answers


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The Cat", "cat"),
        ("an apple a day", "apple day"),
        ("Anna and theatre", "anna and theatre"),  # no articles within words
        ("  two\t\nspaces ", "two spaces"),
        ("U.S.A. (1969)!", "usa 1969"),
        ("the-end", "theend"),  # punctuation goes before articles, and leaves no space
        ("a.n. other", "other"),
        ("“quoted”", "“quoted”"),  # only ASCII punctuation goes
        ("", ""),
        ("The!", ""),
    ],
)
def test_answers_are_compared_as_the_official_script_does(text, normal):
    assert normalize_answer(text) == normal
    assert exact_match(text, normal) == 1.0


@pytest.mark.parametrize(
    ("answer", "gold", "f1"),
    [
        ("The Eiffel Tower", "eiffel tower.", 1),
        ("in the year 1969", "1969", 1 / 2),  # precision 1/3, recall 1
        ("red red blue", "red blue blue", 2 / 3),  # repeats count as often as both have them
        ("Paris", "London", 0),
        ("", "", 1),
        ("", "Paris", 0),
        ("Paris", "", 0),
        ("the", "a", 1),  # nothing is left of either
        ("the", "cat", 0),
    ],
)
def test_f1_of_shared_words(answer, gold, f1):
    assert answer_f1(answer, gold) == pytest.approx(f1)


def test_squad_scores_take_the_best_gold_and_split_by_answerability():
    golds = {"a": ["Paris", "the city of Paris"], "b": ["1969"], "c": [], "d": []}
    given_ = {"a": "city of Paris", "b": "in 1969", "c": "", "d": "Rome"}
    assert squad_scores(given_, golds) == pytest.approx(
        {
            "exact_match": 2 / 4,
            "f1": (1 + 2 / 3 + 1 + 0) / 4,
            "has_answer_exact_match": 1 / 2,
            "has_answer_f1": (1 + 2 / 3) / 2,
            "no_answer_exact_match": 1 / 2,
            "no_answer_f1": 1 / 2,
        }
    )
    assert set(squad_scores({1: "x"}, {1: ["x"]})) == (
        {"exact_match", "f1", "has_answer_exact_match", "has_answer_f1"}
    )
    assert set(squad_scores({1: ""}, {1: []})) == (
        {"exact_match", "f1", "no_answer_exact_match", "no_answer_f1"}
    )


def test_a_right_answer_of_which_nothing_is_left_does_not_count():
    # the official script of 2.0: without other right answers, only "" is right
    assert squad_scores({1: ""}, {1: ["The"]})["has_answer_exact_match"] == 1.0
    assert squad_scores({1: ""}, {1: ["The", "cat"]})["f1"] == 0.0
    assert squad_scores({1: "the cat"}, {1: ["The", "cat"]})["f1"] == 1.0


def test_predictions_and_references_name_the_same_questions():
    with pytest.raises(ValueError, match="question 'b' has no prediction"):
        squad_scores({"a": "x"}, {"a": ["x"], "b": ["y"]})
    with pytest.raises(ValueError, match="question 'b' has no right answer"):
        squad_scores({"a": "x", "b": "y"}, {"a": ["x"]})
    with pytest.raises(ValueError, match="no questions"):
        squad_scores({}, {})
    with pytest.raises(ValueError, match="1 contexts, but right answers for 2"):
        scores.questions(None, ["x"], [["x"], []])


TEXTS = st.lists(st.sampled_from(["the", "A", "cat", "Cat!", "sat.", "on", "9"]), max_size=6).map(
    " ".join
) | st.text(alphabet=string.printable + "éЖİ", max_size=12)


@few
@given(TEXTS, TEXTS)
def test_f1_lies_between_exact_match_and_one_and_is_symmetric(answer, gold):
    f1 = answer_f1(answer, gold)
    assert exact_match(answer, gold) <= f1 <= 1
    assert f1 == answer_f1(gold, answer)
    assert answer_f1(answer, answer) == exact_match(answer, normalize_answer(answer)) == 1


@few
@given(st.dictionaries(st.integers(), st.tuples(TEXTS, st.lists(TEXTS, max_size=3)), min_size=1))
def test_the_whole_is_the_mean_of_its_two_parts(rows):
    golds = {key: gold for key, (_, gold) in rows.items()}
    result = squad_scores({key: text for key, (text, _) in rows.items()}, golds)
    share = sum(bool(gold) for gold in golds.values()) / len(golds)
    for name in ("exact_match", "f1"):
        parts = result.get(f"has_answer_{name}", 0), result.get(f"no_answer_{name}", 0)
        assert result[name] == pytest.approx(share * parts[0] + (1 - share) * parts[1])
    best = squad_scores({key: (gold or [""])[0] for key, gold in golds.items()}, golds)
    empty = sum(bool(g) and not normalize_answer(g[0]) for g in golds.values())
    assert best["f1"] * len(golds) >= len(golds) - empty - 1e-9


# Confidence


def test_calibration_by_hand():
    probabilities = [[0.95, 0.05], [0.95, 0.05], [0.35, 0.65], [0.4, 0.6]]
    result = calibration(probabilities, [0, 1, 1, 0], bins=10)
    assert [b.count for b in result.bins] == [1, 1, 2]
    # 0.6 lies in the bin that ends there: bins are open on the left, closed on the right
    edges = [value for b in result.bins for value in b[:2]]
    assert edges == pytest.approx([0.5, 0.6, 0.6, 0.7, 0.9, 1.0])
    points = [value for b in result.bins for value in (b.confidence, b.accuracy)]
    assert points == pytest.approx([0.6, 0.0, 0.65, 1.0, 0.95, 0.5])
    assert result.error == pytest.approx((0.6 + 0.35 + 2 * 0.45) / 4)


def test_calibration_of_answers_that_were_right_or_not():
    sure = [1.0, 1.0, 0.0, 0.25, 0.25, 0.25, 0.25]
    result = calibration(sure, [True, True, False, True, False, False, False], bins=4)
    assert result.error == pytest.approx(0)  # a fifth of 0.2 is right, and all of 1.0
    assert [(b.low, b.high, b.count) for b in result.bins] == [(0.0, 0.25, 5), (0.75, 1.0, 2)]
    assert result.bins[0].accuracy == pytest.approx(0.2)
    assert calibration([1.0, 1.0], [0, 0]).error == 1.0
    assert calibration([1.0, 1.0], [1, 1]).error == 0.0


@few
@given(
    st.lists(st.tuples(st.integers(0, 64), st.booleans()), min_size=1, max_size=40),
    st.integers(1, 20),
)
def test_calibration_splits_all_rows_and_keeps_the_means(rows, bins):
    sure, right = np.array([i / 64 for i, _ in rows]), np.array([r for _, r in rows])
    result = calibration(sure, right, bins)
    assert sum(b.count for b in result.bins) == len(rows)
    assert sum(b.count * b.confidence for b in result.bins) == pytest.approx(sure.sum())
    assert sum(b.count * b.accuracy for b in result.bins) == pytest.approx(right.sum())
    assert all(b.low <= b.confidence <= b.high for b in result.bins)
    gap = abs(sure.mean() - right.mean())
    assert gap - 1e-9 <= result.error <= 1 + 1e-9
    assert calibration(sure, right, 1).error == pytest.approx(gap)
    for b in result.bins:
        assert b.count == ((sure > b.low) & (sure <= b.high) | (sure == 0) & (b.low == 0)).sum()


@pytest.mark.parametrize(
    ("probabilities", "answers", "bins", "words"),
    [
        ([[2.0, -1.0]], [0], 10, r"outside \[0, 1\]; are these logits"),
        ([[math.nan, 1.0]], [0], 10, r"outside \[0, 1\]"),
        ([[0.4, 0.4]], [0], 10, "do not sum to 1"),
        ([[0.5, 0.5]], [2], 10, "whole numbers from 0 to 1"),
        ([0.5], [0.5], 10, "whole numbers from 0 to 1"),
        ([0.5, 0.5], [1], 10, r"probabilities are \(2,\), answers \(1,\)"),
        ([], [], 10, "nothing to score"),
        ([0.5], [1], 0, "bins is 0"),
    ],
)
def test_what_is_no_probability_is_an_error(probabilities, answers, bins, words):
    with pytest.raises(ValueError, match=words):
        calibration(probabilities, answers, bins)


# Student and teacher


def test_retention_divides_the_averages():
    glue = {"GLUE": 77.0}, {"GLUE": 79.5}
    assert retention(*glue) == pytest.approx(0.9686, abs=1e-4)  # the paper's 97%
    student, teacher = {"a": 0.5, "b": 0.9}, {"a": 1.0, "b": 0.9}
    assert retention(student, teacher) == pytest.approx(1.4 / 1.9)  # not the mean of 0.5 and 1
    assert retention(teacher, teacher) == 1.0
    assert retention(teacher, student) > 1


@pytest.mark.parametrize(
    ("student", "teacher", "words"),
    [
        ({}, {}, "there are no tasks"),
        ({"a": 1.0}, {"a": 1.0, "b": 1.0}, "only one of the two has 'b'"),
        ({"a": math.nan}, {"a": 1.0}, "not finite"),
        ({"a": 1.0}, {"a": -0.1}, "not above 0"),
    ],
)
def test_what_cannot_be_compared_is_an_error(student, teacher, words):
    with pytest.raises(ValueError, match=words):
        retention(student, teacher)


# Trainer


def oracle():
    """A model that is sure of the positions it is asked for."""
    import torch

    class Oracle(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.nothing = torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids, attention_mask, start_positions, end_positions):
            width = input_ids.shape[1]
            places = (start_positions, end_positions)
            logits = [torch.nn.functional.one_hot(p, width).float() * 9 for p in places]
            return {"loss": self.nothing.sum(), "start": logits[0], "end": logits[1]}

    return Oracle()


def test_trainer_gives_questions_what_it_expects(tmp_path):
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    from helpers.checkpoints import base_tokenizer

    tokenizer = base_tokenizer("DistilBERT")
    rows = list(data.rows("questions", "test"))[:12]
    contexts, golds = [r["context"] for r in rows], [r["answers"]["text"] for r in rows]
    windows = encode_questions(tokenizer, [r["question"] for r in rows], contexts, 64, 16)
    targets = label_windows(windows, [r["answers"] for r in rows])
    places = {"start_positions": targets.start_positions, "end_positions": targets.end_positions}
    columns = {**windows.inputs, **places}
    inputs = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    arguments = TrainingArguments(
        tmp_path, report_to="none", use_cpu=True, disable_tqdm=True, dataloader_pin_memory=False,
        per_device_eval_batch_size=3, label_names=list(places),
    )  # fmt: skip
    trainer = Trainer(
        oracle(),
        arguments,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=scores.questions(windows, contexts, golds, max_answer_length=12),
    )
    result = trainer.evaluate(inputs)
    assert len({len(ids) for ids in windows.inputs["input_ids"]}) > 3  # so Trainer had to fill up
    names = ("exact_match", "f1", "has_answer_f1", "no_answer_f1")
    assert [result[f"eval_{name}"] for name in names] == [1.0] * 4

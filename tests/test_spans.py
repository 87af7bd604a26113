"""Labels and answers find their word pieces, and the way back gives what went in."""

import math
import string

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import EvalPrediction

from helpers import data
from helpers.checkpoints import base_tokenizer
from helpers.core.errors import WorkbookError
from helpers.training.scores import questions, tokens
from helpers.training.spans import align_labels, answers, best_spans, word_tags
from helpers.training.squad import squad_scores
from helpers.training.windows import answer_tokens, encode_questions, label_windows

TAGS = list(data.TAGS)
INSIDES = {1: 2, 3: 4, 5: 6, 7: 8}  # B-person to I-person and so on
ENTITIES = [row for split in data.SPLITS for row in data.rows("entities", split)]
QUESTIONS = [row for split in data.SPLITS for row in data.rows("questions", split)]
NAMES = "question", "context", "answers"
ASKED, CONTEXTS, TRUTH = ([row[name] for row in QUESTIONS] for name in NAMES)
HEARTS = "An octopus has three hearts and blue blood."
CONTEXT = f"{HEARTS} Two of them push blood through the gills."
LETTERS = ["a b c d e"]
# the fixture only reads, so one for all examples is right
shared = [HealthCheck.function_scoped_fixture]
WORD, SIZE = st.text(max_size=6), st.integers(3, 40)
few = settings(max_examples=60, deadline=None, suppress_health_check=shared)


@pytest.fixture(scope="module")
def distil():
    return base_tokenizer("DistilBERT")


def ids_of_words(tokenizer, words, **settings):
    return tokenizer(words, is_split_into_words=True, **settings).word_ids()


# Words and pieces


def test_labels_stand_on_the_first_piece_of_each_word(distil):
    words, labels = ["Zygmunt", "met", "Wang", "Xiaoyun", "."], [1, 0, 1, 2, 0]
    ids = ids_of_words(distil, words)
    first = [-100, 1, -100, -100, -100, 0, 1, 2, -100, -100, 0, -100]
    assert align_labels(ids, labels) == first
    every = align_labels(ids, labels, every_piece=INSIDES)
    assert every == [-100, 1, 2, 2, 2, 0, 1, 2, 2, 2, 0, -100]
    same = align_labels(ids, labels, every_piece={})
    assert same == [-100, 1, 1, 1, 1, 0, 1, 2, 2, 2, 0, -100]
    text = ids_of_words(distil, ["Don't", "stop"])
    assert align_labels(text, [1, 0]) == [-100, 1, -100, -100, 0, -100]


@few
@given(st.lists(st.tuples(WORD, st.integers(0, 8)), min_size=1, max_size=12), SIZE)
def test_any_words_come_back_from_their_pieces(distil, pairs, size):
    words, labels = zip(*pairs, strict=True)
    ids = ids_of_words(distil, list(words), truncation=True, max_length=size)
    known = [label if word in ids else "O" for word, label in enumerate(labels)]
    for every in (None, INSIDES):
        aligned = align_labels(ids, labels, every_piece=every)
        tags = [*aligned, "padding"]
        assert word_tags(tags, ids, len(words)) == known
        steps = zip([None, *ids], ids, strict=False)
        ignored = [b is None or (every is None and a == b) for a, b in steps]
        assert [label == -100 for label in aligned] == ignored


@pytest.mark.parametrize("every", [None, INSIDES], ids=["first piece", "every piece"])
@pytest.mark.parametrize("size", [512, 16])
def test_every_sentence_comes_back_from_its_pieces(distil, size, every):
    logits, labels, cut = np.zeros((len(ENTITIES), size, 9)), [], 0
    for row, scores in zip(ENTITIES, logits, strict=True):
        ids = ids_of_words(distil, row["tokens"], truncation=True, max_length=size)
        numbers = [TAGS.index(tag) for tag in row["tags"]]
        names = align_labels(ids, numbers, every_piece=every)
        labels.append(names + [-100] * (size - len(ids)))
        scores[range(size), np.clip(labels[-1], 0, None)] = 1.0
        tags = word_tags([TAGS[i] for i in scores.argmax(-1)], ids, len(row["tags"]))
        seen = 1 + max(word for word in ids if word is not None)
        assert tags == row["tags"][:seen] + ["O"] * (len(row["tags"]) - seen)
        cut += len(row["tags"]) - seen
    assert (cut > 0) is (size == 16)
    scores = tokens(TAGS)(EvalPrediction(logits, np.array(labels)))
    assert list(scores.values()) == [1.0] * 4


# Questions and windows


def test_a_context_is_one_window_or_several_that_share_the_stride(distil):
    windows = encode_questions(distil, ["What is blue?"], [CONTEXT])
    assert windows.rows == [0]
    (ids,) = windows.inputs["input_ids"]
    assert ids == distil("What is blue?", CONTEXT)["input_ids"]
    # [CLS] what is blue ? [SEP] an octopus ... [SEP]
    assert windows.offsets[0].shape == (len(ids), 2)
    assert windows.offsets[0][:8].tolist() == [[-1, -1]] * 6 + [[0, 2], [3, 10]]
    assert windows.offsets[0][-1].tolist() == [-1, -1]
    allowed = windows.allowed(len(ids) + 3)
    assert allowed.sum() == len(ids) - 7
    assert distil.decode(torch.tensor(ids + [0] * 3)[allowed[0]]) == CONTEXT.lower()
    windows = encode_questions(distil, ["Who?", "What?"], [CONTEXT, "Rain."], 14, 4)
    assert windows.rows == [0, 0, 0, 1]
    # [CLS] who ? [SEP] ... [SEP]
    first, second, last = (CONTEXT[o[4][0] : o[-2][1]] for o in windows.offsets[:-1])
    assert first == HEARTS
    assert second.startswith("and blue blood. Two")
    assert last.endswith("gills.")
    assert max(map(len, windows.inputs["input_ids"])) == 14


ROOM = [(64, 54, 6), (64, 60, 0), (8, 0, 4), (10, 3, 3)]


@pytest.mark.parametrize(("size", "stride", "most"), ROOM)
def test_a_question_that_leaves_no_room_is_one_clear_line(distil, size, stride, most):
    pair = ["", "Which of the hearts push blood?"], [CONTEXT * 9] * 2
    words = f"^question 1 has 7 word pieces; expected {most} or fewer, to leave room"
    with pytest.raises(WorkbookError, match=f"{words} for its c") as raised:
        encode_questions(distil, *pair, size, stride)
    assert "\n" not in str(raised.value)
    longer = size + 7 - most  # one piece of room to move is enough
    assert encode_questions(distil, *pair, longer, stride).rows.count(1) > 1


def test_an_answer_is_the_tokens_that_share_a_character_with_it(distil):
    windows = encode_questions(distil, ["What?"], [CONTEXT])
    (offsets,) = windows.offsets
    pieces = distil.convert_ids_to_tokens(windows.inputs["input_ids"][0])
    for text, expected in [
        ("octopus", ["octopus"]),
        (" octopus ", ["octopus"]),
        ("topus has thr", ["octopus", "has", "three"]),
        ("o", ["octopus"]),
        (" ", ["[CLS]"]),  # a space alone is no token
    ]:
        begin = CONTEXT.index(text)
        first, last = answer_tokens(offsets, begin, begin + len(text))
        assert pieces[first : last + 1] == expected
    end = len(CONTEXT)
    assert answer_tokens(offsets, end - 1, end) == (len(pieces) - 2,) * 2
    assert answer_tokens(offsets, 0, end + 1) == (0, 0)
    for bad in [(-1, 3), (4, 4), (5, 4)]:
        with pytest.raises(ValueError, match="is none"):
            answer_tokens(offsets, *bad)


@few
@given(st.data())
def test_any_answer_is_covered_by_its_tokens(distil, data):
    letters = string.ascii_letters + "éßЖ中🙂.,'"
    word = st.text(alphabet=letters, min_size=1, max_size=9)
    parts = data.draw(st.lists(word, min_size=1, max_size=12))
    first = data.draw(st.integers(0, len(parts) - 1))
    last = data.draw(st.integers(first, len(parts) - 1))
    start = len(" ".join([*parts[:first], ""]))
    end = start + len(" ".join(parts[first : last + 1]))
    windows = encode_questions(distil, ["Who?"], [" ".join(parts)])
    (offsets,) = windows.offsets
    a, b = answer_tokens(offsets, start, end)
    assert (offsets[a][0], offsets[b][1]) == (start, end)


def perfect(windows, targets, padding=2):
    """Logits of a model sure of every target; padded, and filled up as Trainer does."""
    width = max(map(len, windows.offsets)) + padding
    logits = np.full((2, len(windows), width), -100.0, dtype=np.float32)
    for side, positions in zip(logits, targets[:2], strict=True):
        for row, at, tokens_ in zip(side, positions, windows.offsets, strict=True):
            row[: len(tokens_)] = 0.0
            row[at] = 9.0
    return tuple(logits)


@pytest.mark.parametrize(("size", "stride"), [(384, 128), (64, 16)])
def test_every_question_comes_back_from_its_windows(distil, size, stride):
    windows = encode_questions(distil, ASKED, CONTEXTS, size, stride)
    assert (len(windows) > 2 * len(ASKED)) is (size == 64)
    targets = label_windows(windows, TRUTH)
    assert targets.lost == []
    logits = perfect(windows, targets)
    for row, answer in zip(TRUTH, answers(windows, CONTEXTS, *logits), strict=True):
        assert answer.text == (row["text"] or [""])[0]
        assert not row["text"] or answer.spans[0].start in row["answer_start"]
        assert (answer.gap > 0) is (not row["text"])
    scores = questions(windows, CONTEXTS, [row["text"] for row in TRUTH])
    assert list(scores(EvalPrediction(logits, None)).values()) == [1.0] * 6


def test_windows_that_share_too_little_lose_an_answer_and_name_it(distil):
    answer = {"text": ["push blood through"], "answer_start": [CONTEXT.index("push")]}
    windows = encode_questions(distil, ["What do two hearts do?"], [CONTEXT], 16, 0)
    targets = label_windows(windows, [answer])
    assert targets.lost == [0]
    assert set(targets.start_positions) == set(targets.end_positions) == {0}


@few
@given(st.integers(0, 60), st.integers(0, 40), st.integers(0, 24), st.integers(0, 25))
def test_a_stride_of_the_answer_less_one_holds_it(distil, before, after, stride, room):
    context = " ".join(["word"] * (before + stride + 1 + after))
    answer = context[before * 5 :][: 5 * stride + 4]
    size = 5 + stride + 1 + room
    windows = encode_questions(distil, ["Who?"], [context], size, stride)
    targets = label_windows(windows, [{"text": [answer], "answer_start": [before * 5]}])
    assert targets.lost == []
    assert answers(windows, [context], *perfect(windows, targets))[0].text == answer


def test_a_model_gets_the_inputs_that_its_own_tokenizer_names(distil, tokenizer):
    pair = ["What is blue?"], [CONTEXT]
    ours, berts = (encode_questions(t, *pair).inputs for t in (distil, tokenizer))
    assert list(ours) == ["input_ids", "attention_mask"]
    assert set(berts) == {*ours, "token_type_ids"}
    (types,) = berts["token_type_ids"]
    assert types == [0] * 6 + [1] * (len(types) - 6)  # the context and the last [SEP]


# Spans


def brute_force(starts, ends, allowed, longest, n):
    """Two loops over all pairs; sorting is stable: equals stay as they were found."""
    pairs = [
        (i, j, starts[i] + ends[j])
        for i in range(len(starts))
        for j in range(i, min(i + longest, len(starts)))
        if allowed[i] and allowed[j]
    ]
    best = sorted(pairs, key=lambda pair: -pair[2])[:n]
    return best + [(0, 0, -math.inf)] * (n - len(best))


@st.composite
def logits(draw):
    size = {"min_size": (width := draw(st.integers(1, 9))), "max_size": width}
    # whole numbers make ties, eighths make sums exact
    eighths = st.integers(-800, 800).map(lambda i: i / 8)
    row = st.lists(draw(st.sampled_from([st.integers(-1, 1), eighths])), **size)
    rows = st.tuples(row, row, st.lists(st.booleans(), **size))
    return draw(st.lists(rows, min_size=1, max_size=3))


@settings(max_examples=300, deadline=None)
@given(logits(), st.integers(1, 12), st.integers(1, 50))
def test_best_spans_are_those_of_the_double_loop(rows, longest, n):
    starts, ends, allowed = (torch.tensor(side) for side in zip(*rows, strict=True))
    found = best_spans(starts.float(), ends.float(), allowed, longest, n)
    for number, row in enumerate(rows):
        spans = zip(*(tensor[number].tolist() for tensor in found), strict=True)
        assert list(spans) == brute_force(*row, longest, n)


def test_best_spans_at_full_size_and_in_half_precision():
    generator = torch.Generator().manual_seed(0)
    starts, ends = torch.randn(2, 2, 512, generator=generator)
    given_ = starts, ends, torch.rand(2, 512, generator=generator) < 0.9
    for *row, i, j, score in zip(*given_, *best_spans(*given_), strict=True):
        assert list(zip(i, j, score, strict=True)) == brute_force(*row, 30, 20)
    half = torch.tensor([[2049.0, 1.0]], dtype=torch.float16)  # 2048 in float16
    best = best_spans(half, half, torch.tensor([[True, True]]), 2, 2)[2]
    assert (best.dtype, best.tolist()) == (torch.float32, [[4096.0, 2049.0]])


# Answers


@pytest.fixture
def two(distil):
    """A question in two windows: [CLS] who ? [SEP] a b c d [SEP], then ... c d e."""
    windows = encode_questions(distil, ["Who?"], LETTERS, 9, 2)
    assert windows.rows == [0, 0]
    assert list(map(len, windows.offsets)) == [9, 8]
    return windows, LETTERS, torch.zeros(2, 9), torch.zeros(2, 9)


def test_probabilities_share_one_among_the_spans_and_no_answer(two):
    _, _, starts, ends = two
    starts[:, 0] = torch.tensor([3.0, 1.0])
    starts[0, 5], ends[0, 6] = 4.0, 2.0  # "b c"
    starts[1, 6], ends[1, 6] = 1.0, 1.0  # "e"
    (answer,) = answers(*two, n_best=2, max_answer_length=2)
    assert [span[:4] for span in answer.spans] == [("b c", 2, 5, 6), ("b", 2, 3, 4)]
    assert answer.null[:4] == ("", 0, 0, 1.0)  # the lower of the two windows' 3 and 1
    found = [span.probability for span in (*answer.spans, answer.null)]
    total = math.exp(6) + math.exp(4) + math.exp(1)
    assert found == pytest.approx([math.exp(score) / total for score in (6, 4, 1)])
    assert (answer.text, answer.gap) == ("b c", -5.0)


@pytest.mark.parametrize(("first", "second"), [(1.0, 2.0), (2.0, 1.0)])
def test_a_span_in_two_windows_counts_once_with_its_higher_score(two, first, second):
    two[2][0, 6], two[2][1, 4] = first, second  # "c" in the one and the other
    (answer,) = answers(*two, n_best=50)
    spans = [(span.start, span.end) for span in answer.spans]
    assert len(spans) == len(set(spans)) == 13  # 14 less a...e, in no window
    assert answer.spans[0][:4] == ("c", 4, 5, 2.0)
    assert [span.text for span in answer.spans[:4]] == ["c", "c d", "c d e", "a"]


@pytest.mark.parametrize(
    ("threshold", "text"),
    [(0.0, ""), (2.9, ""), (3.0, "a"), (math.inf, "a"), (-9.0, "")],
)
def test_no_answer_is_said_above_the_threshold_only(distil, two, threshold, text):
    two[2][:, 0], two[2][0, 4] = 4.0, 1.0
    (answer,) = answers(*two, threshold=threshold)
    assert (answer.gap, answer.text) == (3.0, text)
    shares = [span.probability for span in answer.spans]
    assert sum(shares) + answer.null.probability == pytest.approx(1)
    bare = encode_questions(distil, ["What?"], [""])  # a context without pieces
    assert answer_tokens(bare.offsets[0], 0, 1) == (0, 0)
    ones = torch.ones(1, len(bare.offsets[0]))
    (only,) = answers(bare, [""], ones, ones, threshold=threshold)
    assert (only.text, only.spans, only.gap) == ("", [], math.inf)
    assert only.null.probability == 1


def test_nothing_depends_on_how_questions_and_windows_are_grouped(distil, monkeypatch):
    asked, contexts, truth = ASKED[:30], CONTEXTS[:30], TRUTH[:30]
    windows = encode_questions(distil, asked, contexts, 64, 16)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(2, len(windows), 64, generator=generator)
    whole = answers(windows, contexts, *noise)
    monkeypatch.setattr("helpers.training.windows.BATCH", 3)
    monkeypatch.setattr("helpers.training.spans.CHUNK", 7)
    parts = encode_questions(distil, asked, contexts, 64, 16)
    assert (parts.inputs, parts.rows) == (windows.inputs, windows.rows)
    assert all(map(np.array_equal, parts.offsets, windows.offsets))
    assert answers(windows, contexts, *noise.numpy()) == whole
    for answer, context in zip(whole, contexts, strict=True):
        assert len(answer.spans) == 20
        assert all(s.text == context[s.start : s.end] != "" for s in answer.spans)
        scores = [span.score for span in answer.spans]
        assert scores == sorted(scores, reverse=True)
    gold = {number: row["text"] for number, row in enumerate(truth)}
    texts = {number: answer.text for number, answer in enumerate(whole)}
    assert squad_scores(texts, gold)["exact_match"] < 0.5  # noise knows nothing


# What does not fit

ZEROS, ALL = torch.zeros(1, 3), torch.ones(1, 3, dtype=torch.bool)
HOLE = torch.tensor([[0.0, math.nan, 0.0]])
SIZES = r"max_length is {} and stride {}; expected at most 512, and 0 to max"
ONE, NONE, TWO_OF = ["Who?"], {"text": [], "answer_start": []}, ["Who?", "What?"]
MISFITS = [
    (align_labels, [0, 1], [0], "2 words or more, but there are 1 labels; tokenize"),
    (word_tags, ["O", "O"], [None, 0, None], 1, "2 tags for 3 pieces"),
    (word_tags, ["O", "O"], [0, 1], 1, "a piece is of word 2, but there are 1 words"),
    (encode_questions, TWO_OF, [CONTEXT], "2 questions and 1 contexts; expected pairs"),
    (encode_questions, [], [], "0 questions and 0 contexts"),
    (encode_questions, ONE, [CONTEXT], 64, 61, SIZES.format(64, 61)),
    (encode_questions, ONE, [CONTEXT], 64, -1, SIZES.format(64, -1)),
    (encode_questions, ONE, [CONTEXT], 3, 0, SIZES.format(3, 0)),
    (encode_questions, ONE, [CONTEXT], 513, 128, SIZES.format(513, 128)),
    (best_spans, ZEROS, ZEROS[:, :2], ALL, r"expected three times \(B, S\)"),
    (best_spans, ZEROS, ZEROS, ALL, 0, "must be 1 or more"),
    (best_spans, ZEROS, ZEROS, ALL, 30, 0, "must be 1 or more"),
    (best_spans, HOLE, ZEROS, ALL, "not finite"),
]


@pytest.mark.parametrize("case", MISFITS, ids=lambda case: case[-1])
def test_what_does_not_fit_is_one_clear_line(distil, case):
    function, *arguments, words = case
    first = [distil] if function is encode_questions else []
    with pytest.raises(ValueError, match=words):
        function(*first, *arguments)


def test_answers_that_do_not_fit_their_windows(distil, two):
    windows, contexts, starts, ends = two
    broken = starts.clone()
    broken[1, 0] = math.nan
    for given_, words in [
        ((contexts, starts[:1], ends), r"are \(1, 9\); expected \(2, 9 or more\)"),
        ((contexts, starts, ends[:, :8]), r"logits are \(2, 8\)"),
        (([*contexts, "f"], starts, ends), "windows of 1 questions, 2 contexts"),
        ((contexts, broken, ends), "not finite"),
    ]:
        with pytest.raises(ValueError, match=words):
            answers(windows, *given_)
    with pytest.raises(ValueError, match="windows of 2 questions, 1 answers"):
        label_windows(encode_questions(distil, TWO_OF, [CONTEXT] * 2), [NONE])
    hidden = torch.tensor([[True, False, True]])  # what is unseen may be anything
    assert best_spans(HOLE, ZEROS, hidden, n_best=3)[2].tolist() == [[0.0, 0.0, 0.0]]

"""Labels and answers find their word pieces, and the way back gives what went in."""

import math
import string

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import data
from helpers.errors import WorkbookError
from helpers.scores import questions, tokens
from helpers.spans import align_labels, answers, best_spans, insides, word_tags
from helpers.squad import squad_scores
from helpers.windows import answer_tokens, encode_questions, label_windows

TAGS = list(data.TAGS)
ENTITIES = [row for split in data.SPLITS for row in data.rows("entities", split)]
QUESTIONS = [row for split in data.SPLITS for row in data.rows("questions", split)]
CONTEXT = "An octopus has three hearts and blue blood. Two of them push blood through the gills."
# the fixture only reads, so one for all examples is right
few = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def distil():
    from helpers.checkpoints import base_tokenizer

    return base_tokenizer("DistilBERT")


def ids_of_words(tokenizer, words, **settings):
    return tokenizer(words, is_split_into_words=True, **settings).word_ids()


# Words and pieces


def test_labels_stand_on_the_first_piece_of_each_word(distil):
    words = ["Zygmunt", "met", "Wang", "Xiaoyun", "."]
    encoded = distil(words, is_split_into_words=True)
    assert encoded.tokens() == (
        ["[CLS]", "z", "##y", "##gm", "##unt", "met", "wang", "xiao", "##yu", "##n", ".", "[SEP]"]
    )
    labels = [1, 0, 1, 2, 0]
    first = [-100, 1, -100, -100, -100, 0, 1, 2, -100, -100, 0, -100]
    assert align_labels(encoded.word_ids(), labels) == first
    assert align_labels(encoded.word_ids(), labels, ignore=-1) == [
        -1 if i < 0 else i for i in first
    ]
    every = align_labels(encoded.word_ids(), labels, every_piece=insides(TAGS))
    assert every == [-100, 1, 2, 2, 2, 0, 1, 2, 2, 2, 0, -100]
    same = align_labels(encoded.word_ids(), labels, every_piece={})
    assert same == [-100, 1, 1, 1, 1, 0, 1, 2, 2, 2, 0, -100]


def test_insides_pair_each_begin_with_its_inside():
    assert insides(TAGS) == {1: 2, 3: 4, 5: 6, 7: 8}
    assert insides(["I-x", "O", "B-x"]) == {2: 0}
    with pytest.raises(ValueError, match="B-date has no I-date"):
        insides(["O", "B-date"])


def test_words_that_were_cut_off_or_have_no_piece_are_outside(distil):
    words = ["Ada", "​", "Lovelace", "wrote"]
    word_ids = ids_of_words(distil, words)
    assert 1 not in word_ids  # the tokenizer drops a zero-width space
    tags = ["O" if word is None else f"B-{word}" for word in word_ids]
    assert word_tags(tags, word_ids, 4) == ["B-0", "O", "B-2", "B-3"]
    cut = ids_of_words(distil, words, truncation=True, max_length=3)
    assert word_tags(tags, cut, 4, outside=0) == ["B-0", 0, 0, 0]
    assert word_tags([*tags, "padding"], word_ids, 4) == ["B-0", "O", "B-2", "B-3"]


def test_labels_and_tags_that_do_not_fit_are_an_error():
    with pytest.raises(ValueError, match="2 words or more, but there are 1 labels"):
        align_labels([None, 0, 1, None], [0])
    with pytest.raises(ValueError, match="2 tags for 3 pieces"):
        word_tags(["O", "O"], [None, 0, None], 1)
    with pytest.raises(ValueError, match="a piece is of word 2, but there are 1 words"):
        word_tags(["O", "O"], [0, 1], 1)


@pytest.mark.parametrize("every_piece", [None, insides(TAGS)])
@pytest.mark.parametrize("max_length", [512, 16])
def test_every_sentence_comes_back_from_its_pieces(distil, every_piece, max_length):
    batch = distil(
        [row["tokens"] for row in ENTITIES],
        is_split_into_words=True,
        truncation=True,
        max_length=max_length,
        padding=True,
    )
    numbers = [[TAGS.index(tag) for tag in row["tags"]] for row in ENTITIES]
    ids = [batch.word_ids(row) for row in range(len(ENTITIES))]
    labels = torch.tensor(
        [align_labels(i, n, every_piece=every_piece) for i, n in zip(ids, numbers, strict=True)]
    )
    logits = torch.nn.functional.one_hot(labels.clamp(min=0), len(TAGS)).float()  # perfect
    cut = 0
    for row, word_ids, scores in zip(ENTITIES, ids, logits, strict=True):
        tags = word_tags([TAGS[i] for i in scores.argmax(-1)], word_ids, len(row["tokens"]))
        seen = 1 + max(word for word in word_ids if word is not None)
        assert tags == row["tags"][:seen] + ["O"] * (len(row["tags"]) - seen)
        cut += len(row["tags"]) - seen
    assert (cut > 0) is (max_length == 16)
    assert set(tokens(TAGS)(prediction(logits, labels)).values()) == {1.0}


def prediction(outputs, labels=None):
    from transformers import EvalPrediction

    pair = isinstance(outputs, tuple)
    arrays = tuple(t.numpy() for t in outputs) if pair else outputs.numpy()
    return EvalPrediction(arrays, labels if labels is None else labels.numpy())


@few
@given(st.lists(st.tuples(st.text(max_size=6), st.integers(0, 8)), min_size=1, max_size=12))
def test_any_words_come_back_from_their_pieces(distil, pairs):
    words, labels = [word for word, _ in pairs], [label for _, label in pairs]
    word_ids = ids_of_words(distil, words)
    for every_piece in (None, insides(TAGS)):
        aligned = align_labels(word_ids, labels, every_piece=every_piece)
        back = word_tags(aligned, word_ids, len(words), outside=None)
        assert back == [label if word in word_ids else None for word, label in enumerate(labels)]
        assert [i == -100 for i in aligned] == (
            [word is None or (every_piece is None and word == before)
             for before, word in zip([None, *word_ids], word_ids, strict=False)]
        )  # fmt: skip


def test_silent_failure_labels_on_the_wrong_words(distil):
    words, labels = ["Xiaoyun", "left", "Odessa", "."], [1, 0, 3, 0]
    encoded = distil(words, is_split_into_words=True)
    assert encoded.tokens() == (["[CLS]", "xiao", "##yu", "##n", "left", "odessa", ".", "[SEP]"])
    # one label after the other: no error, and the place is "##n" instead of "Odessa"
    in_order = [-100, *labels, *[-100] * 3]
    assert in_order.index(3) == 3
    assert align_labels(encoded.word_ids(), labels).index(3) == 5
    # running text falls into other words than those that were labelled
    text = ["Don't", "stop"]
    with pytest.raises(ValueError, match="4 words or more, but there are 2 labels; tokenize the"):
        align_labels(distil(" ".join(text)).word_ids(), [1, 0])
    assert align_labels(ids_of_words(distil, text), [1, 0]) == [-100, 1, -100, -100, 0, -100]


# Questions and windows


def test_a_short_context_is_one_window(distil):
    windows = encode_questions(distil, ["What is blue?"], [CONTEXT])
    assert len(windows) == 1
    assert windows.rows == [0]
    ids = windows.inputs["input_ids"][0]
    assert ids == distil("What is blue?", CONTEXT)["input_ids"]
    assert windows.sequence_ids[0][:8] == [None, 0, 0, 0, 0, None, 1, 1]
    assert windows.offsets[0].shape == (len(ids), 2)
    allowed = windows.allowed(len(ids) + 3)
    assert allowed.sum() == len(ids) - 7
    assert distil.decode(torch.tensor(ids + [0] * 3)[allowed[0]]) == CONTEXT.lower()


def test_a_long_context_overflows_into_windows_that_share_the_stride(distil):
    windows = encode_questions(distil, ["Who?", "What?"], [CONTEXT, "Rain."], 14, 4)
    assert windows.rows == [0, 0, 0, 1]
    texts = [
        CONTEXT[o[4][0] : o[-2][1]]
        for o in windows.offsets[:-1]  # [CLS] who ? [SEP] ... [SEP]
    ]
    assert texts[0] == "An octopus has three hearts and blue blood."
    assert texts[1].startswith("and blue blood. Two")
    assert texts[-1].endswith("gills.")
    assert max(map(len, windows.inputs["input_ids"])) == 14


def test_more_questions_than_are_tokenized_at_a_time(distil, monkeypatch):
    rows = QUESTIONS[:10]
    pair = [row["question"] for row in rows], [row["context"] for row in rows]
    whole = encode_questions(distil, *pair, 64, 16)
    monkeypatch.setattr("helpers.windows.BATCH", 3)
    parts = encode_questions(distil, *pair, 64, 16)
    assert (parts.inputs, parts.rows) == (whole.inputs, whole.rows)
    assert parts.sequence_ids == whole.sequence_ids
    assert all((a == b).all() for a, b in zip(parts.offsets, whole.offsets, strict=True))


@pytest.mark.parametrize(
    ("max_length", "stride", "most"), [(64, 54, 6), (64, 60, 0), (8, 0, 4), (10, 3, 3)]
)
def test_a_question_that_leaves_no_room_is_one_clear_line(distil, max_length, stride, most):
    pair = ["", "Which of the hearts push blood?"], [CONTEXT * 9] * 2
    expected = f"^question 1 has 7 word pieces; expected {most} or fewer, to leave room for its c"
    with pytest.raises(WorkbookError, match=expected) as raised:
        encode_questions(distil, *pair, max_length, stride)
    assert "\n" not in str(raised.value)
    longer = max_length + 7 - most  # one piece of room to move is enough
    assert encode_questions(distil, *pair, longer, stride).rows.count(1) > 1


@pytest.mark.parametrize(("max_length", "stride"), [(64, 61), (64, -1), (3, 0), (513, 128)])
def test_sizes_of_which_no_window_can_be_are_an_error(distil, max_length, stride):
    expected = f"max_length is {max_length} and stride {stride}; expected at most 512, and 0 to max"
    with pytest.raises(ValueError, match=expected):
        encode_questions(distil, ["Who?"], [CONTEXT], max_length, stride)


def test_questions_and_contexts_pair_up(distil):
    with pytest.raises(ValueError, match="2 questions and 1 contexts; expected pairs"):
        encode_questions(distil, ["Who?", "What?"], [CONTEXT])
    with pytest.raises(ValueError, match="0 questions and 0 contexts"):
        encode_questions(distil, [], [])


def test_an_answer_is_the_tokens_that_share_a_character_with_it(distil):
    windows = encode_questions(distil, ["What?"], [CONTEXT])
    place = windows.offsets[0], windows.sequence_ids[0]
    tokens_ = distil.convert_ids_to_tokens(windows.inputs["input_ids"][0])
    start = CONTEXT.index("octopus")
    for text, pieces in [
        ("octopus", ["octopus"]),
        (" octopus ", ["octopus"]),
        ("topus has thr", ["octopus", "has", "three"]),
        ("o", ["octopus"]),
    ]:
        begin = CONTEXT.index(text)
        first, last = answer_tokens(*place, begin, begin + len(text))
        assert tokens_[first : last + 1] == pieces
    assert answer_tokens(*place, len(CONTEXT) - 1, len(CONTEXT)) == (len(tokens_) - 2,) * 2
    assert answer_tokens(*place, start - 1, start) == (0, 0)  # a space alone is no token
    assert answer_tokens(*place, 0, len(CONTEXT) + 1) == (0, 0)
    for bad in [(-1, 3), (4, 4), (5, 4)]:
        with pytest.raises(ValueError, match="is none"):
            answer_tokens(*place, *bad)


def test_a_context_without_pieces_holds_nothing_and_is_never_answered(distil):
    windows = encode_questions(distil, ["What?"], [""])
    assert answer_tokens(windows.offsets[0], windows.sequence_ids[0], 0, 1) == (0, 0)
    logits = torch.ones(1, len(windows.offsets[0]))
    for threshold in (0.0, None):
        (only,) = answers(windows, [""], logits, logits, threshold=threshold)
        assert (only.text, only.spans, only.gap) == ("", [], math.inf)
        assert only.null.probability == (0.0 if threshold is None else 1.0)


@few
@given(st.data())
def test_any_answer_is_covered_by_its_tokens(distil, data):
    words = st.text(alphabet=string.ascii_letters + "éßЖ中🙂.,'", min_size=1, max_size=9)
    parts = data.draw(st.lists(words, min_size=1, max_size=12))
    context = " ".join(parts)
    first = data.draw(st.integers(0, len(parts) - 1))
    last = data.draw(st.integers(first, len(parts) - 1))
    start = len(" ".join([*parts[:first], ""]))
    end = start + len(" ".join(parts[first : last + 1]))
    windows = encode_questions(distil, ["Who?"], [context])
    a, b = answer_tokens(windows.offsets[0], windows.sequence_ids[0], start, end)
    assert (windows.offsets[0][a][0], windows.offsets[0][b][1]) == (start, end)


def perfect(windows, targets, padding=2):
    """Logits of a model that is sure of every target; padded, and filled up as Trainer does."""
    width = max(map(len, windows.offsets)) + padding
    logits = []
    for positions in (targets.start_positions, targets.end_positions):
        rows = torch.full((len(windows), width), -100.0)
        for row, (position, offsets) in enumerate(zip(positions, windows.offsets, strict=True)):
            rows[row, : len(offsets)] = 0.0
            rows[row, position] = 9.0
        logits.append(rows)
    return tuple(logits)


@pytest.mark.parametrize(("max_length", "stride"), [(384, 128), (64, 16)])
def test_every_question_comes_back_from_its_windows(distil, max_length, stride):
    contexts, golds = [r["context"] for r in QUESTIONS], [r["answers"]["text"] for r in QUESTIONS]
    windows = encode_questions(
        distil, [r["question"] for r in QUESTIONS], contexts, max_length, stride
    )
    assert (len(windows) > 2 * len(QUESTIONS)) is (max_length == 64)
    targets = label_windows(windows, [r["answers"] for r in QUESTIONS])
    assert targets.lost == []
    logits = perfect(windows, targets)
    given_ = answers(windows, contexts, *logits)
    assert [answer.text for answer in given_] == [(gold or [""])[0] for gold in golds]
    for row, answer in zip(QUESTIONS, given_, strict=True):
        if row["answers"]["text"]:
            assert answer.spans[0].start in row["answers"]["answer_start"]
        assert (answer.gap > 0) is (not row["answers"]["text"])
    scores = questions(windows, contexts, golds)(prediction(logits))
    assert len(scores) == 6
    assert set(scores.values()) == {1.0}


def test_silent_failure_truncation_cuts_the_answer(distil):
    question, answer = "What do two hearts do?", "push blood through the gills"
    truth = [{"text": [answer], "answer_start": [CONTEXT.index(answer)]}]
    # cut off without overflow: no error, and the question now teaches "no answer"
    short = distil(
        question, CONTEXT, truncation="only_second", max_length=16, return_offsets_mapping=True
    )
    start = truth[0]["answer_start"][0]
    span = answer_tokens(short["offset_mapping"], short.sequence_ids(), start, start + len(answer))
    assert span == (0, 0)
    # windows that share too little may all cut it: then it is named
    windows = encode_questions(distil, [question], [CONTEXT], 16, 0)
    targets = label_windows(windows, truth)
    assert targets.lost == [0]
    assert set(targets.start_positions) == set(targets.end_positions) == {0}
    # with a stride of its length less one, some window holds it whole
    stride = len(distil(answer, add_special_tokens=False)["input_ids"]) - 1
    windows = encode_questions(distil, [question], [CONTEXT], 16, stride)
    targets = label_windows(windows, truth)
    assert targets.lost == []
    assert 0 in targets.start_positions
    assert answers(windows, [CONTEXT], *perfect(windows, targets))[0].text == answer


@few
@given(st.integers(0, 60), st.integers(0, 40), st.integers(0, 24), st.integers(0, 25))
def test_a_stride_of_the_answer_less_one_token_always_holds_it(distil, before, after, stride, room):
    context = " ".join(["word"] * (before + stride + 1 + after))
    start = before * 5
    truth = [{"text": [context[start : start + 5 * stride + 4]], "answer_start": [start]}]
    windows = encode_questions(distil, ["Who?"], [context], 5 + stride + 1 + room, stride)
    assert label_windows(windows, truth).lost == []


def test_windows_and_answers_pair_up(distil):
    windows = encode_questions(distil, ["Who?", "What?"], [CONTEXT] * 2)
    with pytest.raises(ValueError, match="windows of 2 questions, 1 answers"):
        label_windows(windows, [{"text": [], "answer_start": []}])


def test_silent_failure_token_type_ids(distil, tokenizer):
    from transformers import (
        BertConfig,
        BertForQuestionAnswering,
        DistilBertConfig,
        DistilBertForQuestionAnswering,
    )

    pair = ["What is blue?"], [CONTEXT]
    ours, berts = encode_questions(distil, *pair), encode_questions(tokenizer, *pair)
    assert list(ours.inputs) == ["input_ids", "attention_mask"]
    assert set(berts.inputs) == {*ours.inputs, "token_type_ids"}
    types = berts.inputs["token_type_ids"][0]
    assert types == [0] * 6 + [1] * (len(types) - 6)  # the context and the last [SEP]
    inputs = {name: torch.tensor(rows) for name, rows in berts.inputs.items()}
    small = {"vocab_size": tokenizer.vocab_size, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    distilbert = DistilBertForQuestionAnswering(
        DistilBertConfig(vocab_size=tokenizer.vocab_size, dim=8, n_layers=1, n_heads=2)
    ).eval()
    bert = BertForQuestionAnswering(BertConfig(hidden_size=8, intermediate_size=8, **small)).eval()
    without = {name: inputs[name] for name in ours.inputs}
    with torch.inference_mode():
        # DistilBERT takes them and says nothing: whoever relies on them is not heard
        assert torch.equal(distilbert(**inputs)[0], distilbert(**without)[0])
        # BERT goes without and says nothing: it reads the context as a part of the question
        assert not torch.allclose(bert(**inputs)[0], bert(**without)[0], atol=1e-4)


# Spans


def brute_force(starts, ends, allowed, longest, n):
    """Two loops over all pairs; sorting is stable, so equals stay as the loops found them."""
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
    width = draw(st.integers(1, 9))
    # whole numbers make ties, eighths make sums exact
    numbers = draw(
        st.sampled_from([st.integers(-1, 1), st.integers(-800, 800).map(lambda i: i / 8)])
    )

    def row(values):
        return st.lists(values, min_size=width, max_size=width)

    rows = st.tuples(row(numbers), row(numbers), row(st.booleans()))
    return draw(st.lists(rows, min_size=1, max_size=3))


@settings(max_examples=300, deadline=None)
@given(logits(), st.integers(1, 12), st.integers(1, 50))
def test_best_spans_are_those_of_the_double_loop(rows, longest, n):
    starts, ends = (torch.tensor([row[k] for row in rows], dtype=torch.float32) for k in (0, 1))
    allowed = torch.tensor([row[2] for row in rows])
    found = best_spans(starts, ends, allowed, longest, n)
    for number, row in enumerate(rows):
        expected = brute_force(*row, longest, n)
        assert list(zip(*(tensor[number].tolist() for tensor in found), strict=True)) == expected


def test_best_spans_at_full_size_without_ties():
    generator = torch.Generator().manual_seed(0)
    starts, ends = torch.randn(2, 2, 512, generator=generator)
    allowed = torch.rand(2, 512, generator=generator) < 0.9
    found = best_spans(starts, ends, allowed)
    for number in range(2):
        expected = brute_force(starts[number], ends[number], allowed[number], 30, 20)
        assert found[0][number].tolist() == [pair[0] for pair in expected]
        assert found[1][number].tolist() == [pair[1] for pair in expected]
        assert torch.equal(found[2][number], torch.stack([pair[2] for pair in expected]))


def test_equal_scores_go_by_lower_start_then_shorter():
    zeros, allowed = torch.zeros(1, 4), torch.tensor([[False, True, True, True]])
    starts, ends, scores = best_spans(zeros, zeros, allowed, 2, 6)
    assert list(zip(starts[0].tolist(), ends[0].tolist(), strict=True)) == (
        [(1, 1), (1, 2), (2, 2), (2, 3), (3, 3), (0, 0)]
    )
    assert scores[0].tolist() == [0.0] * 5 + [-math.inf]


def test_half_precision_is_summed_in_float32():
    logits_ = torch.tensor([[2049.0, 1.0]], dtype=torch.float16)  # 2048 in float16
    best = best_spans(logits_, logits_, torch.tensor([[True, True]]), 2, 2)
    assert best[2].dtype == torch.float32
    assert best[2].tolist() == [[4096.0, 2049.0]]


def test_best_spans_refuses_what_does_not_fit():
    zeros, allowed = torch.zeros(1, 3), torch.ones(1, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"expected three times \(B, S\)"):
        best_spans(zeros, zeros[:, :2], allowed)
    with pytest.raises(ValueError, match="must be 1 or more"):
        best_spans(zeros, zeros, allowed, 0)
    with pytest.raises(ValueError, match="must be 1 or more"):
        best_spans(zeros, zeros, allowed, n_best=0)
    with pytest.raises(ValueError, match="not finite"):
        best_spans(torch.tensor([[0.0, math.nan, 0.0]]), zeros, allowed)
    hidden = torch.tensor([[True, False, True]])  # what is not looked at may be anything
    best = best_spans(torch.tensor([[0.0, math.nan, 0.0]]), zeros, hidden, n_best=3)
    assert best[2].tolist() == [[0.0, 0.0, 0.0]]


# Answers


def of_two_windows(distil):
    """A question with two windows: [CLS] who ? [SEP] a b c d [SEP] and ... c d e [SEP]."""
    windows = encode_questions(distil, ["Who?"], ["a b c d e"], 9, 2)
    assert windows.rows == [0, 0]
    assert [len(offsets) for offsets in windows.offsets] == [9, 8]
    return windows, torch.zeros(2, 9), torch.zeros(2, 9)


def test_probabilities_share_one_among_the_spans_and_no_answer(distil):
    windows, starts, ends = of_two_windows(distil)
    starts[:, 0] = torch.tensor([3.0, 1.0])
    starts[0, 5], ends[0, 6] = 4.0, 2.0  # "b c"
    starts[1, 6], ends[1, 6] = 1.0, 1.0  # "e"
    (answer,) = answers(windows, ["a b c d e"], starts, ends, n_best=2, max_answer_length=2)
    assert [span.text for span in answer.spans] == ["b c", "b"]
    assert [(span.start, span.end, span.score) for span in answer.spans] == [(2, 5, 6), (2, 3, 4)]
    assert answer.null[:4] == ("", 0, 0, 1.0)  # the lower of the two windows' 3 and 1
    total = math.exp(6) + math.exp(4) + math.exp(1)
    assert answer.spans[0].probability == pytest.approx(math.exp(6) / total)
    assert answer.spans[1].probability == pytest.approx(math.exp(4) / total)
    assert answer.null.probability == pytest.approx(math.exp(1) / total)
    assert (answer.text, answer.gap) == ("b c", -5.0)


@pytest.mark.parametrize(("first", "second"), [(1.0, 2.0), (2.0, 1.0)])
def test_a_span_in_two_windows_counts_once_with_its_higher_score(distil, first, second):
    windows, starts, ends = of_two_windows(distil)
    starts[0, 6], starts[1, 4] = first, second  # "c" in the one and the other
    (answer,) = answers(windows, ["a b c d e"], starts, ends, n_best=50)
    spans = [(span.start, span.end) for span in answer.spans]
    assert len(spans) == len(set(spans)) == 13  # 5 + 4 + 3 + 2 less a...e, b...e: in no window
    assert answer.spans[0][:4] == ("c", 4, 5, 2.0)
    assert [span.text for span in answer.spans[:4]] == ["c", "c d", "c d e", "a"]  # ties


@pytest.mark.parametrize(
    ("threshold", "text"), [(0.0, ""), (2.9, ""), (3.0, "a"), (None, "a"), (-9.0, "")]
)
def test_no_answer_is_said_above_the_threshold_only(distil, threshold, text):
    windows, starts, ends = of_two_windows(distil)
    starts[:, 0], starts[0, 4] = 4.0, 1.0
    (answer,) = answers(windows, ["a b c d e"], starts, ends, threshold=threshold)
    assert answer.gap == 3.0
    assert answer.text == text
    shares = [span.probability for span in answer.spans]
    assert sum(shares) + answer.null.probability == pytest.approx(1)
    assert (answer.null.probability == 0) is (threshold is None)


def test_every_window_must_say_that_there_is_no_answer(distil):
    windows, starts, ends = of_two_windows(distil)
    starts[0, 0] = 9.0
    starts[1, 6] = 5.0
    assert answers(windows, ["a b c d e"], starts, ends)[0].text == "e"
    starts[1, 0] = 9.0
    assert answers(windows, ["a b c d e"], starts, ends)[0].text == ""


def test_answers_of_many_windows_do_not_depend_on_how_they_are_grouped(distil, monkeypatch):
    rows = QUESTIONS[:30]
    contexts = [row["context"] for row in rows]
    windows = encode_questions(distil, [row["question"] for row in rows], contexts, 64, 16)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(2, len(windows), 64, generator=generator)
    whole = answers(windows, contexts, *noise)
    monkeypatch.setattr("helpers.spans.CHUNK", 7)
    assert answers(windows, contexts, *noise.numpy()) == whole
    for answer, context in zip(whole, contexts, strict=True):
        assert len(answer.spans) == 20
        assert all(span.text == context[span.start : span.end] != "" for span in answer.spans)
        scores = [span.score for span in answer.spans]
        assert scores == sorted(scores, reverse=True)
    gold = {row: row_["answers"]["text"] for row, row_ in enumerate(rows)}
    texts = {row: answer.text for row, answer in enumerate(whole)}
    assert squad_scores(texts, gold)["exact_match"] < 0.5  # noise knows nothing


def test_answers_refuses_what_does_not_fit(distil):
    windows, starts, ends = of_two_windows(distil)
    with pytest.raises(ValueError, match=r"logits are \(1, 9\); expected \(2, 9 or more\)"):
        answers(windows, ["a b c d e"], starts[:1], ends)
    with pytest.raises(ValueError, match=r"logits are \(2, 8\)"):
        answers(windows, ["a b c d e"], starts, ends[:, :8])
    with pytest.raises(ValueError, match="windows of 1 questions, 2 contexts"):
        answers(windows, ["a b c d e", "f"], starts, ends)
    starts[1, 0] = math.nan
    with pytest.raises(ValueError, match="not finite"):
        answers(windows, ["a b c d e"], starts, ends)

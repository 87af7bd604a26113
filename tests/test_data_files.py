"""Files as people have them: read with the right value, or refused in a line that leads on."""

import csv
import gzip
import io
import json
import tempfile
import zipfile
from pathlib import Path

import datasets
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import data, own_files, tasks
from helpers.data import schemas
from helpers.data.conll import from_spans, to_bio
from helpers.data.own import load
from helpers.errors import WorkbookError

TEXTS = [f"sentence number {n} is here" for n in range(12)]
MOODS = ["bad", "good"] * 6
PLAIN = "text,label\n" + "".join(
    f"{t},{m}\n" for t, m in zip(TEXTS, MOODS, strict=True)
)


def table(header, rows, sep=","):
    return "\n".join(sep.join(map(str, row)) for row in [header, *rows] if row) + "\n"


def labelled(*labels, header="text,label"):
    """A CSV of at least 12 rows, labels in turn."""
    labels = [*labels] * -(-12 // len(labels))
    return table(
        [header], [(f"this is text number {n}", m) for n, m in enumerate(labels)]
    )


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def objects(**columns):
    """JSON Lines of 12 rows: each column a list, taken in turn."""
    return lines(
        {name: values[n % len(values)] for name, values in columns.items()}
        for n in range(12)
    )


def squad(**change):
    """SQuAD's JSON of 12 questions, the third changed."""
    context = "The river was high after the rain. The bridge was closed for the rain."
    asked = [
        {
            "id": f"q{n}",
            "question": f"Why, {n}?",
            "answers": [{"text": "rain", "answer_start": 29}],
        }
        for n in range(12)
    ]
    asked[2] |= change
    return json.dumps({"data": [{"paragraphs": [{"context": context, "qas": asked}]}]})


def named(rows, column):
    """Labels of a column by name."""
    feature = rows.features[column]
    feature = getattr(feature, "feature", feature)
    back = [
        [feature.names[n] for n in (r if isinstance(r, list) else [r])]
        for r in rows[column]
    ]
    return back if isinstance(rows[column][0], list) else [name for (name,) in back]


@pytest.fixture
def file(tmp_path):
    """Writes a file of the given name; gives its path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


ADA = "1\tMia\tB-PER\n2\tsails\tO\n3\tto\tO\n4\tOslo\tB-LOC\n\n"
IOB1 = (
    "-DOCSTART- -X- O O\n\n"
    + (
        "Mia NNP I-NP I-PER\nsails VBZ I-VP O\nto TO I-PP O\nNew NNP I-NP I-LOC\n"
        "York NNP I-NP I-LOC\nOslo NNP B-NP B-LOC\n\n"
    )
    * 12
)
OSLO = ["B-PER", "O", "O", "B-LOC", "I-LOC", "B-LOC"]
U = "# sent_id = 1\n# text = To Oslo\n1-2\tTo Oslo\t_\t_\n1\tTo\tO\tO\n2\tOslo\tB-LOC\tB-X\n\n"
HOT = [("a fine text here", 1, 0, "true"), ("a bad text here", 0, 0, "false")] * 6
V1 = table(
    ["v1,v2,,,"], [(("ham", "spam")[n % 2], t, "", "", "") for n, t in enumerate(TEXTS)]
)
CODAH = table(
    (),
    [("o", t, "one", 'tw"o', "three", "four", n % 4) for n, t in enumerate(TEXTS)],
    "\t",
)
FOUR = {"context": TEXTS, "choices": [["a", "b", "c", "d"]]}
DOCCANO = {"text": ["Ada Smith codes."], "label": [[[0, 9, "PER"]]]}

READ = {  # head, file name, content, options, column, its first values
    "1 running number": ("tokens", "a.conll", ADA * 12, {}, "tokens", [["Mia", "sails", "to", "Oslo"]]),
    "1 number over the file": (
        "tokens", "a.tsv", "".join(f"{2 * n}\ta\tO\n{2 * n + 1}\tb\tB-x\n\n" for n in range(12)), {},
        "tokens", [["a", "b"]],
    ),
    "1 years are words": ("tokens", "a.txt", "1999 O\nOslo B-x\n\n" * 12, {}, "tokens", [["1999", "Oslo"]]),
    "2 comments and ranges": ("tokens", "a.conllu", U * 12, {}, "tokens", [["To", "Oslo"]]),
    "2 the last tags": ("tokens", "a.conllu", U * 12, {}, "tags", [["O", "B-X"]]),
    "2 other tags": (
        "tokens", "a.conllu", U * 12, {"columns": '{"tokens": 1, "tags": 2}'}, "tags", [["O", "B-LOC"]]
    ),
    "2 # as a word": ("tokens", "a.conll", "# x\n#\tO\nOslo\tB-x\n\n" * 12, {}, "tokens", [["#", "Oslo"]]),
    "4 one case, said": (
        "classification", "a.csv", labelled("Good ", "good", "BAD", "bad"),
        {"label_names": '{"Good": "good", "BAD": "bad"}'}, "label", ["good", "good", "bad", "bad"],
    ),
    "4 blanks alone": ("classification", "a.csv", labelled("x ", "x", " y"), {}, "label", list("xxy")),
    "4 signs are no blanks": (
        "classification", "a.csv", labelled("-1", "1", "-2"), {}, "label", ["-1", "1", "-2"]
    ),
    "4 two that differ": (
        "classification", "a.csv", labelled("US", "us"), {"label_names": ["US", "us"]}, "label", ["US", "us"]
    ),
    "6 labels": ("classification", "a.csv", labelled("null", "N/A", "None"), {}, "label", ["null", "N/A", "None"]),
    "6 texts": ("corpus", "a.csv", "text\nnull\nN/A\nNone\nnan\n" * 3, {}, "text", ["null", "N/A", "None", "nan"]),
    "7 from 1, said": (
        "choices", "a.jsonl", objects(**FOUR, label=[1, 2, 3]), {"label_names": list("1234")}, "label", [0, 1, 2]
    ),
    "7 letters": ("choices", "a.jsonl", objects(**FOUR, label=["b", "D"]), {}, "label", [1, 3]),
    "7 the ending itself": ("choices", "a.jsonl", objects(**FOUR, label=["c"]), {}, "label", [2]),
    "14 other names": ("classification", "a.csv", V1, {"columns": '{"text": "v2", "label": "V1"}'}, "label", ["ham", "spam"]),
    "14 YAML": ("classification", "a.csv", V1, {"columns": "{text: v2, label: v1}"}, "text", TEXTS[:2]),
    "14 joined": (
        "classification", "a.csv", table(["id,Title,Body"], [(m, "Rain", t) for m, t in zip(MOODS, TEXTS, strict=True)]),
        {"columns": {"text": ["Title", "Body"], "label": "id"}}, "text", [f"Rain {TEXTS[0]}"],
    ),
    "14 numbers": (
        "classification", "a.csv", PLAIN.partition("\n")[2], {"columns": {"text": 0, "label": "1"}}, "label", MOODS
    ),
    "14 numbers and a header": ("classification", "a.csv", V1, {"columns": {"text": 1, "label": 0}}, "text", TEXTS),
    "14 SNLI": (
        "classification", "a.csv", table(["gold_label,sentence1,sentence2"], [(m, t, "b") for m, t in zip(MOODS, TEXTS, strict=True)]),
        {}, "text_pair", ["b"],
    ),
    "14 QQP": (
        "classification", "a.tsv", table(["id\tquestion1\tquestion2\tis_duplicate"], [(n, t, "b", n % 2) for n, t in enumerate(TEXTS)], "\t"),
        {}, "label", ["0", "1"],
    ),
    "14 four columns": (
        "choices", "a.csv", table(["ctx,ending0,ending1,ending2,ending3,label"], [(t, *"abcd", n % 4) for n, t in enumerate(TEXTS)]),
        {}, "choices", [list("abcd")],
    ),
    "14 CODAH": (
        "choices", "a.tsv", CODAH, {"columns": {"context": 1, "choices": [2, 3, 4, 5], "label": 6}}, "choices",
        [["one", 'tw"o', "three", "four"]],
    ),
    "15 tags as numbers": (
        "tokens", "a.jsonl", objects(tokens=[["Ada", "codes"]], ner_tags=[[1, 0]]),
        {"label_names": '["O", "B-PER", "I-PER"]'}, "tags", [["B-PER", "O"]],
    ),
    "15 labels as numbers": ("classification", "a.csv", labelled(1, 0), {"label_names": ["bad", "good"]}, "label", ["good", "bad"]),
    "15 label2id": ("classification", "a.csv", labelled(1, 0), {"label_names": {"z": 0, "a": 1}}, "label", ["a", "z"]),
    "15 whole floats": ("classification", "a.csv", labelled("1.0", "0"), {}, "label", ["1", "0"]),
    "15 from 1": ("classification", "a.csv", labelled(1, 2), {"label_names": '{"1": "x", "2": "y"}'}, "label", ["x", "y"]),
    "16 IOB1": ("tokens", "eng.train", IOB1, {}, "tags", [OSLO]),
    "16 BIOES": ("tokens", "a.bio", "Mia S-PER\nNew B-LOC\nYork E-LOC\n\n" * 12, {}, "tags", [["B-PER", "B-LOC", "I-LOC"]]),
    "16 no marks": ("tokens", "a.bio", "New LOC\nYork LOC\nis O\n\n" * 12, {}, "tags", [["B-LOC", "I-LOC", "O"]]),
    "16 lists in cells": (
        "tokens", "a.csv", "tokens,tags\n" + "\"['Ada', 'codes']\",\"['B-PER', 'O']\"\n" * 12, {}, "tags", [["B-PER", "O"]]
    ),
    "17 sep=": ("classification", "a.csv", "sep=;\n" + PLAIN.replace(",", ";"), {}, "text", TEXTS),
    "17 mark": ("classification", "a.csv", "\ufeff" + PLAIN, {}, "text", TEXTS),
    "17 semicolons, commas inside": (
        "classification", "a.csv", PLAIN.replace(",", ";").replace("number", "number,"), {}, "label", MOODS
    ),
    "17 tabs": ("classification", "a.txt", PLAIN.replace(",", "\t"), {}, "text", TEXTS),
    "17 CP1252": (
        "classification", "a.csv", labelled("très", "mal").encode("cp1252"), {"encoding": "cp1252"}, "label", ["très", "mal"]
    ),
    "17 UTF-16": ("classification", "a.csv", PLAIN.encode("utf-16"), {}, "text", TEXTS),
    "17 gz": ("classification", "a.csv.gz", gzip.compress(PLAIN.encode()), {}, "text", TEXTS),
    "17 list of records": ("corpus", "a.json", json.dumps([{"text": t} for t in TEXTS]), {}, "text", TEXTS),
    "17 pandas' to_json": ("corpus", "a.json", json.dumps({"text": dict(enumerate(TEXTS))}), {}, "text", TEXTS),
    "17 lines called json": ("corpus", "a.json", objects(text=TEXTS), {}, "text", TEXTS),
    "18 one class": ("classification", "a.jsonl", objects(text=TEXTS, label=[["neg"], ["pos"]]), {}, "label", ["neg", "pos"]),
    "18 spans": ("tokens", "a.jsonl", objects(**DOCCANO), {}, "tags", [["B-PER", "I-PER", "O", "O"]]),
    "19 one-hot": ("multilabel", "a.csv", table(["text,toxic,obscene,insult"], HOT), {}, "label", [["toxic", "insult"], []]),
    "19 one-hot, one class": (
        "classification", "a.csv", table(["text,neg,pos"], [(t, n % 2, 1 - n % 2) for n, t in enumerate(TEXTS)]), {}, "label", ["pos", "neg"]
    ),
    "19 labels in a cell": ("multilabel", "a.csv", labelled("b|a", "a"), {}, "label", [["b", "a"], ["a"]]),
    "19 a list in a cell": ("multilabel", "a.jsonl", objects(text=TEXTS, labels=["['b', 'a']", "[]"]), {}, "label", [["b", "a"], []]),
    "21 false in JSON": ("classification", "a.jsonl", objects(text=TEXTS, label=[True, False]), {}, "label", ["true", "false"]),
    "21 false in CSV": ("classification", "a.csv", labelled("True", "FALSE"), {}, "label", ["true", "false"]),
    "a number": ("regression", "a.csv", labelled("1.5", "2"), {}, "label", [1.5, 2.0]),
    "a pair": (
        "similarity", "a.csv", table(["sentence1,sentence2,score"], [(t, "b", n) for n, t in enumerate(TEXTS)]), {}, "score", [0.0, 1.0]
    ),
    "an answer found": (
        "questions", "a.csv", table(["context,question,answer"], [("Ada sang.", f"{t}?", "sang") for t in TEXTS]), {},
        "answers", [{"text": ["sang"], "answer_start": [4]}],
    ),
    "no answer": ("questions", "a.json", squad(answers=[], is_impossible=True), {}, "question", ["Why, 0?"]),
    "quotes in TSV": ("corpus", "a.tsv", 'text\n"Fine," he said\n"""No,"" he said"\n' + "\n".join(TEXTS), {}, "text",
                      ['"Fine," he said', '"No," he said']),
    "lines in a cell": ("corpus", "a.csv", 'text\n"two\nlines"\n\n' + "\n".join(TEXTS), {}, "text", ["two\nlines", TEXTS[0]]),
    "paragraphs": ("corpus", "a.txt", "\r\n\n".join(TEXTS), {}, "text", TEXTS),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_what_people_have_is_read_as_they_mean_it(case, file):
    head, name, content, options, column, first = READ[case]
    rows = load(file(name, content), head, **options)
    is_named = isinstance(
        getattr(rows.features[column], "feature", rows.features[column]),
        datasets.ClassLabel,
    )
    found = named(rows, column) if is_named else list(rows[column])
    assert found[: len(first)] == first


REFUSED = {  # head, file name, content, options, what the line must say
    "4 spellings": (
        "classification", "a.csv", labelled("Positive", "positive ", "NEGATIVE", "negative"), {},
        ["'Positive' and 'positive'", "'NEGATIVE' and 'negative'", """-p LABEL_NAMES '{"positive": "Positive", "negative": "NEGATIVE"}'"""],
    ),
    "4 underlines": ("multilabel", "a.csv", labelled("very_good", "very good"), {}, ["'very_good' and 'very good'"]),
    "4 tags": ("tokens", "a.bio", "Mia B-PER\nOslo B-Per\n\n" * 12, {}, ["'B-PER' and 'B-Per'", '{"B-Per": "B-PER"}']),
    "5 Thai": ("corpus", "a.txt", "สวัสดี ครับ\n" * 12, {}, ["12 of 12 rows are mostly [UNK]", "line 1: 'สวัสดี ครับ'"]),
    "5 emoji": ("classification", "a.csv", labelled("x", "y").replace("this is text number", "😀🙂"), {}, ["mostly [UNK]"]),
    "7 from 1": (
        "choices", "a.jsonl", objects(**FOUR, label=[1, 2, 3]), {},
        ["labels 1, 2, 3 and never 0", "count from 1?", """-p LABEL_NAMES '["1", "2", "3", "4"]'"""],
    ),
    "7 from 1 to 4": ("choices", "a.csv", table(["context,a,b,c,d,label"], []), {}, ["0 rows", "10 at least"]),
    "14 v1, v2": ("classification", "a.csv", V1, {}, ["'v1', 'v2'", """a.csv -p COLUMNS '{"text": "v2", "label": "v1"}'"""]),
    "14 no header": (
        "classification", "a.csv", table((), [(n % 2 * 4, f"14678{n}", "NO_QUERY", f"u{n}", f"well, {t}".replace(",", "")) for n, t in enumerate(TEXTS)]),
        {}, ["""-p COLUMNS '{"text": 4, "label": 0}'"""],
    ),
    "14 airline": (
        "classification", "a.csv", table(["tweet_id,airline_sentiment,airline_sentiment_confidence,airline,text"],
                                         [(n, m, 1, "Delta", t) for n, (m, t) in enumerate(zip(MOODS, TEXTS, strict=True))]),
        {}, ["workbook run 05", '"label": "airline_sentiment"'],
    ),
    "14 AG News": (
        "classification", "a.csv", table(["Class Index,Title,Description"], [(n % 4 + 1, "Rain falls on Oslo", t) for n, t in enumerate(TEXTS)]),
        {}, ['{"text": ["Title", "Description"], "label": "Class Index"}'],
    ),
    "14 two would do": ("corpus", "a.csv", table(["review,sentence"], zip(TEXTS, MOODS, strict=True)), {}, ["'review', 'sentence'", "columns={'text': 'review'}"]),
    "14 no such column": ("classification", "a.csv", V1, {"columns": {"text": "Body", "label": "v1"}}, ["'Body' in COLUMNS", "'v1', 'v2'", '"text": "v2"']),
    "14 turned round": ("classification", "a.csv", V1, {"columns": {"v2": "text", "v1": "label"}}, ["'v2' in COLUMNS", '{"text": "v2", "label": "v1"}']),
    "14 taken twice": ("classification", "a.csv", V1, {"columns": {"text": "v2", "label": "v2"}}, ["'v2' in COLUMNS", "each named as one of"]),
    "14 no JSON": ("classification", "a.csv", V1, {"columns": "v2"}, ["COLUMNS is 'v2'", '{"text": "v2", "label": "v1"}']),
    "15 tags as numbers": (
        "tokens", "a.jsonl", objects(tokens=[["Ada", "codes"]], ner_tags=[[1, 0]]), {},
        ["tags as numbers, 0 to 1", """-p LABEL_NAMES '["O", "B-"""],
    ),
    "15 from 1": ("classification", "a.csv", labelled(1, 2), {"label_names": ["x", "y"]}, ['{"1": "x", "2": "y"}']),
    "15 unknown": ("classification", "a.csv", labelled("x", "z"), {"label_names": ["x", "y"]}, ["line 3", "the label 'z'", "one of 'x', 'y'"]),
    "15 names twice": ("classification", "a.csv", PLAIN, {"label_names": ["x", "x"]}, ["all different"]),
    "15 names of numbers": ("regression", "a.csv", PLAIN, {"label_names": ["x", "y"]}, ["no names of labels"]),
    "16 BIO and IOB1": ("tokens", "a.bio", "Ada I-PER\nBo B-LOC\n\n" * 12, {}, ["line 1, line 4, ", "'Ada' tagged I-PER after O; expected B-PER", "and 2 more bad rows"]),
    "16 no B in JSON": (
        "tokens", "a.jsonl", objects(tokens=[["a", "b"]], tags=[["B-x", "I-y"], ["B-y", "O"]]), {}, ["line 1, word 2, line 3", "'b' tagged I-y after B-x"]
    ),
    "16 kinds alone": ("tokens", "a.bio", "Ada PER\nBo LOC\n\n" * 12, {}, ["the tag 'PER'", "O, B-kind or I-kind"]),
    "17 CP1252": (
        "classification", "a.csv", labelled("x", "très").encode("cp1252"), {},
        ["line 3: found byte 0xe8, which is no utf-8", "a.csv -p ENCODING cp1252", "très"],
    ),
    "17 wrong encoding": ("corpus", "a.txt", "très".encode("cp1252"), {"encoding": "utf9"}, ["ENCODING 'utf9'", "cp1252"]),
    "17 UTF-16, bare": ("corpus", "a.txt", "a b\n".encode("utf-16-le"), {}, ["encoding='utf-16-le'"]),
    "17 binary": ("corpus", "a.csv", b"%PDF\0\1", {}, ["zero bytes"]),
    "17 damaged": ("corpus", "a.csv.gz", b"\x1f\x8b\x08", {}, ["damaged"]),
    "17 unknown": ("corpus", "a.docx", "x", {}, ["'.docx'", ".csv, .tsv"]),
    "22 up to ten": ("classification", "a.csv", labelled("", "x", "y") * 1 + ",x\n" * 9, {}, ["and 3 more bad rows", "line 2", "an empty label", "line 14", "an empty text"]),
    "22 widths": ("classification", "a.csv", PLAIN + "a,b,good\nalone\n", {}, ["line 14: found 3 cells", "line 15: found 1 cell", "quote a cell"]),
    "22 JSON": ("corpus", "a.jsonl", '{"text": }\n7\n' + objects(text=TEXTS), {}, ["line 1: found broken JSON", "an object a line", "line 2: found 7"]),
    "quote never closed": ("corpus", "a.csv", 'text\n"open\n' + "\n".join(TEXTS), {}, ["line 2", "malformed row", "quote"]),
    "empty": ("corpus", "a.csv", "\n \n", {}, ["an empty file"]),
    "nine rows": ("corpus", "a.txt", "\n".join(TEXTS[:9]), {}, ["9 rows", "10 at least"]),
    "one class": ("classification", "a.csv", labelled("x"), {}, ["no labels but 'x'"]),
    "a class a row": ("classification", "a.csv", labelled(*(f"n{n}" for n in range(30))), {}, ["30 different labels in 30 rows"]),
    "numbers among names": ("classification", "a.csv", labelled("x", "7"), {}, ["numbers and names", "'7'; 'x'"]),
    "fractions": ("classification", "a.csv", labelled("0.5", "x"), {}, ["line 2, line 4", "the label 0.5", "regression"]),
    "null": ("classification", "a.jsonl", objects(text=TEXTS, label=["x", None]), {}, ["line 2", "no label"]),
    "contradictions": ("classification", "a.csv", "text,label\n" + "well then,x\nwell then,y\n" * 6, {}, ["6 texts again with another label (line 2 and line 3", "multilabel"]),
    "decimal comma": ("regression", "a.csv", 'text,label\n' + 'a,"3,5"\n' * 12, {}, ["the label '3,5'", "3.5, not 3,5"]),
    "infinite": ("similarity", "a.jsonl", objects(text=TEXTS, text_pair=TEXTS, score=[1, float("inf")]), {}, ["line 2", "inf", "finite"]),
    "label twice": ("multilabel", "a.csv", labelled("x|x", "y"), {}, ["a label twice"]),
    "wrong offset": ("questions", "a.json", squad(answers=[{"text": "rain", "answer_start": 60}]), {}, ["question 3 (id 'q2')", "at answer_start 60", "stands at 65"]),
    "answer not there": ("questions", "a.json", squad(answers=[{"text": "Rain", "answer_start": 29}]), {}, ["'Rain', which is not in the context"]),
    "impossible": ("questions", "a.json", squad(is_impossible=True), {}, ["question 3", "is_impossible true"]),
    "no qas": ("questions", "a.json", '{"data": [{"paragraphs": [{}]}]}', {}, ["article 1, paragraph 1", "'qas'"]),
    "equal endings": ("choices", "a.jsonl", objects(context=["x"], choices=[["a", "b", "a ", "c"]], label=[0]), {}, ["endings 0 and 2 equal"]),
    "five endings": ("choices", "a.jsonl", objects(context=["x"], choices=[list("abcde")], label=[0]), {}, ["5 endings"]),
    "tokens and tags": ("tokens", "a.jsonl", objects(tokens=[["a", "b"]], tags=[["O"]]), {}, ["2 tokens and 1 tags"]),
    "a word alone": ("tokens", "a.conll", "Ada\n\n" * 12, {}, ["line 1", "a word and its tag"]),
    "span outside": ("tokens", "a.jsonl", objects(text=["Ada"], label=[[[0, 9, "PER"]]]), {}, ["the span [0, 9, 'PER']"]),
    "half a character": ("corpus", "a.jsonl", '{"text": "\\ud83d"}\n' * 12, {}, ["half a character"]),
    "no head": ("moods", "a.csv", PLAIN, {}, ["head 'moods'", "'classification'"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_one_line_that_leads_on(case, file):
    head, name, content, options, words = REFUSED[case]
    with pytest.raises(WorkbookError) as raised:
        load(file(name, content), head, **options)
    message = str(raised.value)
    assert message.isprintable()  # no line breaks either
    assert [word for word in words if word not in message] == [], message


def test_what_is_doubtful_is_one_line_each(file, capsys):
    rows = [(f"fine text {n}", MOODS[n % 2]) for n in range(40)]
    rows += [("Fine  TEXT 0", "bad"), ("fine text 1", "bad"), ("😀😀", "good")]
    load(file("a.csv", table(["text,label"], rows)), "classification")
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "a.csv: 2 rows repeat a text (line 2 and line 42); equal texts stay on one side of the split",
        "a.csv: 1 texts again with another label (line 3 and line 43); no model gets both right",
        "a.csv: 1 of 43 rows are mostly [UNK] to this English model (line 44: '😀😀')",
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("eng.train", IOB1, ["of 4 columns, counted from 0, column 0 is taken for the words and 3",
                             "the tags are IOB1; they are read as BIO"]),
        ("a.conllu", U * 12, ['2 holds tags too: workbook run 06', """'{"tokens": 1, "tags": 2}'"""]),
        ("a.bio", "Mia S-PER\nis O\n\n" * 12, ["BIOES"]),
        ("a.bio", "New B-LOC\nYork L-LOC\n\n" * 12, ["BILOU"]),
    ],
)  # fmt: skip
def test_what_was_made_of_columns_and_tags_is_said(name, content, told, file, capsys):
    load(file(name, content), "tokens")
    said = capsys.readouterr().out
    assert [words for words in told if words not in said] == [], said


def test_entities_keep_their_borders_in_every_scheme():
    bio = [["B-x", "I-x", "B-x", "O", "B-y"]]
    for other, scheme in (
        ([["I-x", "I-x", "B-x", "O", "I-y"]], "IOB1"),
        ([["B-x", "E-x", "S-x", "O", "S-y"]], "BIOES"),
        ([["B-x", "L-x", "U-x", "O", "U-y"]], "BILOU"),
        ([["B_x", "I_x", "B_x", "O", "B_y"]], ""),
    ):
        assert to_bio(other) == (bio, scheme)
    assert to_bio([["I-x", "O", "B-y"]]) == ([["I-x", "O", "B-y"]], "")  # neither


def test_spans_may_end_inside_of_a_word():
    tokens, tags = from_spans(
        "Oslo's (a) sea", [{"start": 0, "end": 4, "label": "LOC"}]
    )
    assert tokens == ["Oslo", "'", "s", "(", "a", ")", "sea"]
    assert tags == ["B-LOC", *["O"] * 6]
    assert from_spans("Berlinale", [[0, 6, "x"]]) == (["Berlin", "ale"], ["B-x", "O"])


@pytest.mark.parametrize("way", ["parquet", "folder", "two splits", "zip"])
def test_what_datasets_and_archives_hold_is_read(way, tmp_path, capsys):
    names = datasets.ClassLabel(names=["neg", "pos"])
    features = datasets.Features({"text": datasets.Value("string"), "label": names})
    rows = datasets.Dataset.from_dict(
        {"text": TEXTS, "label": [0, 1] * 6}, features=features
    )
    path = tmp_path / {"parquet": "a.parquet", "zip": "a.zip"}.get(way, "folder")
    if way == "parquet":
        rows.to_parquet(path)
    elif way == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr(
                "in/a.csv", PLAIN.replace("bad", "neg").replace("good", "pos")
            )
    else:
        sets = datasets.DatasetDict(train=rows, test=rows.select(range(2)))
        (sets if way == "two splits" else rows).save_to_disk(path)
    own = load(path, "classification")
    assert own.to_dict() == rows.to_dict()
    assert own.features == features
    assert ("'train' is read" in capsys.readouterr().out) == (way == "two splits")


def test_excel_is_read_where_pandas_can_and_said_otherwise(tmp_path):
    path = tmp_path / "a.xlsx"
    try:
        import openpyxl
    except ImportError:
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("[Content_Types].xml", "")
            packed.writestr("xl/workbook.xml", "")
        with pytest.raises(
            WorkbookError, match=r"`pip install openpyxl` once, or in Excel 'Save"
        ):
            load(path, "classification")
    else:
        book = openpyxl.Workbook()
        for row in [("text", "label"), *zip(TEXTS, MOODS, strict=True)]:
            book.active.append(row)
        book.save(path)
        assert load(path, "classification")["text"][:] == TEXTS


def test_a_path_that_is_there_is_that_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "my data").mkdir()
    path = tmp_path / "my data" / "new [v2].txt"
    path.write_text("\n".join(TEXTS))
    for name in (
        path,
        "~/my data/new [v2].txt",
        "my data\\new [v2].txt",
        f"'{path}'",
        "my data/*.txt",
    ):
        assert load(name, "corpus")["text"][:] == TEXTS
    with pytest.raises(
        WorkbookError, match=r"no such file; in my data there is 'new \[v2\]\.txt'"
    ):
        load("my data/neu.txt", "corpus")
    with pytest.raises(
        WorkbookError, match=r"a folder; expected one file of it \('new \[v2\]"
    ):
        load("my data", "corpus")


@pytest.mark.parametrize(
    ("name", "head", "columns"),
    [
        ("reviews", "classification", {"label": "topic"}),
        ("reviews", "multilabel", {"label": "aspects"}),
        ("reviews", "regression", {"label": "stars"}),
        ("pairs", "similarity", None),
        ("pairs", "classification", {"label": "relation"}),
        ("entities", "tokens", None),
        ("questions", "questions", None),
        ("endings", "choices", None),
        ("corpus", "corpus", None),
    ],
)
def test_every_sample_set_is_an_own_file_too(name, head, columns):
    suffix = "json" if name == "questions" else "jsonl"
    own = load(data.DATA / name / f"train.{suffix}", head, columns=columns)
    written = list(data.rows(name, "train"))
    for column in own.column_names:
        raw = [row[(columns or {}).get(column, column)] for row in written]
        by_name = head in schemas.NAMED and column in ("label", "tags")
        assert (named(own, column) if by_name else list(own[column])) == (
            pytest.approx(raw) if column == "score" else raw
        )


LETTERS = st.characters(codec="utf-8", exclude_characters="\0\ufeff")
TEXT = st.text(LETTERS, min_size=1, max_size=30).filter(str.strip)
TRICKY = st.sampled_from(
    ['wa,"b"', "wa\r\nb", 'wx""', "wa;b|c\t", "w😀", "w\u2028x", '"q"']
)
ROWS = st.lists(
    TEXT | TRICKY, min_size=10, max_size=14, unique_by=lambda t: t.casefold()
)
tries = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck)
)


@tries
@given(
    ROWS,
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["csv", "jsonl"]),
)
def test_any_rows_come_back_as_they_were_written(texts, quoting, suffix):
    rows = [
        {"text": f"words {text}", "label": MOODS[n % 2]} for n, text in enumerate(texts)
    ]
    out = io.StringIO()
    writer = csv.DictWriter(out, ["text", "label"], quoting=quoting)
    writer.writeheader()
    writer.writerows(rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{suffix}"
        path.write_bytes((out.getvalue() if suffix == "csv" else lines(rows)).encode())
        assert load(path, "classification")["text"][:] == [row["text"] for row in rows]


JUNK = st.sampled_from([
    b'"', b",", b"\n", b"\r", b"\t", b"\0", b"\xff", b"{", b"]", b"null", b"1e999", b"-7", b"[1]",
    b'{"a": 1}', b"\\ud800", b"\xed\xa0\x80", b"I-x", b" ", b"\xef\xbb\xbf", "é😀".encode(), b"",
])  # fmt: skip
GOOD = {
    "a.csv": PLAIN, "a.tsv": PLAIN.replace(",", "\t"), "a.json": squad(), "a.conll": ADA * 12,
    "a.jsonl": objects(text=TEXTS, label=MOODS), "b.jsonl": objects(**FOUR, label=[0, 1]),
}  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(GOOD)), st.sampled_from(schemas.HEADS), st.data())
def test_whatever_is_put_in_a_file_the_answer_is_rows_or_one_line(name, head, drawn):
    raw = bytearray(GOOD[name].encode())
    for _ in range(drawn.draw(st.integers(0, 3))):
        at = drawn.draw(st.integers(0, len(raw)))
        raw[at : at + drawn.draw(st.integers(0, 9))] = drawn.draw(
            JUNK | st.binary(max_size=5)
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(raw)
        try:
            assert len(load(path, head)) >= 10
        except WorkbookError as error:
            assert name in str(error)  # noqa: PT017
            assert str(error).isprintable()  # noqa: PT017


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
    | st.sampled_from(["[", "{}", "O", "B-x", "I-x", "A", 3, 10**40, "\ud800", "1_0", "٣"]),
    lambda inner: st.lists(inner, max_size=5)
    | st.dictionaries(st.sampled_from(["text", "answer_start", "data", "id"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(schemas.HEADS), st.data())
def test_whatever_json_stands_in_a_row_the_answer_is_rows_or_one_line(head, drawn):
    good = {
        "text": "a", "text_pair": "b", "label": "x", "score": 1, "tokens": ["a"], "tags": ["B-x"],
        "context": "a b", "question": "c", "answers": {"text": ["b"], "answer_start": [2]},
    }  # fmt: skip
    good |= {
        "regression": {"label": 1},
        "choices": {"choices": list("abcd"), "label": 0},
    }.get(head, {})
    bad = {**good, drawn.draw(st.sampled_from(sorted(good))): drawn.draw(ANY)}
    rows = [
        bad,
        *[good] * 10,
        {**good, "label": "y"} if head == "classification" else good,
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        path.write_text(json.dumps(rows))
        try:
            assert load(path, head).num_rows == 12
        except WorkbookError as error:
            assert "a.json" in str(error)  # noqa: PT017
            assert str(error).isprintable()  # noqa: PT017


def test_the_notebook_still_finds_load():
    assert own_files.load is load


def test_a_task_takes_columns_label_names_and_encoding(file):
    path = file("a.csv", labelled(0, 1, header="Text,très").encode("cp1252"))
    said = {
        "columns": '{"label": "très"}',
        "label_names": '["no", "yes"]',
        "encoding": "cp1252",
    }
    sets = tasks.load(tasks.task("sentiment"), "classroom", str(path), **said)
    assert {name: len(rows) for name, rows in sets.items()} == {"train": 9, "test": 3}
    assert sets["test"].features["label"].names == ["no", "yes"]

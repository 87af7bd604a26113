"""Files as people have them: read as they mean it, or refused in a line that helps."""

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

from helpers import data
from helpers.core.errors import WorkbookError
from helpers.data import schemas, tasks
from helpers.data.conll import from_spans, to_bio
from helpers.data.own import load

TEXTS = [f"sentence number {n} is here" for n in range(12)]
MOODS = ["bad", "good"] * 6


def table(header, *columns, sep=","):
    """A table of 12 rows; a column is one value, or values that are taken in turn."""
    columns = [c if isinstance(c, list) else [c] for c in columns]
    rows = [[str(c[n % len(c)]) for c in columns] for n in range(12)]
    return "".join(f"{row}\n" for row in [header, *map(sep.join, rows)] if row)


def labelled(*labels, header="text,label"):
    return table(header, TEXTS, list(labels))


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def objects(**columns):
    """JSON Lines of 12 rows, each column a list whose values are taken in turn."""
    return lines({k: v[n % len(v)] for k, v in columns.items()} for n in range(12))


def squad(**change):
    """SQuAD's JSON of 12 questions, the third changed."""
    context = "The river was high after the rain. The bridge was closed for the rain."
    answer = [{"text": "rain", "answer_start": 29}]
    asked = [{"id": f"q{n}", "question": f"{n}?", "answers": answer} for n in range(12)]
    asked[2] |= change
    return json.dumps({"data": [{"paragraphs": [{"context": context, "qas": asked}]}]})


def values(rows, column):
    """A column, its labels by name."""
    feature = rows.features[column]
    names = getattr(getattr(feature, "feature", feature), "names", None)
    if not names:
        return rows[column][:]
    several = isinstance(rows[column][0], list)
    return [[names[n] for n in v] if several else names[v] for v in rows[column]]


@pytest.fixture
def file(tmp_path):
    """Writes a file of the given name; gives its path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


CLS, TOK, FOUR, TEXT, QA = "classification", "tokens", "choices", "corpus", "questions"
PLAIN = labelled(*MOODS)
ADA = "1\tMia\tB-PER\n2\tsails\tO\n3\tto\tO\n4\tOslo\tB-LOC\n\n" * 12
IOB1 = "Mia NNP I-NP I-PER\nsails VBZ I-VP O\nNew NNP I-NP I-LOC\nYork NNP I-NP I-LOC\n"
IOB1 = "-DOCSTART- -X- O O\n\n" + f"{IOB1}Oslo NNP B-NP B-LOC\n\n" * 12
IOB1_TAGS = ["B-PER", "O", "B-LOC", "I-LOC", "B-LOC"]
U = "# sent_id = 1\n# text = To Oslo\n1-2\tTo Oslo\t_\t_\n1\tTo\tO\tO\n"
U = f"{U}2\tOslo\tB-LOC\tB-X\n\n" * 12
ON = "".join(f"{2 * n}\ta\tO\n{2 * n + 1}\tb\tB-x\n\n" for n in range(12))
YEARS, HASH = "1999 O\nOslo B-x\n\n" * 12, "# x\n#\tO\ny\tB-x\n\n" * 12
V1 = table("v1,v2,,,", ["ham", "spam"], TEXTS, "", "", "")
V = {"text": "v2", "label": "V1"}
AG = table("Class Index,Title,Description", [1, 2], "Rain falls on Oslo", TEXTS)
AG_COLUMNS = {"text": ["Title", "Description"], "label": "Class Index"}
CODAH = table("", "o", TEXTS, "one", 'tw"o', "three", "four", [0, 1, 2, 3], sep="\t")
BY_NUMBER = {"context": 1, "choices": [2, 3, 4, 5], "label": 6}
QQP = "id\tquestion1\tquestion2\tis_duplicate"
QQP = table(QQP, MOODS, TEXTS, "b", [0, 1], sep="\t")
SNLI = table("gold_label,sentence1,sentence2", MOODS, TEXTS, "b")
CTX = table("ctx,ending0,ending1,ending2,ending3,label", TEXTS, *"abcd", [0, 1])
CELLS = table("tokens\ttags", "['Ada', '.']", "['B-x', 'O']", sep="\t")
HOT = table("text,toxic,obscene,insult", TEXTS, [1, 0], 0, ["true", "false"])
BARE = table("", [0, 4], [f"7{n}" for n in range(12)], "NO", TEXTS)
AIR = "id,airline_sentiment,airline_sentiment_sure,airline,text"
AIR = table(AIR, [f"{n}" for n in range(12)], MOODS, [1, 2], ["UA", "US"], TEXTS)
ENDS = {"context": TEXTS, "choices": [["a", "b", "c", "d"]]}
SANG = table("context,question,answer", "Ada sang.", TEXTS, "sang")
NER = objects(tokens=[["Ada", "codes"]], ner_tags=[[1, 0]])
MIXED = labelled("Positive", "positive ", "NEGATIVE", "negative")
SAME = '--label-names \'{"positive": "Positive", "negative": "NEGATIVE"}\''
SPACED = labelled("Good ", "good", "BAD", "bad")


def ends(*labels):
    return objects(**ENDS, label=list(labels))


def marked(*spans):
    return objects(text=["Ada Smith codes."], label=[[list(span) for span in spans]])


# fmt: off
READ = {  # head, file name, content, column, its first values, options
    "1 numbers": (TOK, "a.conll", ADA, "tokens", [["Mia", "sails", "to", "Oslo"]]),
    "1 on and on": (TOK, "a.tsv", ON, "tokens", [["a", "b"]]),
    "1 a year": (TOK, "a.txt", YEARS, "tokens", [["1999", "Oslo"]]),
    "2 comments": (TOK, "a.conllu", U, "tokens", [["To", "Oslo"]]),
    "2 last tags": (TOK, "a.conllu", U, "tags", [["O", "B-X"]]),
    "2 other tags": (TOK, "a.conllu", U, "tags", [["O", "B-LOC"]],
                     {"columns": '{"tags": 2}'}),
    "2 # is a word": (TOK, "a.bio", HASH, "tokens", [["#", "y"]]),
    "4 said": (CLS, "a.csv", SPACED, "label", ["good", "good", "bad"],
               {"label_names": '{"Good": "good", "BAD": "bad"}'}),
    "4 blanks": (CLS, "a.csv", labelled("x ", "x", " y"), "label", ["x", "x", "y"]),
    "4 signs": (CLS, "a.csv", labelled(-1, 1, -2), "label", ["-1", "1", "-2"]),
    "4 two": (CLS, "a.csv", labelled("US", "us"), "label", ["US", "us"],
              {"label_names": ["US", "us"]}),
    "6 labels": (CLS, "a.csv", labelled("null", "N/A", "nan"), "label",
                 ["null", "N/A", "nan"]),
    "6 texts": (TEXT, "a.csv", "text\nnull\nNone\n" * 6, "text", ["null", "None"]),
    "7 from 1": (FOUR, "a.jsonl", ends(1, 2), "label", [0, 1],
                 {"label_names": list("1234")}),
    "7 letters": (FOUR, "a.jsonl", ends("B", "D"), "label", [1, 3]),
    "7 the ending": (FOUR, "a.jsonl", ends("c"), "label", [2]),
    "14 JSON": (CLS, "a.csv", V1, "label", ["ham", "spam"], {"columns": json.dumps(V)}),
    "14 YAML": (CLS, "a.csv", V1, "text", TEXTS, {"columns": "{text: v2, label: v1}"}),
    "14 joined": (CLS, "a.csv", AG, "text", [f"Rain falls on Oslo {TEXTS[0]}"],
                  {"columns": AG_COLUMNS}),
    "14 by number": (CLS, "a.csv", V1, "text", TEXTS,
                     {"columns": {"text": 1, "label": "0"}}),
    "14 no header": (FOUR, "a.tsv", CODAH, "choices",
                     [["one", 'tw"o', "three", "four"]], {"columns": BY_NUMBER}),
    "14 SNLI": (CLS, "a.csv", SNLI, "text_pair", ["b"]),
    "14 QQP": (CLS, "a.tsv", QQP, "label", ["0", "1"]),
    "14 four": (FOUR, "a.csv", CTX, "choices", [["a", "b", "c", "d"]]),
    "15 tags": (TOK, "a.jsonl", NER, "tags", [["B-PER", "O"]],
                {"label_names": '["O", "B-PER"]'}),
    "15 labels": (CLS, "a.csv", labelled(1, 0), "label", ["yes", "no"],
                  {"label_names": ["no", "yes"]}),
    "15 label2id": (CLS, "a.csv", labelled(1, 0), "label", ["a", "z"],
                    {"label_names": {"z": 0, "a": 1}}),
    "15 of 12": (CLS, "a.csv", labelled(11, *range(11)), "label", ["n11", "n0"],
                 {"label_names": {f"n{n}": n for n in range(12)}}),
    "15 floats": (CLS, "a.csv", labelled("1.0", 0), "label", ["1", "0"]),
    "16 IOB1": (TOK, "eng.train", IOB1, "tags", [IOB1_TAGS]),
    "16 no marks": (TOK, "a.bio", "a LOC\nb LOC\nc O\n\n" * 12, "tags",
                    [["B-LOC", "I-LOC", "O"]]),
    "16 in cells": (TOK, "a.tsv", CELLS, "tags", [["B-x", "O"]]),
    "17 sep=": (CLS, "a.csv", "sep=;\n" + PLAIN.replace(",", ";"), "text", TEXTS),
    "17 mark": (CLS, "a.csv", "\ufeff" + PLAIN, "text", TEXTS),
    "17 semicolons": (CLS, "a.csv", PLAIN.replace(",", ";").replace("is", "is,"),
                      "label", MOODS),
    "17 tabs": (CLS, "a.txt", PLAIN.replace(",", "\t"), "text", TEXTS),
    "17 CP1252": (CLS, "a.csv", labelled("è", "x").encode("cp1252"), "label", ["è"],
                  {"encoding": "cp1252"}),
    "17 UTF-16": (CLS, "a.csv", PLAIN.encode("utf-16"), "text", TEXTS),
    "17 gz": (CLS, "a.csv.gz", gzip.compress(PLAIN.encode()), "text", TEXTS),
    "17 records": (TEXT, "a.json", json.dumps([{"text": t} for t in TEXTS]), "text",
                   TEXTS),
    "17 of pandas": (TEXT, "a.json", json.dumps({"text": dict(enumerate(TEXTS))}),
                     "text", TEXTS),
    "17 lines": (TEXT, "a.json", objects(text=TEXTS), "text", TEXTS),
    "18 class": (CLS, "a.jsonl", objects(text=TEXTS, label=[["x"], ["y"]]), "label",
                 ["x", "y"]),
    "18 spans": (TOK, "a.jsonl", marked((0, 9, "PER")), "tags",
                 [["B-PER", "I-PER", "O", "O"]]),
    "19 one-hot": ("multilabel", "a.csv", HOT, "label", [["toxic", "insult"], []]),
    "19 one 1": (CLS, "a.csv", table("text,x,y", TEXTS, [0, 1], [1, 0]), "label",
                 ["y", "x"]),
    "19 a cell": ("multilabel", "a.csv", labelled("b|a", "a"), "label",
                  [["b", "a"], ["a"]]),
    "21 JSON": (CLS, "a.jsonl", objects(text=TEXTS, label=[True, False]), "label",
                ["true", "false"]),
    "21 CSV": (CLS, "a.csv", labelled("True", "FALSE"), "label", ["true", "false"]),
    "numbers": ("regression", "a.csv", labelled("1.5", 2), "label", [1.5, 2.0]),
    "answer": (QA, "a.csv", SANG, "answers", [{"text": ["sang"], "answer_start": [4]}]),
    "no answer": (QA, "a.json", squad(answers=[], is_impossible=True), "question",
                  ["0?"]),
    "TSV": (TEXT, "a.tsv", 'text\n"Well," he\n"""No,"" he"\n' * 6, "text",
            ['"Well," he', '"No," he']),
    "two lines": (TEXT, "a.csv", 'text\n"two\nlines"\n\n' * 9, "text",
                  ["two\nlines", "text"]),
    "paragraphs": (TEXT, "a.txt", "\r\n\n".join(TEXTS), "text", TEXTS),
}

REFUSED = {  # head, file name, content, what the line must say, options
    "4 case": (CLS, "a.csv", MIXED, [
        "'Positive' and 'positive'; 'NEGATIVE' and 'negative'", SAME]),
    "4 _": ("multilabel", "a.csv", labelled("very_good", "very good"),
            ["'very_good' and 'very good'"]),
    "4 tags": (TOK, "a.bio", "a B-PER\nb B-Per\n\n" * 12, ['{"B-Per": "B-PER"}']),
    "5 Thai": (TEXT, "a.txt", "สวัสดี\n" * 12,
               ["12 of 12 rows are mostly [UNK]", "line 1: 'สวัสดี'"]),
    "7 from 1": (FOUR, "a.jsonl", ends(1, 2, 3), [
        "labels 1, 2, 3 and never 0", "count from 1? workbook fine-tune choices",
        """--label-names '["1", "2", "3", "4"]'"""]),
    "14 v1": (CLS, "a.csv", V1,
              ["'v1', 'v2'", """--columns '{"text": "v2", "label": "v1"}'"""]),
    "14 AG": (CLS, "a.csv", AG, [json.dumps(AG_COLUMNS)]),
    "14 bare": (CLS, "a.csv", BARE, ["fine-tune classification",
                                     """--columns '{"text": 3, "label": 0}'"""]),
    "14 airline": (CLS, "a.csv", AIR, [
        """--columns '{"text": "text", "label": "airline_sentiment"}'"""]),
    "14 two": (TEXT, "a.csv", table("review,tweet", TEXTS, MOODS),
               ["columns={'text': 'review'}"]),
    "14 lacking": (CLS, "a.csv", V1, ["'Body' in COLUMNS", '"v2"'],
                   {"columns": {**V, "text": "Body"}}),
    "14 reversed": (CLS, "a.csv", V1, ["'v2' in COLUMNS", '"text": "v2"'],
                    {"columns": {"v2": "text"}}),
    "14 no JSON": (CLS, "a.csv", V1, ["COLUMNS is 'v2'", '"text": "v2"'],
                   {"columns": "v2"}),
    "15 tags": (TOK, "a.jsonl", NER,
                ["as numbers, 0 to 1", """--label-names '["O", "B-"""]),
    "15 from 1": (CLS, "a.csv", labelled(1, 2), ['{"1": "x", "2": "y"}'],
                  {"label_names": ["x", "y"]}),
    "15 other": (CLS, "a.csv", labelled("x", "z"), ["line 3", "'z'", "'x', 'y'"],
                 {"label_names": ["x", "y"]}),
    "15 twice": (CLS, "a.csv", PLAIN, ["all different"], {"label_names": ["x", "x"]}),
    "16 both": (TOK, "a.bio", "a I-x\nb B-y\n\n" * 12, [
        "line 1, line 4,", "I-x after O; expected B-x", "and 2 more bad rows"]),
    "16 JSON": (TOK, "a.jsonl", objects(tokens=[["a", "b"]],
                                        tags=[["B-x", "I-y"], ["B-y", "O"]]),
                ["line 1, word 2", "'b' tagged I-y after B-x"]),
    "16 kinds": (TOK, "a.bio", "Ada PER\nBo LOC\n\n" * 12,
                 ["the tag 'PER'", "O, B-kind or I-kind"]),
    "17 CP1252": (CLS, "a.csv", labelled("x", "très").encode("cp1252"), [
        "line 3: found byte 0xe8", "a.csv --encoding cp1252", "très"]),
    "17 no such": (CLS, "a.csv", PLAIN, ["ENCODING 'utf9'", "cp1252"],
                   {"encoding": "utf9"}),
    "17 bare UTF-16": (CLS, "a.csv", PLAIN.encode("utf-16-le"),
                       ["zero bytes", "a.csv --encoding utf-16-le"]),
    "17 binary": (TEXT, "a.csv", b"%PDF\0\1", ["zero bytes"]),
    "17 damaged": (TEXT, "a.csv.gz", b"\x1f\x8b\x08", ["damaged"]),
    "17 unknown": (TEXT, "a.docx", "x", ["'.docx'", ".csv, .tsv"]),
    "22 ten": (CLS, "a.csv", labelled("", "x", "y") + ",x\n" * 9, [
        "line 2, line 5", "an empty label", "line 14", "an empty text",
        "and 3 more bad rows"]),
    "22 header": (CLS, "a.csv", PLAIN + PLAIN, ["line 14: found the header again"]),
    "22 widths": (CLS, "a.csv", PLAIN + "a,b,x\ny\n",
                  ["line 14: found 3 cells", "line 15: found 1 cell,"]),
    "22 JSON": (TEXT, "a.jsonl", '{"text": }\n7\n' + objects(text=TEXTS),
                ["line 1: found broken JSON", "line 2: found 7"]),
    "quote": (TEXT, "a.csv", 'text\n"open\n' + "\n".join(TEXTS),
              ["line 2", "malformed", "quote"]),
    "quote, tab": (CLS, "a.tsv", '""' + PLAIN.replace(",", "\t"),
                   ["line 1", r"'\t' expected after"]),
    "empty": (TEXT, "a.csv", "\n \n", ["an empty file"]),
    "nine": (TEXT, "a.txt", "\n".join(TEXTS[:9]), ["9 rows", "10 at least"]),
    "one class": (CLS, "a.csv", labelled("x"), ["no labels but 'x'"]),
    "ids": (CLS, "a.csv", PLAIN + "".join(f"a,n{n}\n" for n in range(40)),
            ["42 different labels"]),
    "kinds": (CLS, "a.csv", labelled("x", "7"), ["numbers and names", "'7'; 'x'"]),
    "fractions": (CLS, "a.csv", labelled("0.5", "x"),
                  ["line 2, line 4", "the label 0.5", "regression"]),
    "null": (CLS, "a.jsonl", objects(text=TEXTS, label=["x", None]),
             ["line 2", "no label"]),
    "contrary": (CLS, "a.csv", table("text,label", "well", MOODS),
                 ["6 texts again with another label"]),
    "comma": ("regression", "a.csv", labelled('"3,5"'),
              ["the label '3,5'", "3.5, not 3,5"]),
    "names": ("regression", "a.csv", PLAIN, ["no names of labels"],
              {"label_names": ["x", "y"]}),
    "twice": ("multilabel", "a.csv", labelled("x|x", "y"), ["a label twice"]),
    "offset": (QA, "a.json", squad(answers=[{"text": "rain", "answer_start": 60}]),
               ["question 3 (id 'q2')", "at answer_start 60", "stands at 65"]),
    "no part": (QA, "a.json", squad(answers=[{"text": "Rain", "answer_start": 29}]),
                ["'Rain', which is not in the context"]),
    "impossible": (QA, "a.json", squad(is_impossible=True),
                   ["question 3", "is_impossible true"]),
    "no qas": (QA, "a.json", '{"data": [{"paragraphs": [{}]}]}',
               ["article 1, paragraph 1", "'qas'"]),
    "equal": (FOUR, "a.jsonl", objects(context=["x"], choices=[["a", "b", "a ", "c"]],
                                       label=[0]), ["endings 0 and 2 equal"]),
    "lengths": (TOK, "a.jsonl", objects(tokens=[["a", "b"]], tags=[["O"]]),
                ["2 tokens and 1 tags"]),
    "no tag": (TOK, "a.conll", "Ada\n\n" * 12, ["line 1", "a word and its tag"]),
    "outside": (TOK, "a.jsonl", objects(text=["Ada"], label=[[[0, 9, "x"]]]),
                ["the span [0, 9, 'x']"]),
    "half": (TEXT, "a.jsonl", '{"text": "\\ud83d"}\n' * 12, ["half a character"]),
    "no head": ("moods", "a.csv", PLAIN, ["head 'moods'", "'classification'"]),
}
# fmt: on


@pytest.mark.parametrize("case", READ)
def test_what_people_have_is_read_as_they_mean_it(case, file):
    head, name, content, column, first, *options = READ[case]
    rows = load(file(name, content), head, **dict(*options))
    assert values(rows, column)[: len(first)] == first


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_one_line_that_leads_on(case, file):
    head, name, content, words, *options = REFUSED[case]
    with pytest.raises(WorkbookError) as raised:
        load(file(name, content), head, **dict(*options))
    message = str(raised.value)
    assert message.isprintable()  # no line breaks either
    assert [word for word in words if word not in message] == [], message


def test_what_is_doubtful_is_one_line_each(file, capsys):
    rows = [f"fine text {n},{MOODS[n % 2]}" for n in range(40)]
    rows += ["Fine  TEXT 0,bad", "fine text 1,bad", "😀😀,good"]
    load(file("a.csv", "\n".join(["text,label", *rows])), CLS)
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "a.csv: 2 rows repeat a text (line 2 and line 42); equal texts stay on one "
        "side of the split",
        "a.csv: 1 texts again with another label (line 3 and line 43); no model gets "
        "both right",
        "a.csv: 1 of 43 rows are mostly [UNK] to this English model (line 44: '😀😀')",
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("eng.train", IOB1, ["column 0 is taken for the words and 3 for the tags",
                             "the tags are IOB1; they are read as BIO"]),
        ("a.conllu", U, ["2 holds tags too: workbook fine-tune",
                         '{"tokens": 1, "tags": 2}']),
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


def test_excel_is_read(tmp_path):
    import openpyxl

    book, path = openpyxl.Workbook(), tmp_path / "a.xlsx"
    for row in [("text", "label"), *zip(TEXTS, MOODS, strict=True)]:
        book.active.append(row)
    book.save(path)
    assert load(path, CLS)["text"][:] == TEXTS


def test_a_path_that_is_there_is_that_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for home in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(home, str(tmp_path))
    (tmp_path / "my data").mkdir()
    path = tmp_path / "my data" / "new [v2].txt"
    path.write_text("\n".join(TEXTS))
    back, tilde = "my data\\new [v2].txt", "~/my data/new [v2].txt"
    for name in (path, tilde, back, f"'{path}'", "my data/*.txt"):
        assert load(name, TEXT)["text"][:] == TEXTS
    for name, words in {
        "my data/neu.txt": r"no such file; in my data there is 'new \[v2\]\.txt'",
        "my data": r"a folder; expected one file of it \('new \[v2\]",
    }.items():
        with pytest.raises(WorkbookError, match=words):
            load(name, TEXT)


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
        assert (values(own, column)) == (
            pytest.approx(raw) if column == "score" else raw
        )


LETTERS = st.characters(codec="utf-8", exclude_characters="\0\ufeff")
WORDS = st.text(LETTERS, min_size=1, max_size=30).filter(str.strip)
TRICKY = st.sampled_from(
    ['wa,"b"', "wa\r\nb", 'wx""', "wa;b|c\t", "w😀", "w\u2028x", '"q"']
)
ROWS = st.lists(
    WORDS | TRICKY, min_size=10, max_size=14, unique_by=lambda t: t.casefold()
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
        {"text": f"some plain words and {text}", "label": MOODS[n % 2]}
        for n, text in enumerate(texts)
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
    b'"', b",", b"\n", b"\r", b"\t", b"\0", b"\xff", b"{", b"]", b"null",
    b"1e999", b"-7", b"[1]", b'{"a": 1}', b"\\ud800", b"\xed\xa0\x80", b"I-x", b" ",
    b"\xef\xbb\xbf", "é😀".encode(), b"",
])  # fmt: skip
GOOD = {
    "a.csv": PLAIN, "a.tsv": PLAIN.replace(",", "\t"), "a.json": squad(),
    "a.conll": ADA, "a.jsonl": objects(text=TEXTS, label=MOODS),
    "b.jsonl": objects(**ENDS, label=[0, 1]),
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

"""Whatever is wrong with a file of your own is one clear line, and nothing is left behind."""

import json
import tempfile
import warnings
from pathlib import Path

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data import schemas
from helpers.errors import WorkbookError
from helpers.file_text import LONGEST_LINE
from helpers.own_files import load

TEXTS = [f"sentence number {n} is here" for n in range(12)]
SQUAD = "The river was high after the rain. The bridge was closed, and the rain went on."


def table(*bad, header="text,label", good=12, sep=","):
    """A CSV of good rows with `bad` lines from line 5 on."""
    rows = [f"{text}{sep}{('bad', 'good')[n % 2]}" for n, text in enumerate(TEXTS[:good])]
    return "\n".join([header, *rows[:3], *bad, *rows[3:]]) + "\n"


def objects(*bad, **values):
    """JSON Lines of good rows with `bad` ones, objects or text, from line 4 on."""
    rows = [{"text": text, "label": ("bad", "good")[n % 2]} for n, text in enumerate(TEXTS)]
    if values:
        rows = [{name: f(n) for name, f in values.items()} for n in range(12)]
    lines = [line if isinstance(line, str) else json.dumps(line) for line in bad]
    rows = [json.dumps(row) for row in rows]
    return "\n".join([*rows[:3], *lines, *rows[3:]]) + "\n"


def sentences(*bad):
    """A CoNLL file of good sentences, 4 lines each, with `bad` lines from line 9 on."""
    good = [f"In\tO\nParis\tB-place\n{n}\tO\n\n" for n in range(12)]
    return "".join([*good[:2], *(f"{line}\n" for line in bad), "\n", *good[2:]])


def tagged(tokens, tags):
    """A JSON Lines file of tokens with one bad row in line 4."""
    good = {"tokens": lambda n: ["In", "Paris"], "tags": lambda n: ["O", "B-place"]}
    return objects({"tokens": tokens, "tags": tags}, **good)


def squad(number=3, **change):
    """SQuAD JSON of 12 questions, one of them changed."""
    questions = [
        {
            "id": f"q{n}",
            "question": f"What, {n}?",
            "answers": [{"text": "rain", "answer_start": 29}],
        }
        for n in range(12)
    ]
    questions[number - 1] |= change
    return json.dumps({"data": [{"paragraphs": [{"context": SQUAD, "qas": questions}]}]})


def ending(**change):
    """A JSON Lines file of endings with one bad row in line 4."""
    good = {
        "context": lambda n: f"context {n}",
        "choices": lambda n: ["a", "b", "c", f"d {n}"],
        "label": lambda n: n % 4,
    }
    return objects({name: f(0) for name, f in good.items()} | change, **good)


def answers(text, start):
    return [{"text": text, "answer_start": start}]


PAIRS = table("a,b,high", header="text,text_pair,score", good=0)
MANY_WORDS = "word " * 100_000
BAD = {  # head, file name, content, options, what the line must say
    # the file
    "missing file": ("corpus", "no.csv", None, {}, ["no such file"]),
    "folder": ("corpus", "folder/", None, {}, ["a folder", "one text file"]),
    "empty": ("corpus", "a.csv", "", {}, ["an empty file", "one example a row"]),
    "only blanks": ("corpus", "a.jsonl", " \n\n ", {}, ["an empty file"]),
    "header only": ("corpus", "a.csv", "text\n", {}, ["0 rows", "10 at least"]),
    "too few rows": ("classification", "a.csv", table(good=9), {}, ["9 rows", "10 at least"]),
    "unknown extension": ("corpus", "a.docx", "text\n", {}, [r"'\.docx'", r"\.csv, \.tsv, "]),
    "no extension": ("corpus", "a", "text\n", {}, ["the extension ''", r"\.jsonl"]),
    "table for tokens": ("tokens", "a.csv", "w,t\n", {}, [r"'\.csv'", r"for tokens .*\.conll"]),
    "conll for texts": ("classification", "a.conll", "w t\n", {}, [r"'\.conll'", "classification"]),
    "xlsx": ("corpus", "a.xlsx", b"PK\x03\x04\x14\0", {}, ["Excel", "CSV UTF-8"]),
    "xlsx called csv": ("corpus", "a.csv", b"PK\x03\x04\x14\0", {}, ["Excel", "CSV UTF-8"]),
    "old excel": ("corpus", "a.xls", b"\xd0\xcf\x11\xe0\xa1", {}, ["old Excel"]),
    "gzip": ("corpus", "a.csv.gz", b"\x1f\x8b\x08\0", {}, ["gzip", "gunzip"]),
    "parquet": ("corpus", "a.parquet", b"PAR1\x15\x04", {}, ["Parquet", "read_parquet"]),
    "pickle": ("corpus", "a.csv", b"\x80\x04\x95", {}, ["pickle", "no code"]),
    "web page": ("corpus", "a.csv", "\n<!DOCTYPE html><p>", {}, ["a web page", "download"]),
    "lfs pointer": ("corpus", "a.csv", "version https://git-lfs.x\n", {}, ["LFS", "git lfs pull"]),
    # its bytes
    "latin-1": (
        "classification", "a.csv", table("très bien,good").encode("latin-1"), {},
        ["line 5", "0xe8, which is not UTF-8", "très", r"iconv -f CP1252 -t UTF-8 a\.csv"],
    ),
    "not even cp1252": ("corpus", "a.txt", b"ok\n\xe9 \x81\n", {}, ["line 2", "iconv -f LATIN1"]),
    "bad byte in json": ("corpus", "a.json", b'[\n\n"\xff"]', {}, ["line 3", "0xff"]),
    "bad byte behind a mark": ("corpus", "a.txt", b"\xef\xbb\xbfa \xff", {}, ["line 1", "0xff"]),
    "utf-16": ("corpus", "a.csv", "text\na b\n".encode("utf-16"), {}, ["UTF-16 text", "iconv"]),
    "utf-16, bare": ("corpus", "a.csv", "text\na".encode("utf-16-le"), {}, ["iconv -f UTF-16LE"]),
    "utf-32": ("corpus", "a.csv", "text\na b\n".encode("utf-32"), {}, ["UTF-32 text"]),
    "zero byte": ("classification", "a.csv", table("a\0b,good"), {}, ["line 5", "zero byte"]),
    "zero byte in json": ("corpus", "a.json", b"[\n\0]", {}, ["line 2", "zero byte"]),
    "line of 16 MB": ("corpus", "a.txt", b"a\n" + b"x" * 2 * LONGEST_LINE, {}, ["line 2", "16 M"]),
    # CSV
    "row too short": (
        "classification", "a.csv", table("alone"), {}, ["line 5", "1 cell, ", "2, as in the header"]
    ),
    "row too long": (
        "classification", "a.csv", table("well, then,good"), {}, ["line 5", "3 cells", "quoted"]
    ),
    "unclosed quote": (
        "classification", "a.csv", table('"never closed,good'), {},
        ["line 5: found a quote that is not closed by line 14", "closing quote"],
    ),
    "unclosed quote, long file": (
        "corpus", "a.csv", 'text\n"never closed\n' + "a line\n" * 20_000, {},
        ["line 2: found a quote that is not closed", "closing quote"],
    ),
    "quote inside": (
        "classification", "a.csv", table('"a "good" one",good'), {}, ["line 5", 'written ""']
    ),
    "a row of two lines before": (
        "classification", "a.csv", table('"two\nlines",good', ",good"), {}, ["line 7: found an em"]
    ),
    "carriage return": ("classification", "a.csv", table("a\rb,good"), {}, ["carriage return"]),
    "huge cell": (
        "classification", "a.csv", table(f"{'x' * 131_073},good"), {},
        ["line 5", "a cell of over 131,072 characters"],
    ),
    "words in CSV": ("classification", "a.csv", table(f"{MANY_WORDS},good"), {}, ["line 5"]),
    "100,000 words": (
        "corpus", "a.txt", f"a line\n{MANY_WORDS}\n", {},
        ["line 2", "a text of 100,000 words", "10,000 at most"],
    ),
    "tsv row too long": (
        "classification", "a.tsv", table("a\tb\tgood", header="text\tlabel", sep="\t"), {},
        ["line 5", "3 cells", "2, as in the header"],
    ),
    "no header, ragged": (
        "choices", "a.tsv", "c\t1\t2\t3\t4\t0\nc\t1\n",
        {"columns": {"context": 0, "choices": [1, 2, 3, 4], "label": 5}},
        ["line 2", "2 cells", "6, as in the first row"],
    ),
    # columns
    "missing column": (
        "classification", "a.csv", table(header="text,verdict"), {},
        ["line 1", "columns 'text', 'verdict'", "'label'", r"columns=\{'label': NAME\}"],
    ),
    "ambiguous columns": (
        "corpus", "a.csv", "review,sentence\na,b\n", {},
        ["line 1", "'review' and 'sentence'", r"columns=\{'text': 'review'\}"],
    ),
    "ambiguous case": ("corpus", "a.csv", "Text,TEXT\na,b\n", {}, ["'Text' and 'TEXT'"]),
    "duplicate columns": ("corpus", "a.csv", "text,text\na,b\n", {}, ["'text' twice", "different"]),
    "column not there": (
        "corpus", "a.csv", "text,x\na,b\n", {"columns": {"text": "body"}},
        ["no column 'body'", "one of the file's columns: 'text', 'x'"],
    ),
    "position not there": (
        "corpus", "a.csv", "a,b\n", {"columns": {"text": 2}}, ["no column 2", "columns: 0, 1"]
    ),
    "column chosen twice": (
        "classification", "a.csv", table(), {"columns": {"text": "text", "label": "text"}},
        ["'text' chosen twice", "a column of its own"],
    ),
    "no such contract column": (
        "corpus", "a.csv", "text\na\n", {"columns": {"txt": "text"}}, ["'txt'", "for 'text'"]
    ),
    "three columns of choices": (
        "choices", "a.csv", "context,label\na,b\n", {"columns": {"choices": ["a", "b", "c"]}},
        ["3 columns for 'choices'", "four"],
    ),
    "column missing later": (
        "classification", "a.jsonl", objects({"text": "a"}), {},
        ["line 4", "columns 'text'", "'label' among them"],
    ),
    # JSON
    "a list a line": (
        "corpus", "a.jsonl", '[{"text": "a"}]\n', {}, ["line 1", "a list", r"a \.json file"]
    ),
    "a string a line": ("corpus", "a.jsonl", objects('"just text"'), {}, ["line 4", "JSON object"]),
    "broken json line": (
        "classification", "a.jsonl", objects('{"text": "a", "label": }'), {},
        ["line 4", "broken JSON", "column 24"],
    ),
    "broken json": ("corpus", "a.json", '[\n{"text": "a",}]', {}, ["line 2", "broken JSON"]),
    "json lines called json": (
        "corpus", "a.json", '{"text": "a"}\n{"text": "b"}\n', {}, ["second JSON value", r"\.jsonl"]
    ),
    "an object for a list": ("corpus", "a.json", '{"rows": []}', {}, ["'rows'", "a JSON list"]),
    "a number in a list": ("corpus", "a.json", '[{"text": "a"}, 7]', {}, ["row 2", "7", "object"]),
    "too deep": ("corpus", "a.json", "[" * 200_000, {}, ["nested too deep"]),
    "key twice": (
        "corpus", "a.jsonl", '{"text": "a", "text": "b"}\n', {}, ["line 1", "'text' twice in an"]
    ),
    "duplicate ids": (
        "corpus", "a.csv", "id,text\nx,a\ny,b\nx,c\n", {}, ["line 4", "the id 'x' of line 2 again"]
    ),
    # texts
    "empty text": ("classification", "a.csv", table(",good"), {}, ["line 5", "an empty text"]),
    "blank text": ("classification", "a.csv", table(" \t ,good"), {}, ["line 5", "blanks as text"]),
    "column of nulls": (
        "classification", "a.jsonl", objects(text=lambda n: None, label=lambda n: n % 2), {},
        ["line 1", "null as text", "a text in quotes"],
    ),
    "number among texts": (
        "classification", "a.jsonl", objects({"text": 5, "label": "good"}), {},
        ["line 4", "5 as text", "a text in quotes"],
    ),
    "half a character": (
        "corpus", "a.jsonl", '{"text": "\\ud83d"}\n', {}, ["line 1", r"half a character, \\ud83d"]
    ),
    # labels
    "one class": (
        "classification", "a.csv", "text,label\n" + "".join(f"{t},good\n" for t in TEXTS), {},
        ["one label only, 'good'", "two classes"],
    ),
    "unknown label": (
        "classification", "a.csv", table("a,odd"), {"names": ["bad", "good"]},
        ["line 5", "unknown label 'odd'", "one of 'bad', 'good'"],
    ),
    "label out of range": (
        "classification", "a.csv", table("a,2"), {"names": ["bad", "good"]},
        ["line 5", "label '2'", "0 to 1, for 'bad', 'good'"],
    ),
    "empty label": ("classification", "a.csv", table("a, "), {}, ["line 5", "an empty label"]),
    "null label": (
        "classification", "a.jsonl", objects({"text": "a", "label": None}), {},
        ["line 4", "None as label", "a name or a whole number"],
    ),
    "float label": (
        "classification", "a.csv", table("a,1.0"), {}, ["line 5", "'1.0' as label", "write 1, not"]
    ),
    "float label in json": (
        "classification", "a.jsonl", objects({"text": "a", "label": 0.5}), {},
        ["line 4", "0.5 as label", "a name or a whole number"],
    ),
    "number among words": (
        "classification", "a.csv", table("a,7"), {}, ["line 5", "label '7'", "a name, as in the"]
    ),
    "word among numbers": (
        "classification", "a.jsonl",
        objects({"text": "a", "label": "x"}, text=lambda n: TEXTS[n], label=lambda n: n % 2), {},
        ["line 4", "label 'x'", "a whole number, as in the rows"],
    ),
    "a label a row": (
        "classification", "a.csv", "text,label\n" + "".join(f"{n} a,n{n}\n" for n in range(25)), {},
        ["25 different labels in 25 rows", "column of labels"],
    ),
    "contradictions": (
        "classification", "a.csv", "text,label\n" + "".join(f"{t},a\n{t},b\n" for t in TEXTS), {},
        ["12 texts again with another label", "lines 2 and 3", "multilabel"],
    ),
    "names for numbers": (
        "regression", "a.csv", "text,label\na,1\n", {"names": ["a", "b"]}, ["names of labels"]
    ),
    "columns as a list": (
        "corpus", "a.csv", "text\na\n", {"columns": ["text"]}, [r"columns=\['text'\]", "review"]
    ),
    "names twice": (
        "classification", "a.csv", table(), {"names": ["a", "a"]}, ["all different"]
    ),
    "unknown head": ("sentiment", "a.csv", table(), {}, ["head 'sentiment'", "'classification'"]),
    "label twice": (
        "multilabel", "a.csv", table("a,good|good"), {}, ["line 5", "a label twice", "once"]
    ),
    "empty among labels": ("multilabel", "a.csv", table("a,x||y"), {}, ["line 5", "empty label"]),
    "python list": (
        "multilabel", "a.csv", "text,label\na,['x']\n", {}, ["line 2", "broken JSON", "double"]
    ),
    "no label at all": (
        "multilabel", "a.csv", "text,label\n" + "".join(f"{t},\n" for t in TEXTS), {},
        ["no label in any row"],
    ),
    # numbers
    "word for a number": ("similarity", "a.csv", PAIRS, {}, ["line 2", "score 'high'", "a number"]),
    "decimal comma": (
        "regression", "a.csv", 'text,label\na,"3,5"\n', {}, ["line 2", "'3,5'", "write 3.5"]
    ),
    "nan": ("regression", "a.csv", "text,label\na,nan\n", {}, ["line 2", "nan", "a finite number"]),
    "infinity": (
        "regression", "a.jsonl", '{"text": "a", "label": Infinity}\n', {}, ["line 1", "inf", "a f"]
    ),
    "too big for a float": ("regression", "a.csv", "text,label\na,1e39\n", {}, ["3.4e38"]),
    "null for a number": (
        "regression", "a.jsonl", '{"text": "a", "label": null}\n', {}, ["line 1", "label null"]
    ),
    # tokens
    "tokens and tags": (
        "tokens", "a.jsonl", tagged(["a", "b"], ["O"]), {}, ["line 4", "2 tokens and 1 tag;"]
    ),
    "unknown prefix": (
        "tokens", "a.conll", sentences("New\tB-place", "York\tE-place"), {},
        ["line 10", "'E-place'", "O, B-kind or I-kind"],
    ),
    "no B": (
        "tokens", "a.conll", sentences("In\tO", "York\tI-place"), {},
        ["line 10: found 'York' tagged I-place after O", "B-place on the first word"],
    ),
    "another kind": (
        "tokens", "a.conll", sentences("New\tB-place", "York\tI-person"), {},
        ["line 10", "'York' tagged I-person after B-place", "B-person"],
    ),
    "no B in json": (
        "tokens", "a.jsonl", tagged(["a", "b"], ["O", "I-x"]), {}, ["line 4, word 2", "'b' tagged"]
    ),
    "tag with a blank": (
        "tokens", "a.conll", sentences("Paris\tB-big place"), {}, ["line 9", "'B-big place'"]
    ),
    "empty token": ("tokens", "a.conll", sentences("\tO"), {}, ["line 9", "token ''", "a word"]),
    "no token": ("tokens", "a.jsonl", tagged([], []), {}, ["line 4", "without tokens"]),
    "word alone": ("tokens", "a.conll", sentences("Paris"), {}, ["line 9", "word 'Paris' alone"]),
    "comment in a sentence": (
        "tokens", "a.conll", sentences("a\tO", "# b"), {}, ["line 10", "the tag 'b'", "B-kind"]
    ),
    "another width": (
        "tokens", "a.conll", sentences("a\tx\tO"), {}, ["line 9", "3 columns", "2, as in"]
    ),
    "one giant sentence": (
        "tokens", "a.conll", "word O\n" * 10_001, {}, ["line 1", "over 10,000 words", "blank line"]
    ),
    "only O": ("tokens", "a.conll", "word O\n\n" * 12, {}, ["no tag but O", "B-kind"]),
    "unknown tag": (
        "tokens", "a.conll", sentences("a\tB-x"), {"names": ["O", "B-place", "I-place"]},
        ["line 9", "unknown tag 'B-x'", "one of 'O', 'B-place'"],
    ),
    "numbers for tags": (
        "tokens", "a.jsonl", tagged(["a"], [0]), {}, ["line 4", "the tag 0", "need names"]
    ),
    # questions
    "no data": ("questions", "a.json", '{"rows": 1}', {}, ["'rows' here", "a list 'data'"]),
    "no paragraphs": (
        "questions", "a.json", '{"data": [{"title": "a"}]}', {}, ["article 1", "'paragraphs'"]
    ),
    "no qas": (
        "questions", "a.json", '{"data": [{"paragraphs": [{"context": "a"}]}]}', {},
        ["article 1, paragraph 1", "a list 'qas'"],
    ),
    "no context": (
        "questions", "a.json", '{"data": [{"paragraphs": [{"qas": [{"id": 1}]}]}]}', {},
        ["article 1, paragraph 1", "a 'context'"],
    ),
    "wrong offset": (
        "questions", "a.json", squad(answers=answers("rain", 63)), {},
        [r"question 3 \(id 'q2'\): found 'he r' at answer_start 63", "'rain', which stands at 66"],
    ),
    "offset behind the end": (
        "questions", "a.json", squad(answers=answers("rain", 900)), {}, ["'' at answer_start 900"]
    ),
    "negative offset": (
        "questions", "a.json", squad(answers=answers("on.", -3)), {}, ["answer_start -3", "at 76"]
    ),
    "answer not there": (
        "questions", "a.json", squad(answers=answers("Rain", 29)), {},
        ["question 3", "answer 'Rain', which is not in the context", "letter by letter"],
    ),
    "empty answer": (
        "questions", "a.json", squad(answers=answers("", 0)), {}, ["question 3", "empty answer"]
    ),
    "impossible with answers": (
        "questions", "a.json", squad(is_impossible=True), {}, ["question 3", "is_impossible"]
    ),
    "possible without answers": (
        "questions", "a.json", squad(is_impossible=False, answers=[]), {}, ["question 3", "no ans"]
    ),
    "empty question": (
        "questions", "a.json", squad(question="  "), {}, ["question 3", "blanks as question"]
    ),
    "question ids twice": (
        "questions", "a.json", squad(id="q1"), {}, ["question 3", "id 'q1' of question 2 again"]
    ),
    "answers in a table": (
        "questions", "a.csv", "context,question,answers\na b,what,b\n", {},
        ["line 2", "the answers 'b'", '"answer_start"'],
    ),
    "answer without a start": (
        "questions", "a.csv", "context,question,answer,answer_start\na b,what,b,\n", {},
        ["line 2", "answer_start ''", "a whole number"],
    ),
    "answers without starts": (
        "questions", "a.jsonl",
        '{"context": "a b", "question": "c", "answers": {"text": ["a"], "answer_start": []}}\n', {},
        ["line 1", "1 answer and 0 starts"],
    ),
    # choices
    "three endings": ("choices", "a.jsonl", ending(choices=list("abc")), {}, ["line 4", "3 end"]),
    "equal endings": (
        "choices", "a.jsonl", ending(choices=["a", "b", "a ", "c"]), {},
        ["line 4", "endings 0 and 2 equal, 'a'", "four that differ"],
    ),
    "empty ending": (
        "choices", "a.jsonl", ending(choices=["a", "", "b", "c"]), {}, ["line 4", "empty ending 1"]
    ),
    "label of choices": (
        "choices", "a.jsonl", ending(label=4), {}, ["line 4", "the label 4", "0 to 3 or A to D"]
    ),
    "word as label of choices": (
        "choices", "a.jsonl", ending(label="E"), {}, ["line 4", "the label 'E'", "0 to 3 or A to D"]
    ),
    "choices no list": ("choices", "a.jsonl", ending(choices="a"), {}, ["line 4", "a JSON list"]),
}  # fmt: skip


@pytest.fixture
def nothing_left(tmp_path, monkeypatch):
    """Every place where a run might leave something, empty before and, asserted, after."""
    places = {name: tmp_path / name for name in ("cache", "temporary", "datasets", "here")}
    for folder in places.values():
        folder.mkdir()
    monkeypatch.setenv("WORKBOOK_HOME", str(places["cache"]))
    monkeypatch.setattr("tempfile.tempdir", str(places["temporary"]))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", places["datasets"])
    monkeypatch.chdir(places["here"])
    yield
    assert [path for folder in places.values() for path in folder.rglob("*")] == []


def write(path, content):
    if str(path).endswith("/"):
        return
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(raw)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_clear_line_and_leaves_nothing(kind, tmp_path, nothing_left):
    head, name, content, options, words = BAD[kind]
    path = tmp_path / name
    if name.endswith("/"):
        path.mkdir()
    elif content is not None:
        write(path, content)
    with pytest.raises(WorkbookError) as raised:
        load(path, head, **options)
    message = str(raised.value)
    for word in words:
        assert raised.match(word)
    assert name.rstrip("/") in message
    assert "found " in message
    assert "expected " in message
    assert message.isprintable()  # no line breaks either
    assert len(message) < 300


GOOD = {
    "a.csv": table(),
    "a.tsv": table(header="text\tlabel", sep="\t"),
    "a.jsonl": objects(),
    "a.json": squad(),
    "b.json": ending(),
    "a.conll": sentences("New\tB-place", "York\tI-place"),
}
JUNK = st.sampled_from([
    b'"', b",", b"\n", b"\r", b"\t", b"\0", b"\xff", b"{", b"]", b"null", b"1e999", b"-7", b"[1]",
    b'{"a": 1}', b"\\ud800", b"\xed\xa0\x80", b"I-x", b" ", b"\xef\xbb\xbf", "é😀".encode(), b"",
])  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(GOOD)), st.sampled_from(schemas.HEADS), st.data())
def test_whatever_is_put_in_a_file_the_answer_is_rows_or_one_line(name, head, drawn):
    raw = bytearray(GOOD[name].encode())
    for _ in range(drawn.draw(st.integers(0, 3))):
        at = drawn.draw(st.integers(0, len(raw)))
        raw[at : at + drawn.draw(st.integers(0, 9))] = drawn.draw(JUNK | st.binary(max_size=5))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        path = Path(folder) / name
        path.write_bytes(raw)
        try:
            assert len(load(path, head)) >= 10
        except WorkbookError as error:
            assert name in str(error)  # noqa: PT017
            assert str(error).isprintable()  # noqa: PT017
            assert len(str(error)) < 300  # noqa: PT017


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
    | st.sampled_from(["[", "{}", "O", "B-x", "I-x", "A", 3, 10**40, "\ud800", "1_0", "٣"]),
    lambda inner: st.lists(inner, max_size=5)
    | st.dictionaries(st.sampled_from(["text", "answer_start", "data", "id"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
ROWS = {
    "classification": {"text": "a", "label": "x"},
    "multilabel": {"text": "a", "text_pair": "b", "label": ["x"]},
    "regression": {"text": "a", "label": 1.5},
    "similarity": {"text": "a", "text_pair": "b", "score": 1},
    "tokens": {"tokens": ["a", "b"], "tags": ["B-x", "I-x"]},
    "questions": {"context": "a b", "question": "c", "answers": answers("b", 2)},
    "choices": {"context": "a", "choices": list("abcd"), "label": 1},
    "corpus": {"text": "a"},
}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(schemas.HEADS), st.booleans(), st.data())
def test_whatever_json_stands_in_a_row_the_answer_is_rows_or_one_line(head, nested, drawn):
    bad = dict(ROWS[head])
    bad[drawn.draw(st.sampled_from([*bad, "id"]))] = drawn.draw(ANY)
    rows = [{**bad}, *([ROWS[head]] * 10)]
    if head == "classification":
        rows[-1] = {"text": "b", "label": "y"}
    if nested and head == "questions":
        whole = {"qas": [bad]} | {"context": "a b"}
        rows = {"data": [drawn.draw(ANY), {"paragraphs": [whole]}]}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        path = Path(folder) / "a.json"
        path.write_text(json.dumps(rows))
        try:
            assert load(path, head).num_rows == 11
        except WorkbookError as error:
            assert "a.json" in str(error)  # noqa: PT017
            assert str(error).isprintable()  # noqa: PT017
            assert len(str(error)) < 300  # noqa: PT017


def test_there_are_many_kinds_of_bad_input():
    assert len(BAD) >= 45

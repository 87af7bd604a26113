"""Your own files: whatever is valid comes back as it was written, typed as the contract says."""

import csv
import io
import json
import tempfile
import warnings
from itertools import chain
from pathlib import Path

import datasets
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import data
from helpers.data import schemas
from helpers.errors import WorkbookError
from helpers.own_files import load, tokenize

TEXTS = [f"sentence number {n} is here" for n in range(12)]
LABELS = [("bad", "good")[n % 2] for n in range(12)]


@pytest.fixture
def file(tmp_path):
    """Writes a file of the given name; gives its path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def table(header, rows, **dialect):
    """Rows as a CSV writer puts them."""
    out = io.StringIO()
    csv.writer(out, **dialect).writerows([header, *rows] if header else rows)
    return out.getvalue()


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def names_of(feature):
    return (feature if isinstance(feature, datasets.ClassLabel) else feature.feature).names


def by_name(dataset, column):
    """Labels by name; `column` holds one or a list of them a row."""
    feature = dataset.features[column]
    if isinstance(feature, datasets.ClassLabel):
        return feature.int2str(dataset[column])
    return [feature.feature.int2str(codes) for codes in dataset[column]]


@pytest.mark.parametrize(
    ("name", "head", "columns"),
    [
        ("reviews", "classification", {"label": "sentiment"}),
        ("reviews", "classification", {"label": "topic"}),
        ("reviews", "multilabel", {"label": "aspects"}),
        ("reviews", "regression", {"label": "stars"}),
        ("pairs", "similarity", None),
        ("pairs", "classification", {"label": "relation"}),
        ("pairs", "regression", None),
        ("entities", "tokens", None),
        ("questions", "questions", None),
        ("endings", "choices", None),
        ("corpus", "corpus", None),
    ],
)
def test_every_sample_set_is_an_own_file_too(name, head, columns):
    suffix = "json" if name == "questions" else "jsonl"
    own = load(data.DATA / name / f"train.{suffix}", head, columns=columns)
    rows = list(data.rows(name, "train"))
    label = {"tokens": "tags"}.get(head, "label")
    named = head in schemas.NAMED
    names = names_of(own.features[label]) if named else ()
    pair = head in schemas.PAIRABLE and name == "pairs"
    assert own.features == schemas.features(head, names, pair=pair)
    assert own.cache_files == []
    for column in own.column_names:
        source = (columns or {}).get(column, column)
        source = "score" if (head, column, name) == ("regression", "label", "pairs") else source
        written = [row[source] for row in rows]
        if named and column == label:
            assert by_name(own, column) == written
        elif column in ("score", "label") and head != "choices":
            assert own[column] == pytest.approx(written)
        else:
            assert list(own[column]) == written


def test_names_are_the_labels_sorted(file):
    own = load(file("a.csv", table(["text", "label"], zip(TEXTS, LABELS, strict=True))),
               "classification")  # fmt: skip
    assert own.features["label"].names == ["bad", "good"]
    assert own["label"] == [n % 2 for n in range(12)]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_numbers_as_labels_are_sorted_as_numbers(file, suffix):
    numbers = [10, 9, -1] * 4
    rows = list(zip(TEXTS, numbers, strict=True))
    content = table(["text", "stars"], rows) if suffix == "csv" else lines(
        {"text": text, "stars": number} for text, number in rows)  # fmt: skip
    own = load(file(f"a.{suffix}", content), "classification")
    assert own.features["label"].names == ["-1", "9", "10"]
    assert own["label"] == [2, 1, 0] * 4


@pytest.mark.parametrize("labels", [LABELS, [0, 1] * 6])
def test_given_names_keep_their_order_and_take_numbers(file, labels):
    path = file("a.csv", table(["text", "label"], zip(TEXTS, labels, strict=True)))
    names = ["good", "odd", "bad"] if labels is LABELS else ["bad", "good"]
    own = load(path, "classification", names=names)
    assert own.features["label"].names == names
    assert by_name(own, "label") == LABELS


def test_numbers_that_are_names_are_not_counted(file):
    path = file("a.csv", table(["text", "label"], zip(TEXTS, [1, 0] * 6, strict=True)))
    own = load(path, "classification", names=["1", "0"])
    assert own["label"] == [0, 1] * 6


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        (["TEXT", "Label"], None),
        (["Review", "stars"], None),
        (["sentence", "Class"], None),
        (["body", "verdict"], {"text": "body", "label": "verdict"}),
        (["sentence", "sentiment"], {"text": ["sentence"]}),
        (None, {"text": 0, "label": 1}),
    ],
)
def test_columns_are_found_by_name_synonym_choice_or_position(file, header, columns):
    path = file("a.csv", table(header, zip(TEXTS, LABELS, strict=True)))
    own = load(path, "classification", columns=columns)
    assert own.column_names == ["text", "label"]
    assert own["text"] == TEXTS
    assert by_name(own, "label") == LABELS


def test_an_exact_name_comes_before_any_other_and_a_choice_settles_the_rest(file):
    rows = [(text, "x", label, number) for number, (text, label) in
            enumerate(zip(TEXTS, LABELS, strict=True))]  # fmt: skip
    path = file("a.csv", table(["text", "review", "sentiment", "stars"], rows))
    own = load(path, "classification", columns={"label": "sentiment"})
    assert own["text"] == TEXTS
    assert by_name(own, "label") == LABELS


def test_two_texts_are_a_pair(file):
    rows = [(text, text[::-1], n / 2) for n, text in enumerate(TEXTS)]
    path = file("a.csv", table(["premise", "hypothesis", "label"], rows))
    own = load(path, "regression")
    assert own.features == schemas.features("regression", pair=True)
    assert own["text_pair"] == [text[::-1] for text in TEXTS]
    assert own["label"] == [n / 2 for n in range(12)]
    assert load(path, "similarity").features == schemas.features("similarity")


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("b|a", ["b", "a"]),
        ("a; b", ["a", "b"]),
        ("b,a", ["b", "a"]),
        ("a", ["a"]),
        ("", []),
        ('["a", "b"]', ["a", "b"]),
        ("a, with comma|b", ["a, with comma", "b"]),
    ],
)
def test_several_labels_stand_in_one_cell(file, cell, found):
    rows = [(text, "a|b") for text in TEXTS[1:]]
    own = load(file("a.csv", table(["text", "label"], [(TEXTS[0], cell), *rows])), "multilabel")
    assert by_name(own, "label") == [found] + [["a", "b"]] * 11


def test_what_spreadsheets_write_is_read(file):
    plain = table(["text", "label"], zip(TEXTS, LABELS, strict=True))
    expected = load(file("plain.csv", plain), "classification").to_dict()
    kinds = {
        "mark.csv": b"\xef\xbb\xbf" + plain.encode(),
        "unix.csv": plain.replace("\r\n", "\n"),
        "semicolons.csv": plain.replace(",", ";"),
        "tabs.csv": plain.replace(",", "\t"),
        "tabs.tsv": plain.replace(",", "\t"),
        "blanks.csv": plain + "\r\n\r\n",
        "UPPER.CSV": plain,
        "spaced.csv": plain.replace("text,label", " text , label "),
    }
    for name, content in kinds.items():
        assert load(file(name, content), "classification").to_dict() == expected, name


def test_quotes_in_tsv_are_letters_unless_a_writer_doubled_them(file):
    rows = ['"Fine," he said.', '"""Fine,"" he said."', '"all"', 'an 8" disk', '"']
    content = "text\n" + "\n".join(rows + TEXTS) + "\n"
    own = load(file("a.tsv", content), "corpus")
    assert own["text"][:5] == [rows[0], rows[0], '"all"', 'an 8" disk', '"']


def test_a_corpus_is_also_a_text_file_of_paragraphs(file):
    own = load(file("a.txt", "\r\n\n".join(TEXTS)), "corpus")
    assert own["text"] == TEXTS


def test_a_json_list_of_rows_is_a_file_for_any_head(file):
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    own = load(file("a.json", json.dumps(rows, indent=1)), "classification")
    assert own["text"] == TEXTS
    asked = [{"context": "It rained.", "question": f"{n}?", "answers": {"text": ["rained"],
              "answer_start": [3]}} for n in range(10)]  # fmt: skip
    assert load(file("b.json", json.dumps(asked)), "questions")["answers"] == [
        row["answers"] for row in asked
    ]


def test_conll_has_comments_documents_and_columns_between(file):
    one = "# sent_id = 1\n# text = # Oslo\n#\tNN\tO\nOslo\tNNP\tB-place\n\n"
    content = "-DOCSTART-\t-X-\tO\n\n" + one * 12
    own = load(file("a.conll", content), "tokens")
    assert own["tokens"] == [["#", "Oslo"]] * 12
    assert own.features["tags"].feature.names == ["O", "B-place", "I-place"]
    assert own["tags"] == [[0, 1]] * 12
    blanks = load(file("a.txt", content.replace("\t", "  ").rstrip()), "tokens")
    assert blanks.to_dict() == own.to_dict()


def test_tags_may_be_numbers_when_names_are_given(file):
    names = ["O", "B-x", "I-x"]
    rows = [{"tokens": ["a", "b", "c"], "ner_tags": [0, 1, 2]}] * 10
    own = load(file("a.jsonl", lines(rows)), "tokens", names=names)
    assert own.features["tags"].feature.names == names
    assert own["tags"] == [[0, 1, 2]] * 10


def test_squad_of_either_version_and_a_table_hold_the_same_questions(file):
    context, spans = "Snow fell on Oslo 😀 in May.", [("Snow", 0), ("Oslo", 13), ("May", 23)]
    answers = [{"text": text, "answer_start": start} for text, start in spans]
    old = [{"id": f"{n}", "question": f"{n}?", "answers": [answers[n % 3]]} for n in range(12)]
    new = [{**one, "is_impossible": False} for one in old]
    new[5] |= {"is_impossible": True, "answers": [], "plausible_answers": old[5]["answers"]}
    for questions in (old, new):
        whole = {"data": [{"paragraphs": [{"context": context, "qas": questions}]}]}
        own = load(file("a.json", json.dumps(whole)), "questions")
        assert own.features == schemas.features("questions")
        rows = [
            (context, q["question"], *(q["answers"][0].values() if q["answers"] else ("", "")))
            for q in questions
        ]
        path = file("a.csv", table(["context", "question", "answer", "answer_start"], rows))
        assert load(path, "questions").to_dict() == own.to_dict()
    assert own["answers"][5] == {"text": [], "answer_start": []}
    assert own["answers"][4] == {"text": ["Oslo"], "answer_start": [13]}


@pytest.mark.parametrize("stem", ["ending{}", "choice{}", "choice_{}", "option_{}"])
def test_four_columns_are_four_endings(file, stem):
    marks = "abcd" if stem == "option_{}" else "0123"
    header = ["context", *(stem.format(mark) for mark in marks), "label"]
    rows = [(f"then {n}", "one", "two", "three", "four", "ABCD"[n % 4]) for n in range(12)]
    own = load(file("a.csv", table(header, rows)), "choices")
    assert own.features == schemas.features("choices")
    assert own["choices"] == [["one", "two", "three", "four"]] * 12
    assert own["label"] == [n % 4 for n in range(12)]


def test_endings_without_a_header_are_read_by_position(file):
    rows = [("o", f"then {n}", "one", 'tw"o', "three", "four", n % 4) for n in range(12)]
    content = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    columns = {"context": 1, "choices": [2, 3, 4, 5], "label": 6}
    own = load(file("a.tsv", content), "choices", columns=columns)
    assert own["choices"][0] == ["one", 'tw"o', "three", "four"]
    assert own["label"] == [n % 4 for n in range(12)]


def test_a_few_texts_with_two_labels_are_a_warning(file):
    rows = [*zip(TEXTS, LABELS, strict=True), (TEXTS[0], "good"), (TEXTS[1], "good")]
    path = file("a.csv", table(["text", "label"], rows))
    with pytest.warns(UserWarning, match=r"a\.csv: found 1 text again.*lines 2 and 14") as caught:
        own = load(path, "classification")
    assert len(own) == 14
    assert Path(caught[0].filename) == Path(__file__)
    with warnings.catch_warnings(action="error"):  # a pair is another text
        paired = [(*row, f"other {n}") for n, row in enumerate(rows)]
        load(file("b.csv", table(["text", "label", "text_pair"], paired)), "classification")


def test_a_file_that_changed_is_read_anew(file):
    path = file("a.txt", "\n".join(TEXTS))
    first, again = load(path, "corpus"), load(path, "corpus")
    assert first._fingerprint == again._fingerprint
    other = load(file("a.txt", "\n".join(TEXTS).replace("here", "gone")), "corpus")
    assert other._fingerprint != first._fingerprint
    assert other["text"][0] == "sentence number 0 is gone"
    assert first["text"] == TEXTS


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_reading_shows_how_far_it_is(file, monkeypatch, name):
    bars = []

    class Bar(datasets.utils.tqdm):
        def __init__(self, **settings):
            super().__init__(**{**settings, "delay": 0, "disable": False})
            bars.append(self)

    monkeypatch.setattr("datasets.utils.tqdm", Bar)
    rows = [{"text": f"text {n}"} for n in range(2500)]
    content = table(["text"], [row.values() for row in rows])
    path = file(name, content if name == "a.csv" else json.dumps(rows))
    load(path, "corpus")
    assert [(bar.desc, bar.unit, bar.total) for bar in bars] == [
        (f"Reading {name}", "B", path.stat().st_size)
    ]
    assert bars[0].n == bars[0].total


@pytest.mark.parametrize("pair", [False, True])
def test_tokenizing_keeps_what_the_model_needs(file, tokenizer, capsys, pair):
    header = ["text", "label", *(["text_pair"] if pair else [])]
    rows = [(text, n, f"and {text}")[: 2 + pair] for n, text in enumerate(TEXTS)]
    own = load(file("a.csv", table(header, rows)), "regression")
    datasets.enable_progress_bars()
    encoded = tokenize(own, tokenizer, 8)
    assert sorted(encoded.column_names) == ["attention_mask", "input_ids", "label"]
    others = [f"and {text}" for text in TEXTS] if pair else None
    expected = tokenizer(TEXTS, others, truncation=True, max_length=8)
    assert encoded["input_ids"] == expected["input_ids"]
    assert encoded["attention_mask"] == expected["attention_mask"]
    assert encoded["label"] == list(range(12))
    assert encoded.cache_files == []
    assert "Tokenizing 12 rows" in capsys.readouterr().err


def test_only_texts_are_tokenized(file, tokenizer):
    own = load(data.DATA / "entities" / "test.jsonl", "tokens")
    with pytest.raises(ValueError, match="needs 'text'"):
        tokenize(own, tokenizer, 32)


BIG = """
from pathlib import Path
from helpers.benchmark import peak_memory
from helpers.checkpoints import base_tokenizer
from helpers.own_files import load, tokenize

small, big, tokenizer = Path("SMALL"), Path("BIG"), base_tokenizer()
tokenize(load(small, "classification"), tokenizer, 32)  # what only the first call needs
kept = []
print(peak_memory(lambda: kept.append(load(big, "classification"))) / 2**20)
print(peak_memory(lambda: kept.append(tokenize(kept[0], tokenizer, 32))) / 2**20)
assert len(kept[1]) == 100_000
"""


def test_100_000_rows_never_lie_in_memory_as_python_objects(file, python):
    words = " ".join(["river", "bridge", "closed", "after", "heavy"] * 4)  # 20 words, 121 bytes
    rows = "".join(f"{n} {words},{LABELS[n % 12]}\n" for n in range(100_000))
    big, small = (file(f"{n}.csv", f"text,label\n{text}") for n, text in
                  enumerate((rows, rows[:10_000].rpartition("\n")[0])))  # fmt: skip
    assert big.stat().st_size > 12e6
    code = BIG.replace("SMALL", small.as_posix()).replace("BIG", big.as_posix())
    done = python(code, TOKENIZERS_PARALLELISM="false")
    assert done.returncode == 0, done.stderr
    loading, encoding = map(float, done.stdout.split())
    # MiB: with all rows as Python objects at once, loading takes 100
    assert loading < 64
    assert encoding < 64
    assert "Tokenizing 100,000 rows" in done.stderr
    assert sorted(path.name for path in big.parent.iterdir()) == ["0.csv", "1.csv"]


def test_bad_input_in_a_notebook_shows_its_line_alone(file):
    with pytest.raises(WorkbookError) as raised:
        load(file("a.csv", "text\nonly one\n"), "corpus")
    shown = raised.value._render_traceback_()
    assert shown == [f"WorkbookError: {raised.value}"]


# --- any valid rows come back as they were written ---

LETTERS = st.characters(codec="utf-8", exclude_characters="\0")
TEXT = st.text(LETTERS, min_size=1, max_size=30).filter(str.strip)
TRICKY = st.sampled_from(['a,"b"', "a\r\nb", 'x""', "a;b|c\t", "😀 e\u0301", "\u2028", "'", '"q"'])
ROWS = st.lists(st.tuples(TEXT | TRICKY.map(lambda t: f"w{t}"), st.sampled_from(LABELS[:2])),
                min_size=10, max_size=14, unique_by=lambda row: row[0])  # fmt: skip
BOTH = ROWS.filter(lambda rows: len({label for _, label in rows}) == 2)
tries = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def read_back(name, content, head, **options):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content.encode())
        return load(path, head, **options)


@tries
@given(BOTH, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_any_rows_survive_csv(rows, quoting):
    content = table(["text", "label"], rows, quoting=quoting)
    own = read_back("a.csv", content, "classification")
    assert list(zip(own["text"], by_name(own, "label"), strict=True)) == rows


@tries
@given(BOTH, st.booleans())
def test_any_rows_survive_json_lines(rows, ascii_only):
    content = "".join(
        json.dumps({"text": text, "label": label}, ensure_ascii=ascii_only) + "\n"
        for text, label in rows
    )
    own = read_back("a.jsonl", content, "classification")
    assert list(zip(own["text"], by_name(own, "label"), strict=True)) == rows


@tries
@given(st.lists(st.lists(st.sampled_from("abc"), unique=True), min_size=10, max_size=12))
def test_any_label_sets_survive_csv(sets):
    if not any(sets):
        sets[0] = ["a"]
    rows = [(f"text {n}", "|".join(labels)) for n, labels in enumerate(sets)]
    own = read_back("a.csv", table(["text", "label"], rows), "multilabel")
    assert by_name(own, "label") == sets


WORD = (
    st.text(
        st.characters(codec="utf-8", exclude_characters="\0\t\r\n\ufeff"), min_size=1, max_size=9
    )
    .filter(str.strip)
    .filter(lambda word: not word.startswith("-DOCSTART-"))
)
ENTITY = st.one_of(
    st.tuples(WORD).map(lambda words: [(words[0], "O")]),
    st.tuples(st.sampled_from(["x", "y-z"]), st.lists(WORD, min_size=1, max_size=3)).map(
        lambda pair: [(word, f"{'I' if i else 'B'}-{pair[0]}") for i, word in enumerate(pair[1])]
    ),
)
SENTENCE = st.lists(ENTITY, min_size=1, max_size=4).map(lambda parts: list(chain(*parts)))


@tries
@given(st.lists(SENTENCE, min_size=10, max_size=12))
def test_any_sentences_survive_conll(sentences):
    sentences = [[("Oslo", "B-x")], *sentences]
    content = "".join(
        "".join(f"{word}\t{tag}\n" for word, tag in sentence) + "\n" for sentence in sentences
    )
    own = read_back("a.conll", content, "tokens")
    tagged = [list(zip(*row, strict=True)) for row in
              zip(own["tokens"], by_name(own, "tags"), strict=True)]  # fmt: skip
    assert tagged == sentences


@tries
@given(st.text(LETTERS, min_size=3, max_size=40).filter(lambda t: len(t.split()) > 1), st.data())
def test_any_right_offset_is_taken_and_any_wrong_one_is_put_right(context, drawn):
    start = drawn.draw(st.integers(0, len(context) - 1))
    answer = context[start : drawn.draw(st.integers(start + 1, len(context)))]
    if not answer.strip():
        return
    said = drawn.draw(st.integers(-2, len(context) + 2))
    rows = [{"context": context, "question": "What?", "answers": {"text": [answer],
             "answer_start": [said]}}] * 10  # fmt: skip
    if said >= 0 and context[said : said + len(answer)] == answer:
        own = read_back("a.jsonl", lines(rows), "questions")
        assert own["answers"] == [{"text": [answer], "answer_start": [said]}] * 10
        return
    with pytest.raises(WorkbookError, match=r"which stands at \d+$") as raised:
        read_back("a.jsonl", lines(rows), "questions")
    right = int(str(raised.value).rpartition(" ")[2])
    assert context[right : right + len(answer)] == answer

"""The sample texts are what their data sheet says."""

import collections
import itertools
import json
import re

import pytest
from conftest import ROOT

from helpers import data
from helpers.errors import WorkbookError

ROWS = {
    split: [json.loads(line) for line in (data.CORPUS / f"{split}.jsonl").open(encoding="utf8")]
    for split in ("train", "test")
}
ALL = ROWS["train"] + ROWS["test"]


def trigrams(text):
    words = re.findall(r"\w+", text.lower())
    return set(zip(words, words[1:], words[2:], strict=False))


def test_every_row_has_its_fields_and_a_paragraph_of_60_to_90_words():
    for row in ALL:
        assert row.keys() == {"id", "topic", "text"}
        assert 60 <= len(row["text"].split()) <= 90, row["id"]
        assert "\n" not in row["text"]
    assert len({row["id"] for row in ALL}) == len(ALL)
    assert len(ROWS["train"]) == pytest.approx(4 * len(ROWS["test"]), rel=0.05)


def test_no_two_passages_tell_the_same_and_none_leaks_into_train():
    for a, b in itertools.combinations(ALL, 2):
        one, other = trigrams(a["text"]), trigrams(b["text"])
        assert len(one & other) <= 0.1 * min(len(one), len(other)), (a["id"], b["id"])


def test_openings_vary():
    openings = collections.Counter(" ".join(r["text"].lower().split()[:3]) for r in ALL)
    assert max(openings.values()) <= 0.03 * len(ALL)


def test_the_data_sheet_counts_right():
    sheet = (ROOT / "data" / "README.md").read_text()
    for split, rows in ROWS.items():
        words = [len(row["text"].split()) for row in rows]
        line = f"| `{split}.jsonl` | {len(rows)} | {sum(words):,} | {min(words)} to {max(words)} |"
        assert line in sheet


def test_passages_follow_the_profile():
    assert len(data.passages("smoke")) == 8
    assert data.passages("classroom") == [row["text"] for row in ROWS["test"]]
    assert data.passages("classroom", "train") == [row["text"] for row in ROWS["train"]]


def test_bad_requests_and_bad_files_are_one_line(tmp_path, monkeypatch):
    with pytest.raises(WorkbookError, match="split is 'dev'; it must be 'train' or 'test'"):
        data.passages("smoke", "dev")
    monkeypatch.setattr(data, "CORPUS", tmp_path)
    with pytest.raises(WorkbookError, match="git checkout data"):
        data.passages("smoke")
    (tmp_path / "test.jsonl").write_text('{"text": "fine"}\n{"words": 3}\n')
    with pytest.raises(WorkbookError, match="line 2: expected one JSON object with a field 'text'"):
        data.passages("smoke")

"""The workbook's own data: seven small sets, each in `data/<name>/`, train and test.

`data/README.md` is the data sheet. A row has an `id` and:

    corpus     text, topic
    reviews    text, sentiment, stars, topic, aspects, style
    entities   tokens, tags                                BIO
    questions  context, question, answers{text, answer_start}
    next       context, choices[4], label, topic           what comes next in a passage
    endings    context, choices[4], label
    pairs      text, text_pair, score, relation
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helpers.core import profiles
from helpers.core.errors import WorkbookError

DATA = Path(__file__).parents[2] / "data"
NAMES = ("corpus", "reviews", "entities", "questions", "next", "endings", "pairs")
SPLITS = ("train", "test")

SENTIMENTS = ("negative", "positive")
STYLES = ("plain", "wry")  # how a review is written: for strangers, or to amuse
TOPICS = ("film", "book", "food", "place", "gadget", "course")
ASPECTS = ("price", "quality", "service", "looks", "time", "ease")
KINDS = ("person", "place", "organisation", "date")
TAGS = ("O", *(f"{mark}-{kind}" for kind in KINDS for mark in "BI"))
RELATIONS = ("entails", "neutral", "contradicts")


def rows(name: str, split: str, style: str = "") -> Iterator[dict[str, Any]]:
    """The rows of one split, labels by name; of the reviews those of one `style`."""
    if name not in NAMES:
        there = ", ".join(NAMES)
        raise WorkbookError(f"no sample set is called {name!r}; there are {there}")
    if split not in SPLITS:
        raise WorkbookError(f"split is {split!r}; it must be 'train' or 'test'")
    suffix = "json" if name == "questions" else "jsonl"
    path = DATA / name / f"{split}.{suffix}"
    if not path.exists():
        raise WorkbookError(f"{path} is missing: restore it with `git checkout data`")
    text = path.read_text(encoding="utf8")
    found = _squad(text, path) if name == "questions" else _json_lines(text, path)
    yield from (row for row in found if not style or row["style"] == style)


def passages(profile: str = "classroom", split: str = "test") -> list[str]:
    """Running English for this profile: a list of passages, in a fixed order.

    In `smoke` a few, in `classroom` the sample corpus whole, in `full` paragraphs of
    WikiText-2 from the Hub.
    """
    settings = profiles.profile(profile)
    if settings.online:
        from helpers.data import hub

        found = hub.load("wikitext", split)[split]["text"]
        texts = [text.strip() for text in found if len(text.split()) >= 40]
    else:
        texts = [row["text"] for row in rows("corpus", split)]
    return texts[: settings.passages]


def _json_lines(text: str, path: Path) -> Iterator[dict[str, Any]]:
    # not splitlines(): it would also cut at rare characters inside a text
    for number, line in enumerate(text.rstrip("\n").split("\n"), start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or "id" not in row:
            wanted = "expected one JSON object with an 'id'"
            raise WorkbookError(f"{path}, line {number}: {wanted}")
        yield row


def _squad(text: str, path: Path) -> Iterator[dict[str, Any]]:
    try:
        paragraphs = [
            p for article in json.loads(text)["data"] for p in article["paragraphs"]
        ]
    except (ValueError, KeyError, TypeError):
        wanted = "expected SQuAD JSON, an object with a list 'data'"
        raise WorkbookError(f"{path}: {wanted}") from None
    for paragraph in paragraphs:
        for asked in paragraph["qas"]:
            given = asked["answers"]
            answers = {key: [a[key] for a in given] for key in ("text", "answer_start")}
            row = {"id": asked["id"], "context": paragraph["context"]}
            yield row | {"question": asked["question"], "answers": answers}

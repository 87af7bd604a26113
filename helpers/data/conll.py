"""Words and their tags: CoNLL files, marked spans, and every scheme of tags."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import Any

from helpers.data.source import Bad, Source, short

TAG = re.compile(r"O|[BIESLUMW][-_]\S+")
ALIKE = str.maketrans("LUMW", "ESIS")  # marks of BILOU and BMES as BIOES has them
LONGEST = 10_000  # words in a sentence: more means that the blank lines are gone
BY_WORD = "line of its first word"  # name of a table's index
Line = tuple[int, list[str]]  # number, cells


def sentences(text: str, source: Source) -> list[tuple[str, Any]]:
    """The sentences of a CoNLL file: (place, {"tokens": [...], "tags": [...]}).

    Comments, -DOCSTART- and CoNLL-U's ranges are no words, nor is a column that counts.
    """
    blocks, width = _blocks(text)
    odd = [(n, c) for n, c in itertools.chain(*blocks) if len(c) != width or width < 2]
    if odd:
        wanted = f"{max(width, 2)}, a word and its tag among them"
        what = ((n, f"{len(c)} column(s), {short(c[0])} first") for n, c in odd)
        raise source.refuse((f"line {n}", Bad(found, wanted)) for n, found in what)
    if max(map(len, blocks)) > LONGEST:
        found = f"over {LONGEST:,} words in a row"
        raise source.bad(found, "blank lines between sentences")
    counts = width > 2 and all(map(_counts, blocks))
    if counts:
        blocks = [[line for line in b if line[1][0].isdecimal()] for b in blocks]
    taken = _columns([c for _, c in itertools.chain(*blocks)], width, counts, source)
    return [
        (f"line {b[0][0]}", {name: [c[at] for _, c in b] for name, at in taken.items()})
        for b in blocks
    ]


def _columns(
    rows: list[list[str]], width: int, counts: bool, source: Source
) -> dict[str, int]:
    """Which column holds the words, and which (the last that may be, or told) tags."""
    after = range(counts + 1, width)
    tagged = [n for n in after if all(TAG.fullmatch(row[n]) for row in rows)]
    taken = {"tokens": int(counts), "tags": (tagged or [width - 1])[-1]}
    if width > 2 and not source.columns:
        note = "column {tokens} is taken for the words and {tags} for the tags"
        note = f"of {width} columns, counted from 0, {note.format(**taken)}"
        for other in tagged[-2:-1]:
            mend = source.command(columns={**taken, "tags": other})
            note += f"; {other} holds tags too: {mend}"
        source.notes.append(note)
    taken |= source.columns or {}
    if set(taken) != {"tokens", "tags"} or not set(taken.values()) <= set(range(width)):
        wanted = f"tokens and tags, each one of the columns 0 to {width - 1}"
        raise source.bad(f"COLUMNS {source.columns}", wanted)
    return taken


def _blocks(text: str) -> tuple[list[list[Line]], int]:
    """The lines of each sentence, cut into cells; how many cells most lines have."""
    cut = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        cells = line.split("\t") if "\t" in line else re.split(" +", line.strip(" "))
        cut.append((number, cells if line.strip() and cells[0] != "-DOCSTART-" else []))
    width = Counter(len(cells) for _, cells in cut if cells).most_common(1)[0][0]
    blocks: list[list[Line]] = [[]]
    for number, cells in cut:
        tagged = len(cells) == width and any(map(TAG.fullmatch, cells[1:]))
        if not cells:
            blocks.append([])
        elif blocks[-1] or tagged or not cells[0].startswith("#"):  # else a comment
            blocks[-1].append((number, cells))
    return [block for block in blocks if block], width


def _counts(block: list[Line]) -> bool:
    """Whether the first column counts 1, 2, 3, with ranges (1-2, 1.1) between."""
    first = [c[0] for _, c in block if not re.fullmatch(r"\d+[-.]\d+", c[0])]
    if not first or not all(cell.isdecimal() for cell in first):
        return False
    return all(int(b) - int(a) == 1 for a, b in itertools.pairwise(first))


def from_spans(text: str, spans: list[Any]) -> tuple[list[str], list[str]]:
    """Words and BIO tags of a text with marked spans: [start, end, kind] or an object.

    >>> from_spans("Ada Smith codes.", [[0, 9, "PER"]])
    (['Ada', 'Smith', 'codes', '.'], ['B-PER', 'I-PER', 'O', 'O'])
    """
    at, tokens, tags = 0, [], []
    for start, end, kind in [*sorted(map(_span, spans)), (len(text), len(text), "")]:
        if not at <= start <= end <= len(text):
            wanted = f"one in the {len(text)} letters, and none over another"
            raise Bad(f"the span {[start, end, kind]}", wanted)
        outside = re.findall(r"\w+|[^\w\s]", text[at:start])
        inside = re.findall(r"\w+|[^\w\s]", text[start:end])
        tokens += outside + inside
        tags += ["O"] * len(outside)
        tags += [f"{'I' if n else 'B'}-{kind}" for n in range(len(inside))]
        at = end
    return tokens, tags


def _span(span: Any) -> tuple[int, int, str]:
    if isinstance(span, dict):  # as doccano, Prodigy and Label Studio write it
        ends = [span.get(f"{name}_offset", span.get(name)) for name in ("start", "end")]
        kind = span.get("label", span.get("labels"))
        span = [*ends, kind[0] if isinstance(kind, list) and kind else kind]
    if not isinstance(span, list) or [type(part) for part in span] != [int, int, str]:
        raise Bad(f"the span {short(span)}", "[start, end, kind]")
    return tuple(span)


def to_bio(rows: list[list[str]]) -> tuple[list[list[str]], str]:
    """Tags of any scheme as BIO, and the scheme's name, "" for BIO itself.

    BIO in which some entities begin with I- is left as it is, to be refused row by row.
    """
    from seqeval.metrics.sequence_labeling import get_entities

    told = set(itertools.chain(*rows))
    bare = "O" in told and not any(map(TAG.fullmatch, told - {"O"}))
    if bare and all(re.fullmatch(r"[^\W\d]\S*", tag) for tag in told):
        rows = [[tag if tag == "O" else f"I-{tag}" for tag in row] for row in rows]
    if not all(TAG.fullmatch(tag) for tag in itertools.chain(*rows)):
        return rows, ""
    marks, done = {tag[0] for tag in itertools.chain(*rows)}, []
    rows = [
        [f"{t[0].translate(ALIKE)}-{t[2:]}" if t[1:] else t for t in row]
        for row in rows
    ]
    for row in rows:
        done.append(["O"] * len(row))
        for kind, start, end in get_entities(row):
            done[-1][start : end + 1] = [f"B-{kind}"] + [f"I-{kind}"] * (end - start)
    if marks - set("BIO"):
        return done, "BILOU" if marks & set("LU") else "BIOES"
    # in IOB1 a B- only parts an entity from one of its kind right before it
    pairs = itertools.chain(*(itertools.pairwise(["O", *row]) for row in rows))
    free = any(tag[0] == "B" and before[2:] != tag[2:] for before, tag in pairs)
    if free or done == rows:
        return rows, ""
    return done, "kinds without B- and I-" if bare else "IOB1"

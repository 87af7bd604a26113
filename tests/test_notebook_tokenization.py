"""Notebook 01: its own WordPiece against the real one, and what its explorer does with
HTML.
"""

from __future__ import annotations

import html
import re
import sys
import unicodedata
from functools import cache

import nbformat
import pytest
from conftest import ROOT
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from helpers.checkpoints import base_tokenizer
from helpers.tokenization import explorers

NOTEBOOK = ROOT / "notebooks" / "01_tokenization.ipynb"
SCRIPT = "<script>alert(1)</script>"


@cache
def _tokenizer():
    return base_tokenizer("DistilBERT")


@cache
def _own() -> dict:
    """The functions that the notebook teaches, out of its cells tagged `wordpiece`."""
    vocab, tokenizer = _tokenizer().get_vocab(), _tokenizer()
    names = {"vocab": vocab, "tokenizer": tokenizer, "print": lambda *_, **__: None}
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if "wordpiece" in cell.metadata.get("tags", []):
            exec(cell.source, names)
    names["clean"] = cache(names["clean"])  # it is asked for every character there is
    return names


def _own_words(text: str) -> list[str]:
    return _own()["words"](_own()["normalise"](text))


def _real_words(text: str) -> list[str]:
    backend = _tokenizer().backend_tokenizer
    normal = backend.normalizer.normalize_str(text)
    return [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal)]


@cache
def _young() -> set[str]:
    """Every character that Python's Unicode tables and the library's file
    differently, between two letters.
    """
    every = [chr(n) for n in range(sys.maxunicode + 1) if not 0xD800 <= n <= 0xDFFF]
    young: set[str] = set()
    for start in range(0, len(every), 512):
        group = every[start : start + 512]
        together = "x" + "x".join(group) + "x"
        if _own_words(together) != _real_words(together):
            lines = {char: f"x{char}y" for char in group}
            young |= {c for c, x in lines.items() if _own_words(x) != _real_words(x)}
    return young


# deferred: nothing is loaded while tests are collected
ANY_TEXT = st.deferred(
    lambda: st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters=_young())
    )
)
PIECES = st.deferred(
    lambda: st.sampled_from([p.removeprefix("##") for p in _tokenizer().get_vocab()])
)
MIXED = st.lists(
    st.one_of(ANY_TEXT, PIECES, st.sampled_from([" ", "\u0301", "\u03a3"]))
)


def _agree(text: str) -> None:
    # a literal special token is a difference that the notebook shows
    assume(not any(token in text for token in _tokenizer().all_special_tokens))
    assert _own()["tokenize"](text) == _tokenizer().tokenize(text)


@settings(max_examples=400, deadline=None)
@given(ANY_TEXT)
def test_own_wordpiece_is_the_real_one_on_any_text(text):
    _agree(text)


@settings(max_examples=300, deadline=None)
@given(MIXED.map("".join))
def test_own_wordpiece_is_the_real_one_on_pieces_thrown_together(text):
    _agree(text)


def test_every_character_is_cut_alike_but_for_a_few_young_ones():
    assert len(_young()) < 600
    assert not _young() & _tokenizer().get_vocab().keys()
    # no Latin, Greek, Cyrillic or Hebrew letter among them
    assert all(char > "\u0600" for char in _young())
    assert all(unicodedata.category(char) != "Ll" for char in _young())


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("a" * 100, None),
        ("a" * 101, ["[UNK]"]),
        ("\u0301", []),
        ("\u03a3\u0391\u03a3", None),  # Python alone would write a final sigma
        ("\u0130", ["i"]),  # a capital I with a dot
        ("x\u200by\ufffdz\x00", None),
        ("\u65e5\u672c", ["\u65e5", "\u672c"]),
    ],
)
def test_corner_cases(text, pieces):
    real = _tokenizer().tokenize(text)
    assert _own()["tokenize"](text) == real
    assert pieces is None or real == pieces


def test_special_tokens_in_a_text_are_the_known_difference():
    plain = _tokenizer().tokenize("[MASK]", split_special_tokens=True)
    assert _own()["tokenize"]("[MASK]") == plain == ["[", "mask", "]"]
    assert _tokenizer().tokenize("[MASK]") == ["[MASK]"]


def _shown(page: str) -> str:
    """The text of a page's first paragraph, as a reader would see it."""
    paragraph = page[page.index("<p") : page.index("</p>")]
    return html.unescape(re.sub(r"<[^>]*>", "", paragraph))


def test_the_live_explorer_escapes_what_is_typed():
    box, picture = explorers.explorer(_tokenizer(), "Hello").children
    assert "hello" in picture.value
    box.value = SCRIPT
    assert picture.value == explorers.render(_tokenizer(), SCRIPT)
    assert "<script" not in picture.value
    assert _shown(picture.value) == SCRIPT


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_the_explorer_takes_any_text_and_shows_all_of_it(text):
    page = explorers.render(_tokenizer(), text)
    assert _shown(page) == html.unescape(explorers.visible(text))
    assert page.count("<tr>") - 1 == min(60, len(_tokenizer()(text)["input_ids"]))


def test_the_explorer_cuts_a_long_table_and_says_so():
    page = explorers.render(_tokenizer(), "word " * 100)
    assert page.count("<tr>") == 61
    assert "and 42 more" in page

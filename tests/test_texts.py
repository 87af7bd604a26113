"""Texts become sequences, and these are masked the same way whoever asks."""

import pytest
import torch

from helpers.core.errors import WorkbookError
from helpers.data.texts import (
    LengthGrouped,
    Masking,
    Sequences,
    SmoothedMasking,
    cut,
    read_texts,
    split,
)

LINE = "The river was high after the rain, and nobody could cross the old bridge that "
LINE += "week."


def test_files_folders_and_globs_are_read_a_paragraph_a_line(tmp_path):
    (tmp_path / "a.txt").write_text(f"{LINE}\n\n{LINE}\n", encoding="utf8")
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfcaf\xc3\xa9\n")
    (tmp_path / "c.md").write_text("not this one")
    folder = read_texts([str(tmp_path)])
    assert [len(rows) for rows in folder.values()] == [2, 1]
    assert folder == read_texts([str(tmp_path / "*.txt")])
    assert list(read_texts([str(tmp_path / "b.txt")]).values()) == [["café"]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"good line\nbad \xff byte\n", r"bad\.txt, line 2: byte 0xff is not UTF-8"),
        (b"\x00\x01\x02", "not a text file"),
        (b"\n  \n\n", "only blank lines"),
        (b"", "only blank lines"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path, content, words):
    with pytest.raises(WorkbookError, match="no such text file"):
        read_texts([str(tmp_path / "*.txt")])
    (tmp_path / "bad.txt").write_bytes(content)
    with pytest.raises(WorkbookError, match=words) as raised:
        read_texts([str(tmp_path / "bad.txt")])
    assert "\n" not in str(raised.value)


def test_long_paragraphs_are_cut_and_short_or_unknown_ones_left_out(tokenizer):
    rows = cut([LINE * 20, "Too short.", "☃ ☄ ★ " * 10, LINE], tokenizer, 32)
    assert all(12 <= len(row) <= 32 for row in rows)
    assert all(row[0] == 101 and row[-1] == 102 for row in rows)
    assert max(map(len, rows)) == 32
    whole = tokenizer(LINE * 20, add_special_tokens=False)["input_ids"]
    first = [token for row in rows[:-1] for token in row[1:-1]]
    assert first == whole[: 30 * (len(rows) - 1)]


def test_the_last_share_is_held_out():
    assert split(list(range(50)), 0.1) == (list(range(45)), list(range(45, 50)))
    assert split([1, 2], 0.0) == ([1, 2], [])


def sequences(tokenizer, seed=0):
    texts = [LINE[: 40 + 3 * n] * 2 for n in range(15)]
    return Sequences.of(cut(texts, tokenizer, 48), seed)


def test_no_sequences_is_one_clear_line():
    with pytest.raises(WorkbookError, match="no sequence of 12 tokens or more"):
        Sequences.of([])


def test_items_are_the_rows_and_draw_anew_for_each_epoch(tokenizer):
    rows = [[101, *range(1000, 1010 + n), 102] for n in range(4)]
    items = Sequences.of(rows)
    assert [items[i]["input_ids"] for i in range(4)] == rows
    first = [items[i]["draw"] for i in range(4)]
    items.epoch = 1
    assert len({*first, *(items[i]["draw"] for i in range(4))}) == 8


def test_masks_do_not_depend_on_the_batch(tokenizer):
    items, mask = sequences(tokenizer), Masking(tokenizer)
    together = mask([items[i] for i in range(8)])
    for i in range(8):
        alone = mask([items[i]])
        width = alone["input_ids"].shape[1]
        for name in ("input_ids", "labels", "attention_mask"):
            assert torch.equal(together[name][i, :width], alone[name][0]), name
        assert (together["labels"][i, width:] == -100).all()


@pytest.mark.parametrize("kind", ["uniform", "smoothed"])
def test_fifteen_percent_are_hidden_and_eighty_of_them_as_mask(tokenizer, kind):
    items, mask = sequences(tokenizer), Masking(tokenizer)
    ends = 2 * len(items)  # the smoothed share is one of [CLS] and [SEP] too
    if kind == "smoothed":
        mask, ends = SmoothedMasking.counted(tokenizer, items, 0.15), 0
    special = torch.tensor(tokenizer.all_special_ids)
    hidden = masked = kept = total = 0
    for epoch in range(60):
        items.epoch = epoch
        batch = mask([items[i] for i in range(len(items))])
        labels, ids = batch["labels"], batch["input_ids"]
        wanted = labels != -100
        assert not wanted[(batch["attention_mask"] == 0)].any()
        assert not torch.isin(labels[wanted], special).any()
        hidden += wanted.sum().item()
        masked += (ids[wanted] == tokenizer.mask_token_id).sum().item()
        kept += (ids[wanted] == labels[wanted]).sum().item()
        total += batch["attention_mask"].sum().item() - ends
    assert hidden / total == pytest.approx(0.15, abs=0.01)
    assert masked / hidden == pytest.approx(0.8, abs=0.025)
    assert kept / hidden == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("kind", [Masking, SmoothedMasking.counted])
def test_a_share_of_the_sequences_can_stay_clean(tokenizer, kind):
    items = sequences(tokenizer)
    more = (items,) if kind is not Masking else ()
    mask, clean = kind(tokenizer, *more, 0.15, 0.4), []
    for epoch in range(40):
        items.epoch = epoch
        rows = [items[i] for i in range(len(items))]
        batch = mask(rows)
        found = zip(rows, batch["input_ids"], batch["labels"], strict=True)
        for row, ids, labels in found:
            if row["draw"] % 1000 < 400:
                assert ids[: len(row["input_ids"])].tolist() == row["input_ids"]
                assert (labels == -100).all()
            clean.append(row["draw"] % 1000 < 400)
    assert sum(clean) / len(clean) == pytest.approx(0.4, abs=0.08)


def test_smoothed_masking_hides_rare_tokens_more_often(tokenizer):
    rare, common = 5000, 1996
    rows = [[101, *[common] * 30, rare, 102] for _ in range(20)]
    items = Sequences.of(rows)
    # few, so that rare ones do not run out
    mask = SmoothedMasking.counted(tokenizer, items, 0.01)
    counts = {rare: 0, common: 0}
    for epoch in range(200):
        items.epoch = epoch
        labels = mask([items[i] for i in range(20)])["labels"]
        for token in counts:
            counts[token] += (labels == token).sum().item()
    per_token = (counts[rare] / 20) / (counts[common] / 600)
    assert per_token == pytest.approx((600 / 20) ** 0.7, rel=0.2)


def test_order_is_grouped_by_length_and_drawn_from_seed_and_epoch_alone(tokenizer):
    items = sequences(tokenizer)
    order = list(LengthGrouped(items, 4))
    assert sorted(order) == list(range(len(items)))
    torch.manual_seed(99)
    assert list(LengthGrouped(items, 4)) == order
    items.epoch = 1
    assert list(LengthGrouped(items, 4)) != order
    assert list(LengthGrouped(sequences(tokenizer, seed=1), 4)) != order

"""What is special to `10_flash_attention`: numbers, tiles, explorer, recipe."""

from __future__ import annotations

import pytest
import torch
from cells import defined, sources
from conftest import ROOT, title_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import widths, words
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModel, AutoTokenizer

from helpers.checkpoints import distilbert
from helpers.flash_attention import exercises as check
from helpers.show import exercises as checks

NOTEBOOK = ROOT / "notebooks" / "10_flash_attention.ipynb"


def weigh(*shape):
    sizes = {"float32": 4, "float16": 2, "bfloat16": 2}
    return defined(NOTEBOOK, "weigh", BYTES=sizes)(*shape)


@pytest.fixture(scope="module")
def tiled_attention():
    return defined(NOTEBOOK, "tiled_attention", torch=torch)


# The recorded run


def test_recorded_differences_are_rounding(recorded):
    assert 0 < recorded["tiled_max_abs_diff"] < 1e-5
    assert 0 < recorded["unpadded_max_abs_diff"] < 1e-5
    errors = recorded["half_errors"]
    assert errors["float32"] < 1e-5 < errors["float16"] < errors["bfloat16"] < 0.05
    assert recorded["overflow"]


def test_recorded_silent_errors_are_large_and_the_right_way_is_not(recorded):
    found = dict(recorded["silent_errors"])
    assert found.pop("as it should be") < 1e-5
    assert len(found) == 4
    assert min(found.values()) > 0.01


def test_recorded_padding(recorded):
    shares = recorded["pad_share"]
    in_order = ["sorted by length", "as they come", "padded to 128", "padded to 512"]
    assert sorted(shares, key=shares.get) == in_order
    assert 0 < shares["sorted by length"] < 0.2


def test_recorded_speeds(recorded):
    faster = recorded["unpadded_speedup"]
    assert faster["low"] <= faster["median"] <= faster["high"]
    most = 1 / (1 - recorded["padding_in_timed_batch"])
    assert 1 < faster["median"] < 1.3 * most
    assert recorded["speedups"]["padded float32"] == 1


def test_recorded_memory_grows_with_the_square_only_where_the_matrix_is_held(recorded):
    peaks = recorded["peak_bytes"]
    plain, tiled, by_torch = (peaks[name] for name in ("plain", "tiled", "torch"))
    output, scores = 16 * 12 * 512 * 64 * 4, 16 * 12 * 512 * 512 * 4
    assert plain["512"] > 2.5 * plain["256"]
    assert plain["512"] > scores
    assert tiled["512"] < scores
    assert 0.9 * output < by_torch["512"] < plain["512"] / 3


def test_recorded_back_ends_and_shares(recorded):
    assert recorded["backends"]["eager"]
    assert recorded["backends"]["sdpa"]
    counted = recorded["attention_share_of_operations"]
    assert counted["128"] == pytest.approx(0.027, abs=1e-3)
    assert counted["512"] == pytest.approx(0.10, abs=1e-3)
    for share in recorded["attention_share_of_time"].values():
        assert 0 < share < 0.4


# What is counted


def test_bytes_are_those_of_real_tensors():
    states, scores, tiles = weigh(50, 2, 3, "float16").values()
    half = {"dtype": torch.float16}
    assert states == 4 * torch.empty(2, 3, 50, 64, **half).nbytes
    assert scores == torch.empty(2, 3, 50, 50, **half).nbytes
    assert tiles == 6 * (50 * 50 + 2 * 50) * 4
    assert weigh(512, 1, 1)["tiles"] == (128 * 128 + 2 * 512) * 4


# The tiles


@settings(max_examples=25, deadline=None)
@given(length=st.integers(1, 70), keys=st.integers(1, 70), tile=st.integers(1, 40))
def test_tiles_of_any_size_give_the_ordinary_attention(
    tiled_attention, length, keys, tile
):
    torch.manual_seed(length + 100 * keys)
    query = torch.randn(2, 3, length, 8, dtype=torch.float64) * 5
    key, value = torch.randn(2, 2, 3, keys, 8, dtype=torch.float64) * 5
    found = tiled_attention(query, key, value, tile)
    torch.testing.assert_close(found, scaled_dot_product_attention(query, key, value))


def test_scores_that_would_overflow_do_no_harm(tiled_attention):
    query, key, value = torch.randn(3, 1, 1, 100, 8, dtype=torch.float64) * 100
    assert (query @ key.transpose(-1, -2)).exp().isinf().any()
    found = tiled_attention(query, key, value, 16)
    torch.testing.assert_close(found, scaled_dot_product_attention(query, key, value))


def test_the_whole_matrix_is_never_held(tiled_attention):
    class Largest(TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                self.seen = max(self.seen, result.numel())
            return result

    states = torch.randn(1, 1, 512, 8)
    with Largest() as listening:
        tiled_attention(states, states, states, 32)
    assert listening.seen <= states.numel() < 512 * 512


def test_the_tiled_attention_stays_short_enough_to_read():
    (cell,) = (text for text in sources(NOTEBOOK) if "def tiled_attention(" in text)
    assert len(cell.splitlines()) < 30


# Exercises, pictures, explorer, recipe


def test_merging_blocks_is_the_softmax_of_all(tiled_attention):
    scores, values = torch.tensor([[1.0, 3.0, 2.0, 5.0], [2.0, -1.0, 4.0, 0.5]])

    def block(part):
        top = scores[part].max()
        weights = (scores[part] - top).exp()
        return tuple(float(n) for n in (top, weights.sum(), weights @ values[part]))

    halves = block(slice(0, 2)), block(slice(2, 4))
    assert checks.same(list(check.merge.answer(*halves)), list(block(slice(0, 4))))


def test_pictures_hold_what_they_are_given():
    from helpers.flash_attention import plots

    rows = {name: {64: 2**20, 128: 2**22} for name in "abc"}
    (ax,) = plots.bytes_by_length(rows, "t").axes
    assert [list(line.get_ydata()) for line in ax.lines] == [[1, 4]] * 3
    (ax,) = plots.memory({"plain": {1: 2**20}}, {1: 2**21}, "counted").axes
    assert [list(line.get_ydata()) for line in ax.lines] == [[1], [2]]
    half = {"eps": 2**-10, "max": 65504, "tiny": 2**-14}
    (ax,) = plots.spacing({"float16": half}).axes
    at = dict(zip(*ax.lines[0].get_data(), strict=True))
    assert at[1024.0] == 1  # above 1,024 fp16 counts in whole numbers
    assert ax.texts[0].get_text() == "float16 ends at 65,504"
    above, below = plots.padding([3, 1, 2]).axes
    assert "33% of the batch" in title_of(above)
    assert words(below.get_xticklabels()) == ["0", "3", "4", "6"]
    (ax,) = plots.attention_share({64: 0.1}, {64: (0.2, 0.1, 0.3)}, "t").axes
    assert list(ax.lines[0].get_ydata()) == [10]
    assert title_of(plots.tile_walk(512, 64).axes[0]).startswith("512 x 512")
    rows = {
        "sdpa fp16": {"seconds": {}, "tokens_per_second": 2e6},
        "flex": {"missing": "why"},
    }
    (ax,) = plots.gpu_speeds(
        {"all 64": {"pad_share": 0.0, "contenders": rows}}, "m"
    ).axes
    assert widths(ax) == [2]
    assert words(ax.get_yticklabels()) == ["sdpa fp16"]
    (ax,) = plots.cost(weigh, 512, 32, 12, "float32").axes
    assert widths(ax) == [192, 384, 25.5]


def test_the_explorer_follows_its_controls():
    from helpers.flash_attention.explorers import weigher

    explorer = weigher(weigh, 512, 32, 12, "float32")
    length, batch, heads, dtype, shown = explorer.children
    assert "The whole matrix: 384.0 MiB" in shown.value
    dtype.value = "float16"
    assert "The whole matrix: 192.0 MiB" in shown.value
    length.value, batch.value, heads.value = 64, 1, 1
    assert "nothing to save yet" in shown.value
    found = weigh(64, 1, 1, "float16")
    assert found["all scores"] <= found["tiles"]


def test_the_recipe_runs_alone_and_gives_the_models_vectors(
    recipe, tmp_path, monkeypatch, capsys
):
    assert len(recipe.splitlines()) <= 30
    assert "helpers" not in recipe
    file, checkpoint = tmp_path / "texts.txt", distilbert()
    texts = ["Hello, my dog is cute", "A dog.", "And a third, somewhat longer text."]
    file.write_text("\n\n".join(texts) + "\n")
    monkeypatch.setenv("CHECKPOINT", str(checkpoint))
    monkeypatch.setenv("TEXTS", str(file))
    exec(recipe, found := {})
    assert "3 texts -> (3, 384) with sdpa" in capsys.readouterr().out
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModel.from_pretrained(checkpoint, attn_implementation="eager").eval()
    for vector, text in zip(found["vectors"], texts, strict=True):
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state
        torch.testing.assert_close(vector, states[0].mean(0), atol=1e-5, rtol=1e-5)

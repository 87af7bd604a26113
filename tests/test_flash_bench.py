"""The GPU script does on a CPU, in small, all that it will do on a GPU."""

import json

import pytest
import torch
from click.testing import CliRunner

from helpers.cli import flash_bench as command
from helpers.core.errors import WorkbookError
from helpers.flash_attention import cost, flash_bench

PLAIN = [
    name
    for name, _, _, how in flash_bench.PLAN
    if how == "plain" and "flash" not in name
]
FULL_SIZE = {"dim": 768, "hidden_dim": 3072}
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="says what a CPU says")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("flash") / "flash.json"
    done = CliRunner().invoke(command, ["--quick", "--output", str(path)])
    assert done.exit_code == 0, done.output
    assert "distance from float64" in done.output
    return json.loads(path.read_text()) | {"printed": done.output}


def test_it_says_what_it_was_measured_on(report):
    assert report["quick"]
    assert "tiny" in report["weights"]
    assert {"torch", "date", "gpu", "processor"} <= report["machine"].keys()
    assert set(report["peaks"]) == set(flash_bench.DTYPES)
    assert report["skipped"] == []


@pytest.mark.parametrize("model", ["DistilBERT", "BERT-base"])
def test_every_back_end_is_held_against_float64(report, model):
    found = report["errors"][model]
    assert set(PLAIN) < found.keys()
    for name in PLAIN:
        dtype = flash_bench.DTYPES[name.split()[1]]
        assert found[name]["mean"] < 2 * torch.finfo(dtype).eps * found["unit"], name
    assert (
        found["eager fp32"]["max"]
        < found["eager fp16"]["max"]
        < found["sdpa bf16"]["max"]
    )


def test_each_kernel_by_itself_is_held_against_float64(report):
    assert {"flash", "math", "unpadded"} <= report["kernels"].keys()
    for name, error in report["kernels"].items():
        assert 0 < error["mean"] < error["max"] < 2e-3, name


@no_gpu
def test_what_is_missing_says_why(report):
    rows = report["speed"]["DistilBERT"]["realistic"]["contenders"]
    assert "FlashAttention2" in rows["flash_attention_2 fp16"]["missing"]
    assert (
        rows["unpadded fp16 as a CUDA graph"]["missing"]
        == "RuntimeError: needs a CUDA GPU"
    )
    assert "FlashAttention2" in report["printed"]


@pytest.mark.parametrize("model", ["DistilBERT", "BERT-base"])
def test_every_contender_has_its_figures(report, model):
    speeds = report["speed"][model]
    assert list(speeds) == ["realistic", "4 x realistic", "all 8"]
    for case in speeds.values():
        for name in PLAIN:
            row = case["contenders"][name]
            assert row["tokens_per_second"] == pytest.approx(
                case["tokens"] / row["seconds"]["median"]
            )
            assert (
                row["seconds"]["low"]
                <= row["seconds"]["median"]
                <= row["seconds"]["high"]
            )
            assert row["share_of_peak"] > 0
        assert (
            case["contenders"]["sdpa fp16"]["faster_than"]["sdpa fp16"]["median"] == 1
        )
    assert speeds["all 8"]["pad_share"] == 0
    assert 0.2 < speeds["realistic"]["pad_share"] < 0.9
    assert "seconds" in speeds["realistic"]["contenders"]["unpadded fp16 compiled"]


def test_the_headlines_are_the_best_of_the_unpadded_ones():
    def row(fast, share):
        ratios = {
            base: {"median": fast * n} for n, base in enumerate(flash_bench.BASES, 1)
        }
        return {"seconds": {}, "faster_than": ratios, "share_of_peak": share}

    slow, quick = row(2.0, 0.3), row(3.0, 0.6)
    rows = {
        "sdpa fp16": row(9.0, 0.9),
        "unpadded fp16": slow,
        "unpadded fp16 compiled": quick,
        "unpadded fp16 as a CUDA graph": {"missing": "no"},
    }
    speed = {"realistic": {"contenders": rows}, "all 512": {"contenders": rows}}
    assert flash_bench.headlines({"speed": {"DistilBERT": speed}}) == {
        "against eager fp32": 3.0,
        "against sdpa fp16": 6.0,
        "share of peak at 512": 0.6,
    }
    assert set(flash_bench.headlines({"speed": {}}).values()) == {None}


def test_the_time_limit_leaves_out_cases_and_lists_them(monkeypatch):
    monkeypatch.setattr(flash_bench, "errors", lambda run, model: {"unit": 1.0})
    report = flash_bench.measure(quick=True, minutes=0)
    assert report["speed"] == {"DistilBERT": {}, "BERT-base": {}}
    assert len(report["skipped"]) == 6


def test_a_trial_never_passes_for_a_measurement(tmp_path):
    with pytest.raises(WorkbookError, match="an --output of its own"):
        flash_bench.check(flash_bench.STORED, quick=True)
    if not torch.cuda.is_available():
        with pytest.raises(WorkbookError, match="no CUDA GPU"):
            flash_bench.check(tmp_path / "x.json", quick=False)


def test_the_stored_lengths_are_those_of_the_sample_texts(tokenizer):
    from helpers.data import SPLITS, passages, rows

    stored = json.loads(flash_bench.LENGTHS.read_text())
    texts = {
        "reviews": [row["text"] for s in SPLITS for row in rows("reviews", s, "wry")],
        "passages": [text for split in SPLITS for text in passages("classroom", split)],
    }
    assert stored == {
        name: [len(ids) for ids in tokenizer(each)["input_ids"]]
        for name, each in texts.items()
    }


def test_the_same_lengths_are_drawn_each_time_and_from_both_sets():
    lengths = flash_bench.realistic(256)
    assert lengths == flash_bench.realistic(256)
    assert lengths != flash_bench.realistic(256, seed=1)
    assert min(lengths) < 20
    assert max(lengths) > 100
    full = flash_bench.cases(flash_bench.FULL)
    assert list(full)[:3] == ["realistic", "4 x realistic", "all 512"]
    assert max(full["4 x realistic"]) <= 512
    assert all(
        sum(full[f"all {n}"]) == flash_bench.FULL.tokens for n in (64, 128, 256, 512)
    )


# What is counted


def test_operations_are_those_of_the_facts():
    for length, millions, share in ((128, 87, 0.027), (512, 94, 0.10)):
        flops = cost.model_flops([length], 6, **FULL_SIZE) / length / 1e6
        assert flops == pytest.approx(millions, abs=0.7)
        assert cost.attention_share(length, **FULL_SIZE) == pytest.approx(
            share, abs=1e-3
        )


def test_operations_agree_with_torchs_own_counter():
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import DistilBertConfig, DistilBertModel

    config = DistilBertConfig(n_layers=2, dim=32, n_heads=2, hidden_dim=64)
    model = DistilBertModel._from_config(config, attn_implementation="eager").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(**flash_bench.padded_batch([10, 10, 10], "cpu"))
    assert counter.get_total_flops() == cost.model_flops([10] * 3, 2, 32, 64)


def test_bytes_are_those_of_real_tensors():
    scores = torch.empty(2, 3, 50, 50, dtype=torch.float16)
    assert cost.score_bytes(50, 2, 3, "float16") == scores.nbytes
    assert cost.state_bytes(50, 2, 12) == 4 * torch.empty(2, 50, 12).nbytes
    assert cost.tile_bytes(512, 1, 1) == (128 * 128 + 2 * 512) * 4
    assert cost.tile_bytes(40, 2, 3) == 6 * (40 * 40 + 2 * 40) * 4

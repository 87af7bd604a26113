"""The GPU script does on a CPU, in small, all that it will do on a GPU."""

import gc
import json

import flash_bench
import pytest
import torch
from click.testing import CliRunner
from flash_contenders import DTYPES, NAMES

PLAIN = [
    name for name, what in NAMES.items() if what[2] == "plain" and "flash" not in name
]
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="says what a CPU says")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("flash") / "flash.json"
    gc.freeze()  # each peak is taken after a collection: of little, not of everything
    done = CliRunner().invoke(flash_bench.main, ["--quick", "--output", str(path)])
    gc.unfreeze()
    assert done.exit_code == 0, done.output
    assert "distance from float64" in done.output
    return json.loads(path.read_text()) | {"printed": done.output}


def test_it_says_what_it_was_measured_on(report):
    assert report["quick"]
    assert "tiny" in report["weights"]
    assert {"torch", "date", "gpu", "processor"} <= report["machine"].keys()
    assert set(report["peaks"]) == set(DTYPES)
    assert report["skipped"] == []
    assert report["headlines"] == flash_bench.headlines(report)


@pytest.mark.parametrize("model", ["DistilBERT", "BERT-base"])
def test_every_back_end_is_held_against_float64(report, model):
    found = report["errors"][model]
    assert set(PLAIN) < found.keys()
    for name in PLAIN:
        dtype = DTYPES[name.split()[1]]
        assert found[name]["mean"] < 2 * torch.finfo(dtype).eps * found["unit"], name
    worst = [found[name]["max"] for name in ("eager fp32", "eager fp16", "sdpa bf16")]
    assert worst == sorted(set(worst))


def test_each_kernel_by_itself_is_held_against_float64(report):
    assert {"flash", "math", "unpadded"} <= report["kernels"].keys()
    for name, error in report["kernels"].items():
        assert 0 < error["mean"] < error["max"] < 2e-3, name


@no_gpu
def test_what_is_missing_says_why(report):
    rows = report["speed"]["DistilBERT"]["realistic"]["contenders"]
    assert "FlashAttention2" in rows["flash_attention_2 fp16"]["missing"]
    graph = rows["unpadded fp16 as a CUDA graph"]
    assert graph["missing"] == "RuntimeError: needs a CUDA GPU"
    assert "FlashAttention2" in report["printed"]


@pytest.mark.parametrize("model", ["DistilBERT", "BERT-base"])
def test_every_contender_has_its_figures(report, model):
    speeds = report["speed"][model]
    assert list(speeds) == ["realistic", "4 x realistic", "all 8"]
    for case in speeds.values():
        for name in PLAIN:
            row, seconds = case["contenders"][name], case["contenders"][name]["seconds"]
            rate = case["tokens"] / seconds["median"]
            assert row["tokens_per_second"] == pytest.approx(rate)
            assert seconds["low"] <= seconds["median"] <= seconds["high"]
            assert row["share_of_peak"] > 0
        itself = case["contenders"]["sdpa fp16"]["faster_than"]["sdpa fp16"]
        assert itself["median"] == 1
    assert speeds["all 8"]["pad_share"] == 0
    assert 0.2 < speeds["realistic"]["pad_share"] < 0.9
    assert "seconds" in speeds["realistic"]["contenders"]["unpadded fp16 compiled"]


def test_the_headlines_are_the_best_of_the_unpadded_ones():
    def row(fast, share):
        bases = enumerate(flash_bench.BASES, 1)
        ratios = {base: {"median": fast * n} for n, base in bases}
        return {"seconds": {}, "faster_than": ratios, "share_of_peak": share}

    rows = {
        "sdpa fp16": row(9.0, 0.9),
        "unpadded fp16": row(2.0, 0.3),
        "unpadded fp16 compiled": row(3.0, 0.6),
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


def test_a_case_that_ends_the_process_takes_no_figures_along(monkeypatch):
    kept, rows = [], iter([{"contenders": {}}] * 2)  # the third case finds none
    monkeypatch.setattr(flash_bench, "errors", lambda run, model: {"unit": 1.0})
    monkeypatch.setattr(flash_bench, "speed", lambda *_: next(rows))
    with pytest.raises(StopIteration):
        flash_bench.measure(quick=True, keep=lambda r: kept.append(json.dumps(r)))
    assert list(json.loads(kept[-1])["speed"]["DistilBERT"]) == [
        "realistic", "4 x realistic",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (["--quick"], "Error: a quick run is no measurement: give it an --output of"),
        pytest.param([], "Error: there is no CUDA GPU here; --quick", marks=no_gpu),
    ],
)
def test_a_trial_never_passes_for_a_measurement(asked, line):
    done = CliRunner().invoke(flash_bench.main, asked)
    assert done.exit_code == 1
    assert done.output.startswith(line)
    assert not flash_bench.STORED.exists()


def test_the_stored_lengths_are_those_of_the_sample_texts(tokenizer):
    from helpers.data import SPLITS, passages, rows

    stored = json.loads(flash_bench.LENGTHS.read_text())
    texts = {
        "reviews": [row["text"] for s in SPLITS for row in rows("reviews", s, "wry")],
        "passages": [text for split in SPLITS for text in passages("classroom", split)],
    }
    for name, each in texts.items():
        assert stored.pop(name) == [len(ids) for ids in tokenizer(each)["input_ids"]]
    assert not stored


def test_the_same_lengths_are_drawn_each_time_and_from_both_sets():
    lengths = flash_bench.realistic(256)
    assert lengths == flash_bench.realistic(256)
    assert lengths != flash_bench.realistic(256, seed=1)
    assert min(lengths) < 20
    assert max(lengths) > 100
    full = flash_bench.cases(flash_bench.FULL)
    assert list(full)[:3] == ["realistic", "4 x realistic", "all 512"]
    assert max(full["4 x realistic"]) <= 512
    tokens = {sum(full[f"all {n}"]) for n in (64, 128, 256, 512)}
    assert tokens == {flash_bench.FULL.tokens}


def test_operations_agree_with_torchs_own_counter():
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import DistilBertConfig, DistilBertModel

    config = DistilBertConfig(n_layers=2, dim=32, n_heads=2, hidden_dim=64)
    model = DistilBertModel._from_config(config, attn_implementation="eager").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(**flash_bench.padded_batch([10, 10, 10], "cpu"))
    assert counter.get_total_flops() == flash_bench.operations(model, [10] * 3)
    model.config = DistilBertConfig()  # the full-size one
    for length, millions in ((128, 87), (512, 94)):
        each = flash_bench.operations(model, [length]) / length / 1e6
        assert each == pytest.approx(millions, abs=0.7)

"""The table of back ends is found by trying, and says why one is missing."""

import pytest
import torch

from helpers.flash_attention import flash

has_gpu = torch.cuda.is_available()


def by_name():
    return {backend.name: backend for backend in flash.backends()}


def test_the_table_names_each_way_once():
    names = [backend.name for backend in flash.backends()]
    assert len(set(names)) == len(names)
    always = {"eager", "sdpa", "flex_attention", "flash_attention_2", "varlen_attn"}
    assert always < set(names)


@pytest.mark.skipif(has_gpu, reason="says what a machine without a GPU says")
def test_without_a_gpu_each_missing_one_says_so():
    found = by_name()
    assert not found["varlen_attn"].available
    assert found["varlen_attn"].reason == "needs a CUDA GPU (Ampere or newer)"
    assert "a CUDA GPU" in found["flash_attention_2"].reason
    assert "picks flash for float32, flash with a mask" in found["sdpa"].reason


def test_a_gpu_and_a_package_make_it_available(monkeypatch):
    monkeypatch.setattr(flash, "has_ampere", lambda: True)
    monkeypatch.setattr(
        flash.importlib.util, "find_spec", lambda name: name != "kernels" or None
    )
    found = by_name()
    assert found["flash_attention_2"] == flash.Backend(
        "flash_attention_2", True, "the flash-attn package"
    )
    assert found["varlen_attn"].available
    assert found["kernels-community/flash-attn2"].reason == "needs the kernels package"


def test_flex_wants_a_compiler_on_a_cpu(monkeypatch):
    monkeypatch.setattr(flash.shutil, "which", lambda name: None)
    assert flash._flex(cuda=False).reason.startswith("needs a C++ compiler")
    assert flash._flex(cuda=True).available


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("masked", [False, True])
def test_on_a_cpu_sdpa_is_a_flash_algorithm_and_may_be_told_not_to_be(dtype, masked):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    assert flash.picked_kernel("cpu", dtype, masked) == "flash"
    assert flash.usable_kernels("cpu", dtype, masked) == ["flash", "math"]
    with sdpa_kernel(SDPBackend.MATH):
        assert flash.picked_kernel("cpu", dtype, masked) == "math"


def test_the_docs_switch_raises_what_the_notebook_shows():
    from transformers import DistilBertModel

    from helpers.checkpoints import distilbert

    if by_name()["flash_attention_2"].available:
        pytest.skip("the flash-attn package is here")
    with pytest.raises(ImportError, match="FlashAttention2 has been toggled on"):
        DistilBertModel.from_pretrained(
            distilbert(), attn_implementation="flash_attention_2"
        )

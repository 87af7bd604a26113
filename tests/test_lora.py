"""Adapters start as nothing and fold into ordinary weights."""

import adapters
import pytest
import torch
from torch import nn

from helpers.checkpoints import lora


@pytest.fixture
def layers():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 4)))


def test_a_fresh_adapter_changes_nothing_and_a_trained_one_merges_exactly(layers):
    x = torch.randn(5, 6)
    plain = {name: value.clone() for name, value in layers.state_dict().items()}
    before = layers(x)
    assert adapters.attach(layers, rank=2) == 2
    assert torch.equal(layers(x), before)
    for module in layers.modules():
        if isinstance(module, adapters.LoRALinear):
            nn.init.normal_(module.lora_B)
    trained = layers(x)
    assert (trained - before).abs().max() > 0.1
    with adapters.disabled(layers):
        assert torch.equal(layers(x), before)
    adapter = {n: p for n, p in layers.state_dict().items() if "lora_" in n}
    merged = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 4)))
    merged.load_state_dict(lora.merge(plain, adapter))
    assert torch.allclose(merged(x), trained, atol=1e-5)


def test_only_the_side_road_learns(layers):
    adapters.attach(layers, rank=2)
    learns = {name for name, value in layers.named_parameters() if value.requires_grad}
    assert learns == {"0.lora_A", "0.lora_B", "2.0.lora_A", "2.0.lora_B"}


def test_an_adapter_for_another_model_is_refused(layers):
    with pytest.raises(KeyError, match=r"9\.weight"):
        lora.merge(
            layers.state_dict(),
            {"9.lora_A": torch.zeros(2, 6), "9.lora_B": torch.zeros(8, 2)},
        )

"""Six layers in DistilBERT's class, and models that are fine-tuned already."""

import json

import adapters
import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.checkpoints import distilbert, ready_made
from helpers.checkpoints.ready_made import fine_tuned
from helpers.checkpoints.weights import sha256
from helpers.core.errors import WorkbookError


def test_six_layers_say_what_the_teacher_says(bert_model, tokenizer):
    from transformers import AutoModelForMaskedLM

    six = AutoModelForMaskedLM.from_pretrained(distilbert(layers=6)).eval()
    assert (type(six).__name__, six.config.n_layers) == ("DistilBertForMaskedLM", 6)
    inputs = tokenizer("The cat is [MASK] on the sofa.", return_tensors="pt")
    with torch.no_grad():
        theirs = bert_model(**inputs).logits
        mine = six(inputs["input_ids"], inputs["attention_mask"]).logits
    assert (mine - theirs).abs().max() < 1e-4


def test_what_is_not_there_is_one_line():
    for asked, words in {
        ("classroom", 4): "no DistilBERT of 4 layers here; there are 3 or 6",
        ("full", 3): "no DistilBERT of 3 layers here; there are 6",
    }.items():
        with pytest.raises(WorkbookError, match=words):
            distilbert(asked[0], layers=asked[1])
    assert distilbert("full", layers=6) == "distilbert-base-uncased"
    for asked, words in {
        ("mood",): "no model fine-tuned for 'mood' here",
        ("entities", "full"): "'entities' by DistilBERT's authors on the Hub",
    }.items():
        with pytest.raises(WorkbookError, match=words):
            fine_tuned(*asked)
    assert fine_tuned("questions", "full") == ready_made.HUB["questions"]


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A shelf with one small difference on it: a classifier of two kinds."""
    from transformers import DistilBertForSequenceClassification

    torch.manual_seed(0)
    model = DistilBertForSequenceClassification.from_pretrained(distilbert())
    model.distilbert.requires_grad_(False)
    adapters.attach(model.distilbert.transformer, 2)
    for name, parameter in model.named_parameters():
        if name.endswith("lora_B"):
            torch.nn.init.normal_(parameter, std=0.02)
    learned = {n: p for n, p in model.named_parameters() if p.requires_grad}
    file = tmp_path / "mood.safetensors"
    save_file({name: p.detach().half() for name, p in learned.items()}, file)
    entry = {"class": type(model).__name__, "layers": 3, "labels": ["sad", "glad"]}
    index = {"mood": {**entry, "sha256": sha256(file)}}
    (tmp_path / "index.json").write_text(json.dumps(index))
    monkeypatch.setattr(ready_made, "FOLDER", tmp_path)
    return model.eval(), file


def test_a_difference_is_built_into_a_model_that_opens_anywhere(shelf):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    made = AutoModelForSequenceClassification.from_pretrained(fine_tuned("mood")).eval()
    assert made.config.id2label == {0: "sad", 1: "glad"}
    tokenizer = AutoTokenizer.from_pretrained(fine_tuned("mood"))
    inputs = tokenizer("A fine day.", return_tensors="pt")
    with torch.no_grad():
        gap = made(**inputs).logits - shelf[0](**inputs).logits
    assert gap.abs().max() < 0.02  # fp16


def test_another_file_than_the_recorded_one_is_refused(shelf):
    _, file = shelf
    tensors = load_file(file)
    tensors["classifier.bias"] = tensors["classifier.bias"] + 1
    save_file(tensors, file)
    with pytest.raises(WorkbookError, match="is not the recorded file"):
        fine_tuned("mood")

"""Few-shot fine-tuning: the recipe, its labels, and that it learns."""

import dataclasses

import pytest
import torch

from helpers.checkpoints import base_tokenizer
from helpers.transfer import Task, accuracy, batches, entity_f1, few_shot, sample_tasks


def test_the_sample_tasks_are_the_sets_whole():
    tasks = sample_tasks()
    assert tasks["sentiment"].names == ["0", "1"]
    assert len(tasks["entities"].names) == 9
    assert (len(tasks["sentiment"].train), len(tasks["sentiment"].test)) == (630, 210)
    assert tasks["entities"].tagging
    assert not tasks["sentiment"].tagging


def test_a_words_label_stands_on_its_first_piece():
    row = {"words": ["Mayor", "Zbigniew", "spoke"], "tags": ["O", "B-person", "O"]}
    task = Task([row], [row], 1, 1e-4, entity_f1)
    (batch,) = batches([row], base_tokenizer(), task)
    ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
    pieces = base_tokenizer().convert_ids_to_tokens(ids)
    assert [piece for piece, label in zip(pieces, labels, strict=True) if label != -100] == [
        "mayor", pieces[2], "spoke",
    ]  # fmt: skip
    assert labels[2] == task.names.index("B-person")
    assert labels[3] == -100
    assert labels[0] == labels[-1] == -100


def test_few_shot_learns_and_the_same_seed_gives_the_same_score(distilbert_model):
    whole = sample_tasks()["sentiment"]
    config, state = distilbert_model.config, distilbert_model.state_dict()
    assert few_shot(config, state, whole, seed=0) > 0.58  # half of the test rows are positive
    little = dataclasses.replace(whole, train=whole.train[:32], test=whole.test[:40], epochs=1)
    scores = {few_shot(config, state, little, seed=1) for _ in range(2)}
    assert len(scores) == 1


def test_the_weights_of_another_encoder_are_refused(distilbert_model):
    state = {"distilbert.transformer.layer.9.ffn.lin1.weight": torch.zeros(2, 2)}
    with pytest.raises(ValueError, match="not the weights of this encoder"):
        few_shot(distilbert_model.config, state, sample_tasks()["sentiment"], seed=0)


def test_accuracy_is_the_share_of_equal_pairs():
    assert accuracy([1, 0, 1, 1], [1, 1, 1, 0]) == 0.5

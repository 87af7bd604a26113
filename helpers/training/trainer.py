"""A `Trainer` that examines rows in their own order, however it groups those it learns.

`train_sampling_strategy="group_by_length"` also groups what is evaluated, so that
predictions come in another order than the rows that they are of.
"""

from __future__ import annotations

from torch.utils.data import Dataset, SequentialSampler
from transformers import Trainer


class InOrderTrainer(Trainer):
    """Row by row, `predict` answers the rows that it is given."""

    def _get_eval_sampler(self, eval_dataset: Dataset) -> SequentialSampler:
        return SequentialSampler(eval_dataset)

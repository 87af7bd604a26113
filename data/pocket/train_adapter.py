"""Train the pocket checkpoint's masked-language-model adapter.

    python data/pocket/train_adapter.py --texts ../shared/corpora \\
        --texts ../shared/corpora/modern --output build/adapter --minutes 60

Two things at once. On *masked* text the model learns to fill the gaps. On *clean* text
it is held to what the unadapted encoder says, layer by layer, by a cosine loss:
otherwise it forgets, and fine-tunes worse afterwards (the README beside this file shows
by how much). Trained: LoRA on the encoder's linear layers, the head's transform and
bias, and the one embedding row of [MASK].

It starts from the adapter that ships, or from nothing with `--rank`. Stop it whenever
you like: the same command goes on from its last checkpoint until its minutes are used
up. Runs on a GPU where there is one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import click
import torch
from adapters import attach, disabled
from budget import DEVICE, Run, batches, held_out_scores, opened
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from transformers import set_seed

from helpers.checkpoints import (
    ADAPTER,
    MASK_ROW,
    base_bert,
    base_tokenizer,
    pocket_bert_state,
)
from helpers.core.machine import machine
from helpers.data.texts import Masking


class AdapterModel(nn.Module):
    """The pocket BERT with adapters, a trainable [MASK] row, and the two losses."""

    def __init__(self, rank: int, mask_token_id: int):
        super().__init__()
        self.bert = base_bert().requires_grad_(False)
        for module in self.bert.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # an anchor that jitters is no anchor
        attach(self.bert.bert.encoder, rank)
        head = self.bert.cls.predictions
        head.transform.requires_grad_(True)
        self.bias = nn.Parameter(head.bias.detach().clone())
        embeddings = self.bert.bert.embeddings.word_embeddings.weight
        self.mask_row = nn.Parameter(embeddings[mask_token_id].detach().clone())
        self.mask_token_id = mask_token_id

    def learned(self) -> dict[str, nn.Parameter]:
        """What learns, under the names of `BertForMaskedLM`'s own state dict."""
        inside = {n: p for n, p in self.bert.named_parameters() if p.requires_grad}
        return inside | {"cls.predictions.bias": self.bias, MASK_ROW: self.mask_row}

    @torch.no_grad()
    def start_from(self, adapter: dict[str, torch.Tensor]) -> None:
        """Take over an adapter of the same rank."""
        for name, parameter in self.learned().items():
            parameter.copy_(adapter[name])

    def encode(
        self, input_ids, attention_mask
    ):  # -> hidden states of every layer, (B, S, dim)
        embeds = self.bert.bert.embeddings.word_embeddings(input_ids)
        is_mask = (input_ids == self.mask_token_id).unsqueeze(-1)
        embeds = torch.where(is_mask, self.mask_row, embeds)
        return self.bert.bert(
            inputs_embeds=embeds,
            attention_mask=attention_mask,
            output_hidden_states=True,
        ).hidden_states

    def logits(self, hidden):  # (N, dim) -> (N, V)
        weight = self.bert.bert.embeddings.word_embeddings.weight
        return functional.linear(
            self.bert.cls.predictions.transform(hidden), weight, self.bias
        )

    def losses(self, input_ids, attention_mask, labels) -> dict[str, torch.Tensor]:
        """The two losses, and masked accuracy, of a batch; rows without a label are
        clean.
        """
        hidden_states = self.encode(input_ids, attention_mask)
        wanted = labels != -100
        logits, answers = self.logits(hidden_states[-1][wanted]).float(), labels[wanted]
        masked_lm = functional.cross_entropy(logits, answers)
        clean = ~wanted.any(dim=1)
        anchor = masked_lm.new_zeros(())
        if clean.any():
            kept = [hidden[clean] for hidden in hidden_states]
            anchor = self.anchor(kept, input_ids[clean], attention_mask[clean])
        right = (logits.argmax(-1) == answers).float().mean()
        return {
            "masked_lm_loss": masked_lm,
            "anchor_loss": anchor,
            "train_masked_accuracy": right,
        }

    def anchor(self, hidden_states, input_ids, attention_mask):
        """Mean over layers and real tokens of 1 - cosine(adapted, original)."""
        with torch.no_grad(), disabled(self.bert):
            originals = self.encode(input_ids, attention_mask)
        real = attention_mask.bool()
        gaps = [
            1
            - functional.cosine_similarity(
                h[real].float(), o[real].float(), dim=-1
            ).mean()
            for h, o in zip(hidden_states[1:], originals[1:], strict=True)
        ]
        # the last layer is what a task head reads: it counts as much as the others
        # together
        return (torch.stack(gaps[:-1]).mean() + gaps[-1]) / 2

    def adapter(self) -> dict[str, torch.Tensor]:
        """What is shipped, in fp16."""
        return {
            k: v.detach().to("cpu", torch.float16).clone()
            for k, v in self.learned().items()
        }

    def merged(self) -> nn.Module:
        """The model without side roads, to be evaluated like any other."""
        plain = base_bert()
        plain.load_state_dict(pocket_bert_state(self.adapter()))
        return plain.to(DEVICE)


@click.command()
@click.option(
    "--texts", multiple=True, required=True, help="*.txt, a paragraph a line; again."
)
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option(
    "--minutes", default=60.0, help="Of training in all; raise it to train on."
)
@click.option(
    "--rank", type=int, help="Start from nothing, with a new adapter of this rank."
)
@click.option("--tokens", default=1_800, help="Tokens a step, about.")
@click.option("--clean", default=0.2, help="The share of sequences that stay clean.")
@click.option("--length", default=96, help="Ids a sequence at most.")
@click.option("--lr", default=1e-3)
@click.option("--anchor-weight", default=6.0, help="Weight of the cosine anchor.")
@click.option("--mlm-probability", default=0.2)
@click.option("--repeat", nargs=2, multiple=True, type=(str, int), metavar="TEXT TIMES")
@click.option("--save-every", default=5.0, help="Minutes between checkpoints.")
def main(texts, output, rank, length, repeat, **settings) -> None:
    """Train the masked-LM adapter on text files; resumable."""
    set_seed(0)
    tokenizer = base_tokenizer()
    sequences, held_out = opened(texts, tokenizer, length, dict(repeat))
    shipped = load_file(ADAPTER) if rank is None else None
    if shipped:
        rank = next(
            len(tensor) for name, tensor in shipped.items() if name.endswith("lora_A")
        )
    model = AdapterModel(rank, tokenizer.mask_token_id)
    if shipped:
        model.start_from(shipped)
    start = {
        "texts": [Path(text).name for text in texts], "rank": rank, "length": length,
        "from_shipped": shipped is not None, "repeat": dict(repeat),
        "pieces": len(sequences), **settings, "machine": machine(),
    }  # fmt: skip
    run = Run(output, model.to(DEVICE).learned(), start)
    collate = Masking(tokenizer, settings["mlm_probability"], settings["clean"])

    def losses(
        batch: dict[str, torch.Tensor],
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        parts = model.losses(**batch)
        return parts["masked_lm_loss"] + settings["anchor_weight"] * parts[
            "anchor_loss"
        ], parts

    def look() -> dict[str, Any]:
        save_file(model.adapter(), output / "adapter.safetensors")
        return held_out_scores(model.merged(), tokenizer, held_out)

    stream = batches(sequences, collate, settings["tokens"], seed=run.step)
    run.train(losses, stream, look, settings["save_every"])


if __name__ == "__main__":
    main()

"""Train the pocket checkpoint's masked-language-model adapter.

    python data/pocket/train_adapter.py --texts ../shared/corpora --output build/adapter

Two things at once. On *masked* text the model learns to fill the gaps. On *clean* text it is held
to what the unadapted encoder says, layer by layer, by a cosine loss: otherwise it forgets, and
fine-tunes worse afterwards (the README beside this file shows by how much). Trained: LoRA on the
encoder's linear layers, the head's transform and bias, and the one embedding row of [MASK].

Stop it whenever you like: the same command goes on from the last checkpoint. The learning rate
is flat until the last `--decay-steps`, so a run can be lengthened by raising `--steps`.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import click
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from transformers import (
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

from helpers import lora
from helpers.checkpoints import MASK_ROW, base_bert, base_tokenizer


def read_chunks(
    folder: Path, tokenizer, length: int, repeat: dict[str, int]
) -> tuple[list[list[int]], dict[str, list]]:
    """Cut every text into pieces of at most `length` ids; the last 4% of each file is held out.

    Returns (training pieces, {file name: held-out pieces}). Pieces of 11 ids or fewer are dropped,
    as in DistilBERT's own pretraining. `repeat` says how often a file's pieces come in an epoch.
    """
    train, held_out = [], {}
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise click.ClickException(f"{folder}: no *.txt files; one paragraph a line is expected")
    for file in files:
        lines = [line for line in file.read_text(encoding="utf8").splitlines() if line.strip()]
        pieces = []
        for ids in tokenizer(lines, add_special_tokens=False, verbose=False)["input_ids"]:
            for start in range(0, len(ids), length - 2):
                body = ids[start : start + length - 2]
                if len(body) > 9:
                    pieces.append([tokenizer.cls_token_id, *body, tokenizer.sep_token_id])
        cut = int(len(pieces) * 0.96)
        train += pieces[:cut] * repeat.get(file.stem, 1)
        held_out[file.stem] = pieces[cut:]
    return train, held_out


class AdapterModel(nn.Module):
    """The pocket BERT with adapters, a trainable [MASK] row, and the two losses."""

    _keys_to_ignore_on_save = None  # Trainer asks for it on resume

    def __init__(self, rank: int, anchor_weight: float, mask_token_id: int):
        super().__init__()
        self.bert = base_bert()
        self.bert.requires_grad_(False)
        for module in self.bert.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # an anchor that jitters is no anchor
        lora.attach(self.bert.bert.encoder, rank)
        for layer in self.bert.modules():
            if isinstance(layer, lora.LoRALinear):
                layer.base.to(torch.bfloat16)  # saves autocast a cast per step
        head = self.bert.cls.predictions
        head.transform.requires_grad_(True)
        self.bias = nn.Parameter(head.bias.detach().clone())
        embeddings = self.bert.bert.embeddings.word_embeddings.weight
        self.mask_row = nn.Parameter(embeddings[mask_token_id].detach().clone())
        self.mask_token_id = mask_token_id
        self.anchor_weight = anchor_weight

    def state_dict(self, *args, **kwargs):  # checkpoints hold what learns, nothing frozen
        return {n: p.detach() for n, p in self.named_parameters() if p.requires_grad}

    def encode(self, input_ids, attention_mask):
        embeds = self.bert.bert.embeddings.word_embeddings(input_ids)
        is_mask = (input_ids == self.mask_token_id).unsqueeze(-1)
        embeds = torch.where(is_mask, self.mask_row, embeds)
        return self.bert.bert(
            inputs_embeds=embeds, attention_mask=attention_mask, output_hidden_states=True
        ).hidden_states

    def logits(self, hidden):  # (N, 384) -> (N, 30522)
        weight = self.bert.bert.embeddings.word_embeddings.weight
        return functional.linear(self.bert.cls.predictions.transform(hidden), weight, self.bias)

    def forward(self, input_ids, attention_mask, labels, clean_ids, clean_mask):
        # one pass over both: the masked sequences, then the clean ones
        both = self.encode(
            torch.cat([input_ids, clean_ids]), torch.cat([attention_mask, clean_mask])
        )
        wanted = labels != -100
        masked_hidden = both[-1][: len(input_ids)][wanted]
        logits = self.logits(masked_hidden).float()
        mlm = functional.cross_entropy(logits, labels[wanted])
        anchor = self.anchor(both, clean_ids, clean_mask, first=len(input_ids))
        accuracy = (logits.argmax(-1) == labels[wanted]).float().mean()
        return {"loss": mlm + self.anchor_weight * anchor, "parts": (mlm, anchor, accuracy)}

    def anchor(self, hidden_states, clean_ids, clean_mask, first: int):
        """Mean over layers and real tokens of 1 - cosine(adapted, original)."""
        with torch.no_grad(), lora.disabled(self.bert):
            targets = self.encode(clean_ids, clean_mask)
        real = clean_mask.bool()
        gaps = [
            1
            - functional.cosine_similarity(h[first:][real].float(), t[real].float(), dim=-1).mean()
            for h, t in zip(hidden_states[1:], targets[1:], strict=True)
        ]
        # the last layer is what a task head reads: it counts as much as the others together
        return (torch.stack(gaps[:-1]).mean() + gaps[-1]) / 2

    def adapter(self) -> dict[str, torch.Tensor]:
        """What is shipped: fp16, under the names of `BertForMaskedLM`'s own state dict."""
        learned = {"cls.predictions.bias": self.bias, MASK_ROW: self.mask_row} | {
            name: value
            for name, value in self.bert.named_parameters()
            if "lora_" in name or "cls.predictions.transform" in name
        }
        return {k: v.detach().to(torch.float16).contiguous().clone() for k, v in learned.items()}


class Collator:
    """Masks a batch (80/10/10, the library's collator) and keeps a few other pieces clean."""

    def __init__(self, tokenizer, mlm_probability: float, clean: int):
        self.mask = DataCollatorForLanguageModeling(tokenizer, mlm_probability=mlm_probability)
        self.tokenizer, self.clean = tokenizer, clean

    def __call__(self, rows):
        batch = self.mask([{"input_ids": row["input_ids"]} for row in rows[self.clean :]])
        clean = self.tokenizer.pad(rows[: self.clean], return_tensors="pt")
        width = max(batch["input_ids"].shape[1], clean["input_ids"].shape[1])

        def wide(tensor, fill):
            return functional.pad(tensor, (0, width - tensor.shape[1]), value=fill)

        return {
            "input_ids": wide(batch["input_ids"], 0),
            "attention_mask": wide(batch["attention_mask"], 0),
            "labels": wide(batch["labels"], -100),
            "clean_ids": wide(clean["input_ids"], 0),
            "clean_mask": wide(clean["attention_mask"], 0),
        }


class AdapterTrainer(Trainer):
    """`Trainer` that also logs the two losses apart."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.parts: list[list[float]] = []

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        self.parts.append([p.item() for p in outputs["parts"]])
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def log(self, logs, *args, **kwargs):
        if self.parts and "loss" in logs:
            means = torch.tensor(self.parts).mean(0).tolist()
            names = ("mlm_loss", "anchor_loss", "train_masked_accuracy")
            logs.update({n: round(m, 5) for n, m in zip(names, means, strict=True)})
            self.parts.clear()
        super().log(logs, *args, **kwargs)


@torch.no_grad()
def held_out_scores(model: AdapterModel, held_out, tokenizer, limit: int) -> dict[str, float]:
    """Masked accuracy per text and over all (15%, 80/10/10, one fixed draw), and the anchor gap."""
    model.eval()
    scores, hits, total = {}, 0, 0
    mask = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15, seed=1)
    for name, pieces in held_out.items():
        right = count = 0
        for start in range(0, min(limit, len(pieces)), 32):
            rows = [{"input_ids": p} for p in pieces[start : min(limit, start + 32)]]
            batch = mask(rows)
            wanted = batch["labels"] != -100
            hidden = model.encode(batch["input_ids"], batch["attention_mask"])[-1]
            guess = model.logits(hidden[wanted]).argmax(-1)
            right += (guess == batch["labels"][wanted]).sum().item()
            count += wanted.sum().item()
        scores[name] = right / count
        hits, total = hits + right, total + count
    return {"held_out_masked_accuracy": hits / total, "targets": total, "by_text": scores}


BOTH = {"step", "seconds"}


class Log(TrainerCallback):
    """Appends to log.json (loss, held-out accuracy, seconds) and rewrites the adapter file."""

    def __init__(self, output: Path, model, held_out, tokenizer, settings: dict):
        self.output, self.model, self.held_out = output, model, held_out
        self.tokenizer, self.started = tokenizer, time.time()
        self.path = output / "log.json"
        self.log: dict = {"starts": [], "history": []}
        if self.path.exists():
            self.log = json.loads(self.path.read_text())
        step = max((h["step"] for h in self.log["history"]), default=0)
        self.log["starts"].append({"after_step": step, **settings})
        self.before = max((h["seconds"] for h in self.log["history"]), default=0)

    def add(self, step: int, values: dict):
        seconds = round(self.before + time.time() - self.started)
        # after a kill, steps since the last checkpoint are taken again: the later entry counts
        self.log["history"] = [
            h
            for h in self.log["history"]
            if h["step"] < step or (h["step"] == step and h.keys().isdisjoint(values.keys() - BOTH))
        ]
        self.log["history"].append({"step": step, "seconds": seconds, **values})
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.log, indent=1))
        temporary.replace(self.path)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "mlm_loss" in (logs or {}):
            keep = ("loss", "mlm_loss", "anchor_loss", "train_masked_accuracy", "learning_rate")
            self.add(state.global_step, {k: logs[k] for k in keep if k in logs})

    def on_save(self, args, state, control, **kwargs):
        with torch.autocast("cpu", torch.bfloat16):
            scores = held_out_scores(self.model, self.held_out, self.tokenizer, limit=48)
        self.model.train()
        self.add(state.global_step, scores)
        save_file(self.model.adapter(), self.output / "adapter.safetensors")


FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.option("--texts", type=FOLDER, required=True, help="Folder of *.txt, a paragraph a line.")
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--steps", default=30_000, help="Total steps; raise it to train on.")
@click.option("--decay-steps", default=1_500, help="The last steps, in which the rate falls to 0.")
@click.option("--batch", default=24, help="Sequences a step, the clean ones included.")
@click.option("--clean", default=6, help="How many of them stay clean, for the anchor.")
@click.option("--length", default=96, help="Ids a sequence at most.")
@click.option("--rank", default=32)
@click.option("--lr", default=1e-3)
@click.option("--anchor-weight", default=20.0, help="Weight of the cosine anchor.")
@click.option("--mlm-probability", default=0.2)
@click.option("--repeat", nargs=2, multiple=True, type=(str, int), metavar="TEXT TIMES")
@click.option("--save-every", default=500)
def main(texts, output, steps, decay_steps, batch, clean, length, rank, lr, anchor_weight,
         mlm_probability, repeat, save_every):  # fmt: skip
    """Train the masked-LM adapter on the *.txt files of a folder; resumable."""
    settings = {k: (str(v.name) if isinstance(v, Path) else v) for k, v in locals().items()}
    set_seed(0)
    tokenizer = base_tokenizer()
    train, held_out = read_chunks(texts, tokenizer, length, dict(repeat))
    settings |= {"pieces": len(train)}
    model = AdapterModel(rank, anchor_weight, tokenizer.mask_token_id)
    output.mkdir(parents=True, exist_ok=True)
    log = Log(output, model, held_out, tokenizer, settings)
    arguments = TrainingArguments(
        output_dir=str(output / "checkpoints"),
        max_steps=steps,
        per_device_train_batch_size=batch,
        train_sampling_strategy="group_by_length",
        learning_rate=lr,
        weight_decay=0.0,
        max_grad_norm=1.0,
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={"num_decay_steps": decay_steps},
        warmup_steps=200,
        bf16=True,
        use_cpu=not torch.cuda.is_available(),
        logging_steps=50,
        save_steps=save_every,
        save_total_limit=2,
        report_to=[],
        remove_unused_columns=False,
        dataloader_drop_last=True,
        seed=0,
    )
    rows = [{"input_ids": ids} for ids in train]
    trainer = AdapterTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        data_collator=Collator(tokenizer, mlm_probability, clean),
        callbacks=[log],
    )
    (output / "checkpoints").mkdir(exist_ok=True)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(output / "checkpoints")))
    log.on_save(arguments, trainer.state, trainer.control)


if __name__ == "__main__":
    main()

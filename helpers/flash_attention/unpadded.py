"""A batch without its padding: the tokens of all its rows laid end to end.

A padded batch makes a model compute rows of nothing. Here the padding is taken out
once, before the embeddings; every layer then sees one long row of real tokens, and
attention alone has to know where a text ends and the next begins. It is told by
`cu_seqlens`, the running sum of the lengths: torch's built-in Flash Attention 2 takes
exactly that (`varlen_attn`, CUDA, half precision), and everywhere else
`scaled_dot_product_attention` does one text after the other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import flash_attention_mask

from helpers.core.errors import WorkbookError

NAME = "unpadded"  # with "flash" or "/" in it, it would be the library's or the Hub's
POOLED = ("SequenceClassification", "MultipleChoice")  # they read the first token
HEADS = ("MaskedLM", "TokenClassification", "QuestionAnswering", "Model", *POOLED)


def varlen_fits(tensor: Tensor) -> bool:
    """Whether torch's varlen kernel takes it: fp16 or bf16, an Ampere GPU or newer."""
    if not tensor.is_cuda or tensor.dtype not in (torch.float16, torch.bfloat16):
        return False
    properties = torch.cuda.get_device_properties(tensor.device)
    return properties.major >= 8  # torch.compile knows this way to ask


def attend(
    states: Sequence[Tensor], borders: Tensor, longest: int, scale: float | None = None
) -> Tensor:
    """Attention inside each text of a packed row, (T, H, D).

    `states`: query, key and value, (T, H, D) each; text i is tokens `borders[i]` to
    `borders[i + 1]`, int32 (N + 1,) from 0, the longest one of `longest` tokens.
    """
    if varlen_fits(states[0]):
        from torch.nn.attention.varlen import varlen_attn

        both_sides = (borders, borders, longest, longest)
        return varlen_attn(*states, *both_sides, scale=scale)
    parts, begin = [], 0
    lengths = [end - start for start, end in pairwise(borders.tolist())]
    for length, run in groupby(lengths):  # neighbours of one length share a call
        count = len(list(run))
        end = begin + count * length
        block = (s[begin:end].unflatten(0, (count, length)) for s in states)
        each = (part.transpose(1, 2) for part in block)  # (count, H, L, D)
        attended = scaled_dot_product_attention(*each, scale=scale)
        parts.append(attended.transpose(1, 2).flatten(0, 1))
        begin = end
    return torch.cat(parts)


def unpadded_attention(
    _module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None,
    scaling: float | None = None, dropout: float = 0.0, **packed: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """The attention as `transformers` calls it: (1, H, T, D) each in, (1, T, H, D) out.

    Where texts begin is told by `cu_seq_lens_q` and `max_length_q`, the names that
    `DataCollatorWithFlattening` has for them.
    """
    if dropout:
        line = "the unpadded attention has no dropout: call model.eval() first"
        raise WorkbookError(line)
    if mask is not None or "cu_seq_lens_q" not in packed:
        line = "the unpadded attention wants packed rows: call what unpadded() gives"
        raise WorkbookError(line)
    row = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]  # (T, H, D)
    borders, longest = packed["cu_seq_lens_q"], packed["max_length_q"]
    return attend(row, borders, longest, scaling)[None], None


def pack(
    input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
) -> tuple[dict[str, Any], Tensor]:
    """Take the padding out of N rows (N, S) that are padded on the right.

    Returns what a model's forward takes, T tokens as (1, T), and each token's place in
    the flattened (N * S). The device is waited for once, to learn the lengths.
    """
    device, width = input_ids.device, input_ids.shape[1]
    real = attention_mask.to(device).bool()
    lengths, columns = real.sum(1), torch.arange(1, width + 1, device=device)
    counts, ends = torch.stack([lengths, (real * columns).amax(1)]).tolist()  # the wait
    for row, (count, end) in enumerate(zip(counts, ends, strict=True)):
        if not count:
            line = f"row {row} of the batch has no tokens: its mask is all 0"
            raise WorkbookError(line)
        if count != end:
            line = f"row {row} is not padded on the right, where padding must be"
            raise WorkbookError(line)
    borders = pad(lengths.cumsum(0), (1, 0)).to(torch.int32)  # (N + 1,)
    rows = torch.arange(len(counts), device=device)  # below (T,): each token's text
    rows = rows.repeat_interleave(lengths, output_size=sum(counts))
    positions = torch.arange(len(rows), device=device) - borders[rows]
    index = rows * width + positions
    inputs = {"input_ids": input_ids.flatten()[index], "position_ids": positions}
    if token_type_ids is not None:
        inputs["token_type_ids"] = token_type_ids.flatten()[index]
    inputs = {name: tensor[None] for name, tensor in inputs.items()}
    for side in ("q", "k"):
        inputs |= {f"cu_seq_lens_{side}": borders, f"max_length_{side}": max(counts)}
    return inputs, index


class unpadded:  # noqa: N801
    """Run a BERT or DistilBERT, bare or with any head of the workbook, without padding.

    >>> with unpadded(model) as fast:                                  # doctest: +SKIP
    ...     batch = tokenizer(texts, padding=True, return_tensors="pt")
    ...     logits = fast(**batch).logits

    The model is changed inside the block only (its attention, and a hook).
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.head, self.model, self.config = _head(model), model, model.config
        self._before, self._hook = model.config._attn_implementation, None

    def __enter__(self) -> unpadded:
        AttentionInterface.register(NAME, unpadded_attention)
        # else `transformers` would drop a padding mask, and say nothing
        AttentionMaskInterface.register(NAME, flash_attention_mask)
        self.model.set_attn_implementation(NAME)
        base = self.model.base_model
        if getattr(base, "pooler", None) is not None:  # BERT's
            self._hook = base.pooler.register_forward_pre_hook(self._first_tokens)
        elif self.head in POOLED:
            self._hook = base.register_forward_hook(self._keep_first)
        return self

    def __exit__(self, *_: Any) -> None:
        self.model.set_attn_implementation(self._before)
        if self._hook:
            self._hook.remove()

    def __call__(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """`model(...)` of a padded batch (B, S), or (B, C, S) for multiple choice.

        Equal to it up to rounding where the mask is 1; rows of padding are 0.
        `options`: `output_hidden_states`, no others: take a loss from the logits.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        given = (input_ids, mask, token_type_ids)
        flat = [None if t is None else t.flatten(0, -2) for t in given]
        (inputs, index), shape = pack(*flat), flat[0].shape
        output = self.forward_packed(inputs, **options)

        def padded(tokens: Tensor) -> Tensor:  # (1, T, ...) to (N, S, ...)
            empty = tokens.new_zeros(shape.numel(), *tokens.shape[2:])
            return empty.index_copy(0, index, tokens[0]).unflatten(0, shape)

        of_texts = {"pooler_output"} | ({"logits"} if self.head in POOLED else set())
        for name, value in list(output.items()):
            if isinstance(value, tuple):
                output[name] = tuple(map(padded, value))
            elif name not in of_texts:
                output[name] = padded(value)
        if self.head == "MultipleChoice":
            output["logits"] = output.logits.view(input_ids.shape[:-1])
        return output

    def forward_packed(self, inputs: dict[str, Any], **options: Any) -> Any:
        """The model's own forward on what `pack` gives; tokens are (1, T, ...)."""
        if unknown := set(options) - {"output_hidden_states"}:
            line = f"the unpadded forward takes no {', '.join(sorted(unknown))}"
            raise WorkbookError(line)
        longest, limit = inputs["max_length_q"], self.config.max_position_embeddings
        if longest > limit:
            line = f"a text has {longest} tokens; the model ends at {limit}"
            raise WorkbookError(line)
        self._starts = inputs["cu_seq_lens_q"][:-1]
        if self.head == "MultipleChoice":  # it wants (B, C, S), and flattens it
            inputs = {**inputs, "input_ids": inputs["input_ids"][None]}
        return self.model(**inputs, **options)

    # What pools takes `hidden[:, 0]`: of a packed row that is the first text's alone

    def _first_tokens(self, _module: Any, args: tuple[Tensor]) -> Tensor:
        """The first token of each text, (N, 1, D), of hidden states (1, T, D)."""
        return args[0][0].index_select(0, self._starts)[:, None]

    def _keep_first(self, module: Any, _args: Any, output: Any) -> Any:
        hidden = self._first_tokens(module, (output.last_hidden_state,))
        output["last_hidden_state"] = hidden
        return output


def _head(model: PreTrainedModel) -> str:
    """One of `HEADS`; a subclass counts as what it comes from."""
    known = rf"(Distil)?Bert(For)?({'|'.join(HEADS)})"
    for kind in type(model).__mro__:
        if found := re.fullmatch(known, kind.__name__):
            return found[3]
    told = f"unpadded() knows BERT's and DistilBERT's {', '.join(HEADS)}"
    raise WorkbookError(f"{told}; not {type(model).__name__}")

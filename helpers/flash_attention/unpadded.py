"""A batch without its padding: the tokens of all its rows laid end to end, through the
whole model.

A padded batch makes a model compute rows of nothing. Here the padding is taken out
once, before the embeddings; every linear layer then sees one long row of real tokens,
and attention alone has to know where one text ends and the next begins. It is told by
`cu_seqlens`, the running sum of the lengths: torch's built-in Flash Attention 2 takes
exactly that (`varlen_attn`, CUDA, half precision), and everywhere else
`scaled_dot_product_attention` does one text after the other, neighbours of equal length
together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, groupby, pairwise
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import flash_attention_mask

from helpers.core.errors import WorkbookError

NAME = "unpadded"  # transformers treats names with "flash" or "/" in them as its own or the Hub's
HALVES = (torch.float16, torch.bfloat16)
PER_TOKEN = ("MaskedLM", "TokenClassification", "QuestionAnswering", "Model")
POOLED = ("SequenceClassification", "MultipleChoice")


def varlen_fits(tensor: torch.Tensor) -> bool:
    """Whether torch's varlen kernel takes such queries: fp16 or bf16, on an Ampere GPU
    or newer.
    """
    if not tensor.is_cuda or tensor.dtype not in HALVES:
        return False
    return (
        torch.cuda.get_device_properties(tensor.device).major >= 8
    )  # torch.compile knows this


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seqlens: torch.Tensor,
    longest: int,
    scaling: float | None = None,
) -> torch.Tensor:
    """Attention inside each text of a packed row: (T, H, D) each, and the same out.

    Text i is tokens `cu_seqlens[i]` to `cu_seqlens[i + 1]`; `cu_seqlens` (N + 1,) is
    int32 and starts at 0; `longest` is the length of the longest text.
    """
    if varlen_fits(query):
        from torch.nn.attention.varlen import varlen_attn

        return varlen_attn(
            query, key, value, cu_seqlens, cu_seqlens, longest, longest, scale=scaling
        )
    parts, begin = [], 0
    for length, count in _runs(cu_seqlens):
        end = begin + count * length
        block = (
            states[begin:end]
            .unflatten(0, (count, length))
            .transpose(1, 2)  # (count, H, L, D)
            for states in (query, key, value)
        )
        attended = functional.scaled_dot_product_attention(*block, scale=scaling)
        parts.append(attended.transpose(1, 2).flatten(0, 1))
        begin = end
    return torch.cat(parts)


def _runs(cu_seqlens: torch.Tensor) -> Iterator[tuple[int, int]]:
    """(length, count) of neighbours of one length: they go through the kernel
    together.
    """
    for length, run in groupby(
        end - begin for begin, end in pairwise(cu_seqlens.tolist())
    ):
        yield length, len(list(run))


def unpadded_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **_unused: Any,
) -> tuple[torch.Tensor, None]:
    """The attention as `transformers` calls it: (B, H, S, D) each in, (B, S, H, D) out.

    Packed rows come with `cu_seq_lens_q` and `max_length_q`, under the names which
    `DataCollatorWithFlattening` gives them. A padded batch with its mask (B, S) is
    right as well, but is unpadded and padded again in each layer. Raises
    `WorkbookError` when asked for dropout.
    """
    if dropout:
        raise WorkbookError(
            "the unpadded attention has no dropout: call model.eval() first"
        )
    states = [tensor.transpose(1, 2) for tensor in (query, key, value)]  # (B, S, H, D)
    if cu_seq_lens_q is not None:
        packed = attend(
            *(tensor[0] for tensor in states), cu_seq_lens_q, max_length_q, scaling
        )
        return packed[None], None
    if (
        attention_mask is None
    ):  # no padding at all: on CUDA in half precision this runs FA2 too
        plain = functional.scaled_dot_product_attention(
            query, key, value, scale=scaling
        )
        return plain.transpose(1, 2), None
    real = attention_mask.bool()
    lengths = real.sum(-1)
    valid = attend(
        *(t[real] for t in states), running_sum(lengths), int(lengths.max()), scaling
    )
    padded = valid.new_zeros(states[0].shape)
    padded[real] = valid
    return padded, None


def register() -> None:
    """Make the attention known to `transformers` as `attn_implementation="unpadded"`.

    Both halves: without the second, `transformers` drops the padding mask and says
    nothing.
    """
    AttentionInterface.register(NAME, unpadded_attention)
    AttentionMaskInterface.register(NAME, flash_attention_mask)


def running_sum(lengths: torch.Tensor) -> torch.Tensor:
    """`cu_seqlens` (N + 1,), int32, of lengths (N,).

    >>> running_sum(torch.tensor([3, 1, 2])).tolist()
    [0, 3, 4, 6]
    """
    return functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)


class Packed(NamedTuple):
    """N texts, T tokens, end to end; and the way back to the padded (N, S)."""

    input_ids: torch.Tensor  # (1, T)
    position_ids: torch.Tensor  # (1, T), from 0 again in each text
    token_type_ids: torch.Tensor | None  # (1, T)
    cu_seqlens: torch.Tensor  # (N + 1,), int32
    longest: int
    index: torch.Tensor  # (T,), each token's place in the flattened (N * S)

    def keywords(self, model_type: str) -> dict[str, Any]:
        """What a model's forward is given."""
        types = {"token_type_ids": self.token_type_ids} if model_type == "bert" else {}
        return {
            "input_ids": self.input_ids,
            "position_ids": self.position_ids,
            "cu_seq_lens_q": self.cu_seqlens,
            "cu_seq_lens_k": self.cu_seqlens,
            "max_length_q": self.longest,
            "max_length_k": self.longest,
            **types,
        }


def pack(
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    token_type_ids: torch.Tensor | None = None,
) -> Packed:
    """Take the padding out of rows (N, S) that are padded on the right.

    The device is waited for once, to learn the lengths. Raises `WorkbookError` for a
    row without tokens and for padding that is not on the right.
    """
    columns = torch.arange(1, input_ids.shape[1] + 1, device=input_ids.device)
    real = attention_mask.to(input_ids.device).bool()
    lengths = real.sum(1)
    counted = torch.stack([lengths, (real * columns).amax(1)]).tolist()  # the one wait
    _check_rows(*counted)
    total, longest = sum(counted[0]), max(counted[0])
    cu_seqlens = running_sum(lengths)
    rows = torch.arange(len(lengths), device=input_ids.device)
    rows = rows.repeat_interleave(
        lengths, output_size=total
    )  # (T,): whose token each one is
    positions = torch.arange(total, device=input_ids.device) - cu_seqlens[rows]
    index = rows * input_ids.shape[1] + positions
    types = None if token_type_ids is None else token_type_ids.flatten()[index][None]
    return Packed(
        input_ids.flatten()[index][None],
        positions[None],
        types,
        cu_seqlens,
        longest,
        index,
    )


def _check_rows(lengths: list[int], last: list[int]) -> None:
    for row, (length, end) in enumerate(zip(lengths, last, strict=True)):
        if not length:
            raise WorkbookError(
                f"row {row} of the batch has no tokens: its mask is all 0"
            )
        if length != end:
            raise WorkbookError(
                f"row {row} is not padded on the right, where padding must be"
            )


class Unpadded:
    """A model that takes padded batches, or lists of ids, and computes no padding.

    Made by `unpadded(model)`. Outputs are of the model's own type.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.pooled = _head(model) in POOLED
        self.model, self.config = model, model.config
        self._starts = torch.empty(
            0, dtype=torch.int32
        )  # where each text of the batch begins

    def __call__(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        **options: Any,
    ) -> Any:
        """What `model(...)` gives for a padded batch (B, S), or (B, C, S) for multiple
        choice.

        Equal to it up to rounding where the mask is 1; rows of padding are 0.
        `options`: `output_hidden_states`. Raises `WorkbookError` for others, `labels`
        included: take a loss from the logits.
        """
        _check_options(options)
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        flat = (
            None if t is None else t.flatten(0, -2)
            for t in (input_ids, mask, token_type_ids)
        )
        packed = pack(*flat)
        output = self.forward_packed(packed, **options)
        shape = (input_ids.shape[:-1].numel(), input_ids.shape[-1])
        self._each(output, lambda tokens: _pad(tokens[0], packed.index, shape))
        if _head(self.model) == "MultipleChoice":
            output["logits"] = output.logits.view(input_ids.shape[:-1])
        return output

    def packed(
        self,
        sequences: Sequence[Sequence[int]],
        token_type_ids: Sequence[Sequence[int]] | None = None,
        **options: Any,
    ) -> Any:
        """The same for N lists of ids: nothing is ever padded, and no device is waited
        for.

        Logits and hidden states of tokens are (T, ...), text after text; what a head
        says of a whole text is (N, ...). For multiple choice (N, 1): the caller knows
        the choices.
        """
        _check_options(options)
        output = self.forward_packed(
            pack_lists(sequences, token_type_ids, self.device), **options
        )
        self._each(output, lambda tokens: tokens[0])
        return output

    def forward_packed(self, packed: Packed, **options: Any) -> Any:
        """The model's own forward on (1, T) tokens, with all that belongs to tokens (1,
        T, ...).
        """
        limit = self.config.max_position_embeddings
        if packed.longest > limit:
            raise WorkbookError(
                f"a text has {packed.longest} tokens; the model ends at {limit}"
            )
        self._starts = packed.cu_seqlens[:-1]
        keywords = packed.keywords(self.config.model_type)
        if (
            _head(self.model) == "MultipleChoice"
        ):  # the head wants (B, C, S), and flattens it
            keywords["input_ids"] = keywords["input_ids"][None]
        return self.model(**keywords, **options)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    def _each(self, output: Any, change: Any) -> None:
        """Apply `change` to every tensor of `output` that has a row for each token."""
        names = ["last_hidden_state", "start_logits", "end_logits"]
        for name in names if self.pooled else [*names, "logits"]:
            if output.get(name) is not None:
                output[name] = change(output[name])
        if output.get("hidden_states") is not None:
            output["hidden_states"] = tuple(map(change, output.hidden_states))

    def first_tokens(self, hidden: torch.Tensor) -> torch.Tensor:
        """The first token of each text, (N, 1, D), of packed hidden states (1, T, D).

        The heads pool `hidden[:, 0]`: of a packed row that would be the first text's
        alone.
        """
        return hidden[0].index_select(0, self._starts)[:, None]


@contextmanager
def unpadded(model: PreTrainedModel) -> Iterator[Unpadded]:
    """Run a BERT or DistilBERT, bare or with any head of the workbook, without padding.

    >>> with unpadded(model) as fast:                                          # doctest: +SKIP
    ...     logits = fast(**tokenizer(texts, padding=True, return_tensors="pt")).logits

    The model is changed inside the block only (its attention, and two hooks). Raises
    `WorkbookError` for a model that it does not know.
    """
    fast, before = Unpadded(model), model.config._attn_implementation
    register()
    hooks = _pool_first_tokens(fast)
    try:
        model.set_attn_implementation(NAME)
        yield fast
    finally:
        model.set_attn_implementation(before)
        for hook in hooks:
            hook.remove()


def _pool_first_tokens(fast: Unpadded) -> list[Any]:
    """Hooks that hand each text's first token to what pools: BERT's pooler,
    DistilBERT's heads.
    """
    base = fast.model.base_model
    if getattr(base, "pooler", None) is not None:
        return [
            base.pooler.register_forward_pre_hook(
                lambda _, args: fast.first_tokens(args[0])
            )
        ]
    if not fast.pooled:
        return []

    def keep_first(_module: Any, _args: Any, output: Any) -> Any:
        output["last_hidden_state"] = fast.first_tokens(output.last_hidden_state)
        return output

    return [base.register_forward_hook(keep_first)]


def _head(model: PreTrainedModel) -> str:
    """ "MaskedLM", ..., or "Model" for the bare one; a subclass counts as what it comes
    from.
    """
    for kind in type(model).__mro__:
        for family in ("DistilBert", "Bert"):
            name = kind.__name__.removeprefix(family).removeprefix("For")
            if kind.__name__.startswith(family) and name in (*PER_TOKEN, *POOLED):
                return name
    known = ", ".join((*PER_TOKEN, *POOLED))
    raise WorkbookError(
        f"unpadded() knows BERT's and DistilBERT's {known}; not {type(model).__name__}"
    )


def pack_lists(
    sequences: Sequence[Sequence[int]],
    token_type_ids: Sequence[Sequence[int]] | None = None,
    device: torch.device | str = "cpu",
) -> Packed:
    """`pack` for lists of ids that were never padded. Raises `WorkbookError` for an
    empty one.
    """
    lengths = [len(sequence) for sequence in sequences]
    if not lengths:
        raise WorkbookError("there are no texts to run")
    _check_rows(lengths, lengths)

    def row(lists: Iterable[Sequence[int]]) -> torch.Tensor:
        return torch.tensor(list(chain.from_iterable(lists)), device=device)

    types = None if token_type_ids is None else row(token_type_ids)[None]
    cu_seqlens = running_sum(torch.tensor(lengths)).to(device)
    ids, positions = row(sequences), row(map(range, lengths))
    places = torch.arange(len(ids), device=device)
    return Packed(ids[None], positions[None], types, cu_seqlens, max(lengths), places)


def _pad(
    tokens: torch.Tensor, index: torch.Tensor, shape: tuple[int, int]
) -> torch.Tensor:
    """Tokens (T, ...) back at their places in (N, S, ...), 0 elsewhere."""
    flat = tokens.new_zeros(shape[0] * shape[1], *tokens.shape[1:])
    return flat.index_copy(0, index, tokens).view(*shape, *tokens.shape[1:])


def _check_options(options: dict[str, Any]) -> None:
    if unknown := set(options) - {"output_hidden_states"}:
        raise WorkbookError(
            f"the unpadded forward takes no {', '.join(sorted(unknown))}"
        )

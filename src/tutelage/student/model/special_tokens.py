"""The tokens that begin, end and pad a text, made consistent between model, tokenizer and chat template.

Files disagree about them. A GGUF file's tokenizer may name the token that opens a chat turn as the end of text,
many tokenizers pad with the end-of-text token, and a chat model ends by more tokens than one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from tutelage.errors import StudentError

# What the vocabularies in use call the end of a text or of a turn. Generation has nothing to say after any of them.
_ENDS = (
    "<|endoftext|>",
    "<|end_of_text|>",
    "</s>",
    "<eos>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|end|>",
    "<end_of_turn>",
    "<turn|>",
)
_PADDING = re.compile(r"[<\[]\|?(?:\w*_)?pad(?:ding)?_?\d*\|?[>\]]", re.IGNORECASE)
_RESERVED = re.compile(r"[<\[].*(?:reserved|unused).*[>\]]", re.IGNORECASE)
_SENTINEL = re.compile(r"<extra_id_\d+>")  # stands for what is left out of a text: a T5 has learnt to read and write it


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """As in `Student`."""

    pad_id: int
    eos_id: int
    bos: tuple[int, ...]
    stop_ids: tuple[int, ...]
    decoder_start: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()


def repair_special_tokens(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> SpecialTokens:
    """Finds the special tokens and writes them into tokenizer, config and generation config, so that all agree.

    The end token: what the tokenizer names, if the model's configuration names it too; else what ends a turn in
    the chat template, if the configuration names it; else the configuration's first; else, where that names
    none, the tokenizer's, else the template's. A token with which the template opens a turn never is the end.
    Generation also stops at all others of these, and at tokens known by name for an end.
    Padding: the tokenizer's, unless it ends or begins a text; else a spare token of the vocabulary (named as
    padding, reserved, unknown, any other special one); else a new token "<|pad|>". A T5's decoder starts with its
    padding, which is in no mask's way: padding is told by masks alone.
    The generation config keeps nothing else, but for what an encoder-decoder model's decoder starts with: a recipe
    says how to sample, not the model's file.

    Raises: StudentError if no end token can be found, or nothing that a decoder behind an encoder starts with.
    """
    opening, closing = turn_tokens(tokenizer)
    eos_id, stop_ids = _end_tokens(name, model, tokenizer, opening, closing)
    bos, suffix = affixes(tokenizer)
    begins = {tokenizer.bos_token_id} if isinstance(tokenizer.bos_token_id, int) else set()
    pad_id = _padding(model, tokenizer, {*stop_ids, *bos, *opening, *begins})
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(eos_id)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad_id)
    tokenizer.padding_side = "left"  # as plain `generate` needs it
    start = {}
    if getattr(model.config, "is_encoder_decoder", False):
        tokenizer.padding_side = "right"  # an encoder may count its positions from the first token, padding included
        start = _decoder_start(name, model, bos)
    tokenizer.init_kwargs["padding_side"] = tokenizer.padding_side  # from where it is saved
    model.config.eos_token_id = eos_id
    model.config.pad_token_id = pad_id
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=list(stop_ids), pad_token_id=pad_id, **start
    )
    if not start:
        return SpecialTokens(pad_id, eos_id, bos, stop_ids)
    decoder_start = (start["decoder_start_token_id"], *bos)
    return SpecialTokens(pad_id, eos_id, bos, stop_ids, decoder_start, suffix)


def _decoder_start(name: str, model: PreTrainedModel, bos: tuple[int, ...]) -> dict[str, int]:
    """What plain `generate` has to know to start a decoder: its first token, and the one that begins a text, if any."""
    generation, config = model.generation_config, model.config
    for owner, key in (
        (generation, "decoder_start_token_id"),
        (config, "decoder_start_token_id"),
        (generation, "bos_token_id"),
        (config.get_text_config(), "bos_token_id"),
    ):
        token = getattr(owner, key, None)
        if isinstance(token, int):
            # Without it such a model (BART) would have to learn to write its own beginning of text.
            return {"decoder_start_token_id": token} | ({"forced_bos_token_id": bos[0]} if len(bos) == 1 else {})
    raise StudentError(
        f"{name} does not say what its decoder starts with. Set decoder_start_token_id in its generation_config.json."
    )


def turn_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[set[int], int | None]:
    """The special tokens that open the assistant's turn in the chat template, and the one that closes it."""
    if not tokenizer.chat_template:
        return set(), None
    asked = [{"role": "user", "content": "ping"}]
    try:
        request = str(tokenizer.apply_chat_template(asked, tokenize=False))
        opened = str(tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True))
        answered = str(
            tokenizer.apply_chat_template([*asked, {"role": "assistant", "content": "pong"}], tokenize=False)
        )
    except TemplateError:  # a template that refuses so short a conversation tells nothing
        return set(), None
    opening = _special_ids(tokenizer, opened.removeprefix(request)) if opened.startswith(request) else []
    _, answer, rest = answered.rpartition("pong")
    closing = _special_ids(tokenizer, rest) if answer else []
    return set(opening), closing[0] if closing else None


def _special_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    special = {*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids}
    return [token for token in tokenizer(text, add_special_tokens=False)["input_ids"] if token in special]


def _end_tokens(
    name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, opening: set[int], closing: int | None
) -> tuple[int, tuple[int, ...]]:
    rows = _embedding_rows(model)

    def usable(tokens: Iterable[int | None]) -> list[int]:
        return [token for token in tokens if token is not None and 0 <= token < rows and token not in opening]

    generation = model.generation_config.eos_token_id if model.generation_config is not None else None
    stated = usable([*_as_list(generation), *_as_list(model.config.get_text_config().eos_token_id)])
    others = usable([*_as_list(tokenizer.eos_token_id), closing])
    agreed = [token for token in others if token in stated]
    candidates = [*agreed, *stated, *others]
    if not candidates:
        raise StudentError(
            f"No end-of-text token can be found for {name}: neither its configuration nor its tokenizer names one. "
            "Set eos_token_id in its generation_config.json."
        )
    named = [tokenizer.added_tokens_decoder[token].content in _ENDS for token in sorted(tokenizer.added_tokens_decoder)]
    known = usable(token for token, is_end in zip(sorted(tokenizer.added_tokens_decoder), named, strict=True) if is_end)
    rest = sorted({*candidates, *known} - {candidates[0]})
    return candidates[0], (candidates[0], *rest)


def _as_list(tokens: object) -> list[int]:
    values = tokens if isinstance(tokens, list | tuple) else [tokens]
    return [token for token in values if isinstance(token, int)]


def affixes(tokenizer: PreTrainedTokenizerBase) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the tokenizer puts before a text, and what behind it."""
    bare = tokenizer("text", add_special_tokens=False)["input_ids"]
    whole = tokenizer("text")["input_ids"]
    starts = (start for start in range(len(whole)) if whole[start : start + len(bare)] == bare)
    start = next(starts, 0)
    return tuple(whole[:start]), tuple(whole[start + len(bare) :])


def _padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, taken: set[int]) -> int:
    rows = _embedding_rows(model)

    def free(token: int | None) -> bool:
        return token is not None and token not in taken and token < rows

    if isinstance(tokenizer.pad_token_id, int) and free(tokenizer.pad_token_id):
        return tokenizer.pad_token_id
    vocabulary = sorted((token, text) for text, token in tokenizer.get_vocab().items())
    taken = taken | {token for token, text in vocabulary if _SENTINEL.fullmatch(text)}
    for pattern in (_PADDING, _RESERVED):
        named = [(len(text), token) for token, text in vocabulary if pattern.fullmatch(text) and free(token)]
        if named:
            return min(named)[1]
    if isinstance(tokenizer.unk_token_id, int) and free(tokenizer.unk_token_id):
        return tokenizer.unk_token_id
    if len(tokenizer) >= rows:
        # A row more would make an odd vocabulary. Padding is masked everywhere, so a special token may serve.
        spare = [token for token, added in tokenizer.added_tokens_decoder.items() if added.special and free(token)]
        if spare:
            return max(spare)
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    if len(tokenizer) > rows:
        model.resize_token_embeddings(len(tokenizer))
    pad_id = tokenizer.pad_token_id
    assert isinstance(pad_id, int)  # noqa: S101 - for the type checker
    return pad_id


def _embedding_rows(model: PreTrainedModel) -> int:
    embeddings: Any = model.get_input_embeddings()
    return int(embeddings.weight.shape[0])

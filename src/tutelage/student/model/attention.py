"""Another attention function for a model, for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from transformers import PreTrainedModel
from transformers.utils import logging


@contextlib.contextmanager
def exchanged_attention(model: PreTrainedModel, name: str) -> Iterator[None]:
    """The model with a function of transformers' AttentionInterface, and with its own again afterwards.

    A model whose attention is not exchangeable keeps its own, silently: whoever needs another must compare results.
    """
    before = model.config._attn_implementation
    try:
        _set(model, name)
        yield
    finally:
        _set(model, before)


def _set(model: PreTrainedModel, name: str) -> None:
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # where it would say that the model keeps its own
    try:
        model.set_attn_implementation(name)
    finally:
        logging.set_verbosity(verbosity)

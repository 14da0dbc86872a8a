"""Gradient checkpointing: activations computed anew in the backward pass instead of kept."""

from __future__ import annotations

from transformers import PreTrainedModel


def checkpoint_activations(model: PreTrainedModel, on: bool) -> None:
    """Switches it on or off for all layers (without reentrance). The model has to support it for "on"."""
    # transformers 5.23 calls it activation checkpointing, and warns at the name it had before.
    kind = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    getattr(model, f"{kind}_checkpointing_{'enable' if on else 'disable'}")()
    if not on:
        model.disable_input_require_grads()  # which the library switches on and leaves so


def checkpoints_activations(model: PreTrainedModel) -> bool:
    """Whether it is on."""
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())

"""How the student studies, and what of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from tutelage.config.section import Beta, Count, NotNegative, Section, Share


class StudySettings(Section):
    """How the student studies (Table 10, Eqs. 2-4).

    lambda: weight of the self-reflection loss, 0 leaves it out. margin: ρ of Eq. 3.
    demonstration_weight: of a demonstration's tokens in the language-model loss (A.2).
    learning_rate: of a study that begins with the untrained student: round 1's, and each that begins anew.
    later_learning_rate: of one that goes on from a student who has been taught (None: the same).
    steps: optimizer steps a round; None studies `epochs` passes over the lesson.
    batch_size: samples an optimizer step; micro_batch_size: samples a forward pass, None takes what suits the device.
    gradient_checkpointing: computes activations anew in the backward pass, which takes a third longer and far less
        memory; None does so once memory has run out.
    max_gradient_norm: clipping; 0 leaves it out.
    checkpoint_steps: optimizer steps between checkpoints; None: one a minute, and fewer where saving takes more than a
        twentieth of the time.
    sharding: of a study on several GPUs. "none": each holds the whole student. "full": each holds a part of every
        weight, gradient and optimizer state (FSDP2), for students that do not fit one.
    """

    lambda_: NotNegative = Field(0.5, alias="lambda")
    margin: NotNegative = 1.0
    demonstration_weight: Share = 0.1
    learning_rate: PositiveFloat = 1e-6
    later_learning_rate: PositiveFloat | None = None
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    epochs: PositiveInt = 10
    steps: PositiveInt | None = None
    batch_size: PositiveInt = 16
    micro_batch_size: PositiveInt | None = None
    gradient_checkpointing: bool | None = None
    warmup_steps: Count = 100
    weight_decay: NotNegative = 0.01
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    epsilon: PositiveFloat = 1e-8
    max_gradient_norm: NotNegative = 1.0
    checkpoint_steps: PositiveInt | None = None
    sharding: Literal["none", "full"] = "none"

    def rate(self, start: int) -> float:
        """The highest learning rate of a study that begins with the student of round `start`, 0 the untrained one."""
        return self.learning_rate if start == 0 else self.later_learning_rate or self.learning_rate


class LoraSettings(Section):
    """Low-rank adapters in place of all weights (the LLM-Adapter rows of Table 1); keys and defaults as in PEFT's
    LoraConfig where it has them, but for r and lora_alpha. It needs `pip install tutelage[lora]`.

    target_modules: the layers that get one: "all-linear" (all but the head), endings of their names, or one pattern
        that a whole name fits.
    next_round: whether the next round goes on with the "same adapter", or has it "merged" into the weights and begins
        a fresh one.
    quantize: QLoRA: the frozen weights in 4 bits (NF4, double quantisation); it needs `pip install tutelage[qlora]`.
        Merged weights are quantised anew for the round after, which costs a little of what was learned.
    """

    r: PositiveInt = 16
    lora_alpha: PositiveInt = 32
    lora_dropout: Beta = 0.0
    target_modules: str | Annotated[tuple[str, ...], Field(min_length=1)] = "all-linear"
    use_rslora: bool = False
    next_round: Literal["same adapter", "merged"] = "same adapter"
    quantize: bool = False

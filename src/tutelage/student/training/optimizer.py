"""The optimizer of a study: AdamW of Table 10."""

from __future__ import annotations

import torch

from tutelage.config import StudySettings
from tutelage.student.model.student import Student


def make_optimizer(student: Student, settings: StudySettings, learning_rate: float) -> torch.optim.AdamW:
    """AdamW of Table 10; biases and norms, the parameters of one dimension, do not decay, as is usual."""
    parameters = [parameter for parameter in student.model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=learning_rate, betas=settings.betas, eps=settings.epsilon, fused=student.device.type != "mps"
    )


def allocate_state(optimizer: torch.optim.AdamW) -> None:
    """Makes the optimizer's state as its first step would: so that memory shows before that whether it suffices."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if not optimizer.state[parameter]:
                optimizer.state[parameter] = fresh_state(parameter, on_device=group["fused"])


def fresh_state(parameter: torch.Tensor, on_device: bool) -> dict[str, torch.Tensor]:
    """What AdamW keeps of a parameter, before the first step. on_device: where its count of steps is, if fused."""
    device = parameter.device if on_device else torch.device("cpu")
    return {
        "step": torch.zeros((), dtype=torch.float32, device=device),
        "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
        "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
    }

"""A checkpoint inside a study: one safetensors file, replaced in one step, so the last good one always stays."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tutelage.student.model import Student, safetensors_errors
from tutelage.workspace import write_atomically


def save_checkpoint(
    path: Path, student: Student, optimizer: torch.optim.Optimizer, step: int, fingerprint: str
) -> None:
    """Writes weights and optimizer state after `step` optimizer steps.

    fingerprint: of all that decides the study; a checkpoint of another study is never taken up.
    Raises: WorkspaceError on a full disk, with the checkpoint before it left as it was.
    """
    tensors: dict[str, Tensor] = {}
    for name, parameter in student.model.named_parameters():
        tensors[f"weight/{name}"] = parameter.detach().contiguous()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}/{name}"] = value.contiguous()
    metadata = {"step": str(step), "fingerprint": fingerprint}

    def write(partial: Path) -> None:
        with safetensors_errors():
            save_file(tensors, str(partial), metadata=metadata)

    write_atomically(path, write)


def load_checkpoint(path: Path, student: Student, optimizer: torch.optim.Optimizer, fingerprint: str) -> int:
    """Takes up weights and optimizer state; the number of optimizer steps they stand after.

    It is 0, and nothing is changed, without a checkpoint of this very study.
    """
    if not path.is_file():
        return 0
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("fingerprint") != fingerprint:
                return 0
            _restore(file, student, optimizer)
    except SafetensorError:
        return 0  # damaged from outside: renaming made it whole when it was written
    return int(metadata["step"])


@torch.no_grad()
def _restore(file: safe_open, student: Student, optimizer: torch.optim.Optimizer) -> None:
    keys = set(file.keys())
    if missing := {f"weight/{name}" for name, _ in student.model.named_parameters()} - keys:
        raise SafetensorError(f"{min(missing)} is missing")  # before anything is changed
    for name, parameter in student.model.named_parameters():
        parameter.copy_(file.get_tensor(f"weight/{name}"))
        state = {key: f"{key}/{name}" for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}/{name}" in keys}
        # AdamW counts its steps on the parameter's device only when fused; copying like it does keeps both right.
        optimizer.state[parameter] = {key: file.get_tensor(place).to(parameter.device) for key, place in state.items()}

"""A run's student as a folder for others: whole weights, or a LoRA run's adapter."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from tutelage.errors import RecipeError, WorkspaceError
from tutelage.rounds.run import Run, open_run
from tutelage.rounds.students import chosen_student, load_whole, public_base
from tutelage.student.model.lora import is_adapter, read_adapter, write_adapter
from tutelage.student.model.student import save_student
from tutelage.student.text.prompting import write_template
from tutelage.workspace import disk_errors, write_atomically

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


Also = Callable[[Run, int, Path], None]
"""Writes what else belongs into the folder, from the run and the round whose student it is."""


def export(
    folder: Path,
    to: Path,
    number: int | None = None,
    *,
    adapter: bool = False,
    dtype: str = "float32",
    also: Also | None = None,
) -> int:
    """Writes a run's student to the folder `to`; the round whose it is.

    Whole weights, with tokenizer, generation settings and the run's prompt as the chat template, load in plain
    `from_pretrained`.
    folder: the run. number: a round's student, 0 the untrained one; None: the best round's. adapter: the LoRA adapter
    by itself, as PEFT reads it. dtype: "float32", "bfloat16" or "float16". also: before the folder has its name.
    Raises: WorkspaceError if there is no such student yet, `to` is in use or cannot be written; RecipeError if the
    student has no adapter by itself, or for another dtype.
    """
    if dtype not in _DTYPES:
        raise RecipeError(f"There is no dtype {dtype!r} to export in. Take one of {', '.join(_DTYPES)}.")
    to = check_free_for_export(to)
    run = open_run(folder, lock=False)
    chosen, where = chosen_student(run.workspace, number)
    if adapter:
        _export_adapter(run, chosen, where, to, _DTYPES[dtype], also)
        return chosen
    student = load_whole(run.workspace, run.recipe, chosen, where)
    student.model.to(_DTYPES[dtype])  # type: ignore[arg-type]

    def write(partial: Path) -> None:
        save_student(student, partial)
        write_template(partial, run.recipe.prompt, run.demonstrations)
        if also is not None:
            also(run, chosen, partial)

    write_atomically(to, write)
    return chosen


def check_free_for_export(to: Path) -> Path:
    """The folder's whole path. Raises: WorkspaceError if it holds anything."""
    to = to.expanduser().resolve()
    with disk_errors(to):
        if to.exists() and (not to.is_dir() or any(to.iterdir())):
            raise WorkspaceError(f"{to} is in use already. Name another folder with --to.")
    return to


def _export_adapter(run: Run, number: int, where: Path, to: Path, dtype: torch.dtype, also: Also | None) -> None:
    if not is_adapter(where):
        raise RecipeError(
            f"The student of round {number} is no adapter: it has whole weights. Leave out --adapter to export these."
        )
    kept = read_adapter(where)
    kept = dataclasses.replace(kept, tensors={name: tensor.to(dtype) for name, tensor in kept.tensors.items()})

    def write(partial: Path) -> None:
        shutil.copytree(where, partial)
        write_adapter(kept, *public_base(run.workspace, run.recipe), partial)  # the run may lie elsewhere by now
        write_template(partial, run.recipe.prompt, run.demonstrations)
        if also is not None:
            also(run, number, partial)

    write_atomically(to, write)

"""A round's student: saved, loaded whole to answer, and loaded to study, with LoRA and without.

With LoRA, round-0/student is the whole untrained student, and a later round's is either an adapter on that or, where
adapters are merged, whole again. The base of an adapter is found in its run, which may have moved since.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from tutelage.config import LoraSettings, Recipe
from tutelage.errors import WorkspaceError
from tutelage.seeds import derive_seed
from tutelage.student.model.lora import (
    adapter_of,
    begin_adapter,
    continue_adapter,
    is_adapter,
    load_base,
    merge_adapter,
    read_adapter,
    write_adapter,
)
from tutelage.student.model.sources import PACKAGE
from tutelage.student.model.student import Student, choose_device, load_student, save_student, save_words
from tutelage.student.ranks.sharding import is_wanted
from tutelage.workspace import Workspace, read_json


def load_whole(workspace: Workspace, recipe: Recipe, number: int, folder: Path | None = None) -> Student:
    """A round's student as one model that computes what was trained: its adapter merged, 4-bit weights dequantised.

    folder: where it is; None: in the round's. Raises: WorkspaceError if it is not there yet.
    """
    lora, device = recipe.lora, recipe.student.device
    folder = folder or _existing(workspace, number)
    if lora is None:
        return load_student(str(folder), device=device)
    if not is_adapter(folder):
        return load_base(folder, device, quantize=lora.quantize and number == 0)
    student = load_base(_existing(workspace, 0), device, lora.quantize)
    merge_adapter(student, read_adapter(folder))
    return student


def studies_in_shards(recipe: Recipe) -> bool:
    """Whether each of several ranks holds a part of the student while it studies. Raises: as `is_wanted`."""
    return is_wanted(recipe.study, quantized=recipe.lora is not None and recipe.lora.quantize)


def load_learner(workspace: Workspace, recipe: Recipe, number: int) -> Student:
    """A round's student to study on; with LoRA, its own adapter on it, or a fresh one, the same for the same round.

    One that studies in shards lies on the CPU until then: a GPU need not have room for all of it.
    Raises: WorkspaceError if it is not there yet.
    """
    if not studies_in_shards(recipe):
        return _load_learner(workspace, recipe, number, recipe.student.device)
    student = _load_learner(workspace, recipe, number, "cpu")
    return replace(student, device=choose_device(recipe.student.device))


def _load_learner(workspace: Workspace, recipe: Recipe, number: int, device: str) -> Student:
    folder, lora = _existing(workspace, number), recipe.lora
    if lora is None:
        return load_student(str(folder), device=device)
    if is_adapter(folder):
        student = load_student(str(_existing(workspace, 0)), device=device, quantize=lora.quantize)
        continue_adapter(student, read_adapter(folder))
    else:
        student = load_student(str(folder), device=device, quantize=lora.quantize)
        begin_adapter(student, lora, derive_seed(recipe.seed, "lora", number + 1))
    return student


def write_learner(
    workspace: Workspace,
    recipe: Recipe,
    lora: LoraSettings,
    learner: Student,
    number: int,
    folder: Path,
    weights: dict[str, Tensor] | None = None,
) -> None:
    """Writes what a student has learned in a round: its adapter, or its weights with the adapter merged.

    weights: as `save_student` takes them.
    Raises: OSError if it cannot be written.
    """
    adapter = adapter_of(learner, weights)
    if lora.next_round == "same adapter":
        write_adapter(adapter, *public_base(workspace, recipe), folder)
        save_words(learner, folder)
        return
    # Beside the learner, whose own weights may be in 4 bits, and cannot take up an adapter without a loss.
    student = load_base(_existing(workspace, number - 1), recipe.student.device, lora.quantize)
    merge_adapter(student, adapter)
    save_student(student, folder)


def public_base(workspace: Workspace, recipe: Recipe) -> tuple[str, str | None]:
    """The model that a run's adapter goes onto elsewhere, and its revision: by name, or where the run keeps it."""
    model = recipe.student.model
    if model.startswith(PACKAGE) or model.lower().endswith(".gguf"):  # neither PEFT nor transformers would find these
        return str(workspace.round(0).student.resolve()), None
    return model, recipe.student.revision


def chosen_student(workspace: Workspace, number: int | None) -> tuple[int, Path]:
    """A round and where its student is; None: the best round's.

    Raises: WorkspaceError if there is no such student yet.
    """
    where = workspace.student if number is None else workspace.round(number).student
    if number is not None:
        check_not_deleted(workspace, number)
    if not where.is_dir() or (number is None and not workspace.outcome.is_file()):
        raise WorkspaceError(
            f"There is no student at {where} yet. Finish the run by `tutelage resume {workspace.folder}`, or name a "
            "finished round by --round (0 is the untrained student)."
        )
    return int(read_json(workspace.outcome)["best_round"]) if number is None else number, where


def _existing(workspace: Workspace, number: int) -> Path:
    folder = workspace.round(number).student
    if not folder.is_dir():
        check_not_deleted(workspace, number)
        raise WorkspaceError(f"There is no student at {folder}: round {number} has not been studied yet.")
    return folder


def check_not_deleted(workspace: Workspace, number: int) -> None:
    """Raises: WorkspaceError if the student of this round was there once, and rounds.keep let go of it."""
    place = workspace.round(number)
    if place.summary.is_file() and not place.student.is_dir():
        raise WorkspaceError(
            f'The student of round {number} was deleted, since rounds.keep is "needed". Those of round 0, the best '
            'round and the last one are there; a run with rounds.keep = "all" keeps every round\'s.'
        )

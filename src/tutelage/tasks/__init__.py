"""WHAT IS ASKED: the tasks, one file each, and one grader for all of them (answers.py)."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType

from tutelage.config import TaskSettings
from tutelage.errors import DataError, RecipeError
from tutelage.tasks import (
    chain_sum,
    commonsense_qa,
    gsm8k,
    gsm_symbolic,
    leg_counting,
    multiarith,
    own,
    strategy_qa,
    svamp,
)
from tutelage.tasks.split import LeftOut, Split, describe, split_task
from tutelage.tasks.task import Splits, Task, TaskInfo

__all__ = ["TASKS", "LeftOut", "Split", "Task", "TaskInfo", "describe", "hub_id_of", "load_task", "split_task"]

_PUBLIC: Mapping[str, ModuleType] = {
    module.INFO.name: module for module in (gsm8k, multiarith, svamp, commonsense_qa, strategy_qa)
}
_GENERATED: Mapping[str, ModuleType] = {module.INFO.name: module for module in (leg_counting, chain_sum, gsm_symbolic)}
TASKS: Mapping[str, TaskInfo] = MappingProxyType(
    {name: module.INFO for name, module in {**_PUBLIC, **_GENERATED}.items()} | {own.INFO.name: own.INFO}
)
"""Every task by its name: the five of the paper, the generated ones, and the user's own."""


def hub_id_of(name: str) -> str | None:
    """Where the Hugging Face hub has a task's data; None for one that is no public data set, or is not there."""
    return getattr(_PUBLIC.get(name), "HUB", None)


def load_task(settings: TaskSettings, seed: int) -> Task:
    """The task that a recipe names: from settings.data if it is given, else from the hub, made, or of the user's own.

    seed: of generated problems, and of the split of an own task that names none.
    Raises: RecipeError if the name is unknown or a setting does not go with it; DataError if its data is missing,
    damaged or empty.
    """
    info = TASKS.get(settings.name)
    if info is None:
        near = difflib.get_close_matches(settings.name.lower().replace("-", "_"), TASKS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "`tutelage tasks` lists them."
        raise RecipeError(f"There is no task {settings.name!r}; {hint} Known are {', '.join(TASKS)}.")
    _check_settings(settings, info)
    if info.generated:
        make: Callable[[TaskSettings, int], Task] = _GENERATED[info.name].make
        return make(settings, seed)
    if info.kind is None:
        if settings.file is None or settings.kind is None:
            raise RecipeError('The task "own" needs task.file and task.kind.')
        return own.from_file(settings.file, settings.kind, seed)
    train, test = _load_public(_PUBLIC[info.name], settings.data)
    if not train or not test:
        raise DataError(
            f"The task {info.name} has {len(train)} training and {len(test)} test questions; it needs some of each."
        )
    return Task(info.name, info.kind, info.source, info.licence, train, test)


def _load_public(module: ModuleType, folder: Path | None) -> Splits:
    if folder is None:
        from_hub: Callable[[], Splits] = module.from_hub
        return from_hub()
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}, which task.data names. It holds the data sets' original files.")
    from_folder: Callable[[Path], Splits] = module.from_folder
    return from_folder(folder)


def _check_settings(settings: TaskSettings, info: TaskInfo) -> None:
    """A setting that would have no effect is a mistake in the recipe, so it is an error."""
    generated = {
        "train_rows": settings.train_rows,
        "test_rows": settings.test_rows,
        "options": settings.options or None,
    }
    for key, value in generated.items():
        if value is not None and not info.generated:
            near = " Use task.train_questions and task.test_questions." if key.endswith("rows") else ""
            raise RecipeError(f"task.{key} is for generated tasks; {info.name} is none.{near}")
    if settings.data is not None and (info.generated or info.kind is None):
        raise RecipeError(f"task.data is for public data sets; {info.name} is none. Leave it out.")
    if settings.kind is not None and info.kind not in (None, settings.kind):
        raise RecipeError(f"task.kind is {settings.kind!r}, but the answers of {info.name} are of kind {info.kind!r}.")

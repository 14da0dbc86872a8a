"""Whether a comparison that goes on is the one that began: what it has been run with may grow, and not change.

comparison.json holds that, with the rows, columns and seeds of all calls so far: those that were left out later, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tutelage.comparisons.settings import ComparisonSettings, folder_name
from tutelage.config import Recipe
from tutelage.errors import WorkspaceError
from tutelage.recipes import read_recipe
from tutelage.rounds.run import CHANGEABLE, Run
from tutelage.workspace import read_json, write_json, write_text

_SHOWN = {"title", "table", "paper", "over"}
"""What decides nothing that is run."""
_GROWN = ("rows", "columns")


def begin(settings: ComparisonSettings, source: Path, folder: Path) -> None:
    """Writes what is compared, or checks it against what was. source: the comparison's file.

    Rows, columns and seeds may come and go, since each has runs of its own; what a row or a column of the same name is
    may not change, nor what all rows have in common. Titles, the kind of table and the paper's names may, and so may
    the judge's caps and what else may change of a run's teacher.
    Raises: WorkspaceError if something else did, or if the folder holds no comparison.
    """
    path = folder / "comparison.json"
    now = _decisive(settings)
    if path.is_file():
        before = read_json(path)
        if not (
            isinstance(before, dict) and "recipe" in before and all(type(before.get(one)) is dict for one in _GROWN)
        ):
            raise WorkspaceError(
                f"{path} is damaged, or an earlier version wrote it. Name another folder with --out; put beside this "
                "one, it takes over the runs that are finished here."
            )
        before["recipe"] = _with_defaults(before["recipe"])
        for grown in _GROWN:  # an older version wrote their names as they stood in the file
            before[grown] = {_key(name): one for name, one in before[grown].items()}
        changed = [".".join(key) for key in _differences(before, now) if not _may_change(key, before, now)]
        if changed:
            raise WorkspaceError(
                f"{folder} holds another comparison: {', '.join(changed[:5])} {'was' if len(changed) == 1 else 'were'} "
                "different when it began. Put the file back as it was, or name another folder with --out."
            )
        for grown in _GROWN:
            now[grown] = {**before[grown], **now[grown]}
    elif folder.exists() and any(folder.iterdir()):
        raise WorkspaceError(f"{folder} is in use already, and holds no comparison. Name another with --out.")
    write_json(path, now)  # first: without it the folder would pass for something else
    write_text(folder / "comparison.toml", source.read_text(encoding="utf-8"))


def _decisive(settings: ComparisonSettings) -> dict[str, Any]:
    """What decides what is run, as JSON has it; rows and columns by the names of their folders."""
    found: dict[str, Any] = json.loads(settings.model_dump_json(exclude={"recipe", "seeds", "reference", *_SHOWN}))
    for grown in _GROWN:
        found[grown] = {_key(one.pop("name")): one for one in found[grown]}
        for one in found[grown].values():
            for shown in _SHOWN & one.keys():
                del one[shown]
    row = settings.reference_row() if settings.fair else None
    reference = None if row is None else row.name
    return {
        **found,
        "reference": reference,
        "recipe": read_recipe(settings.recipe).model_dump(mode="json", by_alias=True),
    }


def _key(name: str) -> str:
    """A row or a column is another one where its runs have another folder: a name that differs in signs has the same.

    The only column of a comparison may have no name, and then no folder.
    """
    return folder_name(name) if name else ""


def _with_defaults(recipe: Any) -> Any:
    """A recipe that was written before it had all of today's keys, with these at their defaults."""
    try:
        return Recipe.model_validate_json(json.dumps(recipe), strict=True).model_dump(mode="json", by_alias=True)
    except ValidationError:  # of a version whose keys were others: it shows as different
        return recipe


def _may_change(key: tuple[str, ...], before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    first, *rest = key
    if first in _GROWN and rest:
        return rest[0] not in before[first] or rest[0] not in now[first]
    return first == "judge" and any(
        f"teacher.{'.'.join(rest)}" == one or one.startswith(f"teacher.{'.'.join(rest)}.") for one in CHANGEABLE
    )


def _differences(before: Any, now: Any) -> Iterator[tuple[str, ...]]:
    """The keys, each as its path, at which two nested values differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted({*before, *now}):
            for rest in _differences(before.get(name), now.get(name)):
                yield (name, *rest)
    elif before != now:
        yield ()


def changes_nothing(override: str) -> bool:
    """Whether an override `key=value` leaves what a run has done as it is, and how many rounds it has."""
    key = override.partition("=")[0]
    return key in CHANGEABLE and not key.startswith("rounds.")


def check_same_recipe(run: Run, recipe: Recipe) -> None:
    """Raises: WorkspaceError if a run was begun with another recipe, in a key that decides what it does."""
    before, now = (one.model_dump(mode="json", by_alias=True) for one in (run.recipe, recipe))
    keys = [".".join(key) for key in _differences(before, now)]
    changed = [key for key in keys if not changes_nothing(key) and "teacher.price" not in key]
    if changed:
        raise WorkspaceError(
            f"{run.workspace.folder} was begun with another recipe: {', '.join(changed[:5])} differ. Put the recipe "
            "back as it was, or name another folder with --out."
        )

"""Runs take over what others have done already, so that nothing is computed or paid twice.

A finished stage is taken over from any run whose hash for it is the same (see `dependencies`): its files are linked,
its teacher's calls copied from the other's ledger, and its seconds noted in the journal, as if it had been done here.
One that another run of the comparison has in hand is waited for (see `claims`).
A student that the other has let go of (rounds.keep) is trained again; what the other did with its own is taken over
only if both came of the same training, step by step, which a GPU does not promise.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.baselines import Method
from tutelage.comparisons.shared.claims import claim_of, claimed, claims_folder
from tutelage.comparisons.shared.dependencies import Key, files_of, stage_keys, untrained_key
from tutelage.config import Recipe
from tutelage.errors import WorkspaceError
from tutelage.progress import say
from tutelage.rounds.run import Run
from tutelage.teacher.books.copying import copy_round
from tutelage.workspace import KEYS, Workspace, link_tree, read_json, remove, write_atomically, write_json


@dataclass(frozen=True, slots=True)
class Taken:
    """A stage that a run took over, and the folder of the run that it came from."""

    round: int
    stage: str
    source: str


def find_untrained(recipe: Recipe, neighbours: Iterable[Path]) -> Path | None:
    """Where another run keeps the untrained student of a recipe."""
    wanted = untrained_key(recipe)
    for folder in neighbours:
        if _keys(folder).get("untrained") == wanted and (kept := Workspace(folder).round(0).student).is_dir():
            return kept
    return None


def find_neighbours(comparison: Path) -> list[Path]:
    """The runs of a comparison and of those in folders beside it."""
    beside = comparison.resolve().parent
    places = [place for runs in ("*/runs/*", "*/runs/*/*") for place in beside.glob(f"{runs}/seed-*/{KEYS}")]
    return sorted(place.parent for place in places)


def share(run: Run, method: Method, comparison: Path) -> None:
    """Has a run take each stage, when it comes to it, from one of the other runs that has finished it.

    Not before: where this run ends by a plateau, another may have gone on, and its later rounds are none of this one's.
    Writes this run's method and hashes.
    """
    keys = stage_keys(run, method)
    folder = run.workspace.folder
    if not (folder / KEYS).is_file() and (same := find_untrained(run.recipe, _others(run, comparison))) is not None:
        _link(same, run.round(0).student)  # before the others see this run, and may be linking what is replaced here
    hashes = {_name(key): value for key, value in keys.items()}
    write_json(folder / KEYS, {"method": method.name, "untrained": untrained_key(run.recipe), **hashes})
    named = {_name(key): (key, value) for key, value in keys.items()}

    @contextlib.contextmanager
    def around_stage(number: int, stage: str) -> Iterator[None]:
        found = named.get(f"{number} {stage}")
        with contextlib.ExitStack() as claim:
            if found is not None and not files_of(run.round(number), found[0][1])[-1].exists():
                path = claims_folder(comparison) / claim_of(run, method, *found)
                waiting = f"Waiting for another run, which has the {stage} of round {number} in hand"
                claim.enter_context(claimed(path, lambda: say(waiting)))
                if _take(run, *found, _others(run, comparison)) is not None:
                    say(f"Taken over: {stage} of round {number}")
                    claim.close()
            yield

    run.around_stage = around_stage


def _others(run: Run, comparison: Path) -> list[Path]:
    return [other for other in find_neighbours(comparison) if other != run.workspace.folder.resolve()]


def _take(run: Run, key: Key, value: str, others: Iterable[Path]) -> Taken | None:
    number, stage = key
    for other in others:
        workspace = Workspace(other)
        files = files_of(workspace.round(number), stage)
        if _keys(other).get(_name(key)) != value or not all(file.exists() for file in files):
            continue
        if not _trained_alike(run, workspace, number if stage == "evaluation" else number - 1):
            continue
        if stage == "feedback" and workspace.ledger.is_file():
            copy_round(workspace.ledger, run.workspace.ledger, number)
        if not link_all(files, files_of(run.round(number), stage)):
            continue
        seconds = stage_seconds(workspace.journal).get(key, 0.0)
        run.workspace.note("end", round=number, stage=stage, seconds=seconds, taken_from=str(other))
        return Taken(number, stage, str(other))
    return None


def _trained_alike(run: Run, other: Workspace, last: int) -> bool:
    """Whether two runs have the same losses and gradients at every step up to a round, and so the same student."""
    logs = [(run.round(number).training, other.round(number).training) for number in range(1, last + 1)]
    return all(ours.read_bytes() == theirs.read_bytes() for ours, theirs in logs if ours.is_file() and theirs.is_file())


def taken_stages(journal: Path) -> list[Taken]:
    """What a run took over, by its journal."""
    return [Taken(one["round"], one["stage"], one["taken_from"]) for one in _ends(journal) if "taken_from" in one]


def stage_seconds(journal: Path) -> dict[Key, float]:
    """How long each stage took, wherever it was done, by a run's journal."""
    seconds: dict[Key, float] = {}
    for one in _ends(journal):
        key = (one["round"], one["stage"])
        seconds[key] = seconds.get(key, 0.0) + one["seconds"]
    return seconds


def _ends(journal: Path) -> list[dict[str, Any]]:
    lines = journal.read_text(encoding="utf-8", errors="replace").splitlines() if journal.is_file() else []
    events = []
    for line in lines:
        with contextlib.suppress(json.JSONDecodeError):  # a kill can leave half a line, which tells nothing
            events.append(json.loads(line))
    return [event for event in events if event["event"] == "end"]


def _keys(folder: Path) -> dict[str, str]:
    path = folder / KEYS
    return dict(read_json(path)) if path.is_file() else {}


def _name(key: Key) -> str:
    return f"{key[0]} {key[1]}"


def link_all(sources: Sequence[Path], targets: Sequence[Path]) -> bool:
    """Whether all could be linked; none is if the other run lets go of its student meanwhile."""
    linked: list[Path] = []
    for source, target in zip(sources, targets, strict=True):
        try:
            _link(source, target)
        except WorkspaceError:
            if source.exists():
                raise
            for one in linked:
                remove(one)
            return False
        linked.append(target)
    return True


def _link(source: Path, target: Path) -> None:
    """The same file or folder under another name; it shares the space where the file system can.

    Nothing that a stage has finished is changed in place later, so one run cannot spoil it for the other.
    """

    write_atomically(target, lambda partial: link_tree(source, partial))

"""Claims: of the runs of a comparison that are at the same stage at the same time, one does it, and the others wait.

A claim is a file's lock, which the kernel frees when its process ends, however it ends: a run that was killed keeps
nobody waiting, and whoever waited does the stage itself. A process holds the claim of the stage that it is doing and
no other, since no stage takes place inside another, and waits for one only while it holds none: so no two processes
can wait for each other.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from tutelage import locks
from tutelage.baselines import Method
from tutelage.comparisons.shared.dependencies import Key
from tutelage.config import OpenAITeacherSettings
from tutelage.rounds.run import Run
from tutelage.teacher.openai.client import identity
from tutelage.workspace import disk_errors


def claims_folder(comparison: Path) -> Path:
    """Where a comparison has its claims while runs of it go on."""
    return comparison / "claims"


def claim_of(run: Run, method: Method, key: Key, value: str) -> str:
    """The name of a stage's claim. value: the hash of what the stage depends on.

    A paid teacher is asked by one run at a time: runs whose stages differ, such as two seeds, send it many of the same
    requests, and what the first has paid for the next one finds in the shared cache. Its limits a minute hold, too.
    """
    number, stage = key
    teacher = run.recipe.for_round(number).teacher
    asks = method.asks and stage == ("feedback" if method.trains else "evaluation")
    if not (asks and isinstance(teacher, OpenAITeacherSettings)):
        return value
    text = json.dumps(identity(teacher), sort_keys=True)
    return f"teacher-{hashlib.sha256(text.encode()).hexdigest()}"


@contextlib.contextmanager
def claimed(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Holds a claim in here. on_wait: called first if another process has it, which may be for hours."""
    with disk_errors(path):
        file = _taken(path, on_wait)
    with file:
        yield


def _taken(path: Path, on_wait: Callable[[], None]) -> IO[str]:
    """A claim's file with its lock; anew if another command's `drop_claims` deleted it before it was locked."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            file = path.open("w")
            if not locks.take(file):
                on_wait()
                locks.wait_for(file)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file


def drop_claims(comparison: Path) -> None:
    """Deletes a comparison's claims, but for those that are held: by another command that plays runs of its folder."""
    folder = claims_folder(comparison)
    for path in folder.glob("*"):
        with contextlib.suppress(OSError), path.open("r+") as file:
            if locks.take(file):
                path.unlink()
    with contextlib.suppress(OSError):  # there is none, or one is held
        folder.rmdir()

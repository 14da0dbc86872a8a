"""The run folder: its paths, atomic writes, "stage done", and a lock against two processes in one run.

    RUN/recipe.toml  environment.json  questions.jsonl  split.json  demonstrations.json  leakage.json
    RUN/teacher.sqlite  journal.jsonl  status.json  outcome.json
    RUN/student/     the best round's student
    RUN/round-1/{exam,mistakes,feedback,lesson,training,evaluation}.jsonl  student/  evaluation.json  round.json

A stage is done when its file exists: everything is written under another name, flushed, and renamed.
All times go into journal.jsonl and status.json, so that the other files are the same for the same recipe and seed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from tutelage.errors import WorkspaceError
from tutelage.locks import LOCK, take
from tutelage.records import from_json, to_json

Record = TypeVar("Record")

PARTIAL = ".partial"
"""Ending of a file or folder that is being written and has not been renamed yet."""
UNFINISHED = ".unfinished"
"""Ending of a file that a long stage appends to, and goes on with after a restart."""
KEYS = "stages.json"
"""In the folder of a comparison's run: its method, and the hash of what each of its stages depends on."""


class Round:
    """The folder of one round; round 0 is the untrained student."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder = folder / f"round-{number}"
        self.exam = self.folder / "exam.jsonl"
        self.mistakes = self.folder / "mistakes.jsonl"
        self.feedback = self.folder / "feedback.jsonl"
        self.lesson = self.folder / "lesson.jsonl"
        self.training = self.folder / "training.jsonl"
        self.checkpoint = self.folder / "checkpoint"
        self.student = self.folder / "student"
        self.answers = self.folder / "evaluation.jsonl"
        self.evaluation = self.folder / "evaluation.json"
        self.summary = self.folder / "round.json"


class Workspace:
    """A run folder. Use `create` or `open_run`; both take its lock, which the process holds until it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recipe = folder / "recipe.toml"
        self.environment = folder / "environment.json"
        self.questions = folder / "questions.jsonl"
        self.split = folder / "split.json"
        self.demonstrations = folder / "demonstrations.json"
        self.tracking = folder / "tracking.json"
        self.leakage = folder / "leakage.json"
        self.ledger = folder / "teacher.sqlite"
        self.journal = folder / "journal.jsonl"
        self.status = folder / "status.json"
        self.student = folder / "student"
        self.outcome = folder / "outcome.json"

    def round(self, number: int) -> Round:
        return Round(self.folder, number)

    @classmethod
    def create(cls, folder: Path) -> Workspace:
        """A new run folder. Raises: WorkspaceError if it holds anything, or cannot be made."""
        check_free(folder)
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        workspace = cls(folder)
        workspace._lock()
        return workspace

    @classmethod
    def open_run(cls, folder: Path, lock: bool = True) -> Workspace:
        """An existing run folder. Raises: WorkspaceError if it is none, or another process works on it."""
        workspace = cls(folder)
        if not workspace.recipe.is_file():
            raise WorkspaceError(f"{folder} is not a run folder: it holds no recipe.toml. `tutelage learn` makes one.")
        if lock:
            workspace._lock()
        return workspace

    def _lock(self) -> None:
        with disk_errors(self.folder):
            self._lock_file = (self.folder / LOCK).open("w")
        with disk_errors(self.folder):
            if not take(self._lock_file):
                raise WorkspaceError(f"Another process works on {self.folder}. Wait for it or stop it.")

    def release(self) -> None:
        """Gives the folder free, for whoever goes on with it in the same process."""
        self._lock_file.close()

    def note(self, event: str, **facts: Any) -> None:
        """Append an event, with the time, to journal.jsonl."""
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **facts})
        with disk_errors(self.journal), self.journal.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


_BEGUN = {LOCK, "questions.jsonl", "split.json", "demonstrations.json", "leakage.json", "environment.json"}
"""What a run that was cut off while it began leaves behind; with a recipe.toml it is a run that resumes."""


def check_free(folder: Path) -> None:
    """Raises: WorkspaceError if the folder cannot become a new run's because it holds something."""
    with disk_errors(folder):
        held = {entry.name.removesuffix(PARTIAL) for entry in folder.iterdir()} if folder.is_dir() else set()
        free = not folder.exists() or (folder.is_dir() and held <= _BEGUN)
    if not free:
        raise WorkspaceError(
            f"{folder} is in use already. Go on with it by `tutelage resume {folder}`, or name another with --out."
        )


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns a full disk or a folder that cannot be written into one clear error."""
    try:
        yield
    except OSError as error:
        raise WorkspaceError(
            f"{path} could not be written: {error.strerror or error}. "
            "What was finished before is kept; make room or mend the path, then `tutelage resume`."
        ) from None


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Makes a file or a folder under another name, flushes it and renames it to `path`, which it replaces.

    write: fills the path it is given. Raises: WorkspaceError on a full disk; `path` is then as it was.
    """
    partial = path.with_name(path.name + PARTIAL)
    remove(partial)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(partial)
            flush(partial)
        except BaseException:
            remove(partial)
            raise
        aside = path.with_name(path.name + ".old")
        if path.is_dir():  # a folder that is not empty cannot be replaced in one step
            remove(aside)
            path.replace(aside)
        partial.replace(path)
        remove(aside)
        flush_folder(path.parent)


def replace_soon(path: Path, text: str) -> None:
    """Makes or replaces a file in one step, so that no reader sees a half, but does not wait for the disk.

    For what is written often and worth little after a power cut, which may leave it empty. Raises: OSError.
    """
    partial = path.with_name(path.name + PARTIAL)
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def unfinished(path: Path) -> Path:
    """Where a long stage keeps what will be `path`, and goes on after a restart."""
    return path.with_name(path.name + UNFINISHED)


def remove(path: Path) -> None:
    """Deletes a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def link_tree(source: Path, target: Path) -> None:
    """A copy of a file or a folder that shares the files' space where the file system can."""

    def link(here: str, there: str) -> str:
        try:
            os.link(here, there)
        except OSError:
            shutil.copy2(here, there)
        return there

    if source.is_dir():
        shutil.copytree(source, target, copy_function=link)
    else:
        link(str(source), str(target))


def flush(path: Path) -> None:
    """Sees to it that a file, or all files of a folder, are on the disk."""
    for file in [path] if path.is_file() else [entry for entry in path.rglob("*") if entry.is_file()]:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


def flush_folder(folder: Path) -> None:
    """Sees to it that what was renamed in a folder is so on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically, as UTF-8. Raises: as `write_atomically`; WorkspaceError if `path` is a folder."""
    if path.is_dir():  # which would be replaced, with all that is in it
        raise WorkspaceError(f"{path} is a folder. Name a file in it, or another place.")
    write_atomically(path, lambda partial: _write_text(partial, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file atomically, indented."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _way_out(path: Path) -> str:
    if path.parent.name.startswith("round-"):
        return "Delete it and `tutelage resume` makes it anew."
    return "Put back a copy of it: this run cannot go on without it."


def read_json(path: Path) -> Any:
    """The value in a JSON file. Raises: WorkspaceError if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkspaceError(f"{path} cannot be read: {error}. {_way_out(path)}") from None


def write_records(path: Path, records: Iterable[Any]) -> None:
    """Writes records as JSON lines, atomically."""
    write_text(path, "".join(to_json(record) + "\n" for record in records))


def read_records(path: Path, kind: type[Record]) -> list[Record]:
    """The records in a JSON-lines file. Raises: WorkspaceError naming the first line that is damaged."""
    records = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be read: {error.strerror or error}.") from None
    for number, line in enumerate(lines, start=1):
        try:
            records.append(from_json(kind, line))
        except ValidationError as error:
            raise WorkspaceError(
                f"{path}, line {number} is damaged: {error.errors()[0]['msg']}; the line is {line[:80]!r}. "
                f"{_way_out(path)}"
            ) from None
    return records

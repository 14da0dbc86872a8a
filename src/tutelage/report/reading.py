"""A run folder read as far as it can be: a value, or a note of what is missing or damaged.

Nothing here raises for a bad run: the report of half a run is worth more than none. Files of older versions lack keys,
and those of newer ones have more: what is asked of a file is that the keys which are there are of the right type.
"""

from __future__ import annotations

import json
import re
import sqlite3
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from tutelage.errors import TutelageError
from tutelage.records import Attempt, Correction, Mistake, StoredQuestion, Triplet
from tutelage.report.shapes import Evaluation, Event, Outcome, Step, Summary
from tutelage.teacher.books.accounts import Totals, totals
from tutelage.teacher.books.view import LedgerView
from tutelage.workspace import KEYS, UNFINISHED, Round, Workspace

T = TypeVar("T")

MOST_ROUNDS = 999
"""Of a run whose report is written; the paper's have three."""
_ROUND = re.compile(r"round-(0|[1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True)
class Note:
    """What the report lacks. file: relative to the run folder. why: in a sentence, for people."""

    file: str
    state: Literal["missing", "damaged"]
    why: str


class Reading:
    """A run folder that is read file by file, each one once; `notes` tells what was missing or damaged on the way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = Workspace(folder)
        self.notes: list[Note] = []
        self._read: dict[tuple[Path, Any], Any] = {}

    def round(self, number: int) -> Round:
        return self.workspace.round(number)

    def rounds(self) -> list[int]:
        """The rounds that have a folder, in order; with those before them, whose folders may be gone.

        At most `MOST_ROUNDS`: a folder of a larger number, whoever made it, is none of a round.
        """
        numbers = [
            int(found[1])
            for path in self.folder.glob("round-*")
            if (found := _ROUND.fullmatch(path.name)) is not None and path.is_dir()
        ]
        return list(range(max((one for one in numbers if one <= MOST_ROUNDS), default=0) + 1))

    def note(self, path: Path, state: Literal["missing", "damaged"], why: str) -> None:
        """Keeps what is wrong with a file, once."""
        found = Note(str(path.relative_to(self.folder)), state, why)
        if found not in self.notes:
            self.notes.append(found)

    def value(self, path: Path, kind: type[T]) -> T | None:
        """The JSON value in a file; None if it is not there (which is no fault by itself) or damaged (noted)."""
        return cast(T | None, self._once(path, kind, lambda raw: TypeAdapter(kind).validate_json(raw)))

    def lines(self, path: Path, kind: type[T]) -> list[T] | None:
        """The values in a file of JSON lines, without the damaged ones (noted); None if it is not there.

        Half a line at the end of a file that a run still writes is left out, and no damage.
        """
        return cast(list[T] | None, self._once(path, kind, lambda raw: self._lines(path, raw, kind)))

    def _once(self, path: Path, kind: Any, parse: Callable[[bytes], Any]) -> Any:
        if (path, kind) not in self._read:
            self._read[path, kind] = self._parsed(path, parse)
        return self._read[path, kind]

    def _parsed(self, path: Path, parse: Callable[[bytes], Any]) -> Any:
        try:
            return parse(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            self.note(path, "damaged", f"It cannot be read: {error.strerror or error}.")
        except (ValidationError, ValueError, RecursionError) as error:
            self.note(path, "damaged", f"It is not what Tutelage wrote: {_first(error)}.")
        return None

    def _lines(self, path: Path, raw: bytes, kind: type[T]) -> list[T]:
        if self._is_growing(path):
            raw = raw[: raw.rfind(b"\n") + 1]
        adapter, good, bad = TypeAdapter(kind), [], []
        for number, line in enumerate(raw.splitlines(), start=1):
            try:
                good.append(adapter.validate_json(line))
            except (ValidationError, RecursionError) as error:
                bad.append((number, _first(error)))
        if bad:
            others = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
            self.note(path, "damaged", f"Line {bad[0][0]} cannot be read ({bad[0][1]}){others}; the rest is shown.")
        return good

    def _is_growing(self, path: Path) -> bool:
        return path.name.endswith(UNFINISHED) or (path == self.workspace.journal and self.outcome() is None)

    def setting(self, key: str) -> Any:
        """A value of the run's recipe by its dotted key, such as "study.lambda"; None if it has none.

        Not by way of Recipe, which refuses the keys of other versions.
        """
        value: Any = self.recipe()
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def recipe(self) -> Mapping[str, Any]:
        """The run's recipe as the TOML table that it is."""
        found = self._once(self.workspace.recipe, "toml", lambda raw: tomllib.loads(raw.decode()))
        return found if found is not None else {}

    def totals(self) -> dict[int, Totals]:
        """What each round asked of the teacher, by the ledger; empty if there is none."""
        path = self.workspace.ledger
        if (path, "totals") not in self._read:
            self._read[path, "totals"] = self._totals(path)
        return cast(dict[int, Totals], self._read[path, "totals"])

    def _totals(self, path: Path) -> dict[int, Totals]:
        try:
            if not is_file(path):
                return {}
            if not path.stat().st_size:
                self.note(path, "damaged", "It is empty.")
                return {}
            with LedgerView(path) as ledger:
                return totals(ledger)
        except (TutelageError, sqlite3.Error, OSError, ValueError, TypeError, ArithmeticError) as error:
            self.note(path, "damaged", f"The teacher's ledger cannot be read: {error}")
        return {}

    def outcome(self) -> Outcome | None:
        """How the run ended; None while it goes on, also where it has ended once and was taken up for more rounds."""
        found = self.value(self.workspace.outcome, Outcome)
        return None if found is None or self.rounds()[-1] > found.get("last_round", MOST_ROUNDS) else found

    def check(self) -> None:
        """Notes what a run that is as far as this one should have and does not, whether a section shows it or not."""
        workspace = self.workspace
        for path in (workspace.recipe, workspace.environment, workspace.split, workspace.demonstrations):
            self._expect(path)
        self._expect(workspace.leakage, "Runs begun by an older version have none.")
        self.recipe()
        for path in (workspace.environment, workspace.split, workspace.demonstrations, workspace.leakage):
            self.value(path, dict[str, Any])
        self._expect_lines(workspace.questions, StoredQuestion)
        self._expect_lines(workspace.journal, Event)
        last, ended = self.rounds()[-1], self.outcome() is not None
        for number in self.rounds():
            if number < last or ended or is_file(self.round(number).summary):
                self._check_round(number)
        if any(self._has_asked(number) for number in self.rounds() if number):
            self._expect(workspace.ledger, "What the teacher was asked and paid is not known.")
            self.totals()

    def _check_round(self, number: int) -> None:
        place = self.round(number)
        made = (place.training, place.evaluation, place.summary)
        if self.lines(place.lesson, Triplet) == [] and not any(is_file(path) for path in made):
            return  # nothing was left to teach, which ended the run
        found = self.value(place.evaluation, Evaluation) or {}
        counts = [found.get("total"), found.get("held_out", {}).get("total")]
        answered = None if None in counts else sum(filter(None, counts))
        summary = self.value(place.summary, Summary) or {}
        exam, verdicts = summary.get("exam", {}), summary.get("feedback", {}).get("verdicts")
        replies = None if verdicts is None else sum(verdicts.values())
        files: tuple[tuple[str, Path, type[Any], int | None], ...] = (
            ("evaluation", place.answers, Attempt, answered),
            ("exam", place.exam, Attempt, exam.get("attempts")),
            ("mistakes", place.mistakes, Mistake, exam.get("mistakes")),
            ("feedback", place.feedback, Correction, replies),
            ("lesson", place.lesson, Triplet, summary.get("lesson", {}).get("samples")),
            ("study", place.training, Step, summary.get("study", {}).get("steps")),
        )
        for stage, path, kind, count in files if number else files[:1]:
            if self._has_stage(number, stage):
                self._expect_lines(path, kind, count)
        if self._has_stage(number, "evaluation"):
            self._expect(place.evaluation)
        if number and self._has_stage(number, "exam"):
            self._expect(place.summary)

    def _has_asked(self, number: int) -> bool:
        """Whether the teacher has been asked in a round, by what came of it, whose replies may be lost, too."""
        place = self.round(number)
        return self._has_stage(number, "feedback") and any(map(is_file, (place.feedback, place.lesson, place.summary)))

    def _has_stage(self, number: int, stage: str) -> bool:
        """Whether a round has a stage: all do, but those of a comparison's other methods, which list theirs."""
        stages = self.value(self.folder / KEYS, dict[str, Any])
        return stages is None or f"{number} {stage}" in stages

    def _expect(self, path: Path, why: str = "") -> None:
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            self.note(path, "missing", f"It is not there. {why}".strip())
        except OSError as error:
            self.note(path, "damaged", f"It cannot be read: {error.strerror or error}.")
        else:
            if stat.S_ISREG(found.st_mode) and not found.st_size and path.suffix != ".jsonl":
                self.note(path, "damaged", "It is empty.")

    def _expect_lines(self, path: Path, kind: type[Any], count: int | None = None) -> None:
        """count: the lines by another file; None where there is none to tell, and the file must not be empty."""
        self._expect(path)
        found = self.lines(path, kind)
        if found is None or any(note.file == str(path.relative_to(self.folder)) for note in self.notes):
            return
        if count is None and not found:
            self.note(path, "damaged", "It is empty.")
        elif count is not None and count != len(found):
            self.note(path, "damaged", f"It has {len(found)} lines, where there were {count}.")


def is_file(path: Path) -> bool:
    """Whether a file is there; not one in a folder that cannot be looked into."""
    try:
        return path.is_file()
    except OSError:
        return False


def _first(error: Exception) -> str:
    """What is wrong, in a few words and without what the file holds."""
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in found["loc"])
        return f"{place}: {found['msg']}" if place else str(found["msg"])
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return str(error) or type(error).__name__

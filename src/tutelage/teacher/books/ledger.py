"""The ledger: every call to the teacher and what came of it, in `teacher.sqlite`, committed before it is used.

A call has a row from before it leaves. Each sample that was answered has one row, under its key
(`protocol.sample_keys`), and is never asked for again. Prompts and teachers are kept once.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from tutelage.errors import WorkspaceError
from tutelage.records import to_json
from tutelage.teacher.books.budget import Spent
from tutelage.teacher.books.entries import Begun, Ended, Entry
from tutelage.teacher.books.layout import LAYOUT, UPGRADES, VERSION
from tutelage.teacher.books.sqlite import prepare, sum_of, summed, undone_if_it_fails
from tutelage.teacher.protocol import Reply, Request, Sample, Teacher, sample_keys
from tutelage.workspace import disk_errors


class Ledger:
    """The tables of a `teacher.sqlite`, made when it is absent. May be used from several threads, by one process.

    Raises: WorkspaceError if the file is damaged, is something else, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._teachers: dict[int, tuple[Teacher, int]] = {}
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = self._connect()
        try:
            self._prepare()
            # Readers see what is committed and wait for no writer.
            self._reader = self._connect()
            self._numbers = itertools.count(1 + int(self.rows("SELECT coalesce(max(id), 0) FROM calls")[0][0]))
        except BaseException:
            self._connection.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        with mended(self.path):
            return sqlite3.connect(self.path, isolation_level=None, timeout=30, check_same_thread=False)

    def _prepare(self) -> None:
        with mended(self.path):
            # FULL: in WAL mode only then is a commit on the disk when it returns, power cut included.
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA wal_autocheckpoint = 10000")  # pages, 40 MB; ten times the usual
            check = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            version = prepare(self._connection, LAYOUT, VERSION, UPGRADES) if check == "ok" else None
        if check != "ok":
            raise damaged(self.path, str(check))
        if version != VERSION:
            raise WorkspaceError(
                f"{self.path} is a SQLite file, but not a teacher's ledger of version {VERSION} (it says {version}). "
                "Use the version of Tutelage that wrote it, or move the file away."
            )

    def close(self) -> None:
        """Closes the file; what was written stands already."""
        self._reader.close()
        self._connection.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def number(self) -> int:
        """A number for the next call."""
        return next(self._numbers)

    def write(self, entries: Sequence[Entry]) -> None:
        """Adds all of them in one commit, and returns when they are on the disk.

        Raises: WorkspaceError on a full disk; then none of them is written.
        """
        self.add(entries)
        self.commit()

    def add(self, entries: Sequence[Entry]) -> None:
        """The quick half of `write`; none else writes until `commit`, which has to follow, in whatever thread."""
        self._writing.acquire()
        with self._undone_if_it_fails():
            self._connection.execute("BEGIN IMMEDIATE")
            now = _now()
            self._begin([entry for entry in entries if isinstance(entry, Begun)], now)
            self._end([entry for entry in entries if isinstance(entry, Ended)], now)

    def commit(self) -> None:
        """The slow half, which waits for the disk."""
        with self._undone_if_it_fails():
            self._connection.execute("COMMIT")
        self._writing.release()

    @contextlib.contextmanager
    def _undone_if_it_fails(self) -> Iterator[None]:
        try:
            with mended(self.path), undone_if_it_fails(self._connection):
                yield
        except BaseException:
            self._teachers.clear()  # their rows may be undone with the rest
            self._writing.release()
            raise

    def _begin(self, entries: Sequence[Begun], now: str) -> None:
        prompts, calls = [], []
        for entry in entries:
            request = entry.call.request
            digest, text = _prompt(request)
            prompts.append((digest, text))
            calls.append(
                (
                    entry.number,
                    self._teacher(entry.teacher),
                    request.round,
                    request.question.id,
                    None if request.mistake is None else to_json(request.mistake),
                    digest,
                    json.dumps(entry.call.places),
                    entry.road,
                    entry.batch,
                    None if entry.keys is None else json.dumps(entry.keys),
                    now,
                    entry.charge.tokens,
                    entry.charge.cost,
                    request.kind,
                )
            )
        self._connection.executemany("INSERT OR IGNORE INTO prompts (id, prompt) VALUES (?, ?)", prompts)
        self._connection.executemany(
            "INSERT INTO calls (id, teacher, round, question, mistake, prompt, places, road, batch, keys, "
            "begun, charged_tokens, charged_cost, kind) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            calls,
        )

    def _teacher(self, teacher: Teacher) -> int:
        known = self._teachers.get(id(teacher))
        if known is not None and known[0] is teacher:
            return known[1]
        identity = json.dumps(teacher.identity, sort_keys=True, ensure_ascii=False)
        self._connection.execute(
            "INSERT OR IGNORE INTO teachers (name, identity) VALUES (?, ?)", (teacher.name, identity)
        )
        found = self._connection.execute("SELECT id FROM teachers WHERE identity = ?", (identity,)).fetchone()
        self._teachers[id(teacher)] = (teacher, int(found[0]))
        return int(found[0])

    def _end(self, entries: Sequence[Ended], now: str) -> None:
        self._connection.executemany(
            "UPDATE calls SET keys = NULL, ended = ?, failure = ?, detail = ?, prompt_tokens = ?, cached_tokens = ?, "
            "completion_tokens = ?, cost = ?, charged_tokens = ?, charged_cost = ? WHERE id = ?",
            [
                (
                    now,
                    entry.outcome.failure,
                    entry.outcome.detail or None,
                    entry.outcome.usage.prompt_tokens,
                    entry.outcome.usage.cached_tokens,
                    entry.outcome.usage.completion_tokens,
                    entry.cost,
                    entry.charge.tokens,
                    entry.charge.cost,
                    entry.number,
                )
                for entry in entries
            ],
        )
        self._connection.executemany(
            "INSERT INTO samples (key, call, place, kind, text, finish_reason, thinking) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (entry.keys[place], entry.number, place, one.kind, one.text, one.finish_reason, one.thinking)
                for entry in entries
                for place, one in entry.outcome.samples.items()
            ],
        )

    def end_interrupted(self) -> int:
        """Notes for each call that was in flight when an earlier process ended that none knows what came of it.

        Those of batches are not meant: their replies can still be fetched. How many there were.
        """
        return self.change(
            "UPDATE calls SET ended = ?, failure = 'interrupted', detail = 'the run was stopped while it waited' "
            "WHERE ended IS NULL AND road = 'direct'",
            (_now(),),
        )

    def change(self, statement: str, values: Sequence[object] = ()) -> int:
        """Runs a statement in a commit of its own; how many rows it changed. Raises: as `write`."""
        with self._writing, mended(self.path):
            return self._connection.execute(statement, values).rowcount

    def change_together(self, statements: Sequence[tuple[str, Mapping[str, object]]]) -> None:
        """Runs statements in one commit: all of them, or none. Raises: as `write`."""
        with self._writing, mended(self.path), undone_if_it_fails(self._connection):
            self._connection.execute("BEGIN IMMEDIATE")
            for statement, values in statements:
                self._connection.execute(statement, values)
            self._connection.execute("COMMIT")

    def known(self, keys: Sequence[str]) -> dict[int, Sample]:
        """The samples that stand under `keys`, by their place in `keys`."""
        marks = ", ".join("?" * len(keys))
        found = self.rows(f"SELECT key, kind, text, finish_reason, thinking FROM samples WHERE key IN ({marks})", keys)  # noqa: S608
        by_key = {key: Sample(*row) for key, *row in found}
        return {place: by_key[key] for place, key in enumerate(keys) if key in by_key}

    def reply(self, teacher: Teacher, request: Request) -> Reply:
        """What there is for a request by now. error: why no sample has a text."""
        samples = self.known(sample_keys(teacher, request))
        told = [(one.text, one.finish_reason) for _, one in sorted(samples.items()) if one.text is not None]
        if told:
            return Reply(tuple(text for text, _ in told), tuple(reason for _, reason in told))
        if samples:
            reasons = sorted({one.finish_reason for one in samples.values() if one.finish_reason})
            what = "refused" if any(one.kind == "refused" for one in samples.values()) else "empty"
            return Reply((), error=f"the reply is {what} (finish reason: {', '.join(reasons) or 'none'})")
        # By the prompt: another question with the same one may be the one that was asked.
        column, value = ("prompt", _prompt(request)[0]) if request.prompt else ("question", request.question.id)
        found = self.rows(
            f"SELECT detail FROM calls WHERE {column} = ? AND round = ? AND failure IS NOT NULL "  # noqa: S608
            "ORDER BY id DESC LIMIT 1",
            (value, request.round),
        )
        return Reply((), error=str(found[0][0]) if found else "it was not asked")

    def spent(self) -> Spent:
        """What the run has used so far, as the caps count it."""
        ((requests, tokens, *cost),) = self.rows(
            f"SELECT count(*), coalesce(sum(charged_tokens), 0), {sum_of('charged_cost')} FROM calls "  # noqa: S608
            "WHERE road IN ('direct', 'batch')"
        )
        return Spent(int(requests), int(tokens), summed(*cost) or 0)

    def rows(self, query: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        """All rows that a query finds. Raises: WorkspaceError if the file cannot be read."""
        with self._reading, mended(self.path):
            return self._reader.execute(query, values).fetchall()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _prompt(request: Request) -> tuple[str, str]:
    """The id of a prompt, and the prompt as JSON."""
    prompt = request.prompt
    messages = prompt if isinstance(prompt, str) else [{"role": one.role, "content": one.content} for one in prompt]
    text = json.dumps(messages, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32], text


def damaged(path: Path, reason: str) -> WorkspaceError:
    """The error for a ledger that cannot be read."""
    return WorkspaceError(
        f"The teacher's ledger {path} is damaged: {reason}. Put back a copy of it, with its -wal file if it "
        "has one; or move it away, and `tutelage resume` asks the teacher anew for what it held."
    )


@contextlib.contextmanager
def mended(path: Path) -> Iterator[None]:
    """Turns SQLite's errors about a file into the user's.

    An IntegrityError would be a bug of ours, and so would text that cannot be written: neither says anything about
    the file.
    """
    try:
        yield
    except (sqlite3.IntegrityError, UnicodeError):
        raise
    except sqlite3.OperationalError as error:
        raise WorkspaceError(
            f"{path} could not be read or written: {error}. Every reply before this one is kept; "
            "make room or mend the path, then `tutelage resume`."
        ) from None
    except (sqlite3.DatabaseError, ValueError) as error:
        raise damaged(path, str(error)) from None

"""A ledger that is only looked at: neither the file nor its folder changes, whoever writes there."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from tutelage.errors import WorkspaceError
from tutelage.teacher.books.layout import LAYOUT, UPGRADES, VERSION
from tutelage.teacher.books.ledger import damaged, mended
from tutelage.teacher.books.sqlite import prepare

_PATIENCE = 5.0
"""Seconds for another process's lock, which in WAL mode keeps no reader waiting."""


class Rows(Protocol):
    """What finds rows: an open `Ledger`, or a `LedgerView`."""

    def rows(self, query: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        """All rows that a query finds."""


class LedgerView:
    """The rows of a `teacher.sqlite` that is there. One of an earlier version is read as one of this, in memory.

    Raises: WorkspaceError if it is damaged, is something else, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with mended(path):
            self._connection = _connected(path)
        try:
            with mended(path):
                self._check()
        except BaseException:
            self._connection.close()
            raise

    def _check(self) -> None:
        check = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if check != "ok":
            raise damaged(self._path, str(check))
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found in UPGRADES:
            file, self._connection = self._connection, sqlite3.connect(":memory:")
            with contextlib.closing(file):
                file.backup(self._connection)
            prepare(self._connection, LAYOUT, VERSION, UPGRADES)
        elif found != VERSION:
            raise WorkspaceError(
                f"{self._path} is a SQLite file, but no teacher's ledger that this version can read (it says {found})."
            )

    def rows(self, query: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        """All rows that a query finds. Raises: WorkspaceError if the file cannot be read."""
        with mended(self._path):
            return self._connection.execute(query, values).fetchall()

    def __enter__(self) -> LedgerView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()


def _connected(path: Path) -> sqlite3.Connection:
    # Without another process's log beside it nothing is pending, and none has to be made: a folder may be read-only.
    pending = any(path.with_name(path.name + ending).exists() for ending in ("-wal", "-journal"))
    mode = "mode=ro" if pending else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, timeout=_PATIENCE)

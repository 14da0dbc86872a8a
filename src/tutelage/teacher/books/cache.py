"""Replies that several runs share: an SQLite file of its own, under the same keys as the ledgers'."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from tutelage.errors import WorkspaceError
from tutelage.teacher.books.ledger import Ended, mended
from tutelage.teacher.protocol import Sample
from tutelage.workspace import disk_errors

VERSION = 1

_LAYOUT = """
CREATE TABLE samples (
    key TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    text TEXT,
    finish_reason TEXT NOT NULL,
    thinking TEXT
) WITHOUT ROWID;
"""


class Cache:
    """A file that any number of processes may read and write at once. Raises: WorkspaceError if it is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with mended(path):
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=60, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("BEGIN IMMEDIATE")  # another process may be making the table, too
            version, tables = self._connection.execute(
                "SELECT user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_user_version"
            ).fetchone()
            if version == 0 and tables == 0:
                for statement in (_LAYOUT, f"PRAGMA user_version = {VERSION}"):
                    self._connection.execute(statement)
                version = VERSION
            self._connection.execute("COMMIT")
        if version != VERSION:
            self._connection.close()
            raise WorkspaceError(f"{path} is no cache of teachers' replies. Name another file as teacher.cache.")

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def find(self, keys: Sequence[str]) -> dict[int, Sample]:
        """The samples that stand under `keys`, by their place in `keys`."""
        found = {}
        with mended(self.path):
            for place, key in enumerate(keys):
                row = self._connection.execute(
                    "SELECT kind, text, finish_reason, thinking FROM samples WHERE key = ?", (key,)
                ).fetchone()
                if row is not None:
                    found[place] = Sample(*row)
        return found

    def keep(self, ended: Sequence[Ended]) -> None:
        """Adds the samples that came; where another run was first, its own stay."""
        rows = [
            (one.keys[place], sample.kind, sample.text, sample.finish_reason, sample.thinking)
            for one in ended
            for place, sample in one.outcome.samples.items()
        ]
        if rows:
            with mended(self.path):
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany("INSERT OR IGNORE INTO samples VALUES (?, ?, ?, ?, ?)", rows)
                self._connection.execute("COMMIT")

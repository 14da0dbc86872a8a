"""Replies that several runs share: an SQLite file of its own, under the same keys as the ledgers'."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from tutelage.errors import WorkspaceError
from tutelage.teacher.books.entries import Ended
from tutelage.teacher.books.sqlite import prepare, undone_if_it_fails
from tutelage.teacher.protocol import Sample
from tutelage.workspace import disk_errors

VERSION = 1

_LAYOUT = """
CREATE TABLE IF NOT EXISTS samples (
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
        with _mended(path):
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=60, check_same_thread=False)
        try:
            with _mended(path):
                version = prepare(self._connection, _LAYOUT, VERSION)
            if version != VERSION:
                raise WorkspaceError(f"{path} is no cache of teachers' replies. Name another file as teacher.cache.")
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def find(self, keys: Sequence[str]) -> dict[int, Sample]:
        """The samples that stand under `keys`, by their place in `keys`."""
        found = {}
        with _mended(self.path):
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
            with _mended(self.path):
                self._connection.execute("BEGIN IMMEDIATE")
                with undone_if_it_fails(self._connection):
                    self._connection.executemany("INSERT OR IGNORE INTO samples VALUES (?, ?, ?, ?, ?)", rows)
                    self._connection.execute("COMMIT")


@contextlib.contextmanager
def _mended(path: Path) -> Iterator[None]:
    """Turns SQLite's errors about a cache into the user's."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise WorkspaceError(
            f"The shared cache {path} could not be read or written: {error}. Make room, mend the path, or leave out "
            "teacher.cache; then `tutelage resume`."
        ) from None
    except sqlite3.DatabaseError as error:
        raise WorkspaceError(
            f"The shared cache {path} is damaged: {error}. Move it away, and a new one is made; or name another file "
            "as teacher.cache."
        ) from None

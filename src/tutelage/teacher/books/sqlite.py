"""What the books' SQLite files have in common: how they begin, and sums that do not overflow."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType


def prepare(
    connection: sqlite3.Connection, layout: str, version: int, upgrades: Mapping[int, str] = MappingProxyType({})
) -> int:
    """Makes the tables in an empty file; turns on the write-ahead log in one of this version.

    upgrades: by earlier version, the statements that make its file one of this version. Any other version's, and
    another program's, is left as it is. Several processes may make a file at once.
    Returns the version that the file is of.
    """
    found, tables = connection.execute(
        "SELECT user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_user_version"
    ).fetchone()
    if found != version and (found or tables) and found not in upgrades:
        return int(found)
    _turn_on_wal(connection)
    if found != version:
        statements = upgrades[found] if found else layout
        connection.executescript(f"BEGIN IMMEDIATE; {statements} PRAGMA user_version = {version}; COMMIT;")
    return version


def _turn_on_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not wait where two processes turn it on at the same instant.
    for pause in (0.01, 0.1, 1.0):
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
            return
        time.sleep(pause)
    connection.execute("PRAGMA journal_mode = WAL")


@contextlib.contextmanager
def undone_if_it_fails(connection: sqlite3.Connection) -> Iterator[None]:
    """Rolls an open transaction back when what is done in here fails."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # after a full disk SQLite has undone it by itself
            connection.execute("ROLLBACK")
        raise


def sum_of(amount: str) -> str:
    """SQL for the sum of an amount of money, for `summed`. In one piece it would overflow at 9 million of the money."""
    return f"sum(({amount}) / 1000000), sum(({amount}) % 1000000)"


def summed(millions: int | None, rest: int | None) -> int | None:
    """What `sum_of` found; None if there was nothing to sum up."""
    return None if millions is None or rest is None else millions * 1_000_000 + rest

"""The cache that runs share: several processes at once, and files that are none."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tutelage.errors import WorkspaceError
from tutelage.teacher.books.cache import Cache
from tutelage.teacher.books.entries import Ended
from tutelage.teacher.protocol import Outcome, Sample


def test_who_comes_first_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "deep" / "cache.sqlite")
    cache.keep([Ended(1, ["a", "b"], Outcome({0: Sample("text", "first", "stop", "hm"), 1: Sample("empty", None)}))])
    cache.keep([Ended(2, ["a"], Outcome({0: Sample("text", "second")}))])
    cache.close()
    again = Cache(tmp_path / "deep" / "cache.sqlite")
    assert again.find(["b", "x", "a"]) == {0: Sample("empty", None), 2: Sample("text", "first", "stop", "hm")}
    again.close()


def test_processes_write_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from tutelage.teacher.books.cache import Cache\nfrom tutelage.teacher.books.entries import Ended\n"
        "from tutelage.teacher.protocol import Outcome, Sample\n"
        "cache = Cache(Path(sys.argv[1]))\n"
        "for number in range(100):\n"
        "    cache.keep([Ended(1, [f'{sys.argv[2]} {number}'], Outcome({0: Sample('text', sys.argv[2])}))])\n"
    )
    path = tmp_path / "cache.sqlite"
    running = [subprocess.Popen([sys.executable, "-c", script, str(path), name]) for name in "ab"]
    assert [process.wait() for process in running] == [0, 0]
    cache = Cache(path)
    for name in "ab":
        assert cache.find([f"{name} {number}" for number in range(100)]) == dict.fromkeys(
            range(100), Sample("text", name)
        )
    cache.close()


def test_a_file_that_is_none_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("some text that is no database, and long enough to be read as one")
    with pytest.raises(WorkspaceError, match="text"):
        Cache(tmp_path / "text")


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(WorkspaceError, match=r"teacher\.cache"):
        Cache(path)
    assert path.read_bytes() == before


def test_a_full_disk_is_one_clear_error_and_leaves_the_cache_in_use(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache.sqlite")
    cache.keep([Ended(1, ["a"], Outcome({0: Sample("text", "a")}))])
    cache._connection.execute("PRAGMA max_page_count = 3")
    for _ in range(2):
        with pytest.raises(WorkspaceError, match=r"shared cache .*full.*teacher\.cache"):
            cache.keep([Ended(1, ["b"], Outcome({0: Sample("text", "b" * 100_000)}))])
    cache.keep([Ended(1, ["c"], Outcome({0: Sample("text", "c")}))])
    assert cache.find(["a", "b", "c"]).keys() == {0, 2}
    cache.close()

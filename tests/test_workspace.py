"""The run folder: nothing is lost, nothing is half there."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from tutelage.errors import WorkspaceError
from tutelage.records import Mistake
from tutelage.workspace import (
    Workspace,
    read_json,
    read_records,
    write_atomically,
    write_json,
    write_records,
    write_text,
)


def test_a_used_folder_is_refused_and_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "something").write_text("mine")
    with pytest.raises(WorkspaceError, match="tutelage resume"):
        Workspace.create(tmp_path)
    assert (tmp_path / "something").read_text() == "mine"


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"no recipe\.toml"):
        Workspace.open_run(tmp_path)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "run")
    write_text(workspace.recipe, "")
    code = (
        "import sys; from pathlib import Path; from tutelage.workspace import Workspace\n"
        "Workspace.open_run(Path(sys.argv[1]))"
    )
    other = subprocess.run([sys.executable, "-c", code, str(workspace.folder)], capture_output=True, text=True)
    assert "Another process works on" in other.stderr


def test_records_survive_the_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "mistakes.jsonl"
    made = [Mistake("a/1", "so 2\n\u2028 = 3 \u0394", "3"), Mistake("a/2", "", None)]
    write_records(path, made)
    assert read_records(path, Mistake) == made
    assert [entry.name for entry in path.parent.iterdir()] == ["mistakes.jsonl"]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mistakes.jsonl"
    write_records(path, [Mistake("a/1", "r", "3")])
    with path.open("a") as file:
        file.write('{"question_id": "a/2", "rationa')
    with pytest.raises(WorkspaceError, match="line 2 is damaged"):
        read_records(path, Mistake)


def test_a_full_disk_leaves_the_last_good_file(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"round": 1})

    def fill(partial: Path) -> None:
        partial.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(WorkspaceError, match="No space left"):
        write_atomically(path, fill)
    assert read_json(path) == {"round": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["value.json"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    def make(text: str):  # type: ignore[no-untyped-def]
        def write(partial: Path) -> None:
            partial.mkdir()
            (partial / text).write_text(text)

        return write

    for text in ("one", "two"):
        write_atomically(tmp_path / "student", make(text))
    assert [entry.name for entry in (tmp_path / "student").iterdir()] == ["two"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["student"]


def test_what_a_kill_left_beside_a_folder_does_not_block_it(tmp_path: Path) -> None:
    for name in ("student", "student.old", "student.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "old").write_text("old")

    def write(partial: Path) -> None:
        partial.mkdir()
        (partial / "new").write_text("new")

    write_atomically(tmp_path / "student", write)
    assert [entry.name for entry in (tmp_path / "student").iterdir()] == ["new"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["student"]


def test_a_path_that_cannot_be_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="could not be written"):
        Workspace.create(tmp_path / ("x" * 300))


def test_the_way_out_of_a_damaged_file_is_one_that_leads_out(tmp_path: Path) -> None:
    (tmp_path / "round-1").mkdir()
    for name, words in (("round-1/round.json", "makes it anew"), ("demonstrations.json", "Put back a copy")):
        (tmp_path / name).write_text("{")
        with pytest.raises(WorkspaceError, match=words):
            read_json(tmp_path / name)

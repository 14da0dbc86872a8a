"""The ledger: nothing that was answered is asked again, nothing that came is lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.teacher.asking import LEGS, ScriptedTeacher, numbered, request
from tutelage.errors import TeacherError, WorkspaceError
from tutelage.records import Mistake
from tutelage.teacher.ledger import Ledger, Totals, ask
from tutelage.teacher.protocol import Reply, Usage, request_key

REQUESTS = [request(numbered(place)) for place in range(5)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "teacher.sqlite"


def test_replies_come_in_the_order_of_the_requests_and_are_kept(path: Path) -> None:
    teacher = ScriptedTeacher()
    with Ledger(path) as ledger:
        replies = ask(teacher, REQUESTS, ledger)
    assert [reply.texts[0] for reply in replies] == [f"reply to own/{place}" for place in range(5)]
    with Ledger(path) as ledger:
        assert ask(teacher, REQUESTS, ledger) == replies
    assert len(teacher.asked) == 5


def test_a_reply_is_on_the_disk_before_it_is_used(path: Path) -> None:
    teacher = ScriptedTeacher()
    seen = []

    def look(one: object, reply: Reply) -> None:
        with sqlite3.connect(path) as other:
            seen.append(other.execute("SELECT count(*) FROM replies").fetchone()[0])

    with Ledger(path) as ledger:
        ask(teacher, REQUESTS, ledger, look)
    assert seen == [1, 2, 3, 4, 5]


def test_only_what_is_unknown_is_asked_and_failures_are_asked_again(path: Path) -> None:
    teacher = ScriptedTeacher(failing=["own/3"])
    with Ledger(path) as ledger:
        replies = ask(teacher, REQUESTS[:4], ledger)
        assert replies[3] == Reply((), error="refused")
        teacher.asked.clear()
        teacher.failing.clear()
        calls: list[str] = []
        replies = ask(teacher, REQUESTS, ledger, lambda one, _: calls.append(one.question.id))
        assert sorted(teacher.asked) == ["own/3", "own/4"]
        assert [reply.error for reply in replies] == [None] * 5
        assert sorted(calls) == [f"own/{place}" for place in range(5)]
        with sqlite3.connect(path) as other:
            assert other.execute("SELECT error FROM replies WHERE question = 'own/3'").fetchall() == [
                ("refused",),
                (None,),
            ]


def test_what_came_before_a_breakdown_stays(path: Path) -> None:
    teacher = ScriptedTeacher(breaks_after=3)
    with Ledger(path) as ledger:
        with pytest.raises(TeacherError):
            ask(teacher, REQUESTS, ledger)
        teacher.breaks_after = None
        teacher.asked.clear()
        ask(teacher, REQUESTS, ledger)
    assert sorted(teacher.asked) == ["own/0", "own/1"]


def test_the_teacher_is_closed_when_the_caller_is_interrupted(path: Path) -> None:
    teacher = ScriptedTeacher()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with Ledger(path) as ledger, pytest.raises(KeyboardInterrupt):
        ask(teacher, REQUESTS, ledger, interrupt)
    assert teacher.closed
    assert len(teacher.asked) == 1


def test_the_same_request_twice_is_asked_once(path: Path) -> None:
    teacher = ScriptedTeacher()
    calls = []
    with Ledger(path) as ledger:
        one, two = ask(teacher, [request(LEGS), request(LEGS)], ledger, lambda *_: calls.append(1))
    assert one == two
    assert len(teacher.asked) == 1
    assert len(calls) == 2


def test_another_round_number_of_replies_or_mistake_is_another_request(path: Path) -> None:
    teacher = ScriptedTeacher()
    mistake = Mistake(LEGS.id, "3 * 4 = 11.", None)
    different = [
        request(LEGS),
        request(LEGS, number=2),
        request(LEGS, replies=3),
        request(LEGS, mistake=mistake),
        request(LEGS, completion=True),
    ]
    with Ledger(path) as ledger:
        ask(teacher, different, ledger)
    assert len(teacher.asked) == 5


def test_totals_keep_unknown_usage_apart_from_zero(path: Path) -> None:
    teacher = ScriptedTeacher(failing=["own/4"])
    with Ledger(path) as ledger:
        assert ledger.totals() == {}
        ask(teacher, REQUESTS[:2] + REQUESTS[4:], ledger)
        teacher.usage = Usage()
        ask(teacher, REQUESTS[2:3], ledger)
        ask(teacher, [request(numbered(0), number=2)], ledger)
        assert ledger.totals() == {
            1: Totals(4, 3, 1, 6, 14, 6, without_usage=1),
            2: Totals(1, 1, 0, 2, None, None, without_usage=1),
        }


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3),
    usage=st.builds(Usage, st.none() | st.integers(0, 10**9), st.none() | st.integers(0, 10**9)),
)
def test_any_reply_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], usage: Usage
) -> None:
    reply = Reply(tuple(texts), ("stop",) * len(texts), usage)
    one = REQUESTS[0]
    teacher = ScriptedTeacher()
    with Ledger(tmp_path_factory.mktemp("ledger") / "teacher.sqlite") as ledger:
        key = request_key(teacher, one)
        ledger.write(key, teacher, one, reply)
        assert ledger.known([key]) == {key: reply}


def test_text_that_cannot_be_written_is_not_taken_for_damage(path: Path) -> None:
    teacher = ScriptedTeacher()
    with Ledger(path) as ledger:
        ask(teacher, REQUESTS[:1], ledger)
        with pytest.raises(UnicodeError):
            ledger.write("key", teacher, REQUESTS[1], Reply(("half \ud83d",), ("stop",)))
        assert ledger.totals()[1].answered == 1


@pytest.mark.parametrize(
    "content", [b"not a database, but some text that is long enough", b"SQLite format 3\x00" + b"\xff" * 5000]
)
def test_a_file_that_is_no_ledger_is_one_clear_error(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(WorkspaceError, match=r"teacher\.sqlite"):
        Ledger(path)


def test_a_damaged_page_is_noticed(path: Path) -> None:
    with Ledger(path) as ledger:
        ask(ScriptedTeacher(), [request(numbered(place)) for place in range(40)], ledger)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 8192)
    with pytest.raises(WorkspaceError, match="damaged"):
        Ledger(path)


def test_another_programs_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    with pytest.raises(WorkspaceError, match="not a teacher's ledger"):
        Ledger(path)


def test_a_full_disk_loses_nothing_that_was_written(path: Path) -> None:
    teacher = ScriptedTeacher()
    with Ledger(path) as ledger:
        ledger._connection.execute("PRAGMA max_page_count = 12")
        with pytest.raises(WorkspaceError, match="full"):
            ask(teacher, [request(numbered(place)) for place in range(200)], ledger)
    written = len(teacher.asked) - 1
    assert teacher.closed
    with Ledger(path) as ledger:
        assert ledger.totals()[1].answered == written > 0


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="could not be written"):
        Ledger(tmp_path / "file" / "teacher.sqlite")


def test_a_killed_process_leaves_a_ledger_with_all_it_was_told(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from asking import ScriptedTeacher, numbered, request\n"
        "from tutelage.teacher.ledger import Ledger, ask\n"
        "requests = [request(numbered(place)) for place in range(20000)]\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "ask(ScriptedTeacher(), requests, ledger, lambda one, _: print(one.question.id, flush=True))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read().split()
    with Ledger(path) as ledger:
        teacher = ScriptedTeacher()
        ask(teacher, [request(numbered(int(one.removeprefix("own/")))) for one in told], ledger)
    assert teacher.asked == []

"""The ledger: what is written stands, comes back as it was, and is never there twice."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.teacher.asking import LEGS, ScriptedTeacher, numbered, request
from tutelage.errors import WorkspaceError
from tutelage.records import Mistake
from tutelage.teacher.asking import ask
from tutelage.teacher.books.accounts import totals
from tutelage.teacher.books.entries import Begun, Charge, Ended, Entry, settled_charge
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.protocol import Call, FailureKind, Outcome, Request, Sample, Usage, sample_keys

TEACHER = ScriptedTeacher()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "teacher.sqlite"


def entries(ledger: Ledger, one: Request, outcome: Outcome, road: str = "direct") -> list[Entry]:
    number = ledger.number()
    call = Call(one, tuple(range(one.replies)), 100, 50)
    begun = Begun(number, TEACHER, call, "free" if road == "free" else "direct", Charge(150, 15))
    return [begun, Ended(number, sample_keys(TEACHER, one), outcome, 3, Charge(11, 3))]


def test_one_commit_holds_many_calls(path: Path) -> None:
    with Ledger(path) as ledger:
        told = [entries(ledger, request(numbered(place)), Outcome({0: Sample("text", "a")})) for place in range(9)]
        ledger.write([entry for pair in told for entry in pair])
        with sqlite3.connect(path) as other:
            assert other.execute("SELECT count(*) FROM samples").fetchall() == [(9,)]
            assert other.execute("SELECT count(*) FROM teachers").fetchall() == [(1,)]


def test_what_cannot_be_written_whole_is_not_written_at_all(path: Path) -> None:
    with Ledger(path) as ledger:
        good = entries(ledger, request(numbered(1)), Outcome({0: Sample("text", "a")}))
        bad = entries(ledger, request(numbered(2)), Outcome({0: Sample("text", "half \ud83d")}))
        with pytest.raises(UnicodeError):
            ledger.write([*good, *bad])
        assert ledger.rows("SELECT * FROM calls") == []
        ledger.write(good)
        assert len(ledger.rows("SELECT * FROM samples")) == 1


def test_no_sample_is_there_twice(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.write(entries(ledger, request(LEGS), Outcome({0: Sample("text", "a")})))
        with pytest.raises(sqlite3.IntegrityError):
            ledger.write(entries(ledger, request(LEGS), Outcome({0: Sample("text", "b")})))
        assert ledger.reply(TEACHER, request(LEGS)).texts == ("a",)


def test_numbers_go_on_after_a_restart(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.write(entries(ledger, request(LEGS), Outcome({}, failure="timed out")))
        last = ledger.number()
    with Ledger(path) as ledger:
        assert ledger.number() == last


def test_keys_change_with_all_that_changes_a_sample_and_with_nothing_else() -> None:
    def keys(**changes: object) -> tuple[str, ...]:
        return sample_keys(TEACHER, request(LEGS, **changes))  # type: ignore[arg-type]

    assert keys(replies=4)[:2] == keys(replies=2)
    others = [keys(), keys(number=2), keys(mistake=Mistake(LEGS.id, "3 * 4 = 11.", None)), keys(completion=True)]
    assert len({key for some in others for key in some}) == 2 * len(others)
    alike = Request(numbered(1), None, request(LEGS).prompt, 2, 1)  # another question's id with the same prompt
    assert sample_keys(TEACHER, alike) == keys()


def test_what_was_in_flight_at_a_kill_is_noted_and_counts_at_its_worst(path: Path) -> None:
    with Ledger(path) as ledger:
        begun, _ = entries(ledger, request(LEGS), Outcome({}))
        ledger.write([begun])
    with Ledger(path) as ledger:
        assert ledger.end_interrupted() == 1
        assert ledger.end_interrupted() == 0
        assert (ledger.spent().requests, ledger.spent().tokens, ledger.spent().cost) == (1, 150, 15)
        assert ledger.reply(TEACHER, request(LEGS)).error == "the run was stopped while it waited"


@pytest.mark.parametrize(
    ("outcome", "cost", "charge"),
    [
        (Outcome({}, Usage(7, 3)), 5, Charge(10, 5)),
        (Outcome({}, Usage(7, 3)), None, Charge(10, 60)),  # tokens are known, prices are not
        (Outcome({}, Usage(7, None)), None, Charge(50, 60)),
        (Outcome({}, failure="rate limit"), None, Charge()),
        (Outcome({}, failure="no connection"), None, Charge()),
        (Outcome({}, failure="timed out"), None, Charge(50, 60)),
        (Outcome({}, failure="damaged reply"), None, Charge(50, 60)),
        (Outcome({}, Usage(7, 3), failure="no choices"), 5, Charge(10, 5)),
    ],
)
def test_what_may_have_been_paid_counts_at_its_worst(outcome: Outcome, cost: int | None, charge: Charge) -> None:
    assert settled_charge(outcome, Charge(50, 60), cost) == charge


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SAMPLES = st.builds(Sample, st.sampled_from(["text", "cut"]), TEXTS, TEXTS, st.none() | TEXTS) | st.builds(
    Sample, st.sampled_from(["refused", "empty"]), st.none(), TEXTS, st.none() | TEXTS
)
COUNTS = st.none() | st.integers(0, 10**9)
FAILURES: list[FailureKind | None] = ["timed out", "rate limit", None]


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.integers(0, 5), SAMPLES),
    st.builds(Usage, COUNTS, COUNTS, COUNTS),
    st.sampled_from(FAILURES),
    TEXTS,
)
def test_anything_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    samples: dict[int, Sample],
    usage: Usage,
    failure: FailureKind | None,
    detail: str,
) -> None:
    one = request(LEGS, replies=6)
    with Ledger(tmp_path_factory.mktemp("ledger") / "teacher.sqlite") as ledger:
        ledger.write(entries(ledger, one, Outcome(samples, usage, failure, detail)))
        assert ledger.known(sample_keys(TEACHER, one)) == samples
        told = [(place, sample.text) for place, sample in sorted(samples.items()) if sample.text is not None]
        assert ledger.reply(TEACHER, one).texts == tuple(text for _, text in told)
        assert (ledger.reply(TEACHER, one).error is None) == bool(told)


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
    before = path.read_bytes()
    with pytest.raises(WorkspaceError, match="not a teacher's ledger"):
        Ledger(path)
    assert path.read_bytes() == before


def test_several_processes_may_open_a_new_one_at_once(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\nfrom tutelage.teacher.books.ledger import Ledger\n"
        "print(flush=True); sys.stdin.readline()\n"
        "for number in range(40):\n    Ledger(Path(f'{sys.argv[1]}-{number}')).close()\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
    for process in running:
        assert process.stdin is not None
        process.stdin.close()
    for process in running:
        with process:
            assert process.wait() == 0


def test_sums_of_money_do_not_overflow(path: Path) -> None:
    dear = 4 * 10**18  # 4 million of the money, of which many make a dollar
    with Ledger(path) as ledger:
        for place in range(5):
            one, number = request(numbered(place)), ledger.number()
            begun = Begun(number, TEACHER, Call(one, (0, 1), 1, 1), "direct", Charge(2, dear + 7))
            outcome = Outcome({0: Sample("text", "a")}, Usage(1, 1))
            ledger.write([begun, Ended(number, sample_keys(TEACHER, one), outcome, dear, Charge(2, dear + 7))])
        assert ledger.spent().cost == 5 * (dear + 7)
        assert totals(ledger)[1].cost == 20_000_000
        assert totals(ledger)[1].maybe_cost == Decimal("35E-12")


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="could not be written"):
        Ledger(tmp_path / "file" / "teacher.sqlite")


def test_a_ledger_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "teacher.sqlite"
    with Ledger(path) as ledger:
        ask(ScriptedTeacher(), [request(LEGS)], ledger)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript("ALTER TABLE calls DROP COLUMN kind; PRAGMA user_version = 2")
    with Ledger(path) as ledger:
        assert totals(ledger)[1].samples == 2
        assert totals(ledger, "judgement") == {}
        teacher = ScriptedTeacher()
        ask(teacher, [request(LEGS), request(numbered(1))], ledger)
        assert teacher.asked == ["own/1"]
    with Ledger(path) as ledger:
        assert totals(ledger)[1].samples == 4

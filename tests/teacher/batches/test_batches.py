"""The batch road: each sample is paid for once, whatever happens to a batch or to the process that waits for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.batch_server import BatchServer, Step
from tests.teacher.asking import numbered, request
from tutelage.config import BudgetSettings, OpenAITeacherSettings, PriceSettings, Recipe
from tutelage.errors import BudgetError, TeacherError
from tutelage.teacher.asking import Spending, ask
from tutelage.teacher.batches import harvest as batch_harvest
from tutelage.teacher.batches.book import LedgerBatchBook
from tutelage.teacher.batches.client import BatchTeacher, Pace
from tutelage.teacher.books.accounts import totals
from tutelage.teacher.books.budget import Budget, Spent
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.books.prices import prices_for
from tutelage.teacher.openai import wire
from tutelage.teacher.openai.client import OpenAITeacher
from tutelage.teacher.protocol import Outcome, Request, Sample, Usage, sample_keys

KEY = "sk-very-secret-0123456789"
PRICE = PriceSettings(input=Decimal(2), output=Decimal(8))


def settings(server: BatchServer, **more: Any) -> OpenAITeacherSettings:
    fields = {"kind": "openai", "model": "m", "base_url": server.url, "max_new_tokens": 50, "price": PRICE, **more}
    return OpenAITeacherSettings.model_validate(fields)


class Clock:
    """Time that passes only while one waits, and what was waited for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    async def pause(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)
        assert len(self.pauses) < 1000

    def pace(self, **more: Any) -> Pace:
        return Pace(self.pause, lambda: self.now, **more)


def batch_teacher(server: BatchServer, clock: Clock | None = None, lines: int = 50_000, **more: Any) -> BatchTeacher:
    return BatchTeacher(settings(server, road="batch", **more), (clock or Clock()).pace(lines=lines))


def requests(count: int, replies: int = 2) -> list[Request]:
    return [request(numbered(place), replies) for place in range(count)]


class Run:
    """One start of a process: asks, and keeps the reasons why samples are missing."""

    def __init__(self, folder: Path, budget: BudgetSettings | None = None) -> None:
        self.path = folder / "teacher.sqlite"
        self.budget = budget or BudgetSettings()
        self.reasons: dict[str, str | None] = {}

    def ask(self, teacher: OpenAITeacher, wanted: Sequence[Request]) -> None:
        self.reasons = {}
        spending = Spending(self.budget, prices_for(teacher._settings, "http://127.0.0.1/v1"))
        with Ledger(self.path) as ledger:
            ask(teacher, wanted, ledger, spending, self._settled)

    def _settled(self, one: Request, reason: str | None) -> None:
        assert one.question.id not in self.reasons
        self.reasons[one.question.id] = reason

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with Ledger(self.path) as ledger:
            return ledger.rows(query)

    def check(self, server: BatchServer, teacher: OpenAITeacher, wanted: Sequence[Request]) -> None:
        """Each sample is there once, none is in flight, and the ledger's sums are the server's."""
        with Ledger(self.path) as ledger:
            for one in wanted:
                assert len(ledger.known(sample_keys(teacher, one))) == one.replies
            assert ledger.rows("SELECT count(*) FROM samples") == [(sum(one.replies for one in wanted),)]
            ((prompt, completion, paid, cost),) = ledger.rows(
                "SELECT sum(prompt_tokens), sum(completion_tokens), count(cost), sum(cost) FROM calls "
                "WHERE road = 'batch'"
            )
            assert ledger.rows("SELECT count(*) FROM calls WHERE ended IS NULL OR keys IS NOT NULL") == [(0,)]
            assert (prompt, completion) == server.billed_usage
            assert paid == len(server.billed)
            assert cost == prompt * 1_000_000 + completion * 4_000_000
            spent = ledger.spent()
            direct = sum(one["usage"]["total_tokens"] for one in server.billed_direct)
            assert spent.tokens == prompt + completion + direct


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_a_whole_run_at_half_the_price(run: Run) -> None:
    wanted, clock = requests(30), Clock()
    with BatchServer(looks=3) as server:
        teacher = batch_teacher(server, clock)
        run.ask(teacher, wanted)
        run.check(server, teacher, wanted)
        assert run.reasons == {one.question.id: None for one in wanted}
        assert len(server.batches) == 1
        assert clock.pauses == [2.0, 3.0, 4.5]
        line = server.files["file-0"].splitlines()[0]
        assert b'"custom_id": "1"' in line
        assert b'"n": 2' in line
        with Ledger(run.path) as ledger:
            total = totals(ledger)[1]
            assert total.cost == (Decimal(30 * 20) * PRICE.input + Decimal(30 * 20) * PRICE.output) / 2 / 10**6
            reply = ledger.reply(teacher, wanted[0])
            assert len(reply.texts) == 2
        run.ask(teacher, wanted)
        assert len(server.batches) == 1


def test_prompts_to_be_continued_go_by_batches_too(run: Run) -> None:
    wanted = [request(numbered(place), completion=True) for place in range(3)]
    with BatchServer() as server:
        teacher = batch_teacher(server, endpoint="completion")
        run.ask(teacher, wanted)
        run.check(server, teacher, wanted)
        assert b'"url": "/v1/completions"' in server.files["file-0"]


def test_both_roads_lead_to_the_same_samples() -> None:
    with BatchServer() as server:
        direct, batch = OpenAITeacher(settings(server)), batch_teacher(server)
    assert direct.name == batch.name
    assert sample_keys(direct, request(numbered(1))) == sample_keys(batch, request(numbered(1)))


def test_looks_grow_rarer_and_a_line_a_minute_tells_of_them(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with BatchServer(looks=30) as server:
        run.ask(batch_teacher(server, clock), requests(3))
    assert clock.pauses == sorted(clock.pauses)
    assert clock.pauses[-1] == 60.0
    told = " ".join(capsys.readouterr().err.split()).count("0 of 3 calls done")
    assert 0 < told <= clock.now / 60 + 1


def test_failing_lines_are_handed_in_again(run: Run) -> None:
    wanted = requests(40)
    with BatchServer(failing=0.3) as server:
        teacher = batch_teacher(server)
        run.ask(teacher, wanted)
        run.check(server, teacher, wanted)
        assert len(server.batches) == 2
        assert 0 < len(server.files[server.batches["batch_1"]["input_file_id"]].splitlines()) < 30
    assert run.rows("SELECT DISTINCT failure, charged_tokens FROM calls WHERE failure IS NOT NULL") == [
        ("server error", 0)
    ]


def test_what_an_expired_batch_answered_is_kept(run: Run) -> None:
    wanted = requests(10)
    with BatchServer(expiring=deque([6])) as server:
        teacher = batch_teacher(server)
        run.ask(teacher, wanted)
        run.check(server, teacher, wanted)
        assert [one["request_counts"]["total"] for one in server.batches.values()] == [10, 4]
    assert run.rows("SELECT failure, count(*) FROM calls WHERE failure IS NOT NULL") == [("expired", 4)]


def test_a_batch_that_always_expires_is_given_up(run: Run) -> None:
    with BatchServer(expiring=deque([1, 0, 0, 0])) as server:
        run.ask(batch_teacher(server, retries=2), requests(3))
        assert len(server.batches) == 3
    assert sorted(reason is None for reason in run.reasons.values()) == [False, False, True]
    assert "not executed in time" in str(run.reasons["own/2"])


def test_a_line_that_stands_in_no_file_is_asked_for_again_and_may_have_been_paid(run: Run) -> None:
    wanted = requests(4)
    with BatchServer(lost={"What is 2 + 2"}) as server:
        run.ask(batch_teacher(server, retries=1), wanted)
        assert len(server.batches) == 2
    assert (
        run.rows("SELECT failure, charged_tokens > 100 FROM calls WHERE failure IS NOT NULL")
        == [("damaged reply", 1)] * 2
    )
    assert [key for key, reason in run.reasons.items() if reason] == ["own/2"]


def test_a_refused_request_is_set_aside_and_a_wrong_result_is_no_crash(run: Run) -> None:
    body = {"error": {"message": "The prompt was flagged by the content filter", "code": "content_filter"}}
    damaged = {"response": {"status_code": 200, "body": {"choices": 3}}}
    with BatchServer() as server:
        server.line_results = {
            "What is 1 + 1": {"response": {"status_code": 400, "body": body}},
            "What is 2 + 2": damaged,
            "What is 3 + 3": {"response": {"status_code": 0, "body": None}},
        }
        run.ask(batch_teacher(server, retries=1), requests(5, replies=1))
        assert len(server.batches) == 2
    assert run.reasons["own/0"] is run.reasons["own/4"] is None
    failures = run.rows("SELECT question, failure, count(*) FROM calls WHERE failure IS NOT NULL GROUP BY 1 ORDER BY 1")
    assert failures == [("own/1", "bad request", 1), ("own/2", "damaged reply", 2), ("own/3", "server error", 2)]


def test_a_choice_that_a_provider_broke_down_in_is_no_sign_of_an_ignored_n(run: Run) -> None:
    choices = [{"message": {"content": "good"}}, {"message": {"content": None}, "finish_reason": "error"}]
    with BatchServer() as server:
        server.line_results = {"What is 1 + 1": {"response": {"status_code": 200, "body": {"choices": choices}}}}
        teacher = batch_teacher(server, lines=2)
        run.ask(teacher, requests(5))
        assert teacher._abilities.honours_n
    assert run.reasons == dict.fromkeys(run.reasons)


def test_from_an_endpoint_that_ignores_n_the_missing_samples_are_asked_for_alone(run: Run) -> None:
    wanted = requests(6, replies=3)
    with BatchServer(ignores_n=True) as server:
        teacher = batch_teacher(server)
        run.ask(teacher, wanted)
        run.check(server, teacher, wanted)
        assert [one["request_counts"]["total"] for one in server.batches.values()] == [6, 12]
        assert b'"n"' not in server.files[server.batches["batch_1"]["input_file_id"]]


@pytest.mark.parametrize(("name", "calls"), [("max_tokens", 3), ("n", 6), ("temperature", 3)])
def test_what_a_model_does_not_take_is_left_out(run: Run, name: str, calls: int) -> None:
    wanted = requests(3)
    with BatchServer(dislikes=name) as server:
        teacher = batch_teacher(server, retries=0)
        run.ask(teacher, wanted)
        run.check(server, teacher, wanted)
        assert [one["request_counts"]["total"] for one in server.batches.values()] == [3, calls]
    assert run.rows("SELECT DISTINCT failure FROM calls WHERE failure IS NOT NULL") == [("bad request",)]


def test_caps_hold_and_a_raised_one_goes_on(run: Run) -> None:
    wanted = requests(20)
    with BatchServer() as server:
        teacher = batch_teacher(server)
        run.budget = BudgetSettings(tokens=1000)
        with pytest.raises(BudgetError, match=r"teacher\.budget\.tokens"):
            run.ask(teacher, wanted)
        first = len(server.billed)
        assert 0 < first < 20
        assert sum(server.billed_usage) <= 1000
        assert len(server.batches) > 1  # what is settled makes room for more
        run.budget = BudgetSettings(money=Decimal("0.0021"))
        with pytest.raises(BudgetError, match=r"teacher\.budget\.money"):
            run.ask(teacher, wanted)
        prompt, completion = server.billed_usage
        assert prompt * 1 + completion * 4 <= 2100
        assert first < len(server.billed) < 20
        run.budget = BudgetSettings(requests=20)
        run.ask(teacher, wanted)
        run.check(server, teacher, wanted)


def test_a_batch_that_is_too_large_is_cut_in_half(run: Run) -> None:
    wanted = requests(20)
    with BatchServer(most_lines=6) as server:
        teacher = batch_teacher(server)
        run.ask(teacher, wanted)
        run.check(server, teacher, wanted)
        good = [one for one in server.batches.values() if one["status"] == "completed"]
        assert [one["request_counts"]["total"] for one in good] == [5, 5, 5, 5]
    with BatchServer(most_lines=0) as server, pytest.raises(TeacherError, match="not even a batch of one"):
        run.ask(batch_teacher(server), requests(22))
    assert run.rows("SELECT count(*) FROM calls WHERE ended IS NULL") == [(0,)]


def test_a_file_that_is_too_large_is_cut_in_half(run: Run) -> None:
    wanted = requests(8)
    answers: dict[Step, deque[tuple[int, Any]]] = {
        "upload": deque([(413, "no"), (400, {"error": {"message": "file too large"}})])
    }
    with BatchServer(answers=answers) as server:
        teacher = batch_teacher(server)
        run.ask(teacher, wanted)
        run.check(server, teacher, wanted)
        assert len(server.batches) == 4


def test_many_batches_at_once(run: Run) -> None:
    wanted = requests(25)
    with BatchServer(looks=2) as server:
        teacher = batch_teacher(server, lines=10)
        run.ask(teacher, wanted)
        run.check(server, teacher, wanted)
        assert [one["request_counts"]["total"] for one in server.batches.values()] == [10, 10, 5]
        assert server.steps.index("poll") > 5


def test_bytes_are_a_limit_too(run: Run) -> None:
    wanted = requests(10)
    with BatchServer() as server:
        teacher = BatchTeacher(settings(server), Clock().pace(size=2000))
        run.ask(teacher, wanted)
        run.check(server, teacher, wanted)
        assert len(server.batches) > 2
        assert all(len(content) <= 2000 for content in server.files.values() if b'"method"' in content)


def test_lines_that_validation_refuses_are_set_aside(run: Run) -> None:
    problem = {"code": "invalid_request", "message": "This line is odd.", "line": 2, "param": None}
    with BatchServer(refusals=deque([[problem]])) as server:
        run.ask(batch_teacher(server), requests(4, replies=1))
    assert [key for key, reason in run.reasons.items() if reason] == ["own/1"]
    assert len(server.billed) == 3


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ({"code": "model_not_found", "message": "No such model.", "line": 1}, "knows no model 'm'"),
        ({"code": "billing_hard_limit_reached", "message": "Pay.", "line": None}, "no money or quota"),
        ({"code": "odd", "message": "Something odd.", "line": None}, "Something odd"),
    ],
)
def test_a_batch_that_is_refused_for_good_stops_the_run(run: Run, problem: dict[str, Any], said: str) -> None:
    with BatchServer(refusals=deque([[problem]])) as server:
        with pytest.raises(TeacherError, match=said):
            run.ask(batch_teacher(server), requests(4))
        assert run.rows("SELECT DISTINCT failure, charged_tokens FROM calls") == [("stopped", 0)]
        run.ask(batch_teacher(server), requests(4))
    assert len(server.billed) == 4


@pytest.mark.parametrize("code", ["odd", "token_limit_exceeded"])
def test_what_a_batch_was_refused_for_shows_no_key(run: Run, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    refusal = [{"code": code, "message": f"Odd {KEY} \ud83d.", "line": None}]
    odd = pytest.raises(TeacherError, match=r"Odd \*\*\* \ufffd")
    with BatchServer(refusals=deque([refusal])) as server, odd as caught:
        run.ask(batch_teacher(server), requests(1))
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert not any(KEY.encode() in path.read_bytes() for path in run.path.parent.iterdir())


def test_the_words_for_an_expired_line_can_be_written_and_show_no_key(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    error = {"code": "batch_expired", "message": f"Late: {KEY} \ud83d"}
    with BatchServer(line_results={"What is 1 + 1": {"error": error}}) as server:
        run.ask(batch_teacher(server, retries=0), requests(3))
    assert run.reasons == {"own/0": None, "own/1": "Late: *** \ufffd", "own/2": None}


@pytest.mark.parametrize("step", ["upload", "create", "list"])
def test_too_many_requests_a_minute_is_no_batch_too_large(run: Run, step: Step) -> None:
    slow_down = (429, {"error": {"message": "Too many requests in 1 minute"}})
    with BatchServer(answers={step: deque([slow_down]), "poll": deque([(500, "no")])}) as server:
        if step == "list":  # which is only asked for once a batch may have been handed in
            server.answers["create"] = deque([(500, "no")])
        teacher = batch_teacher(server)
        run.ask(teacher, requests(4))
        run.check(server, teacher, requests(4))
        assert len(server.batches) == 1


@pytest.mark.parametrize("step", ["upload", "create"])
@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (401, {"message": "Incorrect API key", "code": "invalid_api_key"}, "refuses the key"),
        (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}, "no money or quota"),
        (404, {"message": "Not found"}, 'teacher.road to "direct"'),
    ],
)
def test_what_every_batch_would_meet_stops_the_run(
    run: Run, step: Step, status: int, error: dict[str, Any], said: str
) -> None:
    with BatchServer(answers={step: deque([(status, {"error": error})])}) as server:
        with pytest.raises(TeacherError, match=said):
            run.ask(batch_teacher(server), requests(2))
        teacher = batch_teacher(server)
        run.ask(teacher, requests(2))
        run.check(server, teacher, requests(2))


def test_faults_in_passing_are_waited_out_and_a_lost_reply_hands_nothing_in_twice(run: Run) -> None:
    wanted, clock = requests(5), Clock()
    broken = (503, {"error": {"message": "overloaded"}})
    with BatchServer(page=1) as server:
        server.answers = {
            "upload": deque([broken]),
            "create": deque([(200, "lost reply"), broken]),
            "list": deque([(200, {"data": "nothing"}), broken]),
            "poll": deque([(404, {"error": {"message": "not yet"}}), broken, (200, [])]),
            "content": deque([broken, (200, "lost reply")]),
        }
        teacher = batch_teacher(server, clock)
        run.ask(teacher, wanted)
        run.check(server, teacher, wanted)
        assert len(server.batches) == 1


def test_a_minute_without_the_endpoint_ends_no_batch(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Random, "uniform", lambda _self, low, high: (low + high) / 2)
    away: deque[tuple[int, Any]] = deque([(503, "away")] * 5)
    clock, wanted = Clock(), requests(2)
    with BatchServer(answers={"poll": away}) as server:
        teacher = batch_teacher(server, clock)
        run.ask(teacher, wanted)
        run.check(server, teacher, wanted)
    assert clock.now > 60


def test_an_endpoint_that_stays_broken_stops_the_run_and_the_next_start_goes_on(run: Run) -> None:
    broken = (500, {"error": {"message": "broken"}})
    with BatchServer(answers={"poll": deque([broken] * 3)}) as server:
        with pytest.raises(TeacherError, match="broken"):
            run.ask(batch_teacher(server, retries=2), requests(5))
        teacher = batch_teacher(server)
        run.ask(teacher, requests(5))
        run.check(server, teacher, requests(5))
        assert len(server.batches) == 1


CHILD = """
import sys
from pathlib import Path
from tests.batch_server import BatchServer
from tests.teacher.batches.test_batches import Run, batch_teacher, requests
server = BatchServer()
server.port = int(sys.argv[2])
Run(Path(sys.argv[1])).ask(batch_teacher(server), requests(int(sys.argv[3])))
"""


def killed(server: BatchServer, run: Run, step: Step, count: int) -> None:
    """Asks in a process of its own, which is killed while the server does not reply to `step`."""
    server.hangs.add(step)
    root = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", CHILD, str(run.path.parent), str(server.port), str(count)]
    with subprocess.Popen(command, cwd=root, env={**os.environ, "PYTHONPATH": root}) as process:
        assert server.hung.wait(60)
        process.send_signal(signal.SIGKILL)
    server.hangs.clear()


@pytest.mark.parametrize(("step", "batches"), [("upload", 0), ("create", 1), ("poll", 1), ("content", 1)])
def test_a_killed_run_goes_on_and_hands_nothing_in_twice(run: Run, step: Step, batches: int) -> None:
    wanted = requests(8)
    with BatchServer(page=2) as server:
        run_of_others = Run(run.path.parent / "other")
        run_of_others.ask(batch_teacher(server), requests(1))
        others = len(server.billed)
        killed(server, run, step, 5)
        for place in range(3):  # more batches of the account, on another page of its list
            run_of_others.ask(batch_teacher(server), [request(numbered(place + 100))])
        others += 3
        assert len(server.batches) == batches + 4
        assert run.rows("SELECT count(*) FROM calls WHERE ended IS NULL") == [(5,)]
        run.budget = BudgetSettings(requests=8)  # what was never handed in counts for nothing
        run.ask(batch_teacher(server), wanted)
        assert len(server.batches) == 4 + batches + 1
        assert len(server.billed) - others == 8
        assert run.rows("SELECT count(*), count(DISTINCT key) FROM samples") == [(16, 16)]
        assert run.rows("SELECT count(*), sum(ended IS NULL), sum(cost IS NULL) FROM calls") == [(8, 0, 0)]
        assert run.reasons == {one.question.id: None for one in wanted}


@pytest.mark.parametrize("late", [False, True])
def test_whichever_request_a_run_stops_at_the_next_start_goes_on(tmp_path: Path, late: bool) -> None:
    wanted = requests(5)
    stopped = 0
    for place in range(40):
        with BatchServer(stops_at=place, stops_late=late, failing=0.3, expiring=deque([2])) as server:
            run, teacher = Run(tmp_path / str(place)), batch_teacher(server, lines=3)
            try:
                run.ask(teacher, wanted)
            except TeacherError:
                stopped += 1
                run.ask(teacher, wanted)
            run.check(server, teacher, wanted)
            if server.stops_at is not None:
                break
    assert 10 < stopped < 40


def test_an_interrupted_run_goes_on(run: Run) -> None:
    wanted = requests(9)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with BatchServer(looks=1) as server, Ledger(run.path) as ledger:
        teacher = batch_teacher(server, lines=3)
        with pytest.raises(KeyboardInterrupt):
            ask(teacher, wanted, ledger, Spending(prices=prices_for(teacher._settings, "")), interrupt)
        run.ask(teacher, wanted)
        run.check(server, teacher, wanted)
        assert len(server.batches) == 3


def test_a_file_that_breaks_off_is_fetched_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_harvest, "COMMIT", 2)
    wanted = requests(9)
    with BatchServer(breaks={"content"}) as server:
        teacher = batch_teacher(server)
        run.ask(teacher, wanted)
        run.check(server, teacher, wanted)
        assert server.steps.count("content") == 2


def test_replies_whose_file_is_gone_are_asked_for_again_and_count_at_their_worst(run: Run) -> None:
    gone = (404, {"error": {"message": "No such file"}})
    with BatchServer(answers={"content": deque([gone] * 2)}) as server:
        run.ask(batch_teacher(server, retries=1), requests(3))
        assert len(server.batches) == 2
    assert set(run.reasons.values()) == {None}
    assert run.rows("SELECT failure, min(charged_tokens) > 200 FROM calls GROUP BY failure ORDER BY failure") == [
        (None, 0), ("damaged reply", 1)
    ]  # fmt: skip


def test_the_recipe_names_the_road() -> None:
    from tutelage.rounds.cast import build_teacher  # brings torch, which the processes that are killed do without

    recipe = {"task": {"name": "svamp"}, "student": {"model": "s"}, "teacher": {"kind": "openai", "model": "m"}}
    teacher = recipe["teacher"] | {"base_url": "http://127.0.0.1:1/v1"}
    direct = Recipe.model_validate(recipe | {"teacher": teacher})
    batch = Recipe.model_validate(recipe | {"teacher": teacher | {"road": "batch"}})
    assert not isinstance(build_teacher(direct), BatchTeacher)
    assert isinstance(build_teacher(batch), BatchTeacher)


def test_the_budget_of_a_later_start_agrees_with_the_ledger(run: Run) -> None:
    teacher = OpenAITeacher(OpenAITeacherSettings(kind="openai", model="m", base_url="http://127.0.0.1:1/v1"))
    calls = [wire.call(teacher._settings, one, (0, 1)) for one in requests(3)]
    prices = prices_for(teacher._settings.model_copy(update={"price": PRICE}), "")
    with Ledger(run.path) as ledger:

        def book() -> tuple[Budget, LedgerBatchBook]:
            budget = Budget(BudgetSettings(tokens=10**6), ledger.spent(), prices)
            return budget, LedgerBatchBook(ledger, teacher, budget, prices, None)

        budget, first = book()
        first.begin_many("one", calls[:2])
        first.begin_many("two", calls[2:])
        first.handed_in("one", "batch_1")
        left = budget.left()
        budget, later = book()
        assert budget.left() == left
        one, two = later.open_batches()
        assert (one.name, one.handed_in, two.name, two.handed_in) == ("batch_1", True, "two", False)
        assert list(one.places.values()) == [(0, 1), (0, 1)]
        number = next(iter(one.places))
        later.end_many({number: Outcome({0: Sample("text", "so"), 1: Sample("empty", None)}, Usage(7, 5))})
        later.forget("two")
        later.forget("batch_1")
        assert budget.spent == ledger.spent() == Spent(1, 12, 7 * 1_000_000 + 5 * 4_000_000)


def test_a_cap_counts_what_an_earlier_start_left_under_way_once(run: Run) -> None:
    with BatchServer() as server:
        stopped = (401, {"error": {"message": "no", "code": "invalid_api_key"}})
        server.answers = {"poll": deque([stopped])}
        run.budget = BudgetSettings(tokens=3000)
        with pytest.raises(TeacherError, match="refuses the key"):
            run.ask(batch_teacher(server), requests(6))
        ((reserved,),) = run.rows("SELECT sum(charged_tokens) FROM calls")
        assert 2000 < reserved <= 3000
        teacher = batch_teacher(server)
        run.ask(teacher, requests(30))
        run.check(server, teacher, requests(30))


def test_a_run_may_take_the_other_road_in_the_middle(run: Run) -> None:
    wanted = requests(10)
    with BatchServer(looks=5, expiring=deque([4])) as server:
        server.answers = {"poll": deque([(401, {"error": {"message": "no", "code": "invalid_api_key"}})])}
        with pytest.raises(TeacherError, match="refuses the key"):
            run.ask(batch_teacher(server), wanted[:6])
        direct = OpenAITeacher(settings(server))
        run.ask(direct, wanted[:8])  # cancels the batch, of which four lines are done
        assert (len(server.billed), len(server.billed_direct)) == (4, 4)
        assert "cancel" in server.steps
        teacher = batch_teacher(server)
        run.ask(teacher, wanted)
        run.check(server, teacher, wanted)
        assert (len(server.billed), len(server.billed_direct)) == (6, 4)
        assert "list" not in server.steps


def test_a_batch_that_nobody_knows_any_more_is_asked_anew_and_counts_at_its_worst(run: Run) -> None:
    stopped = (401, {"error": {"message": "no", "code": "invalid_api_key"}})
    with BatchServer(answers={"poll": deque([stopped])}) as server, pytest.raises(TeacherError, match="the key"):
        run.ask(batch_teacher(server), requests(3))
    with BatchServer(has_batches=False) as server:
        with pytest.raises(TeacherError, match="no batch API"):
            run.ask(batch_teacher(server), requests(3))
        assert run.rows("SELECT count(*) FROM calls WHERE ended IS NULL") == [(3,)]
    with BatchServer() as server:
        run.ask(batch_teacher(server), requests(3))
        assert len(server.billed) == 3
    assert run.rows("SELECT failure, sum(charged_tokens) > 600 FROM calls GROUP BY failure ORDER BY failure") == [
        (None, 0), ("interrupted", 1)
    ]  # fmt: skip


def test_runs_share_replies_by_a_cache(tmp_path: Path) -> None:
    wanted = requests(4)
    with BatchServer() as server:
        teacher = batch_teacher(server)
        for name in ("one", "two"):
            with Ledger(tmp_path / name / "teacher.sqlite") as ledger:
                ask(teacher, wanted, ledger, Spending(cache=tmp_path / "cache.sqlite"))
                assert all(len(ledger.reply(teacher, one).texts) == 2 for one in wanted)
        assert len(server.billed) == 4

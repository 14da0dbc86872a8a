"""Every fault an endpoint can have, at random: nothing is lost, nothing is paid twice, and the books are the server's.

The server (tests/teacher_server.py) keeps books of its own, in another process.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.teacher.many import KEY, Many, Settlements, make_teacher
from tests.teacher_server import WEIGHTS, TeacherServer
from tutelage.errors import TeacherError
from tutelage.teacher.asking import ask
from tutelage.teacher.books.accounts import totals
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.protocol import Request

FAILURES = {
    "rate limit": "rate limit",
    "long rate limit": "rate limit",
    "overloaded": "overloaded",
    "server error": "server error",
    "reset before": "broken connection",
    "reset midway": "broken connection",
    "closed midway": "broken connection",
    "truncated": "damaged reply",
    "invalid JSON": "damaged reply",
    "HTML": "damaged reply",
    "no choices": "no choices",
    "drip": "timed out",
    "refused content": "bad request",
}
"""What the ledger calls each of the server's faults; the others come with whole replies."""


def _memory() -> int:
    """This process's, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class _Watch(Settlements):
    """Notes the memory when so many requests are settled."""

    def __init__(self, places: tuple[int, ...]) -> None:
        super().__init__()
        self.memory = dict.fromkeys(places, 0)
        self.settled = 0

    def __call__(self, request: Request, reason: str | None) -> None:
        super().__call__(request, reason)
        self.settled += 1
        if self.settled in self.memory:
            self.memory[self.settled] = _memory()


def _check_books(ledger: Ledger, stats: dict[str, Any]) -> None:
    """The ledger's against the server's, call by call and sample by sample."""
    sums = totals(ledger)[1]
    failures: Counter[str] = Counter()
    for fault, times in stats["faults"].items():
        if fault in FAILURES:
            failures[FAILURES[fault]] += times
    assert sums.failures == failures
    assert sums.in_flight == 0
    assert sums.calls == stats["received"]
    assert sums.calls - sum(failures.values()) == stats["answered"] == stats["answered_keys"]
    assert stats["repeated"] == 0
    kinds = Counter(kind for (kind,) in ledger.rows("SELECT kind FROM samples"))
    assert kinds == stats["kinds"]


def _check_usage(ledger: Ledger, stats: dict[str, Any]) -> None:
    sums = totals(ledger)[1]
    assert (sums.prompt_tokens, sums.completion_tokens) == (
        stats["answered_prompt_tokens"],
        stats["answered_completion_tokens"],
    )
    assert ledger.spent().tokens >= stats["billed_tokens"] >= stats["answered_prompt_tokens"]


@pytest.mark.slow
def test_twenty_thousand_requests_among_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests, told = Many(20_000, replies=2), _Watch((4_000, 20_000))
    with TeacherServer(faults=0.2, seed=1, refuses=0.002) as server, Ledger(tmp_path / "teacher.sqlite") as ledger:
        ask(make_teacher(server, monkeypatch, retries=3), requests, ledger, on_settled=told)
        stats, sums = server.stats(), totals(ledger)[1]
        assert set(WEIGHTS) | {"refused content"} == set(stats["faults"])
        assert set(told.times.values()) == {1}
        assert len(told.times) == sums.requests == 20_000
        assert sums.set_aside == sum(told.reasons.values()) > stats["refused_prompts"] > 20
        assert sums.answered == 20_000 - sums.set_aside == stats["answered"]
        _check_books(ledger, stats)
        _check_usage(ledger, stats)
        assert told.memory[20_000] - told.memory[4_000] < 30 * 2**20

        # In a better hour, those that were set aside are asked for, and no other.
        server.set(faults=0.0)
        again = Settlements()
        ask(make_teacher(server, monkeypatch), requests, ledger, on_settled=again)
        later = server.stats()
        assert sum(again.reasons.values()) == later["refused_prompts"]
        assert later["answered"] == 20_000 - later["refused_prompts"] == totals(ledger)[1].answered
        assert later["received"] - stats["received"] <= sums.set_aside + later["refused_prompts"]
        _check_books(ledger, later)


@pytest.mark.parametrize(
    ("options", "replies", "completion"),
    [
        ({"ignores_n": True}, 3, False),
        ({}, 2, True),
        ({"without_usage": True}, 2, False),
        ({"forgets": True, "delay": 0.002}, 1, False),
    ],
    ids=["ignores n", "completion", "without usage", "forgets"],
)
def test_kinds_of_endpoints_among_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], replies: int, completion: bool
) -> None:
    requests, told = Many(200, replies, completion), Settlements()
    with TeacherServer(faults=0.2, seed=4, **options) as server, Ledger(tmp_path / "teacher.sqlite") as ledger:
        endpoint = "completion" if completion else "chat"
        ask(make_teacher(server, monkeypatch, retries=8, endpoint=endpoint), requests, ledger, on_settled=told)
        stats = server.stats()
        _check_books(ledger, stats)
        if options.get("without_usage"):
            assert totals(ledger)[1].prompt_tokens is None
            assert ledger.spent().tokens >= stats["billed_tokens"]
        else:
            _check_usage(ledger, stats)
    assert not told.reasons
    assert sum(stats["kinds"].values()) == 200 * replies
    assert stats["most_choices"] == replies or options.get("forgets")


def test_a_full_quota_stops_at_once_and_the_rest_comes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests, told = Many(300, replies=2), Settlements()
    with TeacherServer(quota=100) as server, Ledger(tmp_path / "teacher.sqlite") as ledger:
        teacher = make_teacher(server, monkeypatch, concurrency=20)
        with pytest.raises(TeacherError, match="quota"):
            ask(teacher, requests, ledger)
        stats = server.stats()
        assert totals(ledger)[1].answered == stats["answered"] == 100
        assert stats["received"] <= 100 + 20
        server.set(quota=None)
        ask(teacher, requests, ledger, on_settled=told)
        assert totals(ledger)[1].answered == server.stats()["billed"] == 300
        assert server.stats()["repeated"] == 0
    assert not told.reasons
    assert len(told.times) == 300


def test_a_wrong_key_stops_at_once_and_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with TeacherServer(key="another") as server, Ledger(tmp_path / "teacher.sqlite") as ledger:
        with pytest.raises(TeacherError, match="KEY_OF_THE_TESTS") as caught:
            ask(make_teacher(server, monkeypatch, concurrency=20), Many(300, replies=2), ledger)
        assert KEY not in str(caught.value)
        assert totals(ledger)[1].calls <= 20
        assert totals(ledger)[1].failures == {"stopped": totals(ledger)[1].calls}
    assert KEY.encode() not in (tmp_path / "teacher.sqlite").read_bytes()

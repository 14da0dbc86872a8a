"""A cap in the middle of 1,000 requests, 200 at a time: by the server's books, it is not exceeded by a token."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.teacher.many import Many, Settlements, make_settings, make_teacher
from tests.teacher_server import TeacherServer
from tutelage.config import BudgetSettings, OpenAITeacherSettings, PriceSettings
from tutelage.errors import BudgetError
from tutelage.teacher.asking import Spending, ask
from tutelage.teacher.books.accounts import totals
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.books.prices import prices_for
from tutelage.teacher.openai.wire import call

PRICE = PriceSettings(input=Decimal("2.5"), output=Decimal("10.000001"))
REQUESTS = Many(1_000, replies=2)
CAPS: dict[str, Decimal] = {"tokens": Decimal(60_000), "money": Decimal("0.345678"), "requests": Decimal(500)}


def _billed(stats: dict[str, Any]) -> dict[str, Decimal]:
    """What the server counts, as the caps do."""
    return _counted(stats["billed_prompt_tokens"], stats["billed_completion_tokens"], stats["received"])


def _counted(prompt: int, completion: int, requests: int) -> dict[str, Decimal]:
    money = (prompt * PRICE.input + completion * PRICE.output) / 10**6
    return {"tokens": Decimal(prompt + completion), "money": money, "requests": Decimal(requests)}


@pytest.mark.parametrize("faults", [0.0, 0.2], ids=["all well", "among faults"])
@pytest.mark.parametrize("name", CAPS)
def test_a_cap_holds_and_a_higher_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, faults: float
) -> None:
    # A server that takes no notice of keys asks for a reply each time that it makes it.
    with (
        TeacherServer(faults=faults, seed=3, delay=0.01, forgets=True) as server,
        Ledger(tmp_path / "teacher.sqlite") as ledger,
    ):
        teacher = make_teacher(server, monkeypatch)
        prices = prices_for(make_settings(server, price=PRICE), server.url)
        with pytest.raises(BudgetError, match=rf"teacher\.budget\.{name}"):
            ask(teacher, REQUESTS, ledger, Spending(BudgetSettings.model_validate({name: CAPS[name]}), prices))
        stats, sums = server.stats(), totals(ledger)[1]
        assert _billed(stats)[name] <= CAPS[name]
        assert stats["most_at_once"] > 20
        assert sums.in_flight == 0
        assert 100 < sums.answered == stats["answered"] < 1_000
        if not faults:
            _check_stopped_late(name, stats, make_settings(server))

        told = Settlements()
        ask(teacher, REQUESTS, ledger, Spending(BudgetSettings(), prices), on_settled=told)
        stats = server.stats()
        assert stats["answered_keys"] + sum(told.reasons.values()) == 1_000
        assert totals(ledger)[1].answered == stats["answered"]
        assert stats["repeated"] == 0
        spent = ledger.spent()
        billed = _billed(stats)
        assert spent.tokens >= billed["tokens"]
        assert spent.cost >= billed["money"] * 10**12
        assert spent.requests == billed["requests"]


def _check_stopped_late(name: str, stats: dict[str, Any], settings: OpenAITeacherSettings) -> None:
    """What is left of the cap is less than the next call may come to: it waited for what was in flight."""
    next_call = call(settings, REQUESTS[999], (0, 1))
    worst = _counted(next_call.most_prompt_tokens, next_call.most_completion_tokens, 1)
    assert CAPS[name] - _billed(stats)[name] < worst[name]

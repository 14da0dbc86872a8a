"""Caps that hold whatever comes back, in whatever order."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, consumes, invariant, multiple, rule

from tutelage.config import BudgetSettings
from tutelage.errors import BudgetError
from tutelage.teacher.books.budget import Budget, Left, Spent
from tutelage.teacher.books.prices import PICO, Prices

ONE = Decimal(1)
PRICES = Prices(ONE, ONE, ONE, ONE, ONE, "a test")


def caps(money: str | None = None, tokens: int | None = None, requests: int | None = None) -> BudgetSettings:
    return BudgetSettings(money=None if money is None else Decimal(money), tokens=tokens, requests=requests)


def test_without_caps_everything_fits() -> None:
    budget = Budget(caps(), Spent(), None)
    assert all(budget.reserve(10**12, None) for _ in range(100))
    assert budget.left() == Left(None, None, None)


def test_a_cap_on_money_needs_prices_and_says_how_to_give_them() -> None:
    with pytest.raises(BudgetError, match=r"teacher\.price\.input and teacher\.price\.output") as raised:
        Budget(caps(money="5"), Spent(), None)
    assert "teacher.budget.money = 5" in str(raised.value)


def test_caps_on_tokens_and_requests_need_none() -> None:
    assert Budget(caps(tokens=10, requests=1), Spent(), None).reserve(10, None)


def test_a_cap_is_reached_exactly_and_not_passed() -> None:
    budget = Budget(caps(money="0.000000000003", tokens=30, requests=3), Spent(), PRICES)
    assert [budget.reserve(10, 1) for _ in range(4)] == [True, True, True, False]
    assert budget.left() == Left(0, 0, 0)


@pytest.mark.parametrize("cap", [caps(money="0.00000000001"), caps(tokens=10), caps(requests=10)])
def test_each_cap_holds_alone(cap: BudgetSettings) -> None:
    budget = Budget(cap, Spent(), PRICES)
    assert sum(budget.reserve(1, 1) for _ in range(20)) == 10


def test_what_an_earlier_process_spent_counts() -> None:
    budget = Budget(caps(tokens=100), Spent(requests=4, tokens=95, cost=0), None)
    assert not budget.reserve(6, None)
    assert budget.reserve(5, None)


def test_settling_gives_back_what_was_reserved_too_much() -> None:
    budget = Budget(caps(tokens=100), Spent(), None)
    assert budget.reserve(80, None)
    assert not budget.reserve(30, None)
    budget.settle(80, None, 20, None)
    assert budget.spent == Spent(1, 20, 0)
    assert budget.reserve(80, None)


def test_the_worst_stays_where_none_knows_what_a_call_came_to() -> None:
    budget = Budget(caps(money="1", tokens=100), Spent(), PRICES)
    assert budget.reserve(80, PICO // 2)
    budget.settle(80, PICO // 2, None, None)
    assert budget.spent == Spent(1, 80, PICO // 2)
    assert budget.left() == Left(None, 20, PICO // 2)


def test_a_call_that_came_to_more_than_its_worst_stops_all_others() -> None:
    budget = Budget(caps(tokens=100), Spent(), None)
    assert budget.reserve(50, None)
    budget.settle(50, None, 170, None)
    assert budget.spent.tokens == 170
    assert budget.left().tokens == 0
    assert not budget.reserve(0, None)


def test_a_call_that_did_not_leave_is_as_if_it_had_never_been() -> None:
    budget = Budget(caps(money="1", tokens=10, requests=1), Spent(), PRICES)
    before = budget.left()
    assert budget.reserve(10, 5)
    budget.give_back(10, 5)
    assert (budget.left(), budget.spent) == (before, Spent())


def test_it_pays_to_wait_only_where_calls_in_flight_may_free_enough() -> None:
    budget = Budget(caps(tokens=100), Spent(tokens=30), None)
    assert budget.reserve(70, None)
    assert not budget.reserve(50, None)
    assert budget.may_fit(70, None)
    assert not budget.may_fit(71, None)


def test_a_request_that_left_never_comes_back_by_waiting() -> None:
    budget = Budget(caps(requests=1), Spent(), None)
    assert budget.reserve(1, None)
    assert not budget.may_fit(1, None)


def test_the_message_names_the_cap_what_there_is_and_the_way_on() -> None:
    budget = Budget(caps(money="5", tokens=10**9), Spent(cost=4_998_700_000_000), PRICES)
    assert not budget.reserve(10, 2_000_000_000)
    text = budget.reached(512, 1000)
    for words in (
        "teacher.budget.money is 5.00",
        "4.9987 is used",
        "may come to 0.002",
        "512 of 1,000",
        "tutelage resume RUN teacher.budget.money=",
    ):
        assert words in text


def test_the_message_names_the_cap_that_refused_last() -> None:
    budget = Budget(caps(tokens=100, requests=5), Spent(), None)
    assert not budget.reserve(101, None)
    assert budget.reserve(1, None)
    assert "teacher.budget.tokens is 100, of which 0 is used" in budget.reached(0, 9)


class Calls(RuleBasedStateMachine):
    """Calls reserved, settled and given back in any order; the server never takes more than the worst case."""

    in_flight: Bundle[tuple[int, int]] = Bundle("in_flight")

    def __init__(self) -> None:
        super().__init__()
        self.caps = Left(40, 5_000, 3_000)
        money = Decimal(3_000).scaleb(-12)
        self.budget = Budget(BudgetSettings(money=money, tokens=5_000, requests=40), Spent(), PRICES)
        self.reserved: list[tuple[int, int]] = []
        self.paid = Spent()

    @rule(target=in_flight, tokens=st.integers(0, 2_000), cost=st.integers(0, 1_000))
    def reserve(self, tokens: int, cost: int) -> MultipleResults[tuple[int, int]] | tuple[int, int]:
        fits = (
            self.paid.requests + 1 <= 40
            and self.paid.tokens + sum(one for one, _ in self.reserved) + tokens <= 5_000
            and self.paid.cost + sum(one for _, one in self.reserved) + cost <= 3_000
        )
        assert self.budget.reserve(tokens, cost) == fits
        if not fits:
            waiting_helps = (
                self.paid.requests + 1 <= 40 and self.paid.tokens + tokens <= 5_000 and self.paid.cost + cost <= 3_000
            )
            assert self.budget.may_fit(tokens, cost) == waiting_helps
            return multiple()
        self.reserved.append((tokens, cost))
        self.paid = Spent(self.paid.requests + 1, self.paid.tokens, self.paid.cost)
        return (tokens, cost)

    @rule(call=consumes(in_flight), share=st.floats(0, 1), told=st.booleans())
    def settle(self, call: tuple[int, int], share: float, told: bool) -> None:
        tokens, cost = (int(call[0] * share), int(call[1] * share)) if told else (None, None)
        self.budget.settle(*call, tokens, cost)
        self.reserved.remove(call)
        self.paid = Spent(
            self.paid.requests,
            self.paid.tokens + (call[0] if tokens is None else tokens),
            self.paid.cost + (call[1] if cost is None else cost),
        )

    @rule(call=consumes(in_flight))
    def give_back(self, call: tuple[int, int]) -> None:
        self.budget.give_back(*call)
        self.reserved.remove(call)
        self.paid = Spent(self.paid.requests - 1, self.paid.tokens, self.paid.cost)

    @invariant()
    def caps_hold(self) -> None:
        assert self.budget.spent == self.paid
        left = self.budget.left()
        assert left.requests == 40 - self.paid.requests >= 0
        assert left.tokens == 5_000 - self.paid.tokens - sum(one for one, _ in self.reserved) >= 0
        assert left.cost == 3_000 - self.paid.cost - sum(one for _, one in self.reserved) >= 0


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.integers(1, 10**18), st.lists(st.integers(0, 10**17), max_size=50))
def test_money_adds_up_to_the_last_digit(cap: int, costs: list[int]) -> None:
    budget = Budget(BudgetSettings(money=Decimal(cap).scaleb(-12)), Spent(), PRICES)
    used = 0
    for cost in costs:
        if budget.reserve(0, cost):
            used += cost
            budget.settle(0, cost, 0, cost)
    assert budget.spent.cost == used <= cap
    assert budget.left().cost == cap - used

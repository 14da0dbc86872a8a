"""The caps on what a teacher may cost: the worst case is reserved before a request leaves, and settled afterwards.

Nothing here waits: who asks (recorder.py) does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from tutelage.config import BudgetSettings
from tutelage.errors import BudgetError
from tutelage.teacher.books.prices import Prices, exact_money, to_pico

REACHED = "The teacher's budget is reached."
"""What is said at a cap before `Budget.reached` says it whole, when all that was in flight has ended."""

Whose = Literal["teacher", "judge"]
"""Whose caps they are: a recipe's teacher's, or those of a comparison's judge, in the comparison's file."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has used of its teacher: HTTP requests, tokens (prompts' and replies'), and money in 10⁻¹².

    Where none knows what a request came to, the worst that it could is in it.
    """

    requests: int = 0
    tokens: int = 0
    cost: int = 0


_HOW: dict[Whose, str] = {
    "teacher": "`tutelage resume RUN {key}=MORE`",
    "judge": "give {key} more in the comparison's file, and call `tutelage compare` again",
}


@dataclass(frozen=True, slots=True)
class Left:
    """What the caps leave, money in 10⁻¹². None: no cap. Never below 0."""

    requests: int | None
    tokens: int | None
    cost: int | None


class Budget:
    """Holds the caps of one run, or of a comparison's judge, whatever is in flight.

    What is spent and what is reserved stay together within each cap, as long as no call comes to more than was
    reserved for it; if one does, it counts as it is, and nothing more is let out.

    spent: until now, by the ledger. prices: None where they are unknown. whose: for messages.
    Raises: BudgetError for a cap on money without prices.
    """

    def __init__(self, caps: BudgetSettings, spent: Spent, prices: Prices | None, whose: Whose = "teacher") -> None:
        if caps.money is not None and prices is None:
            raise BudgetError(
                f"There is a cap on money, {whose}.budget.money = {caps.money}, but the {whose}'s prices are unknown, "
                f"so that nothing could keep it. Give {whose}.price.input and {whose}.price.output, for a million "
                f"tokens in the cap's money; or cap {whose}.budget.tokens instead."
            )
        self._whose = whose
        self._caps = Left(caps.requests, caps.tokens, None if caps.money is None else to_pico(caps.money))
        self._spent = spent
        self._reserved_tokens = 0
        self._reserved_cost = 0
        self._refused: tuple[str, int, int, int] | None = None

    def reserve(self, tokens: int, cost: int | None, requests: int = 1) -> bool:
        """Sets aside the worst case of a call that is about to leave, if it fits; else changes nothing.

        cost: in 10⁻¹²; None if no price is known.
        """
        broken = self._first_broken(tokens, cost, requests, self._reserved_tokens, self._reserved_cost)
        if broken is not None:
            self._refused = broken
            return False
        self._spent = replace(self._spent, requests=self._spent.requests + requests)
        self._reserved_tokens += tokens
        self._reserved_cost += cost or 0
        return True

    def may_fit(self, tokens: int, cost: int | None, requests: int = 1) -> bool:
        """Whether a call could still fit if all that is in flight came to nothing: then it pays to wait."""
        return self._first_broken(tokens, cost, requests, 0, 0) is None

    def settle(self, reserved_tokens: int, reserved_cost: int | None, tokens: int | None, cost: int | None) -> None:
        """A reserved call came back: what it came to takes the place of its worst case, which stays where None."""
        self._release(reserved_tokens, reserved_cost)
        self._spent = Spent(
            requests=self._spent.requests,
            tokens=self._spent.tokens + (reserved_tokens if tokens is None else tokens),
            cost=self._spent.cost + ((reserved_cost or 0) if cost is None else cost),
        )

    def give_back(self, tokens: int, cost: int | None, requests: int = 1) -> None:
        """A reserved call did not leave after all: as if it had never been."""
        self._release(tokens, cost)
        self._spent = replace(self._spent, requests=self._spent.requests - requests)

    @property
    def spent(self) -> Spent:
        """What is settled; of requests all that left."""
        return self._spent

    def left(self) -> Left:
        """What the caps leave beyond all that is spent and reserved."""

        def beyond(cap: int | None, used: int) -> int | None:
            return None if cap is None else max(0, cap - used)

        return Left(
            beyond(self._caps.requests, self._spent.requests),
            beyond(self._caps.tokens, self._spent.tokens + self._reserved_tokens),
            beyond(self._caps.cost, self._spent.cost + self._reserved_cost),
        )

    def reached(self, answered: int, wanted: int) -> str:
        """The message of a BudgetError: which cap the call last refused would have broken, and how to go on.

        answered, wanted: requests of the stage.
        """
        had = f"{answered:,} of {wanted:,} requests are answered, and what came is kept."
        if self._refused is None:
            return f"{REACHED} {had}"
        name, cap, used, more = self._refused
        key = f"{self._whose}.budget.{name}"
        written = exact_money if name == "money" else "{:,}".format
        return (
            f"The {self._whose}'s budget is reached: {key} is {written(cap)}, of which {written(used)} is used (what "
            f"may have been paid counts, too), and the next call may come to {written(more)}. {had} "
            f"Raise the cap to go on: {_HOW[self._whose].format(key=key)}."
        )

    def _release(self, tokens: int, cost: int | None) -> None:
        self._reserved_tokens -= tokens
        self._reserved_cost -= cost or 0

    def _first_broken(
        self, tokens: int, cost: int | None, requests: int, in_flight_tokens: int, in_flight_cost: int
    ) -> tuple[str, int, int, int] | None:
        """The first cap that a call would break: its name, its value, what of it is used, and what the call wants."""
        spent, caps = self._spent, self._caps
        for name, cap, used, more in (
            ("requests", caps.requests, spent.requests, requests),
            ("tokens", caps.tokens, spent.tokens + in_flight_tokens, tokens),
            ("money", caps.cost, spent.cost + in_flight_cost, cost),
        ):
            if cap is not None and (more is None or used + more > cap):
                return name, cap, used, more or 0
        return None

"""What a call may count for against the caps, and what it did, at the teacher's prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tutelage.teacher.books.budget import Spent
from tutelage.teacher.books.entries import Charge, Ended, settled_charge
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.books.prices import Prices, cost, worst_cost
from tutelage.teacher.protocol import Call, Outcome


def spent_so_far(ledger: Ledger, prices: Prices | None) -> Spent:
    """What a run has used by its ledger. Calls from before a price was known count at their dearest."""
    spent = ledger.spent()
    if prices is None:
        return spent
    ((tokens,),) = ledger.rows(
        "SELECT coalesce(sum(charged_tokens), 0) FROM calls "
        "WHERE cost IS NULL AND charged_cost = 0 AND road IN ('direct', 'batch')"
    )
    dearest = max(worst_cost(prices, 1, 0, batch=False), worst_cost(prices, 0, 1, batch=False))
    return replace(spent, cost=spent.cost + int(tokens) * dearest)


def worst_charge(prices: Prices | None, call: Call, batch: bool) -> Charge:
    """What a call may come to; batch: at the prices of the batch API."""
    prompt, completion = call.most_prompt_tokens, call.most_completion_tokens
    money = 0 if prices is None else worst_cost(prices, prompt, completion, batch)
    return Charge(prompt + completion, money)


def ended(
    prices: Prices | None,
    number: int,
    keys: Sequence[str] | Mapping[int, str],
    outcome: Outcome,
    worst: Charge,
    batch: bool,
) -> Ended:
    """What is to be written of a call that has ended. worst: what it was begun with."""
    money = None if prices is None else cost(prices, outcome.usage, batch)
    return Ended(number, keys, outcome, money, settled_charge(outcome, worst, money))

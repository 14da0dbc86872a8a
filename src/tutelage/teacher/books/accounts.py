"""What a ledger comes to: sums by round, and one question's whole conversation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tutelage.teacher.books.prices import PICO
from tutelage.teacher.books.sqlite import sum_of, summed
from tutelage.teacher.books.view import Rows
from tutelage.teacher.protocol import RequestKind, Sample, Usage


@dataclass(frozen=True, slots=True)
class Totals:
    """What one round asked of the teacher.

    requests: different ones; answered: with a reply to at least one of their samples; set_aside: without any so far.
    calls: HTTP requests, repeated ones included, or what took their place; from_network: those that the caps count.
    in_flight: those without an end.
    samples: replies that came; cut, refused, empty: those of a kind. from_cache: those that another run had paid.
    failures: calls that brought nothing, by kind, the most frequent first.
    prompt_tokens, completion_tokens, cached_tokens: sums over the calls that tell, None when none does.
    without_usage: answered calls that do not tell; the sums are lower bounds when it is not 0.
    cost: of the calls whose cost is known, in the prices' money; None when none is. cost_unknown: answered calls whose
    cost is not. maybe_tokens, maybe_cost: what calls may have cost beyond that, at the worst: those that ended without
    a word on it.
    """

    requests: int
    answered: int
    set_aside: int
    calls: int
    from_network: int
    in_flight: int
    samples: int
    cut: int
    refused: int
    empty: int
    from_cache: int
    failures: dict[str, int]
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    without_usage: int
    cost: Decimal | None
    cost_unknown: int
    maybe_tokens: int
    maybe_cost: Decimal


_CALLS = f"""
SELECT count(DISTINCT question || '|' || prompt || '|' || coalesce(mistake, '')),
    count(DISTINCT CASE WHEN id IN (SELECT call FROM samples)
        THEN question || '|' || prompt || '|' || coalesce(mistake, '') END),
    count(*), count(*) FILTER (WHERE road IN ('direct', 'batch')), count(*) FILTER (WHERE ended IS NULL),
    sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens),
    count(*) FILTER (WHERE ended IS NOT NULL AND failure IS NULL AND road != 'cache'
        AND (prompt_tokens IS NULL OR completion_tokens IS NULL)),
    {sum_of("cost")},
    count(*) FILTER (WHERE ended IS NOT NULL AND failure IS NULL AND cost IS NULL AND road IN ('direct', 'batch')),
    coalesce(sum(charged_tokens - coalesce(prompt_tokens + completion_tokens, 0)), 0),
    {sum_of("charged_cost - coalesce(cost, 0)")}
FROM calls WHERE round = ? AND calls.kind = ?
"""  # noqa: S608
_SAMPLES = """
SELECT count(*), count(*) FILTER (WHERE samples.kind = 'cut'), count(*) FILTER (WHERE samples.kind = 'refused'),
    count(*) FILTER (WHERE samples.kind = 'empty'), count(*) FILTER (WHERE road = 'cache')
FROM samples JOIN calls ON calls.id = samples.call WHERE round = ? AND calls.kind = ?
"""
_FAILURES = """
SELECT failure, count(*) FROM calls WHERE round = ? AND kind = ? AND failure IS NOT NULL
GROUP BY failure ORDER BY 2 DESC, 1
"""


def totals(ledger: Rows, kind: RequestKind = "feedback") -> dict[int, Totals]:
    """What each round asked for, by its number: feedback, or judgements."""
    rounds = ledger.rows("SELECT DISTINCT round FROM calls WHERE kind = ? ORDER BY round", (kind,))
    return {int(number): _totals(ledger, int(number), kind) for (number,) in rounds}


def _totals(ledger: Rows, number: int, kind: RequestKind) -> Totals:
    ((requests, answered, calls, from_network, in_flight, prompt, completion, cached, without, *money),) = ledger.rows(
        _CALLS, (number, kind)
    )
    *paid, unknown, tokens, over, rest = money
    cost, maybe = summed(*paid), summed(over, rest) or 0
    ((samples, cut, refused, empty, from_cache),) = ledger.rows(_SAMPLES, (number, kind))
    return Totals(
        requests,
        answered,
        requests - answered,
        calls,
        from_network,
        in_flight,
        samples,
        cut,
        refused,
        empty,
        from_cache,
        {str(failure): int(count) for failure, count in ledger.rows(_FAILURES, (number, kind))},
        prompt,
        completion,
        cached,
        without,
        None if cost is None else Decimal(cost) / PICO,
        unknown,
        max(0, tokens),
        max(Decimal(0), Decimal(maybe) / PICO),
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """One call about a question. prompt: a text, or the messages as {role, content}. ended: None while in flight.

    samples: by place. cost: in the prices' money, None if unknown.
    """

    number: int
    round: int
    teacher: str
    road: str
    prompt: str | list[dict[str, str]]
    mistake: dict[str, Any] | None
    places: tuple[int, ...]
    begun: str
    ended: str | None
    failure: str | None
    detail: str | None
    usage: Usage
    cost: Decimal | None
    samples: dict[int, Sample]


def conversation(ledger: Rows, question_id: str) -> Sequence[Entry]:
    """All calls about a question, in the order they left."""
    found = ledger.rows(
        "SELECT calls.id, round, teachers.name, road, prompts.prompt, mistake, places, begun, ended, failure, detail, "
        "prompt_tokens, completion_tokens, cached_tokens, cost FROM calls JOIN prompts ON prompts.id = calls.prompt "
        "JOIN teachers ON teachers.id = calls.teacher WHERE question = ? ORDER BY calls.id",
        (question_id,),
    )
    return [_entry(ledger, row) for row in found]


def _entry(ledger: Rows, row: tuple[Any, ...]) -> Entry:
    number, turn, teacher, road, prompt, mistake, places, begun, ended, failure, detail, *counts, cost = row
    samples = ledger.rows(
        "SELECT place, kind, text, finish_reason, thinking FROM samples WHERE call = ? ORDER BY place", (number,)
    )
    return Entry(
        number,
        turn,
        teacher,
        road,
        json.loads(prompt),
        None if mistake is None else json.loads(mistake),
        tuple(json.loads(places)),
        begun,
        ended,
        failure,
        detail,
        Usage(*counts),
        None if cost is None else Decimal(cost) / PICO,
        {place: Sample(*one) for place, *one in samples},
    )

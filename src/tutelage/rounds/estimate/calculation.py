"""What a recipe's teacher will be asked and what that will cost, before anything is sent; nothing here sends or writes.

Round 1 is counted from its own prompts, T(x, null, y) for every training question, and so is a later round whose exam
is done. The others are as long as an exam's mistakes, or the demonstrations' wrong solutions, would make them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tutelage.config import OpenAITeacherSettings, Recipe, SampledTeacherSettings
from tutelage.prompts import teacher_prompt
from tutelage.records import Mistake, Question
from tutelage.rounds.estimate.basis import Basis, Used
from tutelage.rounds.estimate.ruler import Ruler
from tutelage.rounds.estimate.tokens import Prompt
from tutelage.teacher.books.prices import Prices, to_pico

ERROR_RATE = 0.9
"""Share of the training questions that get a wrong attempt, where no exam has told."""

By = Literal["used", "its prompts", "assumed"]
"""How a round's numbers came about: it is over; its prompts are known; neither."""


@dataclass(frozen=True, slots=True)
class RoundEstimate:
    """One round. requests: questions asked; calls: HTTP requests. cost, worst_cost: in 10⁻¹² of the prices' money, None
    where unknown. worst_tokens: with every reply as long as it may be, and in a round that is assumed a mistake for
    every question.
    """

    round: int
    requests: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: int | None
    worst_tokens: int
    worst_cost: int | None
    by: By

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class CapEstimate:
    """A cap with what the estimate comes to. reached_in: the round in which it would be; None if in none.

    cap, estimated: requests, tokens, or money in 10⁻¹². estimated: None where unknown.
    """

    key: str
    cap: int
    estimated: int | None
    reached_in: int | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """free: the teacher costs nothing, and only requests are counted. prices: None where unknown."""

    teacher: str
    free: bool
    rounds: tuple[RoundEstimate, ...]
    caps: tuple[CapEstimate, ...]
    prices: Prices | None
    assumptions: tuple[str, ...]


def estimate(recipe: Recipe, basis: Basis, prices: Prices | None, error_rate: float | None = None) -> Estimate:
    """Every round up to the recipe's limit.

    error_rate: share of the questions with a mistake, in rounds without an exam; None takes the last exam's.
    Raises: TeacherError if teacher.tokenizer cannot be loaded.
    """
    share = _share(basis, error_rate)
    settings = recipe.teacher
    if not isinstance(settings, OpenAITeacherSettings):
        name = settings.model if isinstance(settings, SampledTeacherSettings) else settings.kind
        return Estimate(name, True, _free_rounds(recipe, basis, share), (), None, (_share_text(basis, error_rate),))
    ruler = Ruler(settings, prices, basis.demonstrations, basis.measured, basis.measured_in)
    rounds = _rounds(settings, basis, ruler, recipe.rounds.limit, share)
    if recipe.first_teacher is not None:
        rounds = (replace(_free_rounds(recipe, basis, share)[0], calls=0), *rounds[1:])  # the caps count none of it
    assumptions = [*ruler.assumptions(), *_general(settings, basis, prices, recipe.rounds.limit)]
    if recipe.first_teacher is not None:
        assumptions.insert(0, "Round 1 is the first teacher's, which is on this machine and costs nothing.")
    if any(one.by == "assumed" for one in rounds):
        assumptions.insert(0, _share_text(basis, error_rate))
    caps = _caps(settings, basis, rounds, ruler)
    return Estimate(settings.model, False, rounds, caps, prices, tuple(assumptions))


def _share(basis: Basis, error_rate: float | None) -> float:
    if error_rate is not None:
        return error_rate
    return ERROR_RATE if basis.exam == 0 else len(basis.mistakes) / len(basis.questions)


def _share_text(basis: Basis, error_rate: float | None) -> str:
    share = f"{_share(basis, error_rate):.1%} of the training questions have a mistake to correct in a later round"
    if error_rate is not None:
        return f"{share}: as --error-rate says."
    if basis.exam == 0:
        return f"{share}: assumed, since no exam has told; --error-rate says otherwise."
    return f"{share}: as in the exam of round {basis.exam}."


def _rounds(
    settings: OpenAITeacherSettings, basis: Basis, ruler: Ruler, limit: int, share: float
) -> tuple[RoundEstimate, ...]:
    known = {number: _known_round(settings, basis, ruler, number) for number in range(1, limit + 1)}
    if None in known.values():  # all that are assumed are alike
        assumed = _assumed_round(settings, basis, ruler, share)
        return tuple(one or replace(assumed, round=number) for number, one in known.items())
    return tuple(one for one in known.values() if one is not None)


def _known_round(settings: OpenAITeacherSettings, basis: Basis, ruler: Ruler, number: int) -> RoundEstimate | None:
    if number in basis.used:
        return _used_round(number, basis.used[number], ruler)
    asked = [(question, None) for question in basis.questions] if number == 1 else basis.asked.get(number)
    if asked is None:
        return None
    prompts = dict.fromkeys(_prompt(settings, basis, *one) for one in asked)  # what is asked twice is sent once
    return _counted(number, len(prompts), len(prompts), _mean(ruler, prompts), ruler, "its prompts")


def _assumed_round(settings: OpenAITeacherSettings, basis: Basis, ruler: Ruler, share: float) -> RoundEstimate:
    likely = basis.likely() if settings.feedback else [(question, None) for question in basis.questions]
    mean = _mean(ruler, [_prompt(settings, basis, *one) for one in likely])
    return _counted(0, round(share * len(basis.questions)), len(basis.questions), mean, ruler, "assumed")


def _mean(ruler: Ruler, prompts: Collection[Prompt]) -> float:
    return sum(ruler.prompt(prompt) for prompt in prompts) / max(1, len(prompts))


def _prompt(settings: OpenAITeacherSettings, basis: Basis, question: Question, mistake: Mistake | None) -> Prompt:
    return teacher_prompt(question, mistake, basis.demonstrations, settings.endpoint)


def _counted(number: int, requests: int, most_requests: int, mean: float, ruler: Ruler, by: By) -> RoundEstimate:
    """A round by the number of its requests, at the worst, and the mean tokens of their prompts."""
    prompt, completion = round(requests * mean), round(requests * ruler.completion)
    worst_prompt, worst_completion = round(most_requests * mean), most_requests * ruler.most_completion
    return RoundEstimate(
        number,
        requests,
        requests * ruler.calls,
        prompt,
        completion,
        ruler.cost(prompt, completion),
        worst_prompt + worst_completion,
        ruler.worst_cost(worst_prompt, worst_completion),
        by,
    )


def _used_round(number: int, used: Used, ruler: Ruler) -> RoundEstimate:
    tokens = used.prompt_tokens + used.completion_tokens
    paid = ruler.cost(used.prompt_tokens, used.completion_tokens) if used.cost is None else used.cost
    return RoundEstimate(
        number, used.requests, used.calls, used.prompt_tokens, used.completion_tokens, paid, tokens, paid, "used"
    )


def _free_rounds(recipe: Recipe, basis: Basis, share: float) -> tuple[RoundEstimate, ...]:
    def requests(number: int) -> tuple[int, By]:
        if number in basis.used:
            return basis.used[number].requests, "used"
        if number == 1:
            return len(basis.questions), "its prompts"
        if number in basis.asked:
            return len(basis.asked[number]), "its prompts"
        return round(share * len(basis.questions)), "assumed"

    found = [(number, *requests(number)) for number in range(1, recipe.rounds.limit + 1)]
    return tuple(RoundEstimate(number, count, count, 0, 0, 0, 0, 0, by) for number, count, by in found)


def _general(settings: OpenAITeacherSettings, basis: Basis, prices: Prices | None, limit: int) -> Iterator[str]:
    if prices is None:
        yield (
            f"What {settings.model} costs is unknown. Give teacher.price.input=X and teacher.price.output=Y, in money "
            "for a million tokens."
        )
    else:
        batch = settings.road == "batch"
        paid_in, paid_out = (prices.batch_input, prices.batch_output) if batch else (prices.input, prices.output)
        road = " by the batch API" if batch else ""
        yield f"A million tokens cost {paid_in} in and {paid_out} out{road}, says {prices.source}."
    yield "No call fails and is sent again."
    if limit > 1:
        yield f"The run goes through all {limit} rounds; it ends earlier if the student stops improving."
    if settings.cache is not None:
        yield f"Nothing is in the shared cache {settings.cache}."
    if basis.maybe_tokens:
        yield (
            f"Calls of this run that ended without a word on their cost count {basis.maybe_tokens:,} tokens in the "
            "caps, the worst that they may have come to."
        )


def _caps(
    settings: OpenAITeacherSettings, basis: Basis, rounds: Sequence[RoundEstimate], ruler: Ruler
) -> tuple[CapEstimate, ...]:
    """Each cap of the recipe. A call needs room for its worst case, the last one, too."""
    caps, most = settings.budget, ruler.largest_prompt + ruler.most_completion
    most_cost = ruler.worst_cost(ruler.largest_prompt, ruler.most_completion)
    found = []
    if caps.requests is not None:
        found.append(_cap("requests", caps.requests, 0, [one.calls for one in rounds], [0] * len(rounds)))
    if caps.tokens is not None:
        rooms = [_room(one, most, one.tokens) for one in rounds]
        found.append(_cap("tokens", caps.tokens, basis.maybe_tokens, [one.tokens for one in rounds], rooms))
    if caps.money is not None:
        rooms = [_room(one, most_cost or 0, one.cost or 0) for one in rounds]
        found.append(_cap("money", to_pico(caps.money), basis.maybe_cost, [one.cost for one in rounds], rooms))
    return tuple(found)


def _room(one: RoundEstimate, most: int, whole: int) -> int:
    """What a round's last call reserves beyond what it will come to."""
    return 0 if one.by == "used" or not one.calls else max(0, most - whole // one.calls)


def _cap(name: str, cap: int, used: int, amounts: Sequence[int | None], rooms: Sequence[int]) -> CapEstimate:
    key, reached = f"teacher.budget.{name}", None
    for number, (amount, room) in enumerate(zip(amounts, rooms, strict=True), start=1):
        if amount is None:
            return CapEstimate(key, cap, None, None)
        used += amount
        if reached is None and used + room > cap:
            reached = number
    return CapEstimate(key, cap, used, reached)

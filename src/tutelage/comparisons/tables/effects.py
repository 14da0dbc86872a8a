"""How far two rows lie apart, over all seeds, and whether the data can tell."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from tutelage.comparisons.results import RoundResult, RunResult
from tutelage.comparisons.settings import ComparisonSettings
from tutelage.comparisons.tables.table import NOT_SIGNIFICANT, Cell
from tutelage.evaluation.significance import ALPHA, Paired, holm, mcnemar, paired_interval, sign_flip, spread
from tutelage.records import Score


@dataclass(frozen=True, slots=True)
class Effect:
    """Second minus first. difference: the seeds' mean, a fraction of 1. pairs: one test a seed.

    interval: 95 %, of the mean on other questions of the kind, for the seeds as they came: Tango's score interval of
    the mean counts on as many questions as tell as much. The seeds answer the same questions, which are no further
    ones; but a question's mean over seeds varies less than a single seed's answer, by what the data say. How far seeds
    lie apart is no part of it, and is said beside it: a t interval over two or three seeds would say nothing, and over
    any number it would leave out the chance in the choice of questions.
    Source: Tango, Statistics in Medicine 17, 1998, 891; for the unit, Miller 2024 (arXiv 2411.00640), sections 3 and 4;
    for the effective size, Korn & Graubard, Survey Methodology 24, 1998, 193.

    p_value: of all seeds together, for the same unit: each question's answers in all seeds may change sides, at once.
    """

    difference: float
    interval: tuple[float, float]
    p_value: float
    pairs: tuple[Paired, ...]


Right = Mapping[str, bool]
"""By a question's id, whether it was answered rightly."""


def effect(first: Sequence[Right | None], second: Sequence[Right | None]) -> Effect | None:
    """Compares two rows' answers, seed by seed; None if a seed has none, or no question in common.

    Only questions that both were asked count: other demonstrations may leave other questions out of a test.
    """
    pairs, sums, seeds = [], Counter[str](), Counter[str]()
    for before, after in zip(first, second, strict=True):
        common = [] if before is None or after is None else [one for one in before if one in after]
        if before is None or after is None or not common:
            return None
        pairs.append(mcnemar({one: before[one] for one in common}, {one: after[one] for one in common}))
        for one in common:
            sums[one] += after[one] - before[one]
            seeds[one] += 1
    mean = spread([pair.difference for pair in pairs]).mean
    if len(pairs) == 1:
        return Effect(mean, pairs[0].interval, pairs[0].p_value, tuple(pairs))
    shared = [sums[one] / len(pairs) for one, asked in seeds.items() if asked == len(pairs)]
    interval = _interval_over_seeds(pairs, shared if len(shared) == len(seeds) else None)
    return Effect(mean, interval, sign_flip(list(sums.values())), tuple(pairs))


def _interval_over_seeds(pairs: Sequence[Paired], means: Sequence[float] | None) -> tuple[float, float]:
    """means: each question's difference, over all seeds.

    None, where seeds were asked different questions, and maybe not equally many: then the fewest count, as if every
    seed gave the same answers.
    """
    totals = [pair.only_first + pair.only_second + pair.both + pair.neither for pair in pairs]
    first = spread([pair.only_first / total for pair, total in zip(pairs, totals, strict=True)]).mean
    second = spread([pair.only_second / total for pair, total in zip(pairs, totals, strict=True)]).mean
    size: float = min(totals)
    if means is not None:
        of_one = first + second - (second - first) ** 2  # the variance of a single seed's difference
        of_mean = math.fsum((one - (second - first)) ** 2 for one in means) / len(means)
        if of_one > 0:
            size *= min(max(of_one / of_mean, 1.0), float(len(pairs))) if of_mean > 0 else len(pairs)
    return paired_interval(size * first, size * second, size)


def over_the_row_before(settings: ComparisonSettings, rows: Sequence[Sequence[RunResult]]) -> list[Effect | None]:
    """Each row of a student against the one before it, or the one that it names; the teacher, which is none, is left
    out.
    """
    found: list[Effect | None] = [None] * len(rows)
    names = [row.name for row in settings.rows]
    students = [place for place, row in enumerate(settings.rows) if row.method != "teacher"]
    for last, place in zip([None, *students], students, strict=False):
        over = settings.rows[place].over
        before = last if over is None else names.index(over)
        if before is not None:
            found[place] = effect(*([one.right() for one in rows[which]] for which in (before, place)))
    return found


def others_than_before(settings: ComparisonSettings) -> tuple[str, ...]:
    """What a table has to say of rows that are not compared with the one before them."""
    named = [f"{row.name!r} is compared with {row.over!r}" for row in settings.rows if row.over is not None]
    return (f"Not over the row before: {'; '.join(named)}.",) if named else ()


def effect_cells(effects: Sequence[Effect | None]) -> list[Cell]:
    """A family of comparisons, in points: what is not significant after Holm's correction over all of them says so."""
    adjusted = iter(holm([one.p_value for one in effects if one is not None]))
    return [Cell() if one is None else _cell(one, next(adjusted)) for one in effects]


def _cell(one: Effect, p_value: float) -> Cell:
    mark = NOT_SIGNIFICANT if p_value > ALPHA else ""
    low, high = one.interval
    deviation = spread([pair.difference for pair in one.pairs]).deviation
    apart = "" if deviation is None else f"± {100 * deviation:.1f}, "
    return Cell(100 * one.difference, (100 * low, 100 * high), mark, apart + p_text(p_value))


def p_text(p_value: float) -> str:
    """Two digits that count, or "p < 0.001"."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def accuracy_cell(results: Sequence[RunResult], number: int | None = None) -> Cell:
    """The test accuracy in percent of a row's runs after a round; None: of the student each kept."""
    scores = [
        one.score if number is None else None if (found := one.round(number)) is None else found.test for one in results
    ]
    return score_cell(scores, next((one.note for one in results if one.note), ""))


def score_cell(scores: Sequence[Score | None], note: str = "") -> Cell:
    """The accuracy in percent of one row, a score a seed; nothing where a seed has none.

    One seed: with Wilson's interval. Several: the mean and the standard deviation, and Wilson's interval of the mean on
    as many questions as one seed has: the same ones answered again are no further questions.
    """
    whole = [score for score in scores if score is not None]
    if not whole or len(whole) < len(scores):
        return Cell(note=note)
    if len(whole) == 1:
        low, high = whole[0].interval
        return Cell(100 * whole[0].accuracy, (100 * low, 100 * high), note=note)
    over = spread([100 * score.accuracy for score in whole])
    low, high = wilson(over.mean / 100, min(score.total for score in whole))
    return Cell(over.mean, (100 * low, 100 * high), note=f"± {over.deviation or 0:.1f}" + (f"; {note}" if note else ""))


def wilson(share: float, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share that need be no whole number of questions. Source: Wilson 1927."""
    if total == 0:
        return 0.0, 1.0
    square = NormalDist().inv_cdf(1 - ALPHA / 2) ** 2
    middle = share + square / (2 * total)
    half = math.sqrt(square * (share * (1 - share) / total + square / (4 * total * total)))
    return (middle - half) / (1 + square / total), (middle + half) / (1 + square / total)


def mean_cell(values: Sequence[float | None], digits: int = 1, scale: float = 1.0) -> Cell:
    """The mean over seeds of any number; nothing where a seed has none. Whole numbers that agree stay whole."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return Cell()
    if all(isinstance(value, int) and value == known[0] for value in known) and scale == 1.0:
        return Cell(known[0], digits=digits)
    return Cell(scale * sum(known) / len(known), digits=digits)


def round_cell(
    results: Sequence[RunResult],
    number: int,
    value: Callable[[RoundResult], float | None],
    digits: int = 0,
    scale: float = 1.0,
) -> Cell:
    """The mean over seeds of a number of one round; nothing where a seed did not come to that round."""
    rounds = [one.round(number) for one in results]
    return mean_cell([None if one is None else value(one) for one in rounds], digits, scale)


KEPT = "that the held-out part of the training split chose"
_DIFFERENCES = (
    "Differences are in points, on the same questions, with Tango's 95 % interval and the exact McNemar test's "
    f"p-value, by Holm's method over the column. {NOT_SIGNIFICANT}: not significant at {ALPHA}; no gain."
)
_SEVERAL_SEEDS = (
    "Over several seeds: means, ± the standard deviation. An accuracy's interval is the mean's on as many questions as "
    "one seed has. A difference's interval and p-value take a question with its answers in all seeds as one (the exact "
    "sign-flip test, which for one seed is McNemar's; Tango's interval at the effective size). Both hold for these "
    "seeds, and ± says how far they lie apart. Replies that a paid teacher gave for one seed are not asked for again "
    "for another, so ± says nothing of its variance."
)


def legend(seeds: int, student: str = KEPT, split: str = "the test split") -> tuple[str, ...]:
    """How to read a table's numbers. student: which of a run's. split: which questions it was asked."""
    accuracies = (
        f"Accuracies are on {split}, in percent, of the student {student}; in parentheses Wilson's 95 % interval."
    )
    return (accuracies, _DIFFERENCES, _SEVERAL_SEEDS) if seeds > 1 else (accuracies, _DIFFERENCES)

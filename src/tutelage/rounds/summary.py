"""What a round came to, in numbers: round.json (Tables 3 and 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.prompts import mentions_prompt
from tutelage.records import Attempt, Correction, Mistake, Question, Triplet
from tutelage.rounds.feedback import count_verdicts
from tutelage.rounds.flaws import count_flaws
from tutelage.rounds.leakage import round_leakage
from tutelage.rounds.run import Run
from tutelage.rounds.study import read_training
from tutelage.student.training.loop import Step
from tutelage.teacher.books.accounts import Totals, totals
from tutelage.teacher.books.ledger import Ledger
from tutelage.workspace import read_records


def summarize(run: Run, number: int) -> dict[str, Any]:
    """The numbers of a finished round, from its files alone.

    error_rate: wrong or unreadable attempts of the exam, a fraction of 1; questions_with_mistake: how many
    training questions had any. successes: requests from which a rationale was kept (Table 3).
    tokens, cost: as the teacher counted them, null where it does not say. leaks: right replies that speak of the hint.
    flawed: kept rationales with a wrong step, with an answer or a number from nowhere, and with either.
    own: samples whose right rationale the student wrote itself; variants: those with other numbers.
    test_questions_*: counted from what was sent and studied; anything but 0 is a bug. leakage: by the words, see
    `round_leakage`.
    """
    place = run.round(number)
    corrections = read_records(place.feedback, Correction)
    triplets = read_records(place.lesson, Triplet)
    test = {question.id for question in run.questions["test"]}
    with Ledger(run.workspace.ledger) as ledger:
        used = totals(ledger).get(number)
        leakage = round_leakage(ledger, number, triplets, run.questions["test"])
    return {
        "round": number,
        "teacher": corrections[0].teacher if corrections else None,
        "exam": _exam(read_records(place.exam, Attempt), read_records(place.mistakes, Mistake)),
        "feedback": {**_feedback(run, corrections), **_spent(used)},
        "lesson": {
            "samples": len(triplets),
            "questions": len({triplet.question_id for triplet in triplets}),
            "triplets": sum(t.positive is not None and t.negative is not None for t in triplets),
            "own": sum(triplet.own and triplet.variant is None for triplet in triplets),
            "variants": sum(triplet.variant is not None for triplet in triplets),
        },
        "study": _study(read_training(place.training)),
        "test_questions_sent_to_teacher": len({c.question_id for c in corrections} & test),
        "test_questions_in_lesson": len({triplet.question_id for triplet in triplets} & test),
        "leakage": leakage,
    }


def _exam(attempts: Sequence[Attempt], found: Sequence[Mistake]) -> dict[str, Any]:
    return {
        "questions": len({attempt.question_id for attempt in attempts}),
        "attempts": len(attempts),
        "error_rate": sum(not attempt.correct for attempt in attempts) / len(attempts),
        "unreadable": sum(attempt.answer is None for attempt in attempts),
        "questions_with_mistake": len({mistake.question_id for mistake in found}),
        "mistakes": len(found),
    }


def _feedback(run: Run, corrections: Sequence[Correction]) -> dict[str, Any]:
    verdicts = count_verdicts(corrections)
    questions = {question.id: question for question in run.questions["train"]}
    return {
        "requests": len({correction.question_id for correction in corrections}),
        "tailored": len({c.question_id for c in corrections if c.mistake is not None}),
        "successes": len({c.question_id for c in corrections if c.verdict == "kept"}),
        "replies": sum(count for verdict, count in verdicts.items() if verdict != "failed"),
        "rationales": verdicts.get("kept", 0),
        "verdicts": verdicts,
        "leaks": _leaks(corrections, questions),
        "flawed": count_flaws(corrections, questions),
        "with_feedback": _table_3(corrections, shown=True),
        "without_feedback": _table_3(corrections, shown=False),
    }


def _study(steps: Sequence[Step]) -> dict[str, Any]:
    last_epoch = [step for step in steps if step.epoch == steps[-1].epoch]
    return {
        "steps": len(steps),
        "epochs": steps[-1].epoch,
        "tokens": sum(step.tokens for step in steps),
        "lm_loss": _mean([step.lm_loss for step in last_epoch]),
        "triplet_loss": _mean([step.triplet_loss for step in last_epoch if step.triplets]),
    }


def _table_3(corrections: Sequence[Correction], shown: bool) -> dict[str, int]:
    """Requests that showed the teacher a mistake, or did not, and those from which a rationale was kept (Table 3)."""
    of_kind = [c for c in corrections if (c.mistake is not None) == shown]
    return {
        "requests": len({c.question_id for c in of_kind}),
        "successes": len({c.question_id for c in of_kind if c.verdict == "kept"}),
    }


def _leaks(corrections: Sequence[Correction], questions: Mapping[str, Question]) -> int:
    """Right replies that speak of the hint or of the mistake, whether the recipe drops them or not."""
    right = [c for c in corrections if c.answer is not None and c.rationale and c.verdict != "wrong answer"]
    return sum(mentions_prompt(c.rationale, questions[c.question_id]) for c in right)


def _spent(used: Totals | None) -> dict[str, Any]:
    """What the round's replies came to; null where the teacher does not say.

    Without what failed on the way: a run that was stopped in between has other failures, and the same replies.
    """
    if used is None:
        return {"prompt_tokens": None, "completion_tokens": None, "cost": None}
    return {
        "set_aside": used.set_aside,
        "cut": used.cut,
        "refused": used.refused,
        "empty": used.empty,
        "from_cache": used.from_cache,
        "prompt_tokens": used.prompt_tokens,
        "cached_tokens": used.cached_tokens,
        "completion_tokens": used.completion_tokens,
        "cost": None if used.cost is None else str(used.cost),
    }


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None

"""What a round came to, in numbers: round.json (Tables 3 and 5)."""

from __future__ import annotations

from typing import Any

from tutelage.records import Attempt, Correction, Mistake, Triplet
from tutelage.rounds.feedback import count_verdicts
from tutelage.rounds.run import Run
from tutelage.rounds.study import read_training
from tutelage.teacher.ledger import Ledger
from tutelage.workspace import read_records


def summarize(run: Run, number: int) -> dict[str, Any]:
    """The numbers of a finished round, from its files alone.

    error_rate: wrong or unreadable attempts of the exam, a fraction of 1; questions_with_mistake: how many
    training questions had any. successes: requests from which a rationale was kept (Table 3).
    tokens: as the teacher counted them, null where it does not say.
    test_questions_*: counted from what was sent and studied; anything but 0 is a bug.
    """
    place = run.round(number)
    attempts = read_records(place.exam, Attempt)
    found = read_records(place.mistakes, Mistake)
    corrections = read_records(place.feedback, Correction)
    triplets = read_records(place.lesson, Triplet)
    steps = read_training(place.training)
    test = {question.id for question in run.questions["test"]}
    verdicts = count_verdicts(corrections)
    last_epoch = [step for step in steps if step.epoch == steps[-1].epoch]
    with Ledger(run.workspace.ledger) as ledger:
        used = ledger.totals().get(number)
    return {
        "round": number,
        "teacher": corrections[0].teacher if corrections else None,
        "exam": {
            "questions": len({attempt.question_id for attempt in attempts}),
            "attempts": len(attempts),
            "error_rate": sum(not attempt.correct for attempt in attempts) / len(attempts),
            "unreadable": sum(attempt.answer is None for attempt in attempts),
            "questions_with_mistake": len({mistake.question_id for mistake in found}),
            "mistakes": len(found),
        },
        "feedback": {
            "requests": len({correction.question_id for correction in corrections}),
            "tailored": len({c.question_id for c in corrections if c.mistake is not None}),
            "successes": len({c.question_id for c in corrections if c.verdict == "kept"}),
            "replies": sum(count for verdict, count in verdicts.items() if verdict != "failed"),
            "rationales": verdicts.get("kept", 0),
            "verdicts": verdicts,
            "prompt_tokens": used and used.prompt_tokens,
            "completion_tokens": used and used.completion_tokens,
        },
        "lesson": {
            "samples": len(triplets),
            "questions": len({triplet.question_id for triplet in triplets}),
            "triplets": sum(t.positive is not None and t.negative is not None for t in triplets),
        },
        "study": {
            "steps": len(steps),
            "epochs": steps[-1].epoch,
            "tokens": sum(step.tokens for step in steps),
            "lm_loss": _mean([step.lm_loss for step in last_epoch]),
            "triplet_loss": _mean([step.triplet_loss for step in last_epoch if step.triplets]),
        },
        "test_questions_sent_to_teacher": len({c.question_id for c in corrections} & test),
        "test_questions_in_lesson": len({triplet.question_id for triplet in triplets} & test),
    }


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None

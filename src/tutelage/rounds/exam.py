"""The exam, and the mistakes that come of it (3.1, Eq. 1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tutelage.records import Attempt, Mistake
from tutelage.rounds.answering import answer_all, answers_of, finished_answers, prompts_for
from tutelage.rounds.orders import call
from tutelage.rounds.run import Run
from tutelage.seeds import derive_seed
from tutelage.student.engine.drawing import Sampling
from tutelage.workspace import read_records, write_records


def exam(run: Run, number: int) -> list[Attempt]:
    """The exam of a round: the student of the round before tries every training question (Table 9).

    Writes exam.jsonl, question by question. Done already: reads it.
    """
    if (finished := finished_answers(run.round(number).exam)) is not None:
        return finished
    call(run, "exam", number)
    return sit_exam(run, number)


def sit_exam(run: Run, number: int) -> list[Attempt]:
    """What all ranks do of it together; the attempts are the leader's to have."""
    settings, questions = run.recipe.exam, run.questions["train"]
    prompts = prompts_for(run, run.student(number - 1), questions)
    sampling = Sampling(settings.temperature, settings.top_k, None, settings.max_new_tokens)
    seeds = [derive_seed(run.recipe.seed, "exam", number, question.id) for question in questions]
    answers = answers_of(
        run, number - 1, prompts, sampling, samples=settings.attempts, seeds=seeds, batch_size=settings.batch_size
    )
    return answer_all(run.round(number).exam, f"Round {number}  exam", questions, settings.attempts, answers)


def mistakes(run: Run, number: int) -> list[Mistake]:
    """The mistakes of a round's exam: wrong or unreadable attempts, unique ones, a few a question (A.2).

    Writes mistakes.jsonl. Done already: reads it.
    """
    path = run.round(number).mistakes
    if path.is_file():
        return read_records(path, Mistake)
    found = find_mistakes(exam(run, number), run.recipe.exam.mistakes)
    write_records(path, found)
    return found


def find_mistakes(attempts: Sequence[Attempt], limit: int) -> list[Mistake]:
    """Up to `limit` mistakes a question, in the order of the attempts; the same words twice are one mistake."""
    seen: dict[str, set[str]] = defaultdict(set)
    found = []
    for attempt in attempts:
        words = " ".join(attempt.rationale.split())
        known = seen[attempt.question_id]
        if attempt.correct or words in known or len(known) >= limit:
            continue
        known.add(words)
        found.append(Mistake(attempt.question_id, attempt.rationale, attempt.answer))
    return found

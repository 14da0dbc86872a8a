"""The exam, and the mistakes that come of it (3.1, Eq. 1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tutelage.records import Attempt, Mistake
from tutelage.rounds.answering import answer_all, finished_answers, prompts_for
from tutelage.rounds.run import Run
from tutelage.seeds import derive_seed
from tutelage.student.sampling import Completion, Sampling, plan_batches, sample_batch
from tutelage.workspace import read_records, write_records


def exam(run: Run, number: int) -> list[Attempt]:
    """The exam of a round: the student of the round before tries every training question (Table 9).

    Writes exam.jsonl, question by question. Done already: reads it.
    """
    path = run.round(number).exam
    if (finished := finished_answers(path)) is not None:
        return finished
    settings, questions = run.recipe.exam, run.questions["train"]
    student = run.student(number - 1)
    prompts = prompts_for(run, questions)
    sampling = Sampling(settings.temperature, settings.top_k, None, settings.max_new_tokens)
    seeds = [derive_seed(run.recipe.seed, "exam", number, question.id) for question in questions]

    def answer_batch(batch: Sequence[int]) -> Sequence[Sequence[Completion]]:
        return sample_batch(
            student, [prompts[i] for i in batch], settings.attempts, sampling, [seeds[i] for i in batch]
        )

    batches = plan_batches(student, prompts, max(1, settings.batch_size // settings.attempts))
    return answer_all(path, f"Round {number}  exam", questions, batches, settings.attempts, answer_batch)


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

"""STaR: the student learns from its own rationales, as far as they end in the right answer.

Source: Zelikman et al. 2022, "STaR: Bootstrapping Reasoning With Reasoning", Algorithm 1. Each round the student
answers every training question greedily. Where it is wrong it is asked again with the answer as a hint
(rationalisation), and what it writes then is studied without the hint. Every round trains the untrained student
anew, on that round's rationales alone. Rounds end by the recipe's [rounds], like any run's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tutelage.baselines.method import ALL, Method
from tutelage.prompts import REASONING, SEPARATOR, hint_text, question_text, solution_text
from tutelage.records import Attempt, Correction, Demonstration, Question, Triplet
from tutelage.rounds.answering import answer_all, answers_of, finished_answers, prompts_for
from tutelage.rounds.evaluate import evaluate
from tutelage.rounds.exam import find_mistakes
from tutelage.rounds.feedback import check_no_test_question
from tutelage.rounds.learn import decision_after, hand_over, timed
from tutelage.rounds.lesson import make_triplets
from tutelage.rounds.own_rationales import verdict_on
from tutelage.rounds.plateau import Decision
from tutelage.rounds.run import Run
from tutelage.rounds.study import study
from tutelage.rounds.summary import summarize
from tutelage.rounds.variants import with_variants
from tutelage.seeds import derive_seed
from tutelage.student.engine.drawing import Greedy
from tutelage.workspace import read_records, write_json, write_records

OWN = "the student itself"
HINTED = "the student itself, given the hint"


def _play(run: Run) -> None:
    timed(run, 0, "evaluation", lambda: evaluate(run, 0))
    number, decision = 0, decision_after(run, 0)
    while decision.reason is None:
        number += 1
        decision = _iteration(run, number)
    hand_over(run, decision, number)


def _iteration(run: Run, number: int) -> Decision:
    place = run.round(number)
    attempts = timed(run, number, "exam", lambda: _exam(run, number))
    if not place.mistakes.is_file():
        write_records(place.mistakes, find_mistakes(attempts, 1))
    corrections = timed(run, number, "feedback", lambda: _rationales(run, number, attempts))
    if not _lesson(run, number, corrections):
        best = decision_after(run, number - 1).best
        return Decision(best, f"no lesson: in round {number} the student found no rationale that ends right")
    timed(run, number, "study", lambda: study(run, number))
    timed(run, number, "evaluation", lambda: evaluate(run, number))
    write_json(place.summary, summarize(run, number))
    return decision_after(run, number)


def _exam(run: Run, number: int) -> list[Attempt]:
    """Greedy answers of the student of the round before to every training question."""
    path, questions = run.round(number).exam, run.questions["train"]
    if (finished := finished_answers(path)) is not None:
        return finished
    return _answer(
        run, number, f"Round {number}  exam", path.name, questions, prompts_for(run, run.student(number - 1), questions)
    )


def _answer(
    run: Run, number: int, what: str, name: str, questions: Sequence[Question], prompts: Sequence[str]
) -> list[Attempt]:
    settings = run.recipe.exam
    drawing = Greedy(settings.max_new_tokens)
    answers = answers_of(run, number - 1, prompts, drawing, batch_size=settings.batch_size)
    return answer_all(run.round(number).folder / name, what, questions, 1, answers)


def _rationales(run: Run, number: int, attempts: Sequence[Attempt]) -> list[Correction]:
    """The student's own rationales of the round, in the place of a teacher's."""
    place = run.round(number)
    if place.feedback.is_file():
        return read_records(place.feedback, Correction)
    questions = {question.id: question for question in run.questions["train"]}
    path = place.folder / "rationalisation.jsonl"
    hinted = finished_answers(path)
    if hinted is None:
        failed = [questions[attempt.question_id] for attempt in attempts if not attempt.correct]
        prompts = [hinted_prompt(question, run.demonstrations) for question in failed]
        what = f"Round {number}  rationalisation"
        hinted = _answer(run, number, what, path.name, failed, prompts) if failed else []
    told = [(OWN, attempt) for attempt in attempts if attempt.correct] + [(HINTED, attempt) for attempt in hinted]
    corrections = [
        Correction(
            attempt.question_id,
            number,
            who,
            None,
            attempt.text,
            attempt.rationale,
            attempt.answer,
            verdict_on(attempt, questions[attempt.question_id], run.recipe.teacher),
        )
        for who, attempt in told
    ]
    write_records(place.feedback, corrections)
    return corrections


def hinted_prompt(question: Question, demonstrations: Sequence[Demonstration]) -> str:
    """What the student continues to rationalise a right answer; the demonstrations have theirs as a hint, too."""

    def asked(text: str, answer: str, choices: tuple[str, ...]) -> str:
        return f"{question_text(text, choices)}\n{hint_text(answer, choices)}\n{REASONING}"

    shown = "".join(
        asked(demo.question, demo.answer, demo.choices) + solution_text(demo.rationale, demo.answer) + SEPARATOR
        for demo in demonstrations
    )
    return shown + asked(question.text, question.answer, question.choices)


def _lesson(run: Run, number: int, corrections: Sequence[Correction]) -> list[Triplet]:
    path = run.round(number).lesson
    if path.is_file():
        return read_records(path, Triplet)
    triplets = make_triplets(corrections, [], derive_seed(run.recipe.seed, "lesson", number))
    triplets = [replace(triplet, own=True) for triplet in triplets]
    check_no_test_question(run, [triplet.question_id for triplet in triplets])
    triplets = with_variants(run, triplets)
    write_records(path, triplets)
    return triplets


METHOD = Method(
    "star",
    "Zelikman et al. 2022, arXiv 2203.14465",
    _play,
    decides=("rounds.start=untrained",),
    stages=ALL,
    own=frozenset(("exam", "mistakes", "feedback", "lesson", "study")),
    asks=False,
)

"""Questions to tell of, from a run's files: what was wrong, what the teacher wrote, and what came of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tutelage.evaluation.cases import Case, CaseStudy, case_study
from tutelage.evaluation.picking import RULE, pick
from tutelage.records import Attempt, Correction, Mistake, Question
from tutelage.rounds.answering import grade, prompts_for
from tutelage.rounds.run import Run
from tutelage.student.answering.answerer import greedy_batch
from tutelage.workspace import read_records


def corrected_cases(run: Run, number: int, count: int = 3, candidates: int = 12) -> tuple[CaseStudy, CaseStudy]:
    """Training questions that turned right after a round's feedback, and those that turned wrong.

    Turned right: no attempt of the round's exam was right, the teacher's correction was kept, and the student that
    studied it is right. Turned wrong: every attempt was right, and that student is wrong. Both are asked once more,
    greedily, about `candidates` questions of each kind, picked by the rule of `picking`.
    """
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in read_records(run.round(number).exam, Attempt):
        attempts[attempt.question_id].append(attempt)
    corrections = {
        correction.question_id: correction for _, correction in reversed(corrected_mistakes(run, number, shown=False))
    }
    questions = {question.id: question for question in run.questions["train"]}
    never = [name for name, tried in attempts.items() if not any(one.correct for one in tried) and name in corrections]
    always = [name for name, tried in attempts.items() if all(one.correct for one in tried)]
    asked = [questions[name] for names in (never, always) for name in pick(names, candidates, str)]
    answers = {attempt.question_id: attempt for attempt in ask_again(run, number, asked)}

    def cases(names: Sequence[str]) -> list[Case]:
        return [
            Case(questions[name], tuple(attempts[name]), corrections.get(name), answers[name])
            for name in names
            if name in answers
        ]

    among = f"training questions with {{}}, {RULE}, up to {candidates}, asked once more, greedily"
    return (
        case_study(
            f"Round {number}: turned right after feedback",
            among.format("no right attempt in the exam and a kept correction"),
            cases(never),
            lambda case: case.after.correct,
            count,
        ),
        case_study(
            f"Round {number}: turned wrong",
            among.format("right attempts alone in the exam"),
            cases(always),
            lambda case: not case.after.correct,
            count,
        ),
    )


def evaluated_cases(run: Run, before: int, after: int, count: int = 3) -> tuple[CaseStudy, CaseStudy]:
    """Test questions that turned right from one round's evaluation to another's, and those that turned wrong.

    No teacher ever saw them.
    """
    questions = {question.id: question for question in run.questions["test"]}
    first, second = (_evaluation(run, number) for number in (before, after))
    cases = [Case(question, (first[name],), None, second[name]) for name, question in questions.items()]

    def study(right: bool) -> CaseStudy:
        return case_study(
            f"Test, round {before} to {after}: turned {'right' if right else 'wrong'}",
            f"test questions that the evaluation has {'wrong' if right else 'right'} in round {before}",
            (case for case in cases if case.before[0].correct != right),
            lambda case: case.after.correct == right,
            count,
        )

    return study(True), study(False)


def _evaluation(run: Run, number: int) -> Mapping[str, Attempt]:
    return {attempt.question_id: attempt for attempt in read_records(run.round(number).answers, Attempt)}


def ask_again(run: Run, number: int, asked: Sequence[Question]) -> list[Attempt]:
    """Greedy answers of a round's student, kept nowhere."""
    student = run.student(number)
    answers = greedy_batch(student, prompts_for(run, student, asked), run.recipe.evaluation.max_new_tokens)
    return [grade(question, 0, answer) for question, answer in zip(asked, answers, strict=True)]


def last_corrected(run: Run, last: int) -> tuple[int, list[tuple[Mistake, Correction]]]:
    """The last round in which the teacher was shown mistakes, else round 1, with `corrected_mistakes` of it."""
    return next(
        ((n, found) for n in range(last, 0, -1) if (found := corrected_mistakes(run, n, shown=True))),
        (1, corrected_mistakes(run, 1, shown=False)),
    )


def corrected_mistakes(run: Run, number: int, shown: bool) -> list[tuple[Mistake, Correction]]:
    """Each question's mistake with the first kept correction; what the teacher was shown, or else the first made."""
    place = run.round(number)
    if not place.feedback.is_file() or not place.student.is_dir():
        return []
    made = {mistake.question_id: mistake for mistake in reversed(read_records(place.mistakes, Mistake))}
    pairs: dict[str, tuple[Mistake, Correction]] = {}
    for correction in read_records(place.feedback, Correction):
        mistake = correction.mistake if shown else made.get(correction.question_id)
        if correction.verdict == "kept" and mistake is not None:
            pairs.setdefault(correction.question_id, (mistake, correction))
    return list(pairs.values())

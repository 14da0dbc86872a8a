"""A finished run's folder of any size, made of word problems with lengths as GSM8K's; no model writes any of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tutelage.demonstrations import load_feedback_demonstrations
from tutelage.prompts import solution_text, teacher_prompt
from tutelage.records import Attempt, Correction, Mistake, Question, StoredQuestion, Triplet
from tutelage.teacher.books.entries import Begun, Ended
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.protocol import Call, Outcome, Request, Sample, sample_keys
from tutelage.workspace import Workspace, write_json, write_records


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_NAMES = _words("Ada Ben Cleo Dan Eva Finn Gita Hugo Ines Jon Kira Leo Mona Nils Olga Paul Rosa Sam Tara Udo")
_THINGS = _words("apples pencils stamps marbles tickets cookies books cards coins shells ribbons bricks seeds candles")
_PLACES = _words("market harbour school library station garden museum bakery workshop farm stadium village")
_STEPS = (
    "{name} buys {a} bags of {thing} at the {place}, and each of them holds {b}, so that makes {a} * {b} = {ab}.",
    "After that {name} gives {c} of the {thing} to a friend, which leaves {ab} - {c} = {left} of them.",
    "In the {place} {name} finds {d} more, so altogether there are {left} + {d} = {total} {thing}.",
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A question, and its solution as an attempt may write it: with a slip in the step of a number, or None."""

    question: Question
    solve: Callable[[random.Random, int | None], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Teacher:
    name: str = "a made-up teacher"

    @property
    def identity(self) -> dict[str, object]:
        return {"kind": "made up"}


def make_run(folder: Path, questions: int, rounds: int, attempts: int, seed: int = 0) -> None:
    """Writes it. A tenth of the questions is the test's; each round's students are right about more of them."""
    draw = random.Random(seed)
    problems = [_problem(draw, number) for number in range(questions)]
    train, test = problems[questions // 10 :], problems[: questions // 10]
    workspace = Workspace(folder)
    folder.mkdir(parents=True)
    workspace.recipe.write_text('seed = 0\n\n[task]\nname = "made-up"\n\n[teacher]\nkind = "openai"\n')
    stored = [StoredQuestion("train", one.question) for one in train]
    write_records(workspace.questions, [*stored, *(StoredQuestion("test", one.question) for one in test)])
    with Ledger(workspace.ledger) as ledger:
        for number in range(rounds + 1):
            _write_round(workspace, number, rounds, train, test, attempts, draw, ledger)
    write_json(workspace.outcome, {"best_round": rounds, "last_round": rounds, "reason": "made up"})


def _problem(draw: random.Random, number: int) -> Problem:
    name, thing, place = draw.choice(_NAMES), draw.choice(_THINGS), draw.choice(_PLACES)
    a, b, c, d = draw.randint(3, 30), draw.randint(8, 60), draw.randint(2, 20), draw.randint(5, 300)
    text = (
        f"{name} went to the {place} on a {draw.choice(['windy', 'warm', 'rainy'])} day and bought {a} bags of "
        f"{thing}, each of which held {b}. A friend got {c} of them as a present. On the way home {name} found "
        f"{d} more near the {draw.choice(_PLACES)}. How many {thing} does {name} have in the end?"
    )

    def solve(chance: random.Random, slip: int | None) -> tuple[str, str]:
        off = [chance.choice((-10, -2, 2, 10, 100)) if slip == step else 0 for step in range(3)]
        ab = a * b + off[0]
        left = ab - c + off[1]
        total = left + d + off[2]
        values = {"name": name, "thing": thing, "place": place, "a": a, "b": b, "ab": ab, "c": c, "left": left}
        openings = ("First, ", "To begin with, ", "So ", "Well, ", "")
        steps = [chance.choice(openings) + step.format(**values, d=d, total=total) for step in _STEPS]
        return " ".join(steps) + f" That is {chance.choice(('why', 'how', 'the reason why'))} it is {total}.", str(
            total
        )

    return Problem(Question(f"made-up/{number}", text, str(a * b - c + d), "number"), solve)


def _attempt(problem: Problem, sample: int, draw: random.Random, right: float) -> Attempt:
    slip = None if draw.random() < right else draw.randrange(3)
    rationale, answer = problem.solve(draw, slip)
    text = solution_text(rationale, answer)
    return Attempt(problem.question.id, sample, text, rationale, answer, slip is None, 100, True)


def _write_round(
    workspace: Workspace,
    number: int,
    rounds: int,
    train: Sequence[Problem],
    test: Sequence[Problem],
    attempts: int,
    draw: random.Random,
    ledger: Ledger,
) -> None:
    files = workspace.round(number)
    answers = [_attempt(problem, 0, draw, 0.1 + 0.5 * number / rounds) for problem in test]
    write_records(files.answers, answers)
    right = sum(answer.correct for answer in answers)
    score = {"accuracy": right / len(answers), "correct": right, "total": len(answers), "interval": [0.0, 1.0]}
    write_json(files.evaluation, score)
    if number:
        share = 0.1 + 0.5 * (number - 1) / rounds
        exam = [[_attempt(one, sample, draw, share) for sample in range(attempts)] for one in train]
        write_records(files.exam, [attempt for tried in exam for attempt in tried])
        asked = [(one, _mistakes(tried)) for one, tried in zip(train, exam, strict=True)]
        asked = [(one, made) for one, made in asked if made or number == 1]
        write_records(files.mistakes, [mistake for _one, made in asked for mistake in made])
        _write_feedback(workspace, number, asked, attempts, draw, ledger)


def _mistakes(tried: Sequence[Attempt]) -> list[Mistake]:
    return [Mistake(one.question_id, one.rationale, one.answer) for one in tried if not one.correct]


def _write_feedback(
    workspace: Workspace,
    number: int,
    asked: Sequence[tuple[Problem, Sequence[Mistake]]],
    replies: int,
    draw: random.Random,
    ledger: Ledger,
) -> None:
    corrections, triplets = list[Correction](), list[Triplet]()
    shots, calls = load_feedback_demonstrations("gsm8k", "number", None), list[Begun | Ended]()
    for problem, made in asked:
        mistake = made[0] if number > 1 else None
        told = list(_replies(problem, mistake, number, replies, draw))
        corrections += told
        kept = [reply.rationale for reply in told if reply.verdict == "kept"]
        triplets += [
            Triplet(problem.question.id, anchor, kept[place - 1] if len(kept) > 1 else None, made[0] if made else None)
            for place, anchor in enumerate(kept)
        ]
        prompt = teacher_prompt(problem.question, mistake, shots, "chat")
        request = Request(problem.question, mistake, prompt, replies, number)
        samples = {place: Sample("text", reply.text, "stop") for place, reply in enumerate(told)}
        call = Begun(ledger.number(), _Teacher(), Call(request, tuple(range(replies)), 1, 1), "direct")
        calls += [call, Ended(call.number, sample_keys(_Teacher(), request), Outcome(samples))]
    write_records(workspace.round(number).feedback, corrections)
    write_records(workspace.round(number).lesson, triplets)
    ledger.write(calls)


def _replies(
    problem: Problem, mistake: Mistake | None, number: int, replies: int, draw: random.Random
) -> Iterator[Correction]:
    for sample in range(replies):
        one = _attempt(problem, sample, draw, 0.8)
        yield Correction(
            one.question_id,
            number,
            _Teacher().name,
            mistake,
            one.text.strip(),
            one.rationale,
            one.answer,
            "kept" if one.correct else "wrong answer",
        )

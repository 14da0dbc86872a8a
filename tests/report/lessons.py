"""A run of two rounds written by hand: every verdict, every turn, and texts that would harm a page that ran them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.teacher.asking import ScriptedTeacher
from tutelage.prompts import teacher_prompt
from tutelage.records import (
    Attempt,
    Correction,
    Demonstration,
    Mistake,
    Question,
    SplitName,
    StoredQuestion,
    Triplet,
    Verdict,
)
from tutelage.teacher.books.entries import Begun, Ended
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.protocol import Call, Outcome, Request, Sample, sample_keys
from tutelage.workspace import Workspace, write_json, write_records

HOSTILE = (
    "</script><script>window.harmed=1</script><img src=x onerror='window.harmed=1'> <b>&amp; \u202egnorw\u202c \x1b[31m"
)
"""Tags, broken ones, an entity, a turned direction and a terminal's control characters."""
EVIL = f"own/{HOSTILE} ?&#%"
FILLERS = 60
SHOT = Demonstration("How many legs have 2 cats?", "2 * 4 = 8.", "8", (), "2 * 4 = 6. So the answer is 6.")

DROPPED: Sequence[tuple[Verdict, str]] = (
    ("wrong answer", "It is 1."),
    ("no answer", "I cannot say."),
    ("cut off", "Let us begin with"),
    ("no reasoning", "Answer: 7"),
    ("tells of the prompt", "The hint says 7."),
    ("wrong step", "3 + 3 = 7."),
    ("unfounded", "2 + 2 = 4. So it is 7."),
    ("too long", "Well, well, well."),
)


def question(name: str, text: str = "", answer: str = "7", choices: tuple[str, ...] = ()) -> Question:
    kind = "choice" if choices else "number"
    return Question(name, text or f"What is the number of {name}?", answer, kind, choices, "3 + 4 = 7.")  # type: ignore[arg-type]


def attempt(name: str, answer: str | None, rationale: str, right: bool = False, sample: int = 0) -> Attempt:
    ending = "" if answer is None else f"\nAnswer: {answer}"
    return Attempt(name, sample, f" {rationale}{ending}", rationale, answer, right, 9, answer is not None)


def reply(name: str, number: int, verdict: Verdict, text: str, mistake: Mistake | None = None) -> Correction:
    answer = {"no answer": None, "cut off": None, "failed": None, "wrong answer": "1"}.get(verdict, "7")
    return Correction(name, number, "teacher", mistake, text, text, answer, verdict)


TURNING, STUCK, EASY, HELD, TEST = "own/turning", "own/stuck", "own/easy", "own/held", "own/test"
LONG = "It is told at length. " * 30 + "How many are there?"
SLIP = "First, 1 + 1 = 2. Then 3 + 4 = 8."


def write_run(folder: Path) -> Path:
    """The folder. After round 1 `TURNING` is right, `TEST` turns wrong; the teacher fails about `STUCK` in round 1."""
    workspace = Workspace(folder)
    folder.mkdir(parents=True)
    workspace.recipe.write_text('[task]\nname = "own"\n')
    fillers = [f"own/filler-{number}" for number in range(FILLERS)]
    splits: dict[SplitName, Sequence[str]] = {
        "train": [TURNING, STUCK, EASY, EVIL, *fillers], "held-out": [HELD], "test": [TEST],
    }  # fmt: skip
    special = {
        EVIL: question(EVIL, f"How many {HOSTILE}?"),
        HELD: question(HELD, LONG),
        STUCK: question(STUCK, "Which animal has 4 legs?", "B", ("a duck", "a cat")),
    }
    stored = [
        StoredQuestion(split, special.get(name) or question(name)) for split, names in splits.items() for name in names
    ]
    write_records(workspace.questions, stored)
    _write_evaluations(workspace)
    _write_exams(workspace, fillers)
    _write_feedback(workspace)
    _write_ledger(workspace, {one.question.id: one.question for one in stored})
    write_json(workspace.outcome, {"best_round": 2, "last_round": 2, "reason": "limit"})
    return folder


def _write_evaluations(workspace: Workspace) -> None:
    right = attempt(TEST, "7", "3 + 4 = 7.", True)
    wrong = attempt(TEST, "9", "4 + 5 = 9.")
    for number, answers in enumerate(([right], [wrong], [right])):
        held = attempt(HELD, "8", "3 + 4 = 8.")
        write_records(workspace.round(number).answers, [*answers, held])
        score = {"accuracy": 0.5, "correct": 1, "total": 2, "interval": [0.1, 0.9]}
        write_json(workspace.round(number).evaluation, score | {"held_out": score})


def _write_exams(workspace: Workspace, fillers: Sequence[str]) -> None:
    easy = [attempt(name, "7", "3 + 4 = 7.", True, sample) for name in (EASY, *fillers) for sample in (0, 1)]
    stuck = [attempt(STUCK, "A", "A duck has 4 legs.", False), attempt(STUCK, None, "A duck and", False, 1)]
    evil = [attempt(EVIL, HOSTILE, f"{HOSTILE}. 3 + 4 = 8.", False, sample) for sample in (0, 1)]
    first = [attempt(TURNING, "8", SLIP), attempt(TURNING, "5", "2 + 3 = 5.", False, 1)]
    second = [attempt(TURNING, "7", "3 + 4 = 7.", True, sample) for sample in (0, 1)]
    for number, turning in ((1, first), (2, second)):
        attempts = [*turning, *stuck, *evil, *easy]
        write_records(workspace.round(number).exam, attempts)
        mistakes = [Mistake(one.question_id, one.rationale, one.answer) for one in attempts if not one.correct]
        write_records(workspace.round(number).mistakes, mistakes)
        write_json(workspace.round(number).summary, {"round": number})


def _write_feedback(workspace: Workspace) -> None:
    shown = Mistake(STUCK, "A duck has 4 legs.", "A")
    turning = [reply(TURNING, 1, "kept", text) for text in ("3 + 4 = 7.", "4 + 3 = 7.")]
    turning += [reply(TURNING, 1, "repeated", "3 + 4 = 7!"), reply(TURNING, 1, "surplus", "7 - 0 = 7.")]
    stuck = [reply(STUCK, 1, verdict, text) for verdict, text in DROPPED]
    failed = reply(EASY, 1, "failed", "HTTP 500: out of order")
    write_records(workspace.round(1).feedback, [*turning, *stuck, failed, reply(EVIL, 1, "kept", HOSTILE)])
    slip = Mistake(TURNING, SLIP, "8")
    lesson = [Triplet(TURNING, "3 + 4 = 7.", "4 + 3 = 7.", slip), Triplet(TURNING, "4 + 3 = 7.", "3 + 4 = 7.", slip)]
    write_records(workspace.round(1).lesson, [*lesson, Triplet(EVIL, HOSTILE, None, Mistake(EVIL, HOSTILE, HOSTILE))])
    evil = reply(EVIL, 2, "kept", HOSTILE, Mistake(EVIL, f"{HOSTILE}. 3 + 4 = 8.", HOSTILE))
    write_records(workspace.round(2).feedback, [reply(STUCK, 2, "kept", "A cat has 4 legs.", shown), evil])
    write_records(workspace.round(2).lesson, [Triplet(STUCK, "A cat has 4 legs.", None, shown)])


def _write_ledger(workspace: Workspace, questions: dict[str, Question]) -> None:
    shown = Mistake(STUCK, "A duck has 4 legs.", "A")
    asked: Sequence[tuple[str, Mistake | None, int]] = (
        (TURNING, None, 1), (STUCK, None, 1), (EVIL, None, 1), (STUCK, shown, 2),
    )  # fmt: skip
    with Ledger(workspace.ledger) as ledger:
        for name, mistake, number in asked:
            endpoint: Any = "completion" if name == EVIL else "chat"
            prompt = teacher_prompt(questions[name], mistake, [SHOT], endpoint)
            request = Request(questions[name], mistake, prompt, 1, number)
            begun = Begun(ledger.number(), ScriptedTeacher(), Call(request, (0,), 1, 1), "direct")
            ended = Ended(begun.number, sample_keys(ScriptedTeacher(), request), Outcome({0: Sample("text", "7")}))
            ledger.write([begun, ended])

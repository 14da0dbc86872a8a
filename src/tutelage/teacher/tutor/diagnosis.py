"""Where a student's solution departs from the worked one: by rules, over the numbers and equations in both."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from tutelage.records import Question
from tutelage.teacher.tutor.arithmetic import Equation, Step, clean, read_numbers, read_steps, show

DepartureKind = Literal["wrong arithmetic", "wrong quantity", "missing step", "surplus step", "unreadable"]
"""What is wrong at a departure. "unreadable": there are no steps to compare, on one side or the other."""


@dataclass(frozen=True, slots=True)
class Departure:
    """The first step of a student's solution that departs from the worked one.

    step: its place among the student's sentences, from 0; for a missing step, how many sentences there are.
    student: the student's words there, empty for a missing step. right: the worked solution's words for it.
    right_step: the place of that among the worked solution's steps with an equation, from 0; None without one.
    reason: what is wrong, such as "3 * 4 is 12, not 11".
    """

    kind: DepartureKind
    step: int
    student: str
    right: str
    right_step: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """kept: the student's right sentences before the departure that can stay as they are.

    rest: the worked solution's sentences that are then still to come.
    """

    departure: Departure | None
    kept: tuple[str, ...]
    rest: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Block:
    """One step of a worked solution: its sentence with an equation, and the talk that leads to it."""

    talk: tuple[str, ...]
    step: Step
    equations: tuple[Equation, ...]

    @property
    def words(self) -> frozenset[str]:
        return _words(self.step.text)


class Worked:
    """A worked solution, cut into its steps. tail: the talk after the last one."""

    def __init__(self, question: Question) -> None:
        self.text = clean(question.rationale or "")
        self.blocks: list[_Block] = []
        talk: list[str] = []
        self.numbers = read_numbers(self.text)
        steps = read_steps(self.text)
        self.sentences = frozenset(step.text for step in steps)
        for step in steps:
            right = tuple(equation for equation in step.equations if equation.right)
            if right:
                self.blocks.append(_Block(tuple(talk), step, right))
                talk = []
            else:
                talk.append(step.text)
        self.tail = tuple(talk)
        self.given = read_numbers(question.text)
        self.known = self.numbers | self.given | read_numbers(question.answer)

    def find(self, equation: Equation, done: Collection[int]) -> int | None:
        """The step that an equation belongs to: the same operands, or known numbers that give its result.

        Steps that are not `done` go first. The equation's own result may be wrong: what counts is its left side.
        """
        same_value = [
            (place, Counter(one.operands) == Counter(equation.operands))
            for place, block in enumerate(self.blocks)
            for one in block.equations
            if equation.value in (one.value, one.claimed)
        ]
        exact = [place for place, same in same_value if same]
        if not exact and set(equation.operands) <= self.known:
            exact = [place for place, _ in same_value]
        return min(exact, key=lambda place: (place in done, place), default=None)

    def stated(self, step: Step) -> int | None:
        """The step whose numbers, result included, a sentence without an equation repeats."""
        for place, block in enumerate(self.blocks):
            if len(step.numbers) > 1 and step.numbers <= block.step.numbers and _results(block) & step.numbers:
                return place
        return None

    def nearest(self, numbers: Iterable[Fraction], done: Collection[int]) -> int:
        """The step still to do that shares most numbers with a wrong one; the first such."""
        wrong = Counter(numbers)
        left = [place for place in range(len(self.blocks)) if place not in done]

        def shared(place: int) -> int:
            operands = Counter(operand for one in self.blocks[place].equations for operand in one.operands)
            return (operands & wrong).total()

        return max(left or [len(self.blocks) - 1], key=lambda place: (shared(place), -place))


def first_departure(student_rationale: str, question: Question) -> Departure | None:
    """The first step of the student's rationale that departs from the question's worked solution.

    None if all its steps agree with the worked solution and reach its end: then only the answer was misread.
    Raises: ValueError if the question has no worked solution.
    """
    return compare(student_rationale, question).departure


def compare(student_rationale: str, question: Question) -> Comparison:
    """The departure, with the student's right sentences before it and what is then still to come.

    Raises: ValueError if the question has no worked solution.
    """
    if not question.rationale:
        raise ValueError(f"question {question.id} has no worked solution")
    worked = Worked(question)
    steps = read_steps(student_rationale)
    done: set[int] = set()
    kept: dict[int, str] = {}  # step of the worked solution -> the student's sentence
    departure = None
    for place, step in enumerate(steps):
        # Some worked solutions hold a slip of their own; it is not the student's who repeats it.
        known = not worked.blocks or step.text in worked.sentences
        departure = None if known else _judge(worked, step, place, done)
        if departure is not None:
            break
        found = _matched(worked, step, done)
        if len(found) == 1 and found.isdisjoint(done) and _can_stay(worked, step, next(iter(found)), kept):
            kept[next(iter(found))] = step.text
        done |= found
    if departure is None:
        departure = _at_the_end(worked, steps, done)
    rest = [
        sentence
        for place, block in enumerate(worked.blocks)
        if place not in kept
        for sentence in (*block.talk, block.step.text)
    ]
    if len(kept) < len(worked.blocks) or not worked.blocks:
        rest += worked.tail
    return Comparison(departure, tuple(kept.values()), tuple(rest))


def _judge(worked: Worked, step: Step, place: int, done: Collection[int]) -> Departure | None:
    finished = len(worked.blocks) - 1 in done
    for equation in step.equations:
        target = worked.find(equation, done)
        if target is not None and equation.right:
            continue
        if target is not None:
            left = equation.text.partition("=")[0].strip()
            reason = f"{left} is {show(equation.value)}, not {show(equation.claimed)}"
            return _departure("wrong arithmetic", worked, place, step, target, reason)
        if finished:
            return _surplus(worked, place, step)
        target = worked.nearest(equation.operands, done)
        reason = f"the step is {worked.blocks[target].equations[0].text}, not {equation.text}"
        return _departure("wrong quantity", worked, place, step, target, reason)
    strange = sorted(step.numbers - worked.known)
    if step.equations or not strange:
        return None
    if finished:
        return _surplus(worked, place, step)
    target = worked.nearest(step.numbers, done)
    return _departure("wrong quantity", worked, place, step, target, f"nothing here is {show(strange[0])}")


def _departure(kind: DepartureKind, worked: Worked, place: int, step: Step, target: int, reason: str) -> Departure:
    return Departure(kind, place, step.text, worked.blocks[target].step.text, target, reason)


def _surplus(worked: Worked, place: int, step: Step) -> Departure:
    last = len(worked.blocks) - 1
    result = show(worked.blocks[last].equations[-1].claimed)
    return _departure("surplus step", worked, place, step, last, f"the solution is complete before it, with {result}")


def _matched(worked: Worked, step: Step, done: Collection[int]) -> set[int]:
    found = {worked.find(equation, done) for equation in step.equations} or {worked.stated(step)}
    return {place for place in found if place is not None}


def _at_the_end(worked: Worked, steps: list[Step], done: Collection[int]) -> Departure | None:
    if not worked.blocks or not done:
        student = " ".join(step.text for step in steps)
        whole = "the worked solution" if not worked.blocks else "the student's solution"
        return Departure("unreadable", 0, student, worked.text, None, f"{whole} has no steps to compare")
    if len(worked.blocks) - 1 in done:
        return None
    target = next(place for place in range(len(worked.blocks)) if place not in done)
    step = worked.blocks[target].step
    reason = f"{worked.blocks[target].equations[0].text} is missing"
    return Departure("missing step", len(steps), "", step.text, target, reason)


def _can_stay(worked: Worked, step: Step, target: int, kept: Collection[int]) -> bool:
    """Whether a right sentence of the student's can stand in a correction as it is.

    Its numbers are all those of the worked step; it speaks of nothing that only other steps speak of ("2 cows
    have 2 * 2 = 4 legs" where ducks are meant); and what it builds on has been said before it.
    """
    block = worked.blocks[target]
    others = frozenset().union(*(other.words for other in worked.blocks if other is not block))
    unsaid = [other for place, other in enumerate(worked.blocks[:target]) if place not in kept]
    built_on = {operand for equation in block.equations for operand in equation.operands}
    return (
        step.numbers <= block.step.numbers
        and _results(block) <= step.numbers
        and not _words(step.text) & (others - block.words)
        and not any(_results(other) & built_on for other in unsaid)
        and not re.search(r"\banswer\b", step.text, re.IGNORECASE)
    )


def _results(block: _Block) -> frozenset[Fraction]:
    return frozenset(abs(equation.claimed) for equation in block.equations)


def _words(text: str) -> frozenset[str]:
    # Short words are mostly grammar, and tell no step from another.
    return frozenset(word.casefold() for word in re.findall(r"[^\W\d_]{4,}", text))

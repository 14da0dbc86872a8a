"""Questions, requests and a scripted teacher for the tests of what teachers do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tutelage.errors import BudgetError, TeacherError
from tutelage.prompts import teacher_prompt
from tutelage.records import Mistake, Question
from tutelage.teacher.protocol import Call, Outcome, PaidTeacher, Reply, Request, Sample, Usage

LEGS = Question(
    "leg_counting/1",
    "How many legs are there in total if you have 3 cows, 2 ducks?",
    "16",
    "number",
    rationale="3 cows have 3 * 4 = 12 legs. 2 ducks have 2 * 2 = 4 legs. 12 + 4 = 16.",
)


def numbered(place: int) -> Question:
    """Questions that differ, with the answers 0, 2, 4, ..."""
    return Question(f"own/{place}", f"What is {place} + {place}?", str(2 * place), "number")


def request(
    question: Question, replies: int = 2, number: int = 1, mistake: Mistake | None = None, completion: bool = False
) -> Request:
    """A request as a round makes it."""
    prompt = teacher_prompt(question, mistake, (), "completion" if completion else "chat")
    return Request(question, mistake, prompt, replies, number)


class ScriptedTeacher:
    """Replies "reply to ID", fails for the questions in `failing`, and breaks down after `breaks_after` replies."""

    def __init__(self, failing: Sequence[str] = (), breaks_after: int | None = None) -> None:
        self.failing = set(failing)
        self.breaks_after = breaks_after
        self.asked: list[str] = []
        self.closed = False
        self.usage = Usage(7, 3)

    @property
    def name(self) -> str:
        return "scripted"

    @property
    def identity(self) -> dict[str, object]:
        return {"kind": "scripted"}

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Reply]]:
        """In the reverse order, as a teacher may."""
        try:
            for place, one in enumerate(reversed(requests)):
                if place == self.breaks_after:
                    raise TeacherError("broke down")
                self.asked.append(one.question.id)
                if one.question.id in self.failing:
                    yield one, Reply((), error="refused")
                else:
                    yield one, Reply((f"reply to {one.question.id}", "«ü»\n2"), ("stop", "length"), self.usage)
        finally:
            self.closed = True


@dataclass
class Notes:
    """A Recorder in memory, and what was settled: the reason why samples are missing, by the question's id.

    most: calls that the budget has room for.
    """

    most: int | None = None
    begun: list[Call] = field(default_factory=list)
    ended: dict[int, Outcome] = field(default_factory=dict)
    reasons: dict[str, str | None] = field(default_factory=dict)

    async def begin(self, call: Call) -> int:
        await asyncio.sleep(0)
        if self.most is not None and len(self.begun) >= self.most:
            raise BudgetError("the cap is reached")
        self.begun.append(call)
        return len(self.begun) - 1

    async def end(self, number: int, outcome: Outcome) -> None:
        await asyncio.sleep(0)
        assert number not in self.ended
        assert set(outcome.samples) <= set(self.begun[number].places)
        assert (outcome.failure is None) == bool(outcome.samples)
        self.ended[number] = outcome

    def settled(self, request: Request, reason: str | None) -> None:
        assert request.question.id not in self.reasons
        self.reasons[request.question.id] = reason

    def samples(self, request: Request) -> tuple[Sample, ...]:
        """What came for a request, in the order of its places; none came twice."""
        found: dict[int, Sample] = {}
        for number, outcome in self.ended.items():
            if self.begun[number].request is request:
                assert not found.keys() & outcome.samples.keys()
                found.update(outcome.samples)
        return tuple(found[place] for place in sorted(found))

    @property
    def failures(self) -> list[str | None]:
        """Of the calls, in the order in which they left."""
        return [self.ended[number].failure for number in range(len(self.begun))]


def converse(teacher: PaidTeacher, requests: Sequence[Request], notes: Notes | None = None) -> Notes:
    """Asks for all samples of all requests; `notes` are there even if it raises."""
    notes = Notes() if notes is None else notes
    wanted = ((one, tuple(range(one.replies))) for one in requests)
    asyncio.run(teacher.converse(wanted, notes, notes.settled))
    return notes

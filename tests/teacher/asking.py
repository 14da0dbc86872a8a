"""Questions, requests and a scripted teacher for the tests of what teachers do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tutelage.errors import TeacherError
from tutelage.prompts import teacher_prompt
from tutelage.records import Mistake, Question
from tutelage.teacher.protocol import Reply, Request, Usage

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

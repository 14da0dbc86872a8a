"""The calls that wait for a batch: what is wanted, and what an earlier batch left to be asked again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tutelage.config import OpenAITeacherSettings
from tutelage.teacher.batches.lines import Ask, Line
from tutelage.teacher.openai.faults import Fault
from tutelage.teacher.openai.learning import curable, learn
from tutelage.teacher.openai.wire import Abilities
from tutelage.teacher.protocol import FailureKind, Request, Wanted

_ASKED_AGAIN: frozenset[FailureKind] = frozenset(("expired", "interrupted"))
"""Besides what fails in passing: what happened to the batch, and not to the request."""


@dataclass
class Queue:
    """Lines for the next batches.

    settled: as in PaidTeacher. stop: why every further request would fail, once one has failed for that.
    """

    settings: OpenAITeacherSettings
    abilities: Abilities
    pending: Iterator[Wanted]
    settled: Callable[[Request, str | None], None]
    stop: str | None = None
    _again: deque[Line] = field(default_factory=deque)
    _takes_several: bool = False

    def take(self, most: int, size: int) -> list[Line]:
        """At most so many lines, with their bodies written, of so many bytes together; one at least if there is one."""
        lines: list[Line] = []
        while len(lines) < most and (line := self._next()) is not None:
            size -= line.write(self.settings, self.abilities)
            if lines and size < 0:
                self._again.appendleft(line)
                break
            lines.append(line)
        return lines

    def put_back(self, lines: Iterable[Line]) -> None:
        """These did not leave, and are the next to."""
        self._again.extendleft(reversed(list(lines)))

    def learn(self, fault: Fault, line: Line | None, places: tuple[int, ...]) -> Fault:
        """The fault of a call, after remembering what it teaches of the endpoint; line: None if another process's."""
        sent = Abilities() if line is None else line.sent
        return learn(fault, sent, len(places), self.abilities, self.settings.model)

    def go_on(self, lines: Mapping[int, Line], results: Mapping[int, int | Fault]) -> None:
        """What came of lines: how many samples, or a fault. What is missing waits for the next batch, or is given up.

        results: of other processes' lines, too, which `lines` lacks: nobody waits for these.
        """
        self._takes_several |= any(isinstance(came, int) and came > 1 for came in results.values())
        for number, came in results.items():
            if (line := lines.get(number)) is None:
                continue
            line.ask.left -= 1
            if isinstance(came, Fault):
                self._failed(line, came)
            else:
                if line.alone_to_see:
                    self.abilities.honours_n = False
                self._one_by_one(line.ask, line.places[came:])
            if not line.ask.left:
                self.settled(line.ask.request, line.ask.reason)

    def _failed(self, line: Line, fault: Fault) -> None:
        places = line.places
        maybe_n = fault.refused and not fault.dislikes and not self._takes_several
        if len(places) > 1 and (maybe_n or fault.dislikes == "n"):
            # Maybe for its n, maybe for something else: asking for one sample tells.
            self._one_by_one(line.ask, places, alone_to_see=True)
        elif curable(fault, line.sent, len(places)):
            self._add(Line(line.ask, places, line.tries))
        elif (fault.passing or fault.kind in _ASKED_AGAIN) and line.tries < self.settings.retries:
            self._add(Line(line.ask, places, line.tries + 1))
        else:
            line.ask.reason = fault.detail
            self.stop = self.stop or fault.stop

    def _next(self) -> Line | None:
        if not self._again:
            wanted = next(self.pending, None)
            if wanted is None:
                return None
            ask, places = Ask(wanted[0]), wanted[1]
            if self.abilities.honours_n:
                self._add(Line(ask, places))
            else:
                self._one_by_one(ask, places)
        return self._again.popleft()

    def _one_by_one(self, ask: Ask, places: Iterable[int], alone_to_see: bool = False) -> None:
        for place in places:
            self._add(Line(ask, (place,), alone_to_see=alone_to_see))

    def _add(self, line: Line) -> None:
        line.ask.left += 1
        self._again.append(line)

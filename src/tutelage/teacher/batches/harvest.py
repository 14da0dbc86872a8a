"""What comes of a batch that has ended: its replies into the book, what is missing back into the queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tutelage.progress import say
from tutelage.teacher.batches.api import BatchApi, GoneError
from tutelage.teacher.batches.book import BatchBook
from tutelage.teacher.batches.lines import Line, outcome, read_line, read_result
from tutelage.teacher.batches.queue import Queue
from tutelage.teacher.batches.state import Problem, State
from tutelage.teacher.openai import faults
from tutelage.teacher.openai.faults import Fault
from tutelage.teacher.openai.keys import Endpoint
from tutelage.teacher.openai.learning import learn_from_reply
from tutelage.teacher.protocol import Outcome, Usage

COMMIT = 1000
"""Replies that are written together."""


@dataclass(slots=True)
class Out:
    """A batch that is under way. places: of its calls that are open. lines: none for one of an earlier process.

    unclear: looks at which the endpoint did not know it, or did not name the file of its replies.
    """

    id: str
    places: dict[int, tuple[int, ...]]
    lines: Mapping[int, Line]
    state: State | None = None
    unclear: int = 0


@dataclass(frozen=True, slots=True)
class Harvest:
    """Takes in the batches of one endpoint."""

    endpoint: Endpoint
    api: BatchApi
    book: BatchBook
    queue: Queue

    def give_up(self, batch: Out, fault: Fault) -> None:
        """Nothing came of those calls of a batch that are open yet."""
        faults_of = dict.fromkeys(batch.places, fault)
        self.book.end_many({number: outcome(fault, Usage(), ()) for number in faults_of})
        self.queue.go_on(batch.lines, faults_of)

    def lose(self, batch: Out) -> None:
        """The endpoint does not know a batch, or none at all."""
        say(f"Note: {self.endpoint.url} does not know the teacher's batch {batch.id}; what it held is asked anew.")
        self.give_up(batch, Fault("interrupted", f"the endpoint does not know the batch {batch.id} any more"))

    async def take_in(self, batch: Out, state: State) -> str | None:
        """Keeps what a batch that has ended brought.

        Returns the endpoint's words if it refused the batch for its size; then all its calls are in the queue again.
        """
        if state.status == "failed":
            return self._take_refusal(batch, state)
        results: dict[int, int | Fault] = {}
        kept: dict[int, Outcome] = {}

        def take(text: bytes) -> None:
            found = read_line(text)
            if found is None or found[0] not in batch.places:
                return
            number, places = found[0], batch.places.pop(found[0])
            result, usage = read_result(found[1], self.endpoint)
            if isinstance(result, Fault):
                result = self.queue.learn(result, batch.lines.get(number), places)
            else:
                learn_from_reply(result, len(places), self.queue.abilities)
            kept[number] = outcome(result, usage, places)
            results[number] = result if isinstance(result, Fault) else len(kept[number].samples)
            if len(kept) >= COMMIT:
                self._keep(kept)

        for file in state.files:
            try:
                await self.api.read(file, take)
            except GoneError as error:
                say(f"Note: a file of the batch {batch.id} is there no more ({error}).")
        self._keep(kept)
        self.queue.go_on(batch.lines, results)
        self.give_up(batch, _missing(state))
        return None

    def _keep(self, kept: dict[int, Outcome]) -> None:
        self.book.end_many(kept)
        kept.clear()

    def _take_refusal(self, batch: Out, state: State) -> str | None:
        """The endpoint refused a batch as a whole: for its size, for some of its lines, or for all of them."""
        too_much = next((self._said(problem) for problem in state.problems if problem.too_much), None)
        if not batch.lines or too_much is not None:
            self.book.forget(batch.id)
            self.queue.put_back(batch.lines.values())
            return too_much if batch.lines else None
        bad = self._bad_lines(batch, state)
        if not bad or any(fault.stop for fault in bad.values()):
            self._stop(batch, state, next((fault.stop for fault in bad.values() if fault.stop), None))
            return None
        self.book.end_many({number: outcome(fault, Usage(), ()) for number, fault in bad.items()})
        self.book.forget(batch.id)
        self.queue.put_back(line for number, line in batch.lines.items() if number not in bad)
        self.queue.go_on(batch.lines, bad)
        return None

    def _stop(self, batch: Out, state: State, advice: str | None) -> None:
        said = self._said(state.problems[0]) if state.problems else "it gives no reason"
        if advice is None and state.problems:
            advice = self._fault(state.problems[0]).stop
        stop = advice or (
            f"The teacher at {self.endpoint.url} refuses a whole batch ({said}). Mend what it names, or set "
            'teacher.road to "direct"; then `tutelage resume`.'
        )
        self.give_up(batch, Fault("stopped", f"the batch was refused: {said}", stop=stop))

    def _said(self, problem: Problem) -> str:
        return faults.shown(problem.message, self.endpoint)

    def _fault(self, problem: Problem) -> Fault:
        said = {"error": {"code": problem.code, "message": problem.message, "param": problem.param}}
        return faults.of_status(400, said, self.endpoint)

    def _bad_lines(self, batch: Out, state: State) -> dict[int, Fault]:
        """The lines that a batch was refused for, by their numbers."""
        numbers = list(batch.lines)
        bad = {}
        for problem in state.problems:
            if problem.line is not None and 0 < problem.line <= len(numbers):
                number = numbers[problem.line - 1]
                bad[number] = self.queue.learn(self._fault(problem), batch.lines[number], batch.places[number])
        return bad


def _missing(state: State) -> Fault:
    """What happened to a call that a batch's files say nothing of."""
    if state.status == "completed":
        return Fault("damaged reply", f"the files of the batch {state.id} lack its reply")
    how = "expired" if state.status == "expired" else "was cancelled"
    return Fault("expired", f"the batch {state.id} {how} before it was answered")

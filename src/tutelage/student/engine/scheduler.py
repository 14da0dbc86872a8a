"""Continuous batching: which sequence sits in which slot, seen from the host.

Sequences enter free slots in their order, some at a time, and leave as soon as they are finished. A decoder runs a
chunk of steps at a time; the host looks at a chunk's tokens `lag` chunks later, so that a GPU need not wait for it.
What a slot computes between its sequence's end and the next one's entry is ignored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

Chunk = Callable[[], Sequence[Sequence[int]]]
"""Gives the tokens of a chunk of steps, [steps][slots], once they are there."""

Ends = Callable[[Sequence[int]], bool]
"""Whether a sequence ends with the newest of its tokens."""

More = Callable[[], Sequence["Request"]]
"""Gives further requests where slots would stand empty; none if there are no more."""


class Request(NamedTuple):
    """A sequence to be made: which sample of which prompt."""

    prompt: int
    sample: int


class Decoder(Protocol):
    """Runs the steps. slots: sequences at a time. chunk: steps a launch. lag: chunks launched before one is looked at.

    compact: whether a step costs by the rows up to the last occupied slot, so that finished rows are filled up.
    """

    @property
    def slots(self) -> int: ...

    @property
    def chunk(self) -> int: ...

    @property
    def lag(self) -> int: ...

    @property
    def compact(self) -> bool: ...

    def enter(self, entries: Sequence[tuple[int, Request]]) -> None:
        """Puts requests into slots; their next step gives their first new token."""

    def move(self, moves: Sequence[tuple[int, int]]) -> None:
        """Moves sequences from slots to others."""

    def launch(self, rows: int) -> Chunk:
        """Runs a chunk of steps for the first slots, `rows` of them at least."""


@dataclass(slots=True, eq=False)
class _Sequence:
    request: Request
    ends: Ends
    launched: int = 0
    done: bool = False
    tokens: list[int] = field(default_factory=list)


class Scheduler:
    """Sees a list of requests through.

    limit: new tokens at most, 1 at least. watch: gives what tells of one sequence, token by token, whether it ends.
    done: called once for each request with its tokens, up to and with the one that ended it, as soon as it is known.
    more: where requests come from once those given are all under way.
    """

    def __init__(
        self,
        decoder: Decoder,
        requests: Sequence[Request],
        limit: int,
        watch: Callable[[], Ends],
        done: Callable[[Request, list[int]], None],
        more: More | None = None,
    ) -> None:
        self._decoder = decoder
        self._waiting = deque(requests)
        self._limit = limit
        self._watch = watch
        self._done = done
        self._more = more
        self._slots: list[_Sequence | None] = [None] * decoder.slots
        self._launched: deque[tuple[Chunk, list[tuple[int, _Sequence]]]] = deque()

    def run(self) -> None:
        """Until every request is done. What the decoder raises goes through; what is done then, is done."""
        while True:
            self._refill()
            running = self._running()
            if running:
                self._launch(running)
            if not self._launched:
                return
            if len(self._launched) > self._decoder.lag or not self._running():
                self._look()

    def _running(self) -> list[tuple[int, _Sequence]]:
        return [(slot, sequence) for slot, sequence in enumerate(self._slots) if sequence is not None]

    def _refill(self) -> None:
        """Lets sequences in, not one by one: encoding a few prompts costs hardly more than encoding one."""
        free = [slot for slot, sequence in enumerate(self._slots) if sequence is None]
        some = max(1, len(self._slots) // 8)
        if len(free) >= some:
            self._ask_for(len(free))
        entering = min(len(free), len(self._waiting))
        enough = min(some, len(self._waiting))
        if entering == 0 or (entering < enough and len(free) < len(self._slots)):
            return
        entries = [(slot, self._waiting.popleft()) for slot in free[:entering]]
        self._decoder.enter(entries)
        for slot, request in entries:
            self._slots[slot] = _Sequence(request, self._watch())

    def _ask_for(self, count: int) -> None:
        """Has that many requests wait, if there are so many; no more, since others may take them who are free."""
        while self._more is not None and len(self._waiting) < count:
            new = self._more()
            self._waiting.extend(new)
            if not new:
                self._more = None

    def _launch(self, running: list[tuple[int, _Sequence]]) -> None:
        chunk = self._decoder.launch(running[-1][0] + 1)
        self._launched.append((chunk, running))
        for slot, sequence in running:
            sequence.launched += self._decoder.chunk
            if sequence.launched >= self._limit and self._decoder.lag:
                self._slots[slot] = None  # it ends in this chunk at the latest: no need to look first

    def _look(self) -> None:
        chunk, running = self._launched.popleft()
        steps = chunk()
        for slot, sequence in running:
            if not sequence.done:
                self._read(sequence, (tokens[slot] for tokens in steps))
            if sequence.done and self._slots[slot] is sequence:
                self._slots[slot] = None
        if self._decoder.compact:
            self._fill_up()

    def _read(self, sequence: _Sequence, tokens: Iterable[int]) -> None:
        for token in tokens:
            sequence.tokens.append(token)
            if len(sequence.tokens) == self._limit or sequence.ends(sequence.tokens):
                sequence.done = True
                self._done(sequence.request, sequence.tokens)
                return

    def _fill_up(self) -> None:
        """Moves the last sequences into the gaps, so that those that go on stand together."""
        running = self._running()
        gaps = [slot for slot in range(len(running)) if self._slots[slot] is None]
        moves = [(slot, gap) for (slot, _), gap in zip(reversed(running), gaps, strict=False)]
        if moves:
            self._decoder.move(moves)
        for slot, gap in moves:
            self._slots[gap], self._slots[slot] = self._slots[slot], None

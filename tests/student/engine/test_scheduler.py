"""Continuous batching with a decoder that only counts: every request gets its own tokens, whatever the slots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from tutelage.student.engine.scheduler import Chunk, Request, Scheduler

END = -1


def tokens_of(request: Request, length: int) -> list[int]:
    """What a request's sequence consists of; its own, so that a mix-up shows."""
    return [1000 * request.prompt + 100 * request.sample + step for step in range(length)]


@dataclass
class Counting:
    """A decoder whose sequences go on for ever behind their ends, as a GPU's do until the host has looked."""

    slots: int
    chunk: int
    lag: int
    compact: bool
    lengths: dict[Request, int]
    places: dict[int, tuple[Request, int]] = field(default_factory=dict)
    entered: list[Request] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    unread: int = 0

    def enter(self, entries: Sequence[tuple[int, Request]]) -> None:
        assert len({slot for slot, _ in entries}) == len(entries)
        for slot, request in entries:
            assert 0 <= slot < self.slots
            self.places[slot] = (request, 0)
            self.entered.append(request)

    def move(self, moves: Sequence[tuple[int, int]]) -> None:
        assert self.compact
        moved = {target: self.places[source] for source, target in moves}
        assert not {target for _, target in moves} & {source for source, _ in moves}
        self.places.update(moved)

    def launch(self, rows: int) -> Chunk:
        self.rows.append(rows)
        self.unread += 1
        assert self.unread <= self.lag + 1
        steps = [[self._next(slot) for slot in range(self.slots)] for _ in range(self.chunk)]

        def read() -> list[list[int]]:
            self.unread -= 1
            return steps

        return read

    def _next(self, slot: int) -> int:
        if slot not in self.places:
            return 7
        request, step = self.places[slot]
        self.places[slot] = (request, step + 1)
        length = self.lengths[request]
        return END if step == length else tokens_of(request, step + 1)[-1]


@given(
    lengths=st.lists(st.integers(0, 12), max_size=24),
    slots=st.integers(1, 9),
    chunk=st.integers(1, 5),
    lag=st.integers(0, 2),
    samples=st.integers(1, 3),
    limit=st.integers(1, 10),
    given=st.integers(0, 24),
    size=st.integers(1, 5),
)
def test_every_request_gets_its_tokens_once(
    lengths: list[int], slots: int, chunk: int, lag: int, samples: int, limit: int, given: int, size: int
) -> None:
    """given: requests at the start; the others are asked for in parts of a size."""
    requests = [Request(place // samples, place % samples) for place in range(len(lengths))]
    wanted = dict(zip(requests, lengths, strict=True))
    decoder = Counting(slots, chunk, lag, compact=lag == 0, lengths=wanted)
    done: dict[Request, list[int]] = {}

    def keep(request: Request, tokens: list[int]) -> None:
        assert request not in done
        done[request] = tokens

    others = [requests[start : start + size] for start in range(given, len(requests), size)]

    def more() -> list[Request]:
        going_on = {request for request, step in decoder.places.values() if request not in done and step < limit}
        assert len(going_on) < slots  # there is room for one at least
        return others.pop(0) if others else []

    Scheduler(decoder, requests[:given], limit, lambda: lambda tokens: tokens[-1] == END, keep, more).run()
    assert decoder.entered == requests
    assert decoder.unread == 0
    for request, length in wanted.items():
        expected = [*tokens_of(request, length), END]
        assert done[request] == expected[:limit]


def test_finished_rows_are_filled_up_so_that_steps_shrink() -> None:
    requests = [Request(place, 0) for place in range(8)]
    lengths = {request: 9 if request.prompt in (0, 7) else 2 for request in requests}
    decoder = Counting(8, 1, 0, compact=True, lengths=lengths)
    Scheduler(decoder, requests, 20, lambda: lambda tokens: tokens[-1] == END, lambda *_: None).run()
    assert decoder.rows == [8] * 3 + [2] * 7


def test_free_slots_are_filled_while_others_go_on() -> None:
    requests = [Request(place, 0) for place in range(40)]
    lengths = {request: 5 + 3 * (request.prompt % 4) for request in requests}
    decoder = Counting(8, 1, 0, compact=True, lengths=lengths)
    done = Counter[Request]()
    Scheduler(
        decoder, requests, 99, lambda: lambda tokens: tokens[-1] == END, lambda request, _: done.update([request])
    ).run()
    assert set(done.values()) == {1}
    steps = sum(length + 1 for length in lengths.values())
    assert sum(decoder.rows) == steps  # no row was computed for nothing
    assert len(decoder.rows) < 1.35 * steps / 8


def test_the_limit_frees_a_slot_without_a_look() -> None:
    requests = [Request(place, 0) for place in range(6)]
    decoder = Counting(2, 4, 1, compact=False, lengths=dict.fromkeys(requests, 99))
    Scheduler(decoder, requests, 8, lambda: lambda tokens: False, lambda *_: None).run()
    assert len(decoder.rows) == 3 * 2  # three pairs, two chunks each, none launched in vain

"""Keeps the books for the batch road: what is handed in, under which batch, and what came of it.

Until the batch API has told its id, a group of calls stands in the ledger under a mark; whoever starts again finds by
it whether the group was handed in. Calls of a batch outlive their process: what ends them needs only their rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tutelage.errors import BudgetError
from tutelage.teacher.books.budget import REACHED, Budget
from tutelage.teacher.books.cache import Cache
from tutelage.teacher.books.charges import ended, worst_charge
from tutelage.teacher.books.entries import Begun, Charge
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.books.prices import Prices
from tutelage.teacher.protocol import Call, Outcome, Teacher, sample_keys

_MARKED = "mark:"


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch that an earlier process left. name: its id; its mark if it may not have been handed in at all.

    places: of each of its calls that is open, by number.
    """

    name: str
    handed_in: bool
    places: Mapping[int, tuple[int, ...]]


class BatchBook(Protocol):
    """What the batch road tells. All methods return when it is on the disk."""

    def open_batches(self) -> Sequence[OpenBatch]:
        """What earlier processes left, in the order in which it was begun; to be asked for before all else."""
        ...

    def begin_many(self, mark: str, calls: Sequence[Call]) -> list[int]:
        """Reserves the worst case of as many of the calls, from the first, as fit; notes that they leave together.

        Their numbers. Raises: BudgetError if not even the first fits.
        """
        ...

    def handed_in(self, mark: str, batch: str) -> None:
        """The calls begun under a mark are the lines of this batch."""
        ...

    def end_many(self, outcomes: Mapping[int, Outcome]) -> None:
        """Keeps what came of calls, and gives back what was reserved too much."""
        ...

    def forget(self, name: str) -> None:
        """The open calls of a mark or a batch never ran: as if they had never been begun."""
        ...


@dataclass(frozen=True, slots=True)
class _Open:
    """keys: of its samples, by place. earlier: its worst case stands in what the run had spent at the start."""

    name: str
    keys: Mapping[int, str]
    charge: Charge
    earlier: bool


class LedgerBatchBook:
    """A BatchBook over a ledger.

    Not asynchronous: while it writes there is nothing else to do, for a batch has all day.
    """

    def __init__(
        self,
        ledger: Ledger,
        teacher: Teacher,
        budget: Budget,
        prices: Prices | None,
        cache: Cache | None,
    ) -> None:
        self._ledger, self._teacher, self._budget, self._prices, self._cache = ledger, teacher, budget, prices, cache
        self._open: dict[int, _Open] = {}

    def open_batches(self) -> list[OpenBatch]:
        """As BatchBook."""
        found: dict[str, dict[int, tuple[int, ...]]] = {}
        for number, name, places, keys, tokens, cost in self._ledger.rows(
            "SELECT id, batch, places, keys, charged_tokens, charged_cost FROM calls "
            "WHERE ended IS NULL AND road = 'batch' ORDER BY id"
        ):
            asked = tuple(json.loads(places))
            by_place = dict(zip(asked, json.loads(keys), strict=True))
            self._open[number] = _Open(name, by_place, Charge(tokens, cost), earlier=True)
            found.setdefault(name, {})[number] = asked
        return [
            OpenBatch(name.removeprefix(_MARKED), not name.startswith(_MARKED), places)
            for name, places in found.items()
        ]

    def begin_many(self, mark: str, calls: Sequence[Call]) -> list[int]:
        """As BatchBook."""
        name = _MARKED + mark
        begun = []
        for call in calls:
            worst = worst_charge(self._prices, call, batch=True)
            if not self._budget.reserve(worst.tokens, worst.cost):
                break
            keys = sample_keys(self._teacher, call.request)
            number, own = self._ledger.number(), {place: keys[place] for place in call.places}
            begun.append(Begun(number, self._teacher, call, "batch", worst, name, tuple(own.values())))
            self._open[number] = _Open(name, own, worst, earlier=False)
        if not begun:
            raise BudgetError(REACHED)
        self._ledger.write(begun)
        return [one.number for one in begun]

    def handed_in(self, mark: str, batch: str) -> None:
        """As BatchBook."""
        name = _MARKED + mark
        self._ledger.change("UPDATE calls SET batch = ? WHERE batch = ? AND ended IS NULL", (batch, name))
        for number, one in self._open.items():
            if one.name == name:
                self._open[number] = _Open(batch, one.keys, one.charge, one.earlier)

    def end_many(self, outcomes: Mapping[int, Outcome]) -> None:
        """As BatchBook."""
        entries = [
            ended(self._prices, number, self._open[number].keys, outcome, self._open[number].charge, batch=True)
            for number, outcome in outcomes.items()
        ]
        self._ledger.write(entries)
        if self._cache is not None:
            self._cache.keep(entries)
        for entry in entries:
            self._settle(self._open.pop(entry.number), entry.charge)

    def forget(self, name: str) -> None:
        """As BatchBook."""
        names = (name, _MARKED + name)
        self._ledger.change("DELETE FROM calls WHERE batch IN (?, ?) AND ended IS NULL", names)
        for number, one in list(self._open.items()):
            if one.name in names:
                self._settle(self._open.pop(number), Charge())
                self._budget.give_back(0, 0)

    def _settle(self, one: _Open, charge: Charge) -> None:
        if one.earlier:  # nothing is reserved for it: what it was charged by then is corrected
            self._budget.settle(0, 0, charge.tokens - one.charge.tokens, charge.cost - one.charge.cost)
        else:
            self._budget.settle(one.charge.tokens, one.charge.cost, charge.tokens, charge.cost)

"""Inside the student: how right and wrong reasoning lie to it, before and after (Table 4, Fig. 4)."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from tutelage.report.gathering import Section
from tutelage.report.reading import Reading

FILE = "inside.json"
"""In a round's folder: what `tutelage report RUN --inside` found there."""


@with_config(ConfigDict(extra="allow"))
class Inside(TypedDict):
    """What the page needs of round-N/inside.json."""

    round: int
    separation: dict[str, Any]
    points: list[dict[str, Any]]


def gather(reading: Reading) -> Section | None:
    """What has been read of the students, by round; None for a run without a later student to read."""
    read = [reading.value(reading.round(number).folder / FILE, Inside) for number in reading.rounds()]
    students = [one for one in read if one is not None]
    if not students and reading.rounds() == [0]:
        return None
    return Section({"students": students, "command": f"tutelage report {reading.folder} --inside"})

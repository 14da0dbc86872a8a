"""All sections of one run's page."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tutelage import __version__
from tutelage.report.gathering import Section
from tutelage.report.gathering.inside import gather as inside
from tutelage.report.gathering.overview import gather as overview
from tutelage.report.gathering.questions import gather as questions
from tutelage.report.gathering.rounds import gather as rounds
from tutelage.report.gathering.status import gather as status
from tutelage.report.reading import Reading

Gather = Callable[[Reading], Section | None]

GATHERED: Mapping[str, Gather] = {
    "overview": overview,
    "rounds": rounds,
    "questions": questions,
    "inside": inside,
    "status": status,
}
"""By the name under which the page draws it; in the page's order."""


def gather_run(folder: Path) -> dict[str, Section]:
    """What the page of a run shows. Whatever the folder holds, it does not raise: "about" tells what is not there."""
    reading = Reading(folder)
    reading.check()
    sections = {}
    failed = []
    for name, gather in GATHERED.items():
        try:
            section = gather(reading)
        except Exception as error:  # a file that nobody foresaw shall cost one section, not the report
            failed.append({"section": name, "why": f"{type(error).__name__}: {error}"})
            continue
        if section is not None:
            sections[name] = section
    return {"about": Section(about(reading, failed)), **sections}


def about(reading: Reading, failed: list[dict[str, str]]) -> dict[str, Any]:
    """Whose page it is, and what is missing from it."""
    return {
        "title": f"{reading.setting('task.name') or 'run'}: {reading.folder.resolve().name}",
        "run": str(reading.folder.resolve()),
        "written": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "version": __version__,
        "missing": [asdict(note) for note in reading.notes],
        "failed": failed,
    }

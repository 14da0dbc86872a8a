"""Progress of long work on the terminal: what is done, the rate, and the time left."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

console = Console(stderr=True, highlight=False, emoji=False)
"""Progress and notices go to standard error, so that what a command prints can be piped."""


@dataclass(frozen=True, slots=True)
class Work:
    """How far a piece of work is. done, total: in `unit`s. note: what else there is to say of it, such as a loss."""

    done: int
    total: int
    unit: str
    note: str = ""


OnWork = Callable[[Work], None]
_on_work: ContextVar[OnWork | None] = ContextVar("on_work", default=None)


@contextlib.contextmanager
def told_to(on_work: OnWork) -> Iterator[None]:
    """Has `on_work` called whenever a bar in here begins or moves, in the thread that moves it; it must be quick."""
    token = _on_work.set(on_work)
    try:
        yield
    finally:
        _on_work.reset(token)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        rate = f"{speed:.1f}" if speed and speed < 100 else f"{speed or 0:.0f}"
        return Text(f"{rate} {task.fields['unit']}/s" if speed else "", style="dim")


@contextlib.contextmanager
def progress(description: str, total: int, unit: str, done: int = 0) -> Iterator[Callable[..., None]]:
    """A bar for `total` units of work. Yields a function advance(units, note="") to call as they are done.

    done: units that an earlier process finished. Where standard error is no terminal it prints one line
    at the end only.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", style="dim"),
    )
    tell, work = _on_work.get() or (lambda _work: None), Work(done, total, unit)
    tell(work)
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(description, total=total, completed=done, unit=unit, note="")

        def advance(units: int, note: str | None = None) -> None:
            nonlocal work
            fields: dict[str, Any] = {} if note is None else {"note": note}
            bar.update(task, advance=units, **fields)
            work = replace(work, done=work.done + units, note=work.note if note is None else note)
            tell(work)

        yield advance


def say(text: str) -> None:
    """One line for the user about what is going on; the text is shown as it is, markup included."""
    console.print(plain(text), markup=False)


def duration(seconds: float) -> str:
    """Seconds as "40 s", "5 min 20 s" or "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """A text for a terminal that it cannot steer: control characters other than line ends and tabs as "\\x1b".

    So is half a surrogate pair, which stands for what is no UTF-8 in the name of a file, and cannot be printed.
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n"))

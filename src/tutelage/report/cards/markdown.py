"""Text from outside in Markdown: whatever stands in it shows as it is, and starts nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tutelage.progress import plain

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&#$!])")


def escape(text: object) -> str:
    """A value as one line of plain text inside a paragraph or a table's cell."""
    return _SPECIAL.sub(r"\\\1", plain(" ".join(str(text).split())))


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already; the first column on the left, numbers on the right."""
    ruler = ["---", *["---:"] * (len(heading) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heading, ruler, *rows))


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Names and their values, which are Markdown already, as a list."""
    return "\n".join(f"- **{name}:** {value}" for name, value in rows)


def fence(text: str, language: str = "") -> str:
    """Text as a block of code, behind a fence that it does not hold itself."""
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{plain(text).rstrip()}\n{ticks}"

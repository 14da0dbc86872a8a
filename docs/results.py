"""Brings finished comparisons into docs/results, and their tables into docs/results.md.

    python docs/results.py runs/comparisons/svamp runs/comparisons/multiarith

Of each it takes the tables, the runs' numbers with where they come from, what they cost, and the comparison's file. In
docs/results.md a table stands between `<!-- table NAME: COLUMN; COLUMN -->` and `<!-- end -->` (NAME/TABLE for another
than the first one; without columns all of them) and is written anew from the JSON; the rest is written by hand.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tutelage.comparisons.tables.table import Table, read_tables, to_markdown
from tutelage.errors import DataError, TutelageError
from tutelage.workspace import remove, write_text

DOCS = Path(__file__).parent
NEEDED = ("table.json", "results.json", "comparison.toml")
KEPT = (*NEEDED, "cost.json")
BEGIN, END = "<!-- table ", "<!-- end -->"
PLACE = re.compile(r"(<!-- table ([^\s:/]+)(?:/([^\s:]+))?(?:: *([^>]*?))? -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparison", type=Path, nargs="*", help="the folder of a finished comparison")
    try:
        bring(parser.parse_args().comparison, DOCS)
    except TutelageError as error:
        parser.exit(1, f"Error: {error}\n")


def bring(comparisons: Sequence[Path], docs: Path) -> None:
    """Copies what is kept of comparisons, and writes the page's tables.

    The page is made before anything is written, so that what cannot be on it changes nothing.
    Raises: DataError if a comparison is not finished, or as `filled`; WorkspaceError if the disk is full.
    """
    brought: dict[str, Path] = {}
    for folder in comparisons:
        if missing := [name for name in NEEDED if not (folder / name).is_file()]:
            raise DataError(f"{folder} has no {missing[0]}: it is no finished comparison of `tutelage compare`.")
        other = brought.setdefault(folder.resolve().name, folder)
        if other is not folder:
            raise DataError(f"{other} and {folder} have the same name, and only one could be kept. Rename one.")
    page = docs / "results.md"
    text = filled(page.read_text(encoding="utf-8"), docs / "results", brought)
    for name, folder in brought.items():
        kept = docs / "results" / name
        if kept.resolve() != folder.resolve():
            _copy(folder, kept)
    write_text(page, text)


_ABSOLUTE = re.compile(r"(?<=\")/(?:[^/\"\\\n]+/)*?([^/\"\\\n]+(?:/[^/\"\\\n]+)?)(?=\\?\")")
"""A path in quotes, by its last two parts: where they lay on the machine that ran it tells a reader nothing."""


def _copy(folder: Path, kept: Path) -> None:
    for name in KEPT:
        if (folder / name).is_file():
            write_text(kept / name, _ABSOLUTE.sub(r"\1", (folder / name).read_text(encoding="utf-8")))
        else:
            remove(kept / name)  # of a table that had one


def filled(text: str, results: Path, brought: Mapping[str, Path] | None = None) -> str:
    """The page with each table as its JSON has it. brought: folders of comparisons that are not in `results` yet.

    Raises: DataError for a table or a column that is not there, or for a place without its end.
    """
    for place in text.split(BEGIN)[1:]:  # each up to the next one
        if not PLACE.match(BEGIN + place):
            line = (BEGIN + place).splitlines()[0]
            raise DataError(f"{line!r} is no place for a table, or has no {END} before the next one.")

    def table(match: re.Match[str]) -> str:
        begin, comparison, name, columns, end = match.groups()
        tables = read_tables((brought or {}).get(comparison, results / comparison) / "table.json")
        wanted = next((one for one in tables if name in (None, one.name)), None)
        if wanted is None:
            raise DataError(f"{comparison} has no table {name!r}; it has {', '.join(one.name for one in tables)}.")
        chosen = [one.strip() for one in columns.split(";")] if columns else list(wanted.columns)
        return begin + _without_its_heading(_only(wanted, chosen)) + end

    return PLACE.sub(table, text)


def _only(table: Table, columns: Sequence[str]) -> Table:
    if missing := [one for one in columns if one not in table.columns]:
        raise DataError(f"The table {table.title!r} has no column {missing[0]!r}; it has {'; '.join(table.columns)}.")
    places = [table.columns.index(one) for one in columns]
    rows = tuple(tuple(row[place] for place in places) for row in table.rows)
    return Table(table.name, table.title, tuple(columns), rows)


def _without_its_heading(table: Table) -> str:
    return to_markdown(table).split("\n\n", 1)[1]


if __name__ == "__main__":
    main()

"""SVAMP: one-step word problems, varied so that shallow patterns fail (Patel et al., 2021).

Source: https://github.com/arkilpatel/SVAMP (SVAMP.json). Licence: MIT.
On the hub: ChilleD/SVAMP, splits train and test, columns `ID` ("chal-1" ...), `Body`, `Question`, `Answer`;
its split is another one (seed 42), so its rows are put back into the order of their IDs and split as the paper did.

    Question: A tree had 14 birds on it. 6 of them flew away, and 3 cats came. How many birds are left on it?
    Reasoning: Of the 14 birds 6 flew away, so 14 - 6 = 8 birds are left. The cats do not matter.
    Answer: 8

The question is `Body` and `Question`, stripped, with a space between; no full stop is put where the body lacks one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tutelage.errors import DataError
from tutelage.records import Question
from tutelage.tasks.raw import (
    check_sizes,
    column,
    find_file,
    hub_error,
    load_hub,
    make_question,
    read_json_file,
    split_rows,
)
from tutelage.tasks.task import Splits, TaskInfo

INFO = TaskInfo(
    name="svamp",
    title="SVAMP",
    kind="number",
    source="https://github.com/arkilpatel/SVAMP",
    licence="MIT",
    description="one-step word problems with distractors",
    paper_sizes=(700, 300),
)
HUB = "ChilleD/SVAMP"


def from_folder(folder: Path) -> Splits:
    """The questions in SVAMP.json, split as the paper did. Raises: DataError."""
    path = find_file(folder, INFO.name, "SVAMP.json")
    rows = read_json_file(path)
    if not isinstance(rows, list):
        raise DataError(f"{path} is not a JSON list of rows, so it is not the original SVAMP.json.")
    return split_rows(
        [_question(f"{path}, row {place}", place, row) for place, row in enumerate(rows)], folder, "svamp"
    )


def from_hub() -> Splits:
    """The same from the hub. Raises: DataError if it cannot be reached or has other rows."""
    rows = [row for split in load_hub(INFO, HUB, None, ("train", "test")) for row in split]
    by_id = {str(column(row, "ID", INFO, HUB)): row for row in rows}
    ids = [f"chal-{number}" for number in range(1, 1001)]
    if len(rows) != len(ids) or set(by_id) != set(ids):
        raise hub_error(INFO, f"does not hold the rows chal-1 to chal-{len(ids)} once each", HUB)
    questions = [_question(f"{HUB}, {name}", place, by_id[name]) for place, name in enumerate(ids)]
    return check_sizes(INFO, split_rows(questions, None, "svamp"), HUB)


def _question(place: str, number: int, row: Any) -> Question:
    if not isinstance(row, dict):
        raise DataError(f"{place}, is not a JSON object.")
    text = " ".join(str(row.get(part) or "").strip() for part in ("Body", "Question"))
    return make_question(place, f"svamp/{number}", text, row.get("Answer"), "number")

"""MultiArith: word problems of two or more arithmetic steps (Roy and Roth, 2015).

Source: https://github.com/kojima-takeshi188/zero_shot_cot (dataset/MultiArith/MultiArith.json).
Licence: not stated.
On the hub: ChilleD/MultiArith, splits train and test, columns `question` and `final_ans`; it has neither
row numbers nor the original order, so its rows are put back by their fingerprints and split as the paper did.

    Question: Ana baked 12 rolls and 9 buns. Her guests ate 15 of them. How many are left?
    Reasoning: Ana baked 12 + 9 = 21 pieces. 21 - 15 = 6 are left.
    Answer: 6

In the original file, `sQuestion` has a space at both ends, and `lSolutions` holds the one answer.
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
    load_hub,
    make_question,
    original_order,
    read_json_file,
    split_rows,
)
from tutelage.tasks.task import Splits, TaskInfo

INFO = TaskInfo(
    name="multiarith",
    title="MultiArith",
    kind="number",
    source="https://github.com/kojima-takeshi188/zero_shot_cot",
    licence="not stated",
    description="word problems of two or more arithmetic steps",
    paper_sizes=(420, 180),
)
HUB = "ChilleD/MultiArith"


def from_folder(folder: Path) -> Splits:
    """The questions in MultiArith.json, split as the paper did. Raises: DataError."""
    path = find_file(folder, INFO.name, "MultiArith.json")
    rows = read_json_file(path)
    if not isinstance(rows, list):
        raise DataError(f"{path} is not a JSON list of rows, so it is not the original MultiArith.json.")
    questions = [_question(f"{path}, row {place}", place, *_original(row)) for place, row in enumerate(rows)]
    return split_rows(questions, folder, INFO.name)


def from_hub() -> Splits:
    """The same from the hub. Raises: DataError if it cannot be reached or has other rows."""
    rows = [row for split in load_hub(INFO, HUB, None, ("train", "test")) for row in split]
    questions = [
        _question(f"{HUB}, row {place}", place, column(row, "question", INFO, HUB), column(row, "final_ans", INFO, HUB))
        for place, row in enumerate(rows)
    ]
    return check_sizes(INFO, split_rows(original_order(INFO, questions, HUB), None, INFO.name), HUB)


def _original(row: Any) -> tuple[Any, Any]:
    row = row if isinstance(row, dict) else {}
    solutions = row.get("lSolutions")
    return row.get("sQuestion"), solutions[0] if isinstance(solutions, list) and len(solutions) == 1 else None


def _question(place: str, number: int, text: Any, answer: Any) -> Question:
    return make_question(place, f"multiarith/{number}", text, answer, "number")

"""GSM8K: grade-school word problems of two to eight steps (Cobbe et al., 2021).

Source: https://github.com/openai/grade-school-math (train.jsonl, test.jsonl). Licence: MIT.
On the hub: openai/gsm8k, config main, splits train and test, columns `question` and `answer`.

    Question: A shelf holds 4 boxes of 6 pens. 5 pens are sold. How many pens are left?
    Reasoning: The shelf holds 4*6 = 24 pens. After the sale 24-5 = 19 pens are left.
    Answer: 19

`answer` is a worked solution with calculator marks, `4*6 = <<4*6=24>>24`, and "#### 19" as its last line.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tutelage.records import Question
from tutelage.tasks.raw import check_sizes, column, find_file, load_hub, make_question, read_json_lines
from tutelage.tasks.task import Splits, TaskInfo

INFO = TaskInfo(
    name="gsm8k",
    title="GSM8K",
    kind="number",
    source="https://github.com/openai/grade-school-math",
    licence="MIT",
    description="grade-school word problems of several steps",
    paper_sizes=(7473, 1319),
)
HUB = "openai/gsm8k"


def from_folder(folder: Path) -> Splits:
    """The questions in train.jsonl and test.jsonl. Raises: DataError."""
    train, test = (find_file(folder, INFO.name, f"{split}.jsonl") for split in ("train", "test"))
    return _read(train, "train"), _read(test, "test")


def from_hub() -> Splits:
    """The same from the hub. Raises: DataError if it cannot be reached or has other rows."""
    splits = load_hub(INFO, HUB, "main", ("train", "test"))
    train, test = (
        tuple(
            _question(
                f"{HUB}, {split} row {row}", f"gsm8k/{split}/{row}", [column(line, key, INFO, HUB) for key in _KEYS]
            )
            for row, line in enumerate(lines)
        )
        for split, lines in zip(("train", "test"), splits, strict=True)
    )
    return check_sizes(INFO, (train, test), HUB)


_KEYS = ("question", "answer")


def _read(path: Path, split: str) -> tuple[Question, ...]:
    return tuple(
        _question(f"{path}, line {number}", f"gsm8k/{split}/{row}", [line.get(key) for key in _KEYS])
        for row, (number, line) in enumerate(read_json_lines(path))
    )


def _question(place: str, question_id: str, values: list[Any]) -> Question:
    text, solution = values
    rationale, _, gold = solution.rpartition("####") if isinstance(solution, str) else ("", "", solution)
    rationale = re.sub(r"<<[^<>]*>>", "", rationale)
    return make_question(place, question_id, text, gold, "number", rationale=rationale)

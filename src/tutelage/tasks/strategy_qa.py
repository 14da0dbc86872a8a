"""StrategyQA: yes-or-no questions whose steps are left implicit (Geva et al., 2021).

Source: https://github.com/kojima-takeshi188/zero_shot_cot (dataset/StrategyQA/task.json, the file of BIG-bench).
Licence: MIT for the questions; the copy states none.
On the hub: ChilleD/StrategyQA, splits train and test, columns `question`, `answer` (a boolean) and `facts`;
it has neither row numbers nor the original order, so its rows are put back by their fingerprints.

    Question: Could a bicycle follow a train on the seabed?
    Reasoning: The seabed lies under water. A rider could not breathe there. So, the answer is No.
    Answer: No

The label is `target_scores["Yes"]`; the facts that follow the label in `target` become the question's rationale.
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
    name="strategy_qa",
    title="StrategyQA",
    kind="yes/no",
    source="https://github.com/kojima-takeshi188/zero_shot_cot",
    licence="MIT (questions); the copy states none",
    description="yes-or-no questions with implicit steps",
    paper_sizes=(1603, 687),
)
HUB = "ChilleD/StrategyQA"


def from_folder(folder: Path) -> Splits:
    """The questions in task.json, split as the paper did. Raises: DataError."""
    path = find_file(folder, INFO.name, "task.json")
    file = read_json_file(path)
    rows = file.get("examples") if isinstance(file, dict) else None
    if not isinstance(rows, list):
        raise DataError(f'{path} has no list "examples", so it is not the original task.json.')
    questions = [_question(f"{path}, example {place}", place, *_original(row)) for place, row in enumerate(rows)]
    return split_rows(questions, folder, INFO.name)


def from_hub() -> Splits:
    """The same from the hub. Raises: DataError if it cannot be reached or has other rows."""
    rows = [row for split in load_hub(INFO, HUB, None, ("train", "test")) for row in split]
    questions = [
        _question(
            f"{HUB}, row {place}",
            place,
            column(row, "question", INFO, HUB),
            column(row, "answer", INFO, HUB),
            _facts(row),
        )
        for place, row in enumerate(rows)
    ]
    return check_sizes(INFO, split_rows(original_order(INFO, questions, HUB), None, INFO.name), HUB)


def _original(row: Any) -> tuple[Any, Any, str]:
    row = row if isinstance(row, dict) else {}
    scores = row.get("target_scores")
    label = scores.get("Yes") == 1 if isinstance(scores, dict) and sorted(scores) == ["No", "Yes"] else None
    _, _, facts = str(row.get("target") or "").partition(". ")
    return row.get("input"), label, facts


def _facts(row: dict[str, Any]) -> str:
    facts = row.get("facts") or ""
    return facts if isinstance(facts, str) else " ".join(map(str, facts))


def _question(place: str, number: int, text: Any, label: Any, facts: str) -> Question:
    answer = {True: "Yes", False: "No"}.get(label) if isinstance(label, bool) else label
    return make_question(place, f"strategy_qa/{number}", text, answer, "yes/no", rationale=facts)

"""CommonsenseQA: everyday knowledge, five choices a question (Talmor et al., 2019).

Source: https://www.tau-nlp.org/commonsenseqa (train_rand_split.jsonl, dev_rand_split.jsonl). Licence: MIT.
On the hub: tau/commonsense_qa, splits train and validation, columns `question`, `choices` (with `label` and
`text`) and `answerKey`. The answers of the original test split are not public: the dev split is the test here.

    Question: What do you carry so that rain does not wet you?
    Answer Choices: (a) sandal (b) ladder (c) umbrella (d) spoon (e) pillow
    Reasoning: The answer must keep off rain. Therefore, the answer is umbrella (c).
    Answer: C

Choices keep the order of the file. In some questions two of them have the same text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tutelage.errors import DataError
from tutelage.records import Question
from tutelage.tasks.raw import check_sizes, column, find_file, load_hub, make_question, read_json_lines
from tutelage.tasks.task import Splits, TaskInfo

INFO = TaskInfo(
    name="commonsense_qa",
    title="CommonsenseQA",
    kind="choice",
    source="https://www.tau-nlp.org/commonsenseqa",
    licence="MIT",
    description="everyday knowledge, five choices a question",
    paper_sizes=(9741, 1221),
)
HUB = "tau/commonsense_qa"


def from_folder(folder: Path) -> Splits:
    """The questions in train_rand_split.jsonl and dev_rand_split.jsonl. Raises: DataError."""
    train, test = (find_file(folder, INFO.name, f"{split}_rand_split.jsonl") for split in ("train", "dev"))
    return _read(train, "train"), _read(test, "dev")


def from_hub() -> Splits:
    """The same from the hub. Raises: DataError if it cannot be reached or has other rows."""
    splits = load_hub(INFO, HUB, None, ("train", "validation"))
    train, test = (
        tuple(_from_hub_row(f"{HUB}, {split} row {row}", f"{split}/{row}", line) for row, line in enumerate(lines))
        for split, lines in zip(("train", "dev"), splits, strict=True)
    )
    return check_sizes(INFO, (train, test), HUB)


def _read(path: Path, split: str) -> tuple[Question, ...]:
    questions = []
    for row, (number, line) in enumerate(read_json_lines(path)):
        question = line.get("question")
        choices = question.get("choices") if isinstance(question, dict) else None
        if not isinstance(question, dict) or not isinstance(choices, list):
            raise DataError(f"{path}, line {number}, has no question with choices.")
        pairs = [(choice.get("label"), choice.get("text")) for choice in choices if isinstance(choice, dict)]
        place = f"{path}, line {number}"
        questions.append(_question(place, f"{split}/{row}", question.get("stem"), line.get("answerKey"), pairs))
    return tuple(questions)


def _from_hub_row(place: str, name: str, row: dict[str, Any]) -> Question:
    choices = column(row, "choices", INFO, HUB)
    pairs = list(zip(choices["label"], choices["text"], strict=True))
    return _question(place, name, column(row, "question", INFO, HUB), column(row, "answerKey", INFO, HUB), pairs)


def _question(place: str, name: str, text: Any, answer: Any, choices: list[tuple[Any, Any]]) -> Question:
    if [label for label, _ in choices] != [chr(ord("A") + number) for number in range(len(choices))]:
        raise DataError(f"{place}, has choices that are not labelled A, B, C, ... in order.")
    return make_question(
        place, f"commonsense_qa/{name}", text, answer, "choice", [str(choice) for _, choice in choices]
    )

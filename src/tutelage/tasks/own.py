"""The user's own task: a JSONL file (gzipped if it ends in .gz), one question a line.

    {"question": "A crate holds 6 jars. How many do 7 crates hold?", "answer": "42", "rationale": "6 * 7 = 42."}
    {"question": "What melts?", "choices": ["ice", "stone"], "answer": "ice", "split": "test", "id": "melting-1"}

`question` and `answer` are needed. Optional: `choices` (texts of A, B, ...; the answer is a letter or a choice's
full text), `rationale` (a worked solution), `split` ("train", "held-out" or "test"; on all rows or on none), and
`id` (unique; else the line number). Other columns are ignored. Without `split`, 70 % are drawn for training.
"""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from tutelage.errors import DataError, RecipeError
from tutelage.records import AnswerKind, Question
from tutelage.tasks.draw import draw
from tutelage.tasks.raw import make_question, read_json_lines
from tutelage.tasks.reading import read_choice, words_of
from tutelage.tasks.task import Task, TaskInfo

INFO = TaskInfo(
    name="own",
    title="Your own",
    kind=None,
    source="task.file",
    licence="yours",
    description="a JSONL file with question, answer and optional choices, rationale, split, id",
)
_SPLITS = ("train", "held-out", "test")
_TRAIN_SHARE = Fraction(7, 10)


def from_file(path: Path, kind: AnswerKind, seed: int) -> Task:
    """The task in a JSONL file.

    seed: of the split into training and test questions, where the rows name none.
    Raises: DataError naming file and line for a row that is wrong; RecipeError if there is no such file.
    """
    if not path.is_file():
        raise RecipeError(
            f"There is no file {path}, which task.file names. Its columns: question, answer; see the README."
        )
    rows = read_json_lines(path)
    questions = [_question(f"{path}, line {number}", number, row, kind) for number, row in rows]
    lines = [number for number, _ in rows]
    _check_ids(path, questions, lines)
    _check_answers_agree(path, questions, lines)
    splits = [_split(f"{path}, line {number}", row) for number, row in rows]
    notes: tuple[str, ...] = ()
    if not any(splits):
        training = set(draw(range(len(rows)), math.floor(_TRAIN_SHARE * len(rows)), f"{seed}/own"))
        splits = ["train" if place in training else "test" for place in range(len(rows))]
        notes = (
            f"No row of {path} names its split, so {len(training)} of {len(rows)} were drawn for training "
            f"with seed {seed}, and the rest are the test; "
            'put "split": "train" or "test" on the rows to fix it.',
        )
    elif None in splits:
        line = lines[splits.index(None)]
        raise DataError(
            f'{path}, line {line}, has no "split", though other rows have one. Give it to all rows or to none.'
        )
    train, held_out, test = (
        tuple(question for question, split in zip(questions, splits, strict=True) if split == name) for name in _SPLITS
    )
    if not train or not test:
        raise DataError(f"{path} has {len(train)} training and {len(test)} test questions; it needs some of each.")
    return Task(INFO.name, kind, str(path), INFO.licence, train, test, held_out, notes)


def _question(place: str, number: int, row: dict[str, Any], kind: AnswerKind) -> Question:
    choices, rationale, name = row.get("choices") or [], row.get("rationale"), row.get("id", number)
    if not isinstance(choices, list) or not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise DataError(f"{place}, has choices that are not a list of texts: {choices!r}.")
    if (kind == "choice") != bool(choices):
        what = (
            "no choices, though task.kind is 'choice'" if kind == "choice" else f"choices, though task.kind is {kind!r}"
        )
        raise DataError(f"{place}, has {what}.")
    if len(choices) > len(ascii_uppercase):
        raise DataError(f"{place}, has {len(choices)} choices; there can be at most {len(ascii_uppercase)} choices.")
    if rationale is not None and not isinstance(rationale, str):
        raise DataError(f"{place}, has a rationale that is not a text: {rationale!r}.")
    if isinstance(name, bool) or not isinstance(name, str | int) or not str(name).strip():
        raise DataError(f"{place}, has an id that is neither a text nor a whole number: {name!r}.")
    answer = row.get("answer")
    if kind == "choice" and isinstance(answer, str | int | float) and not isinstance(answer, bool):
        answer = _choice(place, str(answer), choices)  # 2 names the choice "2"
    if kind == "yes/no" and isinstance(answer, bool):
        answer = "Yes" if answer else "No"
    return make_question(place, f"own/{name}", row.get("question"), answer, kind, choices, rationale)


def _choice(place: str, answer: str, choices: list[str]) -> str:
    """The letter of a choice's full text, which goes before the letter; the answer itself where it is none."""
    same = [number for number, choice in enumerate(choices) if words_of(choice) == words_of(answer)]
    exact = [number for number, choice in enumerate(choices) if choice.strip() == answer.strip()]
    found = exact or same
    if len(found) > 1:
        raise DataError(
            f"{place}, has an answer that is the text of {len(found)} choices: {answer!r}. Give its letter."
        )
    if found:
        return chr(ord("A") + found[0])
    if answer.strip() and read_choice(answer, choices) is None:
        raise DataError(f"{place}, has an answer that is no letter or text of its {len(choices)} choices: {answer!r}.")
    return read_choice(answer, choices) or answer


def _split(place: str, row: dict[str, Any]) -> str | None:
    split = row.get("split")
    if split is not None and split not in _SPLITS:
        raise DataError(f'{place}, has the unknown split {split!r}; known are "train", "held-out" and "test".')
    return split


def _check_ids(path: Path, questions: list[Question], lines: list[int]) -> None:
    for name, count in Counter(question.id for question in questions).items():
        if count > 1:
            where = [line for question, line in zip(questions, lines, strict=True) if question.id == name]
            raise DataError(f"{path}, lines {where[0]} and {where[1]}, have the same id {name.removeprefix('own/')!r}.")


def _check_answers_agree(path: Path, questions: list[Question], lines: list[int]) -> None:
    """The same question may come twice, but not with two answers: no student could get both right."""
    seen: dict[tuple[str, tuple[str, ...]], tuple[str, int]] = {}
    for question, line in zip(questions, lines, strict=True):
        answer, first = seen.setdefault((question.text, question.choices), (question.answer, line))
        if answer != question.answer:
            raise DataError(
                f"{path}, lines {first} and {line}, hold the same question twice, with the answers "
                f"{answer!r} and {question.answer!r}. Keep one."
            )

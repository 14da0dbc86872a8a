"""Reads the raw files of data sets, and rows from the Hugging Face hub; every error names the way out."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from tutelage.errors import DataError
from tutelage.records import AnswerKind, Question
from tutelage.tasks.answers import canonical
from tutelage.tasks.reading import words_of
from tutelage.tasks.task import Splits, TaskInfo


def find_file(folder: Path, name: str, file: str) -> Path:
    """FOLDER/name/file, or FOLDER/file where the folder holds just the one set. Raises: DataError if there is none."""
    candidates = [folder / name / file, folder / file]
    for path in candidates:
        if path.is_file():
            return path
    expected = " and ".join(str(path) for path in candidates)
    raise DataError(f"The task {name} needs its file {file}, and there is none at {expected}. Name the right --data.")


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        return content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Download it again, or save it as UTF-8.") from None


def read_json_file(path: Path) -> Any:
    """The value in a JSON file. Raises: DataError naming the file and the line."""
    try:
        return json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}, is not valid JSON: {error.msg}. Download it again.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}. Download it again.") from None


def read_json_lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The objects in a JSON-lines file (gzipped if it ends in .gz), each with its line number from 1.

    Empty lines are skipped. Raises: DataError naming file and line, or if the file holds no row.
    """
    rows = []
    # Not splitlines(): JSON strings may hold U+2028 and its like, at which that would split.
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number}, is not valid JSON ({error}): {line[:80]!r}.") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}, is not a JSON object: {line[:80]!r}.")
        rows.append((number, row))
    if not rows:
        raise DataError(f"{path} is empty: it holds no question.")
    return rows


def make_question(
    place: str,
    question_id: str,
    text: Any,
    answer: Any,
    kind: AnswerKind,
    choices: Sequence[str] = (),
    rationale: str | None = None,
) -> Question:
    """A question with its gold answer in canonical form.

    place: where the row stands, for the error. Raises: DataError if its text or answer is missing or unreadable.
    """
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{place}, has no question; the value is {text!r}.")
    if isinstance(answer, bool) or not isinstance(answer, str | int | float) or not str(answer).strip():
        raise DataError(f"{place}, has no answer; the value is {answer!r}.")
    gold = canonical(str(answer), kind)
    if gold is None:
        raise DataError(f"{place}, has an answer that is no {kind}: {answer!r}.")
    if kind == "choice" and ord(gold) - ord("A") >= len(choices):
        raise DataError(f"{place}, has the answer {answer!r}, but only {len(choices)} choices.")
    _check_unicode(place, (question_id, text, str(answer), *choices, rationale or ""))
    rationale = rationale.strip() if rationale else None
    return Question(
        question_id, text.strip(), gold, kind, tuple(choice.strip() for choice in choices), rationale or None
    )


def _check_unicode(place: str, texts: Iterable[str]) -> None:
    """Raises: DataError on half of a surrogate pair, which JSON can spell ("\\ud83d") and no file can hold."""
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            broken = text[error.start : error.end]
            raise DataError(
                f"{place}, holds {broken!r}, which is only half of a character: {text[:80]!r}. Write the whole one."
            ) from None


def permutation(rows: int) -> tuple[list[int], list[int]]:
    """The split of Ho et al. (2023), which the paper follows (Table 8), for a set that comes without one.

    Row numbers from 0: `RandomState(0).permutation(rows)`, the first 70 % for training, each part in file order.
    """
    import numpy

    order = [int(row) for row in numpy.random.RandomState(0).permutation(rows)]
    border = round(0.7 * rows)
    return sorted(order[:border]), sorted(order[border:])


def split_rows(questions: Sequence[Question], folder: Path | None, name: str) -> Splits:
    """Training and test questions by FOLDER/splits/NAME.json if it is there, else by `permutation`.

    Raises: DataError if the index file does not divide the rows, or there are no rows.
    """
    if not questions:
        raise DataError(f"The task {name} has no questions: its file holds no row.")
    path = folder / "splits" / f"{name}.json" if folder else None
    if path is None or not path.is_file():
        train, test = permutation(len(questions))
    else:
        index = read_json_file(path)
        if not isinstance(index, dict) or not all(isinstance(index.get(split), list) for split in ("train", "test")):
            raise DataError(f'{path} is not of the form {{"train": [row, ...], "test": [row, ...]}}.')
        train, test = index["train"], index["test"]
        if sorted([*train, *test], key=str) != sorted(range(len(questions)), key=str):
            raise DataError(
                f"{path} does not divide the {len(questions)} rows of the set: each row from 0 must stand in it once. "
                "Delete it to split as the paper does."
            )
    return tuple(questions[row] for row in train), tuple(questions[row] for row in test)


def load_hub(info: TaskInfo, dataset: str, config: str | None, splits: Sequence[str]) -> list[list[dict[str, Any]]]:
    """The rows of a hub data set's splits. Raises: DataError that names the --data way out, whatever fails."""
    try:
        from datasets import load_dataset

        return [[dict(row) for row in load_dataset(dataset, config, split=split)] for split in splits]
    except Exception as error:  # the hub, its cache and its formats fail in more ways than can be listed
        reason = (str(error).splitlines() or [""])[0][:300]
        raise hub_error(info, f"could not be loaded ({type(error).__name__}: {reason})", dataset) from None


def hub_error(info: TaskInfo, what: str, dataset: str) -> DataError:
    return DataError(
        f"The data set {dataset} of the Hugging Face hub {what}. "
        f"Download the original files from {info.source} and name their folder: --data FOLDER."
    )


def check_sizes(info: TaskInfo, splits: Splits, dataset: str) -> Splits:
    """The splits, if they are as large as in Table 8. Raises: DataError otherwise."""
    sizes = (len(splits[0]), len(splits[1]))
    if info.paper_sizes not in (None, sizes):
        raise hub_error(info, f"has {sizes} training and test rows instead of {info.paper_sizes}", dataset)
    return splits


def column(row: dict[str, Any], name: str, info: TaskInfo, dataset: str) -> Any:
    """A column of a hub row. Raises: DataError if the hub's version has no such column."""
    if name not in row:
        raise hub_error(info, f"has no column {name!r}, only {sorted(row)}", dataset)
    return row[name]


def fingerprint(text: str, answer: str) -> str:
    """Eight hexadecimal digits that tell a row by its question's words and its answer."""
    return hashlib.sha256(f"{words_of(text).replace(' ', '')}|{answer}".encode()).hexdigest()[:8]


def original_order(info: TaskInfo, rows: Iterable[Question], dataset: str) -> list[Question]:
    """A hub set's rows in the order of the original file, which the paper's split counts by.

    The hub's copies come shuffled and split otherwise, without row numbers, so row_order.json of this package
    holds the fingerprint of every original row. Raises: DataError if the rows are not exactly the original ones.
    """
    orders = json.loads(resources.files("tutelage.tasks").joinpath("row_order.json").read_text(encoding="utf-8"))
    places: dict[str, list[int]] = defaultdict(list)
    for place, mark in enumerate(orders[info.name].split()):
        places[mark].append(place)
    ordered: dict[int, Question] = {}
    for question in rows:
        left = places.get(fingerprint(question.text, question.answer))
        if not left:
            raise hub_error(info, f"has a row that the original has not ({question.text[:60]!r})", dataset)
        place = left.pop(0)
        ordered[place] = replace(question, id=f"{info.name}/{place}")
    if missing := sum(map(len, places.values())):
        raise hub_error(info, f"lacks {missing} rows of the original", dataset)
    return [ordered[place] for place in sorted(ordered)]

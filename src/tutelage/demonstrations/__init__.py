"""Few-shot demonstrations: those of the package, written for it, one file a task, and the user's own.

A file is a JSON list of {question, choices, rationale, answer}; `choices` only for choice questions. In those shown to
the teacher, feedback_*.json, each also has `wrong_rationale`, a solution to correct, and may call its answer
`hint_answer`. Other keys are ignored. A choice's answer is its letter, in either case.
"""

from __future__ import annotations

import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from tutelage.errors import DataError
from tutelage.records import AnswerKind, Demonstration


def load_demonstrations(task_name: str, kind: AnswerKind, file: Path | None = None) -> tuple[Demonstration, ...]:
    """What the student sees before a question: from `file`, or the package's for the task.

    A task without a file of its own takes the general ones for its kind of answer.
    Raises: DataError naming the file and the entry if it is missing, damaged or empty.
    """
    return _load(file or _packaged("", task_name, kind), kind, wrong=False)


def load_feedback_demonstrations(
    task_name: str, kind: AnswerKind, file: Path | None = None
) -> tuple[Demonstration, ...]:
    """What the teacher sees before a question (Table 12): as `load_demonstrations`, each with a wrong rationale."""
    return _load(file or _packaged("feedback_", task_name, kind), kind, wrong=True)


def _packaged(prefix: str, task_name: str, kind: AnswerKind) -> Traversable:
    folder = files(__name__)
    own = folder / f"{prefix}{task_name}.json"
    return own if own.is_file() else folder / f"{prefix}own_{kind.replace('/', '_')}.json"


def _load(file: Path | Traversable, kind: AnswerKind, wrong: bool) -> tuple[Demonstration, ...]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"There is no file of demonstrations at {file}. Mend its name in the recipe.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"The demonstrations in {file} cannot be read: {error}.") from None
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{file} holds no demonstrations: it must be a JSON list of at least one object.")
    return tuple(_demonstration(entry, f"{file}, entry {place}", kind, wrong) for place, entry in enumerate(entries, 1))


def _demonstration(entry: Any, where: str, kind: AnswerKind, wrong: bool) -> Demonstration:
    if not isinstance(entry, dict):
        raise DataError(f"{where} is no object with a question, a rationale and an answer, but {str(entry)[:80]!r}.")
    choices = entry.get("choices") or []
    if not isinstance(choices, list) or not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise DataError(f"{where}: `choices` must be a list of texts, and is {str(choices)[:80]!r}.")
    if bool(choices) != (kind == "choice"):
        raise DataError(f"{where}: a demonstration has `choices` exactly where the task's answers are choices.")
    answer = entry["answer"] if "answer" in entry else entry.get("hint_answer")
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        answer = str(answer)
    return Demonstration(
        question=_text(entry.get("question"), "question", where),
        rationale=_text(entry.get("rationale"), "rationale", where),
        answer=_answer(_text(answer, "answer", where), kind, len(choices), where),
        choices=tuple(choices),
        wrong_rationale=_text(entry.get("wrong_rationale"), "wrong_rationale", where) if wrong else None,
    )


def _text(value: Any, name: str, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: `{name}` must be a text, and is {str(value)[:80]!r}.")
    return value.strip()


def _answer(answer: str, kind: AnswerKind, choices: int, where: str) -> str:
    if kind == "choice":
        letter = answer.strip("() ").upper()
        letters = [chr(ord("A") + place) for place in range(choices)]
        if letter not in letters:
            raise DataError(f"{where}: the answer must be a letter from A to {letters[-1]}, and is {answer!r}.")
        return letter
    if kind == "yes/no":
        if answer.casefold() not in ("yes", "no"):
            raise DataError(f"{where}: the answer must be Yes or No, and is {answer!r}.")
        return answer.capitalize()
    return answer

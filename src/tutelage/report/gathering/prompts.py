"""The prompts that the teacher was sent, with what many of them share, such as demonstrations, kept once."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.errors import TutelageError
from tutelage.prompts import SEPARATOR
from tutelage.report.reading import Reading
from tutelage.teacher.books.view import LedgerView

Prompt = Sequence[tuple[str, Sequence[str | int]]]
"""Messages: a role, and parts to be joined by `SEPARATOR`. A number is the place of a shared part."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """shared: parts that several prompts have. by_request: the prompt of a question's last call in a round."""

    shared: Sequence[str]
    by_request: Mapping[tuple[str, int], Prompt]


NONE = Prompts((), {})


def read_prompts(reading: Reading) -> Prompts:
    """From a run's ledger, which is not written to, and may be written by another process meanwhile.

    None for teachers that are no language models. What is damaged is noted in `reading`.
    """
    path = reading.workspace.ledger
    try:
        return _parted(*_read(path)) if path.is_file() else NONE
    except (TutelageError, sqlite3.Error, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reading.note(path, "damaged", f"The prompts that the teacher was sent cannot be read: {error}.")
        return NONE


def _read(ledger: Path) -> tuple[list[tuple[str, int, str]], dict[str, list[tuple[str, list[str]]]]]:
    """What each call was about, (question, round, prompt's name), and the prompts' messages by name, in parts."""
    with LedgerView(ledger) as view:
        asked = view.rows("SELECT question, round, prompt FROM calls WHERE kind = 'feedback' ORDER BY id")
        written = view.rows("SELECT id, prompt FROM prompts WHERE prompt != '\"\"'")
    known: dict[str, str] = {}  # one string for all that are equal: demonstrations come ten thousand times
    return asked, {name: _messages(json.loads(prompt), known) for name, prompt in written}


def _messages(prompt: Any, known: dict[str, str]) -> list[tuple[str, list[str]]]:
    # A string is for an endpoint that continues a text.
    messages = [("prompt", prompt)] if isinstance(prompt, str) else [(one["role"], one["content"]) for one in prompt]
    return [(role, [known.setdefault(part, part) for part in content.split(SEPARATOR)]) for role, content in messages]


def _parted(
    asked: Sequence[tuple[str, int, str]], prompts: Mapping[str, Sequence[tuple[str, Sequence[str]]]]
) -> Prompts:
    counts = Counter(part for messages in prompts.values() for _role, parts in messages for part in set(parts))
    places = {part: place for place, part in enumerate(part for part, count in counts.items() if count > 1)}
    parted = {
        name: [(role, [places.get(part, part) for part in parts]) for role, parts in messages]
        for name, messages in prompts.items()
    }
    return Prompts(
        list(places), {(question, number): parted[name] for question, number, name in asked if name in parted}
    )

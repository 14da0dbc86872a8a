"""A teacher whose replies were recorded earlier: JSON lines, or the questions' own worked solutions."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tutelage.config import RecordedTeacherSettings
from tutelage.errors import DataError
from tutelage.prompts import ANSWER
from tutelage.records import Question
from tutelage.teacher.protocol import Reply, Request, clean_text


@dataclass(frozen=True, slots=True)
class _Entry:
    """One recorded reply. row: the data set's row it belongs to, `index` or `id`, as text; empty if not given."""

    text: str
    rows: tuple[str, ...]


class RecordedTeacher:
    """Replays what was recorded for a question; it does not look at the student's mistake.

    settings.files: JSON lines with `question`, `rationale` and maybe `answer`, `index` and `id`, gzipped where the
        name ends in .gz; other fields are ignored. Without files the replies are the rows' worked solutions.
    seed: of the order in which a question's replies are drawn. Round r takes the r-th handful of that order and
        begins again where it ends, so that two rounds in a row share replies only where there are too few.
    Raises: DataError if a file is missing or damaged, with its line.
    """

    def __init__(self, settings: RecordedTeacherSettings, seed: int) -> None:
        self._settings = settings
        self._seed = seed
        self._digest = hashlib.sha256()
        self._pool: dict[str, list[_Entry]] = {}
        for path in settings.files:
            for question, entry in self._read(path):
                self._pool.setdefault(question, []).append(entry)

    @property
    def name(self) -> str:
        if self._settings.name:
            return self._settings.name
        names = [path.name.removesuffix(".gz").removesuffix(".jsonl") for path in self._settings.files]
        return f"recorded ({', '.join(names)})" if names else "recorded (worked solutions)"

    @property
    def identity(self) -> dict[str, object]:
        files = self._digest.hexdigest() if self._settings.files else "worked solutions"
        return {"kind": "recorded", "files": files, "seed": self._seed}

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Reply]]:
        """Yields each request with its reply, fewer texts than asked for where fewer were recorded."""
        for request in requests:
            texts = self._drawn(request)
            if texts:
                yield request, Reply(texts, ("stop",) * len(texts))
            else:
                yield request, Reply((), error="no recorded reply for this question")

    def _drawn(self, request: Request) -> tuple[str, ...]:
        texts = self._recorded(request.question)
        # A hash instead of a generator's state: the order of one question hangs on nothing else.
        texts.sort(key=lambda text: hashlib.sha256(f"{self._seed}\0{request.question.id}\0{text}".encode()).digest())
        start = (request.round - 1) * self._stride(request, len(texts))
        return tuple(texts[(start + place) % len(texts)] for place in range(min(request.replies, len(texts))))

    def _stride(self, request: Request, pool: int) -> int:
        """How far one round's handful begins behind the one before."""
        if self._settings.hard_replies is None:
            return request.replies
        # A question that was hard may be so no more, and the other way round: either handful has room for the larger.
        return min(max(self._settings.replies, self._settings.hard_replies), pool // 2)

    def _recorded(self, question: Question) -> list[str]:
        if not self._settings.files:
            return [] if not question.rationale else [_text(question.rationale, question.answer)]
        entries = self._pool.get(_normalised(question.text), [])
        # A text can stand in several rows: CommonsenseQA asks one question twice, with other choices.
        row = re.findall(r"[0-9A-Za-z]*$", question.id)[0]
        same_row = [entry for entry in entries if row in entry.rows]
        return list(dict.fromkeys(entry.text for entry in same_row or entries))

    def _read(self, path: Path) -> Iterator[tuple[str, _Entry]]:
        number = 0
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    self._digest.update(line)
                    if line.strip():
                        yield _entry(line, path, number)
        except FileNotFoundError:
            raise DataError(f"There is no file {path}, which teacher.files names.") from None
        except (OSError, EOFError, zlib.error) as error:
            # gzip reports a damaged file at the line after the last good one.
            raise DataError(f"{path} cannot be read at line {number + 1}: {error}.") from None


def _entry(line: bytes, path: Path, number: int) -> tuple[str, _Entry]:
    def damaged(reason: str) -> DataError:
        return DataError(
            f"{path}, line {number}: {reason}; the line is {line[:80]!r}. A recorded reply is a JSON object with the "
            'texts "question" and "rationale", and maybe "answer".'
        )

    try:
        row = json.loads(line)
    except ValueError as error:
        raise damaged(f"not JSON ({error})") from None
    if not isinstance(row, dict):
        raise damaged("not a JSON object")
    question, rationale, answer = row.get("question"), row.get("rationale"), row.get("answer", "")
    if not (isinstance(question, str) and question.strip()):
        raise damaged('"question" is not a text')
    if not (isinstance(rationale, str) and rationale.strip()):
        raise damaged('"rationale" is not a text')
    if not isinstance(answer, str | int | float):
        raise damaged('"answer" is neither a text nor a number')
    rows = tuple(str(row[name]) for name in ("index", "id") if row.get(name) is not None)
    return _normalised(question), _Entry(_text(rationale, str(answer)), rows)


def _text(rationale: str, answer: str) -> str:
    # The recordings' answer markers were split off; this puts one back that reads.
    return clean_text(f"{rationale.strip()}\n{ANSWER} {answer}" if answer else rationale.strip())


def _normalised(question: str) -> str:
    # White space, case and sentence marks differ between copies of a data set; signs and decimals must not.
    text = re.sub(r"(?<!\d)[.,;:?!]|[.,;:?!](?!\d)|[\"'`‘’“”]", " ", question.casefold())
    return " ".join(text.split())

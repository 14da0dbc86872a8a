"""Who teaches: the recipe's teacher, with what it needs from the rest of the package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from tutelage.config import (
    LocalTeacherSettings,
    OpenAITeacherSettings,
    Recipe,
    RecordedTeacherSettings,
)
from tutelage.errors import DataError
from tutelage.prompts import STOP
from tutelage.records import Message
from tutelage.student.answering.answerer import Answerer
from tutelage.student.engine.drawing import Drawing, Greedy, Sampling
from tutelage.student.model.student import Student, load_student
from tutelage.student.text.chat import render_chat
from tutelage.teacher.asking import Spending
from tutelage.teacher.batches.client import BatchTeacher
from tutelage.teacher.books.budget import Budget, Spent, Whose
from tutelage.teacher.books.prices import prices_for
from tutelage.teacher.local import GeneratedText, Generator, LocalTeacher
from tutelage.teacher.openai.client import OpenAITeacher
from tutelage.teacher.openai.keys import address
from tutelage.teacher.protocol import FreeTeacher, PaidTeacher
from tutelage.teacher.recorded import RecordedTeacher
from tutelage.teacher.tutor.tutor import OfflineTutor

TeacherSection = Literal["teacher", "first_teacher"]


def build_teacher(recipe: Recipe) -> FreeTeacher | PaidTeacher:
    """The teacher that a recipe names; nothing is asked or loaded yet.

    Raises: TeacherError without a key or an address, DataError without the recorded files.
    """
    settings = recipe.teacher
    if isinstance(settings, OpenAITeacherSettings):
        return BatchTeacher(settings) if settings.road == "batch" else OpenAITeacher(settings)
    if isinstance(settings, LocalTeacherSettings):
        return LocalTeacher(settings, _generator(settings), recipe.seed)
    if isinstance(settings, RecordedTeacherSettings):
        section: TeacherSection = "first_teacher" if settings is recipe.first_teacher else "teacher"
        files = find_files(settings.files, recipe.task.data, section)
        return RecordedTeacher(settings.model_copy(update={"files": files}), recipe.seed)
    return OfflineTutor()


def build_spending(recipe: Recipe, whose: Whose = "teacher") -> Spending:
    """What the recipe's teacher may cost. whose: as `Budget` has it.

    Raises: BudgetError for a cap on money where no price is known.
    """
    settings = recipe.teacher
    if not isinstance(settings, OpenAITeacherSettings):
        return Spending()
    prices = prices_for(settings, address(settings))
    Budget(settings.budget, Spent(), prices, whose)
    return Spending(settings.budget, prices, settings.cache, whose)


def find_files(patterns: Sequence[Path], data: Path | None, section: TeacherSection = "teacher") -> tuple[Path, ...]:
    """The files that names or patterns stand for, each looked up in the working folder, then in `data`.

    section: of the recipe, named in errors.
    Raises: DataError naming a pattern that no file fits, and where it was looked for.
    """
    found: list[Path] = []
    for pattern in patterns:
        places = [Path()] if pattern.is_absolute() or data is None else [Path(), data]
        matches = next((hits for place in places if (hits := _matches(place, pattern))), None)
        if matches is None:
            where = " nor in ".join(str(place.resolve()) for place in places)
            others = {
                "teacher": "take another teacher: teacher.kind=openai teacher.model=MODEL",
                "first_teacher": "leave out [first_teacher]: then the teacher writes round 1's rationales, too",
            }
            raise DataError(
                f"No file fits {section}.files = {str(pattern)!r} in {where}. Name recorded replies of your own, "
                f"or {others[section]}."
            )
        found += matches
    return tuple(found)


def _matches(place: Path, pattern: Path) -> list[Path]:
    """The files, and no folders, that fit. None does where the pattern is no pattern, such as "" or "a/**b"."""
    if pattern.is_absolute():
        place, pattern = Path(pattern.anchor), pattern.relative_to(pattern.anchor)
    try:
        return sorted(path for path in place.glob(str(pattern)) if path.is_file()) if pattern.parts else []
    except ValueError:
        return []


def _generator(settings: LocalTeacherSettings) -> Generator:
    """Samples a local teacher's replies; its model is loaded when the first request comes.

    At the temperature 0 a prompt gets one reply, the greedy one, however many are asked for: all would be the same.
    """

    def generate(
        prompts: Sequence[tuple[Message, ...] | str], replies: int, seeds: Sequence[int]
    ) -> Iterator[tuple[int, tuple[GeneratedText, ...]]]:
        model = load_student(settings.model, revision=settings.revision, device=settings.device)
        texts = [
            prompt if isinstance(prompt, str) else render_chat(model, [(m.role, m.content) for m in prompt])
            for prompt in prompts
        ]
        answerer = _answerer(settings, model, texts, replies, seeds)
        for sitting in answerer.sittings:
            for place, completions in zip(sitting, answerer.answer(sitting), strict=True):
                yield (
                    place,
                    tuple(
                        GeneratedText(one.text, one.tokens, "stop" if one.finished else "length") for one in completions
                    ),
                )
        answerer.release()

    return generate


def _answerer(
    settings: LocalTeacherSettings, model: Student, texts: Sequence[str], replies: int, seeds: Sequence[int]
) -> Answerer:
    """Gives `replies` sampled completions of each text, or the greedy one."""
    complete = stop_place if settings.endpoint == "completion" else None
    if settings.temperature == 0:
        drawing: Drawing = Greedy(settings.max_new_tokens)
        return Answerer(model, texts, drawing, complete=complete, batch_size=settings.batch_size)
    drawing = Sampling(settings.temperature, None, settings.top_p, settings.max_new_tokens)
    return Answerer(
        model, texts, drawing, samples=replies, seeds=seeds, complete=complete, batch_size=settings.batch_size
    )


def stop_place(text: str) -> int | None:
    """Where a text runs into the first of the texts that a completion endpoint stops at; None if into none."""
    return min((place for stop in STOP if (place := text.find(stop)) >= 0), default=None)

"""Which questions a run trains on, holds out and tests on, and proof that no test question leaks into the others."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from tutelage.config import TaskSettings
from tutelage.errors import DataError
from tutelage.records import Demonstration, Question, SplitName
from tutelage.tasks.draw import draw, shuffled
from tutelage.tasks.task import Task

IN_TEST = "its question stands in the test split"
IS_DEMONSTRATION = "it is a demonstration"
HELD_OUT_TOO = "its question is held out"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A question that a run may not use, the split it came in, and why."""

    question_id: str
    from_split: SplitName
    reason: str


@dataclass(frozen=True, slots=True)
class Split:
    """The questions that a run uses, each part in the order of its file.

    full_sizes: questions of each split as loaded. not_drawn: questions that only a limit of the recipe left out.
    """

    train: tuple[Question, ...]
    held_out: tuple[Question, ...]
    test: tuple[Question, ...]
    left_out: tuple[LeftOut, ...]
    full_sizes: dict[SplitName, int]
    not_drawn: dict[SplitName, int]


def question_key(text: str, choices: Sequence[str] = ()) -> str:
    """What makes two questions the same one: letters, digits, signs of arithmetic and the set of choices.

    Case, punctuation and white space do not count, nor does the order of the choices; "12 + 3" and "1 + 23" differ.
    """
    return "|".join([_key(text), *sorted(_key(choice) for choice in choices)])


_KEY_PARTS = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|[+*/×÷^=<>%√]|(?<![^\W\d_])-(?![^\W\d_])")


def key_parts(text: str) -> list[str]:
    """The words, numbers and signs that `question_key` compares, in order."""
    return _KEY_PARTS.findall(re.sub(r"(?<=\d),(?=\d{3})", "", text.casefold().replace("−", "-")))


def _key(text: str) -> str:
    parts = key_parts(text)
    if not parts:
        return text.strip()  # a question in signs alone, which would otherwise equal every other one
    return "".join(f" {part} " if part[0].isdigit() else part for part in parts)


def split_task(task: Task, settings: TaskSettings, demonstrations: Sequence[Demonstration], seed: int) -> Split:
    """The questions of a task that a run uses.

    Left out: a training or held-out question that stands in the test split; a test or marked held-out question that is
    one of the demonstrations (give all that are used, the teacher's too); a training question that is held out.
    A training question may repeat another, and may be a demonstration, as in the paper; it is never held out then.
    Held out are the task's own marked questions, or else max(ceil(held_out * n), held_out_minimum) of the n training
    questions, at most half. The limits of the recipe are drawn last.
    Raises: DataError if a part that must have questions has none.
    """
    left_out: list[LeftOut] = []

    def keep(
        questions: Iterable[Question], split: SplitName, keys: set[str], reason: str, key: KeyOf = _full_key
    ) -> list[Question]:
        kept = []
        for question in questions:
            if key(question) in keys:
                left_out.append(LeftOut(question.id, split, reason))
            else:
                kept.append(question)
        return kept

    shown = {question_key(demonstration.question) for demonstration in demonstrations}
    test_keys = {_full_key(question) for question in task.test}
    test = keep(task.test, "test", shown, IS_DEMONSTRATION, _text_key)
    train = keep(task.train, "train", test_keys, IN_TEST)
    held_out = keep(task.held_out, "held-out", test_keys, IN_TEST)
    held_out = keep(held_out, "held-out", shown, IS_DEMONSTRATION, _text_key)
    if not task.held_out:
        count = held_out_size(len(train), settings.held_out, settings.held_out_minimum)
        held_out = _draw_held_out([question for question in train if _text_key(question) not in shown], count, seed)
    drawn = {question.id for question in held_out}
    held_out_keys = {_full_key(question) for question in held_out}
    train = keep((question for question in train if question.id not in drawn), "train", held_out_keys, HELD_OUT_TOO)
    split = _limited(task, settings, train, held_out, test, left_out, seed)
    check_apart(split, task)
    return split


KeyOf = Callable[[Question], str]


def _full_key(question: Question) -> str:
    return question_key(question.text, question.choices)


def _text_key(question: Question) -> str:
    # A demonstration may list a question's choices otherwise (the paper's do), so the question alone decides.
    return question_key(question.text)


def held_out_size(questions: int, share: float, minimum: int) -> int:
    """How many of the training questions are held out: max(ceil(share * n), minimum), at most half of them."""
    exact = Fraction(str(share)) * questions  # 0.1 * 700 is a little more than 70 in floating point
    return min(max(math.ceil(exact), minimum), questions // 2)


def _draw_held_out(candidates: Sequence[Question], count: int, seed: int) -> list[Question]:
    """`count` questions, no two alike, in the order of the file; at most half of the different ones."""
    different: dict[str, int] = {}
    for place in shuffled(range(len(candidates)), f"{seed}/held-out"):
        different.setdefault(_full_key(candidates[place]), place)
    places = list(different.values())[: min(count, len(different) // 2)]
    return [candidates[place] for place in sorted(places)]


def _limited(
    task: Task,
    settings: TaskSettings,
    train: Sequence[Question],
    held_out: Sequence[Question],
    test: Sequence[Question],
    left_out: Sequence[LeftOut],
    seed: int,
) -> Split:
    limits: tuple[tuple[SplitName, Sequence[Question], int | None], ...] = (
        ("train", train, settings.train_questions),
        ("held-out", held_out, settings.held_out_questions),
        ("test", test, settings.test_questions),
    )
    used = {
        name: tuple(draw(part, len(part) if limit is None else limit, f"{seed}/{name}")) for name, part, limit in limits
    }
    for name in ("train", "test"):
        if not used[name]:
            counts = Counter(f"{item.from_split}: {item.reason}" for item in left_out)
            why = "; ".join(f"{count} left out ({reason})" for reason, count in counts.items()) or "it came with none"
            raise DataError(f"The task {task.name} has no {name} question left: {why}.")
    return Split(
        train=used["train"],
        held_out=used["held-out"],
        test=used["test"],
        left_out=tuple(left_out),
        full_sizes={"train": len(task.train), "held-out": len(task.held_out), "test": len(task.test)},
        not_drawn={name: len(part) - len(used[name]) for name, part, _ in limits},
    )


def check_apart(split: Split, task: Task) -> None:
    """Raises: RuntimeError if a question of the task's test split would be trained on or held out. That is a bug."""
    tested = {_full_key(question) for question in (*task.test, *split.test)}
    trained = {_full_key(question) for question in split.train}
    held_out = {_full_key(question) for question in split.held_out}
    if tested & (trained | held_out) or trained & held_out:
        raise RuntimeError(f"the splits of {task.name} overlap; please report this")


def describe(split: Split) -> dict[str, Any]:
    """What split.json holds: sizes, what was left out and why, a hash of each part's ids, and counted overlaps."""
    parts: dict[str, tuple[Question, ...]] = {"train": split.train, "held-out": split.held_out, "test": split.test}
    keys = {name: Counter(_full_key(question) for question in part) for name, part in parts.items()}
    return {
        "as_loaded": dict(split.full_sizes),
        "used": {name: len(part) for name, part in parts.items()},
        "left_out": dict(Counter(f"{item.from_split}: {item.reason}" for item in split.left_out)),
        "left_out_ids": [[item.question_id, item.from_split, item.reason] for item in split.left_out],
        "not_drawn": dict(split.not_drawn),
        "sha256_of_ids": {
            name: hashlib.sha256("\n".join(question.id for question in part).encode()).hexdigest()
            for name, part in parts.items()
        },
        "test_questions_trained_on": sum(count for key, count in keys["test"].items() if key in keys["train"]),
        "test_questions_held_out": sum(count for key, count in keys["test"].items() if key in keys["held-out"]),
        "held_out_questions_trained_on": sum(count for key, count in keys["held-out"].items() if key in keys["train"]),
    }

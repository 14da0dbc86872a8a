"""A run's lessons as a data set for others: JSON lines in the formats that TRL's trainers read, a split a round.

| configuration | columns | what for |
| --- | --- | --- |
| chat | messages | supervised fine-tuning with a chat template |
| prompt-completion | prompt, completion | supervised fine-tuning on the very text that the student studied |
| preference | prompt, chosen, rejected | preference learning: a right rationale against the student's own mistake |

Each row has its question's id beside them, and in `own` whether the student wrote the right rationale itself.
https://huggingface.co/docs/trl/dataset_formats has the formats. For a student that is asked in plain text the last two
are text as it stands. For one that is asked in its chat template they are messages, of which its exported template
makes the studied text, with what begins a text there once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from tutelage.errors import WorkspaceError
from tutelage.prompts import question_text
from tutelage.records import Question, Triplet
from tutelage.rounds.export import check_free_for_export
from tutelage.rounds.run import Run, open_run
from tutelage.student.text.prompting import Prompting, prompting_for
from tutelage.student.text.run_template import assistant_turn
from tutelage.workspace import read_records, write_atomically

Configuration = Literal["chat", "prompt-completion", "preference"]
CONFIGURATIONS: tuple[Configuration, ...] = get_args(Configuration)


@dataclass(frozen=True, slots=True)
class LessonData:
    """What was written: how many rows of each configuration, by round. What has none has no file, either."""

    rows: dict[Configuration, dict[int, int]]

    @property
    def rounds(self) -> tuple[int, ...]:
        """Whose lessons there are."""
        return tuple(self.rows["chat"])


def split_name(number: int) -> str:
    """A round's split. `datasets` takes word characters alone."""
    return f"round_{number}"


def file_name(configuration: Configuration, number: int) -> str:
    """Where a configuration's split lies in the folder."""
    return f"{configuration}/{split_name(number)}.jsonl"


Also = Callable[[Run, LessonData, Path], None]


def export_lesson(folder: Path, to: Path, number: int | None = None, also: Also | None = None) -> LessonData:
    """Writes the lessons of a run to the folder `to`; what was written.

    folder: the run. number: of one round alone; None: of all rounds that have one. also: what else to write into it.
    Raises: WorkspaceError if there is no lesson yet or none with rationales, or `to` is in use or cannot be written.
    """
    to = check_free_for_export(to)
    run = open_run(folder, lock=False)
    lessons = _lessons(run, number)
    if run.recipe.prompt.chat:
        words = _Words(_ask, _answer)
    else:
        words = _as_text(prompting_for(run.student(0), run.recipe.prompt, run.demonstrations))
    questions = {question.id: question for question in run.questions["train"]}
    rows = {
        configuration: {
            one: made
            for one, triplets in lessons.items()
            if (made := list(_rows(configuration, triplets, questions, words)))
        }
        for configuration in CONFIGURATIONS
    }
    written = LessonData({name: {one: len(made) for one, made in splits.items()} for name, splits in rows.items()})

    def write(partial: Path) -> None:
        for configuration, splits in rows.items():
            for one, made in splits.items():
                _write_lines(partial / file_name(configuration, one), made)
        if also is not None:
            also(run, written, partial)

    write_atomically(to, write)
    return written


def _lessons(run: Run, number: int | None) -> dict[int, list[Triplet]]:
    """Each round's, without those that came out empty."""
    lessons: dict[int, list[Triplet]] = {}
    one = 1
    while run.round(one).lesson.is_file():
        if number in (None, one) and (triplets := read_records(run.round(one).lesson, Triplet)):
            lessons[one] = triplets
        one += 1
    if not lessons:
        which = "no lesson yet" if number is None else f"no lesson of round {number}"
        raise WorkspaceError(
            f"{run.workspace.folder} has {which}. Go on with it by `tutelage resume {run.workspace.folder}`, or leave "
            "out --round for the lessons of all rounds."
        )
    if not any(triplet.anchor for triplets in lessons.values() for triplet in triplets):
        raise WorkspaceError(
            f"The lesson of {run.workspace.folder} has no rationales: its student learned answers alone, as a "
            "baseline of a comparison does. Export the lessons of another run."
        )
    return lessons


@dataclass(frozen=True, slots=True)
class _Words:
    """How a sample reads: as text, or as messages of a chat. solution: of a rationale and its answer."""

    prompt: Callable[[Question], object]
    solution: Callable[[str, str | None], object]


def _as_text(prompting: Prompting) -> _Words:
    return _Words(lambda question: prompting.prompt(question).text, prompting.solution)


def _ask(question: Question) -> list[dict[str, str]]:
    """The question as a user puts it to the exported student, whose chat template adds the rest of the prompt."""
    asked = question_text(question.text, question.choices).removeprefix(question_text(""))
    return [{"role": "user", "content": asked}]


def _answer(rationale: str, answer: str | None) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": assistant_turn(rationale, answer)}]


def _rows(
    configuration: Configuration, triplets: Iterable[Triplet], questions: dict[str, Question], words: _Words
) -> Iterator[dict[str, object]]:
    for triplet in triplets:
        question, wrong = triplet.asked(questions[triplet.question_id]), triplet.negative
        named: dict[str, object] = {
            "question_id": question.id,
            "own": triplet.own,
            "variant": triplet.variant is not None,
        }
        prompt, right = words.prompt(question), words.solution(triplet.anchor, question.answer)
        if configuration == "chat":
            yield named | {"messages": _ask(question) + _answer(triplet.anchor, question.answer)}
        elif configuration == "prompt-completion":
            yield named | {"prompt": prompt, "completion": right}
        elif wrong is not None:
            rejected = words.solution(wrong.rationale, wrong.answer)
            yield named | {"prompt": prompt, "chosen": right, "rejected": rejected}


def _write_lines(path: Path, rows: Sequence[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")

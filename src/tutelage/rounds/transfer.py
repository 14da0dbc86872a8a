"""What training on one task does to the others (Table 11), and what it makes a student forget."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tutelage.config import TaskSettings
from tutelage.demonstrations import load_demonstrations, load_feedback_demonstrations
from tutelage.distributed import world_size
from tutelage.errors import DataError, StudentError
from tutelage.evaluation.accuracy import accuracy
from tutelage.evaluation.significance import Paired, mcnemar
from tutelage.records import Attempt, Demonstration, Question, to_json
from tutelage.rounds.answering import answer_all, answers_of, finished_answers
from tutelage.rounds.evaluate import evaluate
from tutelage.rounds.run import Run
from tutelage.student.engine.drawing import Greedy
from tutelage.student.text.prompting import prompting_for
from tutelage.tasks import Task, load_task, split_task
from tutelage.tasks.quantities import whole_number
from tutelage.tasks.split import question_key
from tutelage.workspace import read_json, read_records, remove, unfinished, write_json

Domain = Literal["arithmetic", "words"]
"""What an answer is worked out as: a number, or something in words (a choice among words, yes or no, a text)."""


def domain_of(questions: Sequence[Question]) -> Domain:
    """The domain of a task, told from its answers: choices that are numbers are numbers, too."""

    def is_number(question: Question) -> bool:
        if question.kind != "choice":
            return question.kind in ("number", "percentage")
        return all(whole_number(choice, percent_is_share=False) is not None for choice in question.choices)

    return "arithmetic" if 2 * sum(map(is_number, questions)) > len(questions) else "words"


@dataclass(frozen=True, slots=True)
class _Other:
    """Another task's test. trained_on: test questions left out because the run's training has them."""

    questions: tuple[Question, ...]
    demonstrations: tuple[Demonstration, ...]
    trained_on: int


def transfer(run: Run, number: int, task: TaskSettings, name: str | None = None) -> dict[str, Any]:
    """A round's student on another task's test questions, behind that task's own demonstrations.

    Greedy, with the limits of the run's own evaluation, and as many demonstrations as its prompt.count allows.
    name: of the task in the files' names; None takes the task's. Writes RUN/round-N/transfer-NAME.jsonl (every answer)
    and .json, and goes on after a restart. Done already with the same settings: reads it. The run's own task gives
    its evaluation; with other limits it is asked anew, and still "trained".
    Returns the score with "task", "place" ("trained", "in-domain" or "out-of-domain"), "domain", "unreadable", and
    "trained_on".
    Raises: RecipeError, DataError if the task cannot be loaded, StudentError on several ranks.
    """
    name = _file_name(name or task.name)
    own = domain_of(run.questions["train"])
    if task == run.recipe.task:
        evaluation = {key: value for key, value in evaluate(run, number).items() if key not in ("held_out", "split")}
        return {"task": name, "round": number, "domain": own, "place": "trained", "trained_on": 0, **evaluation}
    path, settings = _path(run, number, name).with_suffix(".json"), task.model_dump(mode="json")
    if path.is_file() and (done := dict(read_json(path)))["settings"] == settings and "accuracy" in done:
        return done
    other = _load(run, task)
    attempts = _answers(run, number, name, other, settings)
    domain = domain_of(other.questions)
    result = {
        "task": name,
        "round": number,
        "domain": domain,
        "place": _place(run.recipe.task, task, own == domain),
        "trained_on": other.trained_on,
        **asdict(accuracy(attempts)),
        "unreadable": sum(attempt.answer is None for attempt in attempts),
        **_asked(other, settings),
    }
    write_json(path, result)
    return dict(read_json(path))


def _place(
    own: TaskSettings, other: TaskSettings, same_domain: bool
) -> Literal["trained", "in-domain", "out-of-domain"]:
    """Where a task stands to that trained on. The same data set is trained on, however many of its rows are taken."""
    if (own.name, own.file, own.options) == (other.name, other.file, other.options):
        return "trained"
    return "in-domain" if same_domain else "out-of-domain"


def _asked(other: _Other, settings: dict[str, Any]) -> dict[str, Any]:
    """What answers belong to: another task's questions may have the same ids."""
    shown = [to_json(one) for one in (*other.questions, *other.demonstrations)]
    return {"settings": settings, "asked": hashlib.sha256("\n".join(shown).encode()).hexdigest()}


def _path(run: Run, number: int, name: str) -> Path:
    return run.round(number).folder / f"transfer-{name}.jsonl"


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


def _load(run: Run, settings: TaskSettings) -> _Other:
    task: Task = load_task(settings, run.recipe.seed)
    shown = load_demonstrations(task.name, task.kind)
    feedback = load_feedback_demonstrations(task.name, task.kind)
    test = split_task(task, settings, (*shown, *feedback), run.recipe.seed).test
    used = {question_key(q.text, q.choices) for split in ("train", "held-out") for q in run.questions[split]}
    questions = tuple(question for question in test if question_key(question.text, question.choices) not in used)
    if not questions:
        raise DataError(f"All {len(test)} test questions of {task.name} stand in the run's own training questions.")
    return _Other(questions, shown[: run.recipe.prompt.count], len(test) - len(questions))


def _answers(run: Run, number: int, name: str, other: _Other, task: dict[str, Any]) -> list[Attempt]:
    path, settings = _path(run, number, name), run.recipe.evaluation
    result, asked = path.with_suffix(".json"), _asked(other, task)
    before = dict(read_json(result)) if result.is_file() else {}
    same = before.get("asked") == asked["asked"]
    if same and (attempts := finished_answers(path)) is not None:
        return attempts
    if world_size() > 1:
        raise StudentError(f"Other tasks are answered in one process, and there are {world_size()}. Leave out --gpus.")
    if not same:
        remove(path)
        remove(unfinished(path))
    write_json(result, asked)
    prompting = prompting_for(run.student(number), run.recipe.prompt, other.demonstrations)
    prompts = [prompting.prompt(question).text for question in other.questions]
    answers = answers_of(run, number, prompts, Greedy(settings.max_new_tokens), batch_size=settings.batch_size)
    return answer_all(path, f"Round {number}  {name}", other.questions, 1, answers)


@dataclass(frozen=True, slots=True)
class Forgetting:
    """Another task before and after training, on the same questions; before and after as `transfer` gives them.

    paired: the exact McNemar test, with the difference after - before.
    """

    task: str
    place: str
    before: dict[str, Any]
    after: dict[str, Any]
    paired: Paired


def forgetting(run: Run, number: int, task: TaskSettings, name: str | None = None, since: int = 0) -> Forgetting:
    """What a round's student has lost or gained on a task against the student of round `since`, the untrained one.

    Evaluates both where that is not done. Raises: as `transfer`.
    """
    before, after = (transfer(run, one, task, name) for one in (since, number))
    paired = mcnemar(*(_right(run, one, task, name) for one in (since, number)))
    return Forgetting(after["task"], after["place"], before, after, paired)


def _right(run: Run, number: int, task: TaskSettings, name: str | None) -> dict[str, bool]:
    """Which test questions a round's student has right, by their ids."""
    if task == run.recipe.task:
        test = {question.id for question in run.questions["test"]}
        attempts = [one for one in read_records(run.round(number).answers, Attempt) if one.question_id in test]
    else:
        attempts = read_records(_path(run, number, _file_name(name or task.name)), Attempt)
    return {attempt.question_id: attempt.correct for attempt in attempts}

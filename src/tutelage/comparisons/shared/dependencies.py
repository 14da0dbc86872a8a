"""What each stage of a run depends on, in one place: the hash of exactly that decides whether runs share its files.

| stage | depends on |
| --- | --- |
| untrained student | [student], lora.quantize, and sections of the recipe that are not named here |
| evaluation n | student n, test and held-out questions, how the student is asked, [evaluation] |
| exam n | student n-1, training questions, how the student is asked, [exam], n |
| mistakes n | exam n, exam.mistakes |
| feedback n | training questions, [teacher] or for round 1 [first_teacher], the teacher's demonstrations, the student's tokenizer, limits on new tokens, n; mistakes n from round 2 on; with teacher.hard_replies exam n |
| lesson n | feedback n and mistakes n; with exam.own_rationales this, and the teacher's rules for what is left out; with rounds.data = "all rounds" those of the rounds before, too; with rounds.number_variants the questions of all splits; n |
| student n | lesson n, student n-1 (with rounds.start = "untrained" student 0), how the student is asked, [study], [lora], n |

The seed is part of all of them. "How the student is asked" is [prompt] and the student's demonstrations. Data count by their contents, not by where
they came from. Keys that change no result (how many at a time, addresses, keys, caps) are left out by name, so that a
key nobody thought of keeps runs apart. A stage that a method does in a way of its own has the method's name in its
hash, and so has all that follows from it. Local files of a student or a teacher may be others under the same name:
those of a model count by their sizes and times, recordings by their contents.
"""  # noqa: E501 - a table

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tutelage
from tutelage.baselines import Method, Stage
from tutelage.config import LocalTeacherSettings, Recipe, RecordedTeacherSettings
from tutelage.errors import DataError
from tutelage.rounds.cast import find_files
from tutelage.rounds.run import Run
from tutelage.workspace import Round, read_json

STAGES: Mapping[Stage, tuple[str, ...]] = {
    "evaluation": ("answers", "evaluation"),
    "exam": ("exam",),
    "mistakes": ("mistakes",),
    "feedback": ("feedback",),
    "lesson": ("lesson",),
    "study": ("training", "student"),
}
"""What a stage leaves behind, by the names in `workspace.Round`; the last of them is there when the stage is done."""

_NAMED = {
    "task",
    "student",
    "teacher",
    "first_teacher",
    "prompt",
    "exam",
    "study",
    "lora",
    "rounds",
    "evaluation",
    "seed",
}
_NAMED |= {"report_to", "project", "run_name"}  # they change no result
_HOW_MANY = {"batch_size"}
_STUDY_FREE = {"checkpoint_steps", "micro_batch_size", "gradient_checkpointing"}
_TEACHER_FREE = {
    *("api_key_env", "api_key_file", "road", "concurrency", "requests_per_minute", "tokens_per_minute"),
    *("connect_seconds", "timeout_seconds", "retries", "budget", "price", "cache", "tokenizer", "batch_size"),
}

_OPTIONS = {"prefer", "hard_replies", "drop_unfounded"}
"""Of a teacher; at their defaults they stand in no hash, so that runs older than they are can be taken over."""

Key = tuple[int, Stage]


def files_of(place: Round, stage: Stage) -> list[Path]:
    """The files, or folders, that a stage leaves in a round's folder."""
    return [getattr(place, name) for name in STAGES[stage]]


def untrained_key(recipe: Recipe) -> str:
    """The hash of what the untrained student depends on."""
    parts = _sections(recipe)
    quantized = recipe.lora is not None and recipe.lora.quantize
    return _hash("untrained", parts["student"], quantized, parts["rest"])


def stage_keys(run: Run, method: Method) -> dict[Key, str]:
    """The hash of what each stage of a run depends on, for all that it may have, in their order."""
    keys = _Keys(run, method)
    keys.add("evaluation", 0, keys.evaluation(0))
    for number in range(1, run.recipe.rounds.limit + 1 if method.trains else 1):
        keys.add("exam", number, keys.exam(number))
        keys.add("mistakes", number, keys.mistakes(number))
        keys.add("feedback", number, keys.feedback(number))
        keys.add("lesson", number, keys.lesson(number))
        keys.add("study", number, keys.study(number))
        keys.add("evaluation", number, keys.evaluation(number))
    return {key: value for key, value in keys.found.items() if key[1] in method.stages or key == (0, "evaluation")}


class _Keys:
    """What goes into a stage's hash, one function each; those before it are in `found`."""

    def __init__(self, run: Run, method: Method) -> None:
        self.found: dict[Key, str] = {}
        self._recipe, self._own = run.recipe, dict.fromkeys(method.own, method.name)
        # Where a method sits no exam, or makes its lessons in a way of its own, these change nothing.
        self._sits_exams = "exam" in method.stages
        self._own_rationales: list[object] = []
        if run.recipe.exam.own_rationales and "lesson" not in method.own:
            rules = run.recipe.teacher  # which with a first teacher are no part of round 1's feedback
            self._own_rationales = [run.recipe.exam.own_rationales, rules.drop_leaks, rules.drop_wrong_steps]
            self._own_rationales += ["drop_unfounded"] * rules.drop_unfounded  # as in _OPTIONS
        self._parts = _sections(run.recipe)
        self._questions = _by_split(run.workspace.questions)
        demonstrations = read_json(run.workspace.demonstrations)
        prompt = _without(self._parts["prompt"], {"demonstrations", "feedback_demonstrations", "count"})
        self._asked = [prompt, demonstrations["student"]]
        self._to_teacher = demonstrations["teacher"]
        self._teacher_files = {number: _teacher_files(run.recipe.for_round(number)) for number in (1, 2)}

    def add(self, stage: Stage, number: int, parts: Sequence[object]) -> None:
        self.found[number, stage] = _hash(stage, number, self._own.get(stage), self._recipe.seed, parts)

    def _student(self, number: int) -> str:
        return untrained_key(self._recipe) if number == 0 else self.found[number, "study"]

    def evaluation(self, number: int) -> Sequence[object]:
        questions = [self._questions["test"], self._questions["held-out"]]
        return self._student(number), questions, self._asked, _without(self._parts["evaluation"], _HOW_MANY)

    def exam(self, number: int) -> Sequence[object]:
        settings = _without(self._parts["exam"], {*_HOW_MANY, "mistakes", "own_rationales"})
        return self._student(number - 1), self._questions["train"], self._asked, settings

    def mistakes(self, number: int) -> Sequence[object]:
        return self.found[number, "exam"], self._recipe.exam.mistakes

    def feedback(self, number: int) -> Sequence[object]:
        # STaR asks no teacher, and holds its student's rationales to one's rules in every round.
        recipe = self._recipe if "feedback" in self._own else self._recipe.for_round(number)
        free = _TEACHER_FREE | _OPTIONS | ({"feedback"} if number == 1 else set())
        teacher = _without(recipe.teacher.model_dump(mode="json", by_alias=True), free)
        options: list[object] = [] if recipe.teacher.prefer == "first" else [recipe.teacher.prefer]
        options += ["drop_unfounded"] * recipe.teacher.drop_unfounded
        if self._sits_exams and recipe.teacher.hard_replies is not None:
            options.append((recipe.teacher.hard_replies, self.found[number, "exam"]))
        limit = min(recipe.exam.max_new_tokens, recipe.evaluation.max_new_tokens)
        # A method whose feedback is its own, such as STaR, sees the student's answers from the first round on.
        shown = self.found[number, "mistakes"] if number > 1 or "feedback" in self._own else None
        tokenizer = self._parts["student"]
        return (
            self._questions["train"],
            teacher,
            self._teacher_files[2 if recipe is self._recipe else 1],
            self._to_teacher,
            tokenizer,
            limit,
            shown,
            *options,
        )

    def lesson(self, number: int) -> Sequence[object]:
        first = 1 if self._recipe.rounds.data == "all rounds" else number
        made = range(first, number + 1)
        of_rounds = [(self.found[one, "feedback"], self.found[one, "mistakes"]) for one in made]
        variants: list[object] = []
        if count := self._recipe.rounds.number_variants:
            others = [self._questions["held-out"], self._questions["test"]]  # that no variant may read like
            variants = [count, self._questions["train"], others]
        return [*of_rounds, *self._own_rationales, *variants]

    def study(self, number: int) -> Sequence[object]:
        start = self._recipe.rounds.begins_with(number)
        rate = self._recipe.study.rate(start)
        shown = _without(self._parts["study"], _STUDY_FREE | {"learning_rate", "later_learning_rate"})
        return self.found[number, "lesson"], self._student(start), self._asked, shown, self._parts["lora"], rate


def _sections(recipe: Recipe) -> dict[str, Any]:
    """The recipe's sections by name; all that this module does not name as one."""
    table = recipe.model_dump(mode="json", by_alias=True)
    rest = {name: value for name, value in table.items() if name not in _NAMED}
    table["student"]["files"] = _local_files(Path(recipe.student.model).expanduser())
    return {**{name: table[name] for name in _NAMED}, "rest": rest}


def _local_files(model: Path) -> list[object]:
    """What tells a student's files from others of the same names: it may be trained or downloaded anew in its place."""
    files = sorted(path for path in model.iterdir() if path.is_file()) if model.is_dir() else [model]
    return [(file.name, (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files if file.is_file()]


def _teacher_files(recipe: Recipe) -> Sequence[object] | None:
    """Those of a local model, or the hashes of recordings; none need be there for a method that asks nobody."""
    if isinstance(recipe.teacher, LocalTeacherSettings):
        return _local_files(Path(recipe.teacher.model).expanduser())
    if not isinstance(recipe.teacher, RecordedTeacherSettings):
        return None
    try:
        files = find_files(recipe.teacher.files, recipe.task.data)
    except DataError:
        return None
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def _without(section: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in section.items() if name not in names}


def _by_split(path: Path) -> dict[str, str]:
    """A hash of each split's questions as they stand in questions.jsonl."""
    lines: dict[str, list[bytes]] = defaultdict(list)
    for line in path.read_bytes().splitlines():
        lines[json.loads(line)["split"]].append(line)
    return {name: hashlib.sha256(b"\n".join(lines[name])).hexdigest() for name in ("train", "held-out", "test")}


def _hash(*parts: object) -> str:
    text = json.dumps([tutelage.__version__, *parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()

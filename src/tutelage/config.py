"""The recipe: typed and frozen, read from TOML with command-line overrides.

A default that comes from the paper cites its table (arXiv 2310.13332). An unknown key or a wrong type
is an error that names the key, the value seen and, for a misspelt key, the nearest one known.
"""

from __future__ import annotations

import difflib
import glob
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from tutelage.errors import RecipeError
from tutelage.records import AnswerKind

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Section(BaseModel):
    """A part of the recipe: frozen, and closed to unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_by_name=True, validate_by_alias=True
    )


class TaskSettings(Section):
    """What is asked. `tutelage tasks` lists the names.

    data: folder of a public data set's original files; None loads it from the Hugging Face hub.
    file, kind: the user's own task (name "own"): a JSONL file and how its answers compare.
    train_rows, test_rows, options: sizes and difficulty of a generated task (reasoning-gym).
    held_out, held_out_minimum: share and least number of training questions set aside for the plateau.
    *_questions: use only so many questions of a split, drawn with the recipe's seed.
    """

    name: str
    data: Path | None = None
    file: Path | None = None
    kind: AnswerKind | None = None
    train_rows: PositiveInt | None = None
    test_rows: PositiveInt | None = None
    options: dict[str, int | float | bool | str] = {}
    held_out: Share = 0.1
    held_out_minimum: Count = 50
    train_questions: PositiveInt | None = None
    held_out_questions: PositiveInt | None = None
    test_questions: PositiveInt | None = None


class StudentSettings(Section):
    """Who learns.

    model: a Hugging Face hub id, a local folder, a .gguf file, or "package:NAME" for the one .gguf file
        that an installed Python package carries.
    device: "auto" takes a GPU where there is one.
    """

    model: str
    revision: str | None = None
    device: str = "auto"


class PromptSettings(Section):
    """How a question reads.

    demonstrations, feedback_demonstrations: JSON files of the user's own; None takes those of the package.
    count: how many demonstrations the student sees, the first ones; None takes all of them.
    """

    demonstrations: Path | None = None
    feedback_demonstrations: Path | None = None
    count: Count | None = None


class ExamSettings(Section):
    """How the student sits an exam (Table 9).

    batch_size: sequences generated at a time. mistakes: unique ones kept per question (A.2).
    """

    attempts: PositiveInt = 4
    temperature: PositiveFloat = 1.0
    top_k: PositiveInt = 50
    max_new_tokens: PositiveInt = 128
    batch_size: PositiveInt = 128
    mistakes: PositiveInt = 4


class TeacherSettings(Section):
    """What every teacher has in common (Table 9).

    feedback: whether later rounds show the teacher the student's mistake (Table 3 compares).
    replies: asked for per request. rationales: unique ones kept per question (A.2).
    """

    feedback: bool = True
    replies: PositiveInt = 4
    rationales: PositiveInt = 4


class SampledTeacherSettings(TeacherSettings):
    """A teacher that is a language model.

    endpoint: "chat" sends messages, "completion" one text that the model continues.
    """

    model: str
    endpoint: Literal["chat", "completion"] = "chat"
    temperature: NotNegative = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.9
    max_new_tokens: PositiveInt = 128


class OpenAITeacherSettings(SampledTeacherSettings):
    """Any OpenAI-compatible endpoint.

    base_url: None takes the OpenAI service (or OPENAI_BASE_URL). api_key_env: the environment variable
    that holds the key; the key itself never stands in a recipe.
    """

    kind: Literal["openai"]
    base_url: str | None = None
    api_key_env: VariableName = "OPENAI_API_KEY"
    concurrency: PositiveInt = 8
    timeout_seconds: PositiveFloat = 120.0
    retries: Count = 5


class LocalTeacherSettings(SampledTeacherSettings):
    """A model in this process; `model` as in StudentSettings."""

    kind: Literal["local"]
    revision: str | None = None
    device: str = "auto"
    batch_size: PositiveInt = 64


class RecordedTeacherSettings(TeacherSettings):
    """Replies recorded earlier, replayed: it does not see the student's mistakes.

    files: JSONL (gzipped too) with `question` and `rationale`, names or patterns such as
        "teacher_pool/svamp__*.jsonl.gz", looked up in the working folder and then in task.data;
        empty takes the task's own worked solutions.
    name: who wrote them, for the run's records.
    """

    kind: Literal["recorded"]
    files: tuple[Path, ...] = ()
    name: str | None = None


class TutorTeacherSettings(TeacherSettings):
    """The offline tutor: a rule-based stand-in that corrects from a row's worked solution."""

    kind: Literal["tutor"]


AnyTeacherSettings = Annotated[
    OpenAITeacherSettings | LocalTeacherSettings | RecordedTeacherSettings | TutorTeacherSettings,
    Field(discriminator="kind"),
]


class StudySettings(Section):
    """How the student studies (Table 10, Eqs. 2-4).

    lambda: weight of the self-reflection loss, 0 leaves it out. margin: ρ of Eq. 3.
    demonstration_weight: of a demonstration's tokens in the language-model loss (A.2).
    learning_rate, later_learning_rate: round 1, and the rounds after it (None: the same).
    steps: optimizer steps a round; None studies `epochs` passes over the lesson.
    batch_size: samples an optimizer step; micro_batch_size: samples a forward pass.
    max_gradient_norm: clipping; 0 leaves it out. checkpoint_steps: optimizer steps between checkpoints.
    """

    lambda_: NotNegative = Field(0.5, alias="lambda")
    margin: NotNegative = 1.0
    demonstration_weight: Share = 0.1
    learning_rate: PositiveFloat = 1e-6
    later_learning_rate: PositiveFloat | None = None
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    epochs: PositiveInt = 10
    steps: PositiveInt | None = None
    batch_size: PositiveInt = 16
    micro_batch_size: PositiveInt = 16
    warmup_steps: Count = 100
    weight_decay: NotNegative = 0.01
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    epsilon: PositiveFloat = 1e-8
    max_gradient_norm: NotNegative = 1.0
    checkpoint_steps: PositiveInt = 100


class RoundsSettings(Section):
    """When to stop (Algorithm 1) and what a round studies.

    patience: rounds in a row without a gain of at least `smallest_gain` (a fraction of 1) in held-out
    accuracy before the run stops; a round must be better than the best one before it in any case.
    data: "this round" studies that round's rationales (Table 5), "all rounds" merges those of all so far.
    """

    limit: PositiveInt = 4
    patience: PositiveInt = 1
    smallest_gain: Share = 0.0
    data: Literal["this round", "all rounds"] = "this round"


class EvaluationSettings(Section):
    """Greedy evaluation (A.2). batch_size: questions at a time."""

    max_new_tokens: PositiveInt = 128
    batch_size: PositiveInt = 128


class Recipe(Section):
    """Everything that decides what a run does."""

    task: TaskSettings
    student: StudentSettings
    teacher: AnyTeacherSettings
    prompt: PromptSettings = PromptSettings()
    exam: ExamSettings = ExamSettings()
    study: StudySettings = StudySettings()
    rounds: RoundsSettings = RoundsSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    seed: int = 42

    @model_validator(mode="after")
    def _check_own_task(self) -> Recipe:
        if (self.task.name == "own") != (self.task.file is not None):
            raise ValueError('task.file goes with task.name = "own", and "own" needs it')
        if self.task.name == "own" and self.task.kind is None:
            raise ValueError('task.name = "own" needs task.kind: "number", "percentage", "choice", "yes/no" or "text"')
        return self


def read_recipe(path: Path, overrides: Iterable[str] = (), extra: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe in a TOML file, with `key=value` overrides applied (dotted keys, TOML values, or bare text).

    Paths in the file are relative to the working folder, as those on the command line are.
    extra: dotted keys with values, applied last.
    Raises: RecipeError if the file is missing or not TOML, or if a key or a value is wrong.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"There is no recipe at {path}. `tutelage tasks` names the tasks; see configs/.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe {path} cannot be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"The recipe {path} is not valid TOML: {error}.") from None
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise RecipeError(f"The override {override!r} is not of the form key=value, such as study.epochs=3.")
        if key == "teacher.kind":
            _keep_common_teacher_keys(table, text)
        _set(table, key, _value(text))
    for key, value in (extra or {}).items():
        _set(table, key, value)
    return recipe_from_table(table, str(path))


def recipe_from_table(table: Mapping[str, Any], source: str) -> Recipe:
    """The recipe in a nested mapping. source: named in errors. Raises: RecipeError."""
    try:
        # By way of JSON: there strict checking still takes a list for a tuple and text for a path.
        return Recipe.model_validate_json(json.dumps(table, default=str), strict=True)
    except ValidationError as error:
        lines = [_explain(detail, Recipe) for detail in error.errors()]
        raise RecipeError(f"{source}:\n" + "\n".join(f"  {line}" for line in lines)) from None


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """The recipe with every path written out in full, so that a run resumes from any working folder."""

    def absolute(path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().resolve()

    model = Path(recipe.student.model).expanduser()
    parts: dict[str, Section] = {
        "task": recipe.task.model_copy(update={"data": absolute(recipe.task.data), "file": absolute(recipe.task.file)}),
        "prompt": recipe.prompt.model_copy(
            update={
                name: absolute(getattr(recipe.prompt, name)) for name in PromptSettings.model_fields if name != "count"
            }
        ),
    }
    if model.exists():
        parts["student"] = recipe.student.model_copy(update={"model": str(model.resolve())})
    if isinstance(recipe.teacher, RecordedTeacherSettings):
        here = Path.cwd()
        files = tuple(here / file if _stands_for_files(here, file) else file for file in recipe.teacher.files)
        parts["teacher"] = recipe.teacher.model_copy(update={"files": files})
    return recipe.model_copy(update=parts)


def _stands_for_files(folder: Path, pattern: Path) -> bool:
    # glob.glob, since a bad pattern fits nothing there, and is refused in its place; Path.glob raises.
    return not pattern.is_absolute() and bool(glob.glob(str(pattern), root_dir=folder))  # noqa: PTH207


def recipe_to_toml(recipe: Recipe) -> str:
    """The recipe as TOML, every default written out, so that a run folder says what was done."""
    table = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    top = [f"{key} = {_toml(value)}" for key, value in table.items() if not isinstance(value, dict)]
    lines = [*top, ""]
    for section, values in table.items():
        if isinstance(values, dict):
            lines += [f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in values.items()), ""]
    return "\n".join(lines)


def _keep_common_teacher_keys(table: dict[str, Any], kind: str) -> None:
    """Another kind of teacher takes over what it has in common with the recipe's, and none of its own keys."""
    teacher = table.get("teacher")
    if isinstance(teacher, dict) and teacher.get("kind") != kind and kind in _TEACHERS:
        table["teacher"] = {key: value for key, value in teacher.items() if key in _TEACHERS[kind].model_fields}


def _set(table: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, last = dotted.split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise RecipeError(f"The override {dotted} goes into {section}, which is a value, not a section.")
    table[last] = value


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # bare text, so that teacher.model=gpt-4o needs no quotes


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    # A JSON string, number or boolean is a TOML one too, but for the one control character that JSON lets stand.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


_TEACHERS: dict[str, type[Section]] = {
    "openai": OpenAITeacherSettings,
    "local": LocalTeacherSettings,
    "recorded": RecordedTeacherSettings,
    "tutor": TutorTeacherSettings,
}


def _explain(detail: Any, model: type[BaseModel]) -> str:
    """One validation error as a line that names the key, the value seen and the way out."""
    place = [str(part) for part in detail["loc"] if str(part) not in _TEACHERS]
    key, seen = ".".join(place) or "recipe", detail["input"]
    if detail["type"] == "extra_forbidden":
        known = _keys(detail["loc"], model)
        near = difflib.get_close_matches(place[-1], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}."
        return f"{key}: there is no such key; {hint}"
    if detail["type"] == "missing":
        return f"{key}: is missing; add it to the recipe or give {key}=VALUE on the command line."
    message = detail["msg"].removeprefix("Value error, ")
    if key.endswith("api_key_env"):  # not shown: it may be the key itself, put in the wrong place
        return f"{key}: takes the name of an environment variable, such as OPENAI_API_KEY, never the key itself."
    return f"{key}: {message[0].lower()}{message[1:]}" + ("" if isinstance(seen, dict) else f"; the value is {seen!r}.")


def _keys(location: tuple[Any, ...], model: type[BaseModel]) -> list[str]:
    """The keys known where an unknown one was found."""
    for part in location[:-1]:
        annotation = model.model_fields[part].annotation if part in model.model_fields else _TEACHERS.get(str(part))
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return [field.alias or name for name, field in model.model_fields.items()]

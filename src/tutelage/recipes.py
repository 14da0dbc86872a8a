"""Recipes as files: TOML in, with command-line overrides, and out again.

An unknown key or a wrong type is an error that names the key, the value seen and, for a misspelt key, the
nearest one known.
"""

from __future__ import annotations

import difflib
import glob
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from tutelage.config import (
    AnyTeacherSettings,
    LocalTeacherSettings,
    OpenAITeacherSettings,
    Recipe,
    RecordedTeacherSettings,
    Section,
    TutorTeacherSettings,
)
from tutelage.errors import RecipeError


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
        if key in ("teacher.kind", "first_teacher.kind"):
            _keep_common_teacher_keys(table, key.partition(".")[0], _value(text))
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
    model = Path(recipe.student.model).expanduser()
    parts: dict[str, Section] = {
        "task": recipe.task.model_copy(
            update={"data": _absolute(recipe.task.data), "file": _absolute(recipe.task.file)}
        ),
        "prompt": recipe.prompt.model_copy(
            update={
                name: _absolute(getattr(recipe.prompt, name)) for name in ("demonstrations", "feedback_demonstrations")
            }
        ),
    }
    if model.exists():
        parts["student"] = recipe.student.model_copy(update={"model": str(model.resolve())})
    for name in ("teacher", "first_teacher"):
        if (teacher := getattr(recipe, name)) is not None:
            parts[name] = _teacher_with_absolute_paths(teacher)
    return recipe.model_copy(update=parts)


def _teacher_with_absolute_paths(teacher: AnyTeacherSettings) -> AnyTeacherSettings:
    if isinstance(teacher, OpenAITeacherSettings):
        paths = {name: _absolute(getattr(teacher, name)) for name in ("api_key_file", "cache")}
        tokenizer = Path(teacher.tokenizer or "").expanduser()
        named = {"tokenizer": str(tokenizer.resolve())} if teacher.tokenizer and tokenizer.exists() else {}
        return teacher.model_copy(update={**paths, **named})
    if isinstance(teacher, RecordedTeacherSettings):
        here = Path.cwd()
        files = tuple(here / file if _stands_for_files(here, file) else file for file in teacher.files)
        return teacher.model_copy(update={"files": files})
    return teacher


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.expanduser().resolve()


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


def dotted(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """A recipe's table as its keys stand on a command line, such as "study.epochs", with their values."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from dotted(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _keep_common_teacher_keys(table: dict[str, Any], section: str, kind: object) -> None:
    """Another kind of teacher takes over what it has in common with the section's, and none of its own keys."""
    teacher = table.get(section)
    if isinstance(teacher, dict) and teacher.get("kind") != kind and isinstance(kind, str) and kind in _TEACHERS:
        table[section] = {key: value for key, value in teacher.items() if key in _TEACHERS[kind].model_fields}


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
    if detail["type"].startswith("union_tag"):  # of a teacher, by its kind
        takes = "it takes " + ", ".join(f"{kind!r}" for kind in _kinds(key, model))
        tag = detail["ctx"].get("tag")
        return f"{key}.kind: " + (f"is missing; {takes}." if tag is None else f"{takes}; the value is {tag!r}.")
    message = detail["msg"].removeprefix("Value error, ")
    if key.endswith("api_key_env"):  # not shown: it may be the key itself, put in the wrong place
        return f"{key}: takes the name of an environment variable, such as OPENAI_API_KEY, never the key itself."
    return f"{key}: {message[0].lower()}{message[1:]}" + ("" if isinstance(seen, dict) else f"; the value is {seen!r}.")


def _kinds(section: str, model: type[BaseModel]) -> list[str]:
    """The kinds of teachers that a section may have."""
    written = model.model_json_schema()["properties"][section]
    (choice,) = [one for one in (written, *written.get("anyOf", ())) if "discriminator" in one]
    return list(choice["discriminator"]["mapping"])


def _keys(location: tuple[Any, ...], model: type[BaseModel]) -> list[str]:
    """The keys known where an unknown one was found."""
    for part in location[:-1]:
        annotation = model.model_fields[part].annotation if part in model.model_fields else _TEACHERS.get(str(part))
        for one in (annotation, *get_args(annotation)):  # of a section that may be None
            if isinstance(one, type) and issubclass(one, BaseModel):
                model = one
    return [field.alias or name for name, field in model.model_fields.items()]

"""What a model card and a data set's card both say: the teacher, the data, licences and terms, the recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePath
from typing import Any, Literal

from tutelage.config import Recipe
from tutelage.recipes import recipe_from_table, recipe_to_toml
from tutelage.records import Correction, Triplet
from tutelage.report.cards.markdown import escape, facts, fence
from tutelage.report.cards.origins import Base
from tutelage.rounds.run import Run
from tutelage.tasks import TASKS
from tutelage.workspace import read_json, read_records

PAPER = "[Democratizing Reasoning Ability](https://arxiv.org/abs/2310.13332)"
TO_FILL_IN = "not stated: to be filled in"
TeacherKind = Literal["openai", "local", "recorded", "tutor"]
_KINDS: dict[TeacherKind, str] = {
    "openai": "A language model behind an OpenAI-compatible interface wrote the corrections",
    "local": "A language model that ran on the same machine wrote the corrections",
    "recorded": (
        "Nobody was asked: replies recorded earlier, or the data's own worked solutions, were replayed, so that none "
        "was written about a mistake of this student"
    ),
    "tutor": (
        "No language model taught: a program with rules, which stands in for one, wrote the corrections from the "
        "data's worked solutions"
    ),
}


def count(number: int, one: str, more: str | None = None) -> str:
    """A number with its noun: "1 round", "1,200 rounds"."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def teacher_text(run: Run, rounds: Sequence[int], asked: bool) -> str:
    """Who taught in these rounds, by the corrections that were kept. asked: whether by a teacher."""
    own = _own_text(run, rounds) if asked else ""
    kept = [
        correction
        for number in rounds
        if run.round(number).feedback.is_file()
        for correction in read_records(run.round(number).feedback, Correction)
        if correction.verdict == "kept"
    ]
    if not kept:
        return f"No teacher has taught the student anything.{own}"
    names = Counter(_base_name(correction.teacher) for correction in kept)
    told = ", ".join(f"{escape(name)} ({count(number, 'rationale')} kept)" for name, number in names.items())
    if not asked:
        return f"No teacher: {told}. A rationale is kept only if its answer is right."
    tailored = sum(correction.mistake is not None for correction in kept)
    seen = "They were written for the question alone"
    if tailored:
        view = f"{count(tailored, 'of them was', 'of them were')} written with the student's mistake in view"
        seen = f"{view}, the others for the question alone"
    kinds = [_KINDS[kind] for kind in _kinds(run, {correction.round for correction in kept})]
    who = f"{kinds[0]}: {told}"
    if len(kinds) > 1:
        who = f"Round 1: {kinds[0]}. Later rounds: {kinds[1]}. Kept are those of {told}"
    return f"{who}. {seen}. A rationale is kept only if its answer is right.{own}"


def _kinds(run: Run, rounds: Collection[int]) -> list[TeacherKind]:
    """Of the teachers of these rounds: the only one's, or the first one's and the later ones'. Without rounds: all."""
    recipe = run.recipe
    if recipe.first_teacher is None:
        return [recipe.teacher.kind]
    either = {1: recipe.first_teacher.kind, 2: recipe.teacher.kind}
    asked = {min(number, 2) for number in rounds} or either
    return [kind for number, kind in either.items() if number in asked]


def _own_text(run: Run, rounds: Iterable[int]) -> str:
    """How many rationales of these rounds' lessons the student wrote itself; empty if none."""
    own = {
        (triplet.question_id, triplet.anchor)
        for number in rounds
        if run.round(number).lesson.is_file()
        for triplet in read_records(run.round(number).lesson, Triplet)
        if triplet.own and triplet.variant is None
    }
    if not own:
        return ""
    return f" {count(len(own), 'more rationale is', 'more rationales are')} the student's own: right attempts at exams."


def data_text(run: Run) -> str:
    """What questions, where from, under which licence."""
    info, settings = TASKS[run.recipe.task.name], run.recipe.task
    own = settings.name == "own"
    name = f"{escape(settings.file.name)}, a file of the user's own" if settings.file else escape(info.title)
    what = "made on the spot" if info.generated else "a public data set"
    sizes = {split: len(questions) for split, questions in run.questions.items()}
    return facts(
        [
            ("Questions", f"{name}: {TO_FILL_IN if own else f'{escape(info.description)}; {what}'}"),
            ("Source", TO_FILL_IN if own else f"<{info.source}>"),
            ("Licence of the questions", TO_FILL_IN if own else f"{escape(info.licence)} (check it at the source)"),
            (
                "Split",
                f"{sizes['train']:,} to learn from, {sizes['held-out']:,} held out of the training split to decide "
                f"when to stop, {sizes['test']:,} for the test; drawn with seed {run.recipe.seed}",
            ),
        ]
    )


def terms_text(
    run: Run, rounds: Sequence[int], base: Base, what: Literal["this model", "this data set"], asked: bool
) -> str:
    """Whose licences and terms hold for `what`, and what its publisher has to check.

    rounds: whose lessons are in it. asked: whether a teacher was.
    """
    info = TASKS[run.recipe.task.name]
    terms = ". Of the other teacher: ".join(_TERMS[kind] for kind in dict.fromkeys(_kinds(run, rounds)))
    own = run.recipe.task.name == "own"
    licence = "not stated: check" if base.licence is None else f"{escape(base.licence)}, as its own files say"
    if base.hub_id:
        licence += f" (<https://huggingface.co/{base.hub_id}>)"
    rows = [
        ("Base model", f"{escape(base.name)}: {licence}"),
        ("Questions", TO_FILL_IN if own else escape(info.licence)),
        ("Teacher's words", terms if asked else "there are none; what the student wrote is its base model's"),
    ]
    hint = (
        ""
        if base.hub_id or what != "this model"
        else " If the hub has the base model, name it there, too, as `base_model`."
    )
    return (
        f"No licence is set here: choose one for {what} that all of these allow, and write it into the head of this "
        f"file.{hint}\n\n{facts(rows)}"
    )


_TERMS: dict[TeacherKind, str] = {
    "openai": (
        "many providers do not let their models' output be used to train models that compete with theirs, or only "
        "under conditions; others leave it free. Read the terms of the provider and the model's licence, as they stood "
        "when the replies were written, before you publish or sell anything that learned from them. The replies may "
        "also repeat what the teacher once read, errors and prejudices included"
    ),
    "local": (
        "the licence of the model that taught may bind what is made with its output (some ask for its name, some "
        "forbid to train others): read it before you publish"
    ),
    "recorded": (
        "whoever wrote the replies, a provider's model or the data's authors, may bind their use: many providers do "
        "not let output of their models train others that compete. Find out who wrote them, and under which terms"
    ),
    "tutor": (
        "no model wrote them, so no provider's terms bind them; the data's licence does. With a language model as the "
        "teacher, its provider's terms on training with its output would have to be checked"
    ),
}


def recipe_text(run: Run) -> str:
    """The recipe and the software, without what tells of this machine."""
    environment = read_json(run.workspace.environment)
    packages = environment.get("packages") or {name: environment.get(name) for name in ("torch", "transformers")}
    named = {"Tutelage": environment.get("tutelage"), "Python": environment.get("python"), **packages}
    versions = ", ".join(f"{escape(name)} {escape(version)}" for name, version in named.items() if version)
    return f"{fence(public_recipe(run.recipe), 'toml')}\n\nVersions: {versions}."


_PRIVATE = ("base_url", "api_key_env", "api_key_file", "cache")


def public_recipe(recipe: Recipe) -> str:
    """A recipe as TOML with names in place of paths, and without the addresses and keys of its teacher."""
    table: dict[str, Any] = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    for key in _PRIVATE:
        table["teacher"].pop(key, None)
    shown = recipe_to_toml(recipe_from_table(_without_paths(table), "recipe"))
    return "\n".join(line for line in shown.splitlines() if line.partition(" = ")[0] not in _PRIVATE)


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_paths(item) for item in value]
    return _base_name(value) if isinstance(value, str) else value


def _base_name(text: str) -> str:
    """The last part of what is a path on this machine; other text as it is."""
    path = Path(text).expanduser() if text.startswith("~") else PurePath(text)
    return path.name if path.is_absolute() and "\n" not in text else text

"""By which method a run's student learned, and how its cards put that.

Most runs are tailored learning. A comparison's other rows are its baselines, whose cards must not claim that.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tutelage.baselines import METHODS
from tutelage.comparisons.settings import folder_name
from tutelage.report.cards.parts import PAPER, count
from tutelage.rounds.run import Run
from tutelage.workspace import KEYS, read_json


def method_of(run: Run) -> str:
    """The name of a run's method, as a comparison's file has it."""
    path = run.workspace.folder / KEYS
    stages = read_json(path) if path.is_file() else {}
    if not stages or "method" in stages:
        return str(stages.get("method", "distillation"))
    # Older versions did not note it.
    if (named := _method_of_row(run.workspace.folder.resolve())) is not None:
        return named
    if "1 study" not in stages:
        return "untrained"
    if "1 feedback" not in stages:
        return "answers"
    if "1 exam" not in stages:
        return "cot" if run.recipe.lora is None else "adapter"
    return "star" if (run.round(1).folder / "rationalisation.jsonl").is_file() else "distillation"


def _method_of_row(folder: Path) -> str | None:
    """What the comparison that a run lies in says of its row: COMPARISON/runs/ROW/seed-1, or with a column between."""
    for place in folder.parents[2:4]:
        file = place / "comparison.toml"
        rows = tomllib.loads(file.read_text(encoding="utf-8"))["rows"] if file.is_file() else []
        methods = {folder_name(row["name"]): str(row["method"]) for row in rows}
        if rows:
            return methods.get(folder.relative_to(place).parts[1])
    return None


@dataclass(frozen=True, slots=True)
class Told:
    """lessons: what a data set of its lessons is called; learned: how the student learned, in sentences."""

    lessons: str
    learned: str


_LM = "a language-model loss on the right rationales"
_ONCE = "It studied what a teacher wrote in one pass over the training questions"
_UNSEEN = "It saw no mistakes of its own, and the teacher none either."


def learning(run: Run) -> Told:
    """What to say of a run's lessons, and of how its student learned from them."""
    name = method_of(run)
    source = METHODS[name].source
    told = {
        "answers": (
            "Answers to study",
            "It studied the questions with their right answers alone, without any reasoning and without a teacher.",
        ),
        "star": (
            f"Rationales that a student wrote itself (STaR, {source})",
            "In each round it answered the training questions, and where it was wrong once more with the right answer "
            "as a hint; the untrained student was then trained anew on those of its own rationales that end right, "
            "with a language-model loss. There was no teacher.",
        ),
        "specializing": (
            f"Rationales of one pass of a teacher ({source})",
            f"{_ONCE}, every other one behind demonstrations and the rest without, with {_LM}. {_UNSEEN}",
        ),
    }
    if name in ("cot", "adapter"):
        told[name] = (
            f"Rationales of one pass of a teacher ({source})",
            f"{_ONCE}, with {_LM}. {_UNSEEN}",
        )
    lessons, learned = told.get(name, (f"Lessons of tailored learning ({PAPER})", _tailored(run)))
    if run.recipe.rounds.number_variants and name != "answers":
        learned += " Rationales were studied with other numbers, too, and their arithmetic worked out anew."
    return Told(lessons, learned)


def _tailored(run: Run) -> str:
    recipe = run.recipe
    corrected = "a teacher corrected it" if recipe.teacher.feedback else "a teacher wrote rationales for what it missed"
    if recipe.teacher.kind == "recorded":
        corrected = "it was given rationales recorded earlier"
    text = (
        f"In each round it tried the training questions, {corrected}, and it studied the right rationales, with {_LM}"
    )
    text += ", and a triplet loss that tells these from its own mistakes." if recipe.study.lambda_ else " alone."
    if recipe.first_teacher is not None:
        text += " Another teacher wrote round 1's rationales, for the questions alone."
    if recipe.exam.own_rationales:
        text += " Right attempts of its own were studied, too."
    return text + (" Each round trained the untrained student anew." if recipe.rounds.start == "untrained" else "")


def how(run: Run, number: int) -> str:
    """The method in a few words, behind "which learned to reason on TASK"."""
    name, played = method_of(run), count(number, "round")
    if name == "distillation":
        return f"in {played} of tailored learning ({PAPER}), with Tutelage"
    return f"with Tutelage as a baseline of a comparison: the method `{name}` ({METHODS[name].source}), {played}"


def tags(run: Run) -> list[str]:
    """A card's, for search on the hub."""
    method = METHODS[method_of(run)]
    paper = re.search(r"arXiv (\d+\.\d+)", method.source)
    found = ["tutelage", *(["reasoning"] if method.name != "answers" else [])]
    return [*found, *(["distillation"] if method.asks else []), *([f"arxiv:{paper[1]}"] if paper else [])]

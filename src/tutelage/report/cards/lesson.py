"""The card of a lesson as a data set: what `datasets` and the Hugging Face hub read in its head, then Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCardData

from tutelage.baselines import METHODS
from tutelage.report.cards.markdown import escape, fence, table
from tutelage.report.cards.methods import learning, method_of, tags
from tutelage.report.cards.origins import base_of
from tutelage.report.cards.parts import data_text, recipe_text, teacher_text, terms_text
from tutelage.rounds.lesson_data import LessonData, file_name, split_name
from tutelage.rounds.run import Run
from tutelage.tasks import TASKS, hub_id_of
from tutelage.workspace import write_text

_COLUMNS = {
    "chat": (
        "`messages`: the question as the user's message, and the right rationale with its answer as the assistant's. "
        "The chat template that the exported student comes with adds what else stood in its prompt"
    ),
    "prompt-completion": "`prompt`, `completion`: what the student studied, to the letter, in two parts",
    "preference": (
        "`prompt`, `chosen`, `rejected`: the same prompt, a right rationale, and the student's own mistake that stood "
        "against it in the triplet loss; without the samples that had none"
    ),
}


def write_lesson_card(run: Run, data: LessonData, folder: Path) -> None:
    """Writes README.md into a folder with a run's lesson."""
    write_text(folder / "README.md", f"---\n{_head(run, data).to_yaml()}\n---\n\n{_body(run, data)}")


def _head(run: Run, data: LessonData) -> DatasetCardData:
    source = hub_id_of(run.recipe.task.name)
    configs: list[dict[str, Any]] = [
        {
            "config_name": configuration,
            "data_files": [{"split": split_name(one), "path": file_name(configuration, one)} for one in rows],
        }
        for configuration, rows in data.rows.items()
        if rows
    ]
    return DatasetCardData(
        pretty_name=f"{_task(run)}: lessons of a student",
        task_categories=["text-generation"],
        source_datasets=None if source is None else [source],
        tags=["trl", *tags(run)],
        configs=configs,
    )


def _task(run: Run) -> str:
    task = run.recipe.task
    return task.file.stem if task.file else TASKS[task.name].title


def _body(run: Run, data: LessonData) -> str:
    base, told, asked = base_of(run.recipe.student), learning(run), METHODS[method_of(run)].asks
    rows = [[f"`{name}`", *(f"{rows.get(one, 0):,}" for one in data.rounds)] for name, rows in data.rows.items()]
    last = split_name(data.rounds[-1])
    code = f'from datasets import load_dataset\n\nlesson = load_dataset("FOLDER", "chat", split="{last}")'
    parts = [
        f"# {escape(_task(run))}: what {escape(base.name)} was taught",
        f"{told.lessons}, made with Tutelage for **{escape(base.name)}**. {told.learned}",
        table(("rows", *(f"`{split_name(one)}`" for one in data.rounds)), rows),
        _splits_text(run),
        fence(code, "python"),
        "\n".join(f"- **{name}**: {told}." for name, told in _COLUMNS.items()),
        "All are in TRL's formats. `question_id` names the question in the run, and `own` says whether the student "
        "wrote the right rationale itself; of a `variant` question and rationale have other numbers than in the run's. "
        f"{_form_text(run)}",
        "## Who taught",
        teacher_text(run, data.rounds, asked),
        "## The questions",
        f"{data_text(run)}\n\nOnly questions to learn from stand here; none of the test or of the held-out part does.",
        "## Licences and terms of use",
        terms_text(run, data.rounds, base, "this data set", asked),
        "## How it was made",
        recipe_text(run),
    ]
    return "\n\n".join(parts) + "\n"


def _splits_text(run: Run) -> str:
    if run.recipe.rounds.data == "all rounds" and method_of(run) == "distillation":
        return (
            "A split is what the student studied in a round. Each holds the rationales of the rounds before, too, so "
            "the last one has them all."
        )
    return 'A split is what the student studied in a round; `split="round_1+round_2"` or `split="all"` joins them.'


def _form_text(run: Run) -> str:
    """What whoever trains on it should know of the texts."""
    long = "Samples that were longer than the student's context were not studied, and stand here all the same."
    if method_of(run) == "specializing":
        long = f"The student studied every other sample without the demonstrations. {long}"
    if run.recipe.prompt.chat:
        return f"The last two are conversational: the exported student's chat template writes the rest. {long}"
    return (
        "The last two are plain text, demonstrations included, and the student read an end token behind it. As the "
        f"exported student's chat template writes the messages, an answer ends with an empty line in its place. {long}"
    )

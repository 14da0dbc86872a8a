"""`tutelage export`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.common import RunArgument, show
from tutelage.errors import RecipeError


def export(
    run: RunArgument,
    to: Annotated[Path, typer.Option("--to", help="The folder to write; a new or an empty one.")],
    number: Annotated[
        int | None,
        typer.Option(
            "--round",
            min=0,
            help="Whose student, 0 the untrained one; else the best round's. With --lesson, one alone.",
        ),
    ] = None,
    adapter: Annotated[bool, typer.Option("--adapter", help="The LoRA adapter by itself, without its base.")] = False,
    dtype: Annotated[str, typer.Option("--dtype", help="float32, bfloat16 or float16.")] = "float32",
    lm_eval: Annotated[
        bool, typer.Option("--lm-eval", help="Beside the student its test, as a task of lm-evaluation-harness.")
    ] = False,
    lesson: Annotated[
        bool, typer.Option("--lesson", help="What the student was taught, as a data set, in place of the student.")
    ] = False,
) -> None:
    """Write a run's student as a folder that transformers loads anywhere, or its lessons as one for datasets."""
    from transformers.utils import logging

    if lesson and (adapter or lm_eval or dtype != "float32"):
        raise RecipeError("--lesson writes text: leave out --adapter, --dtype and --lm-eval.")
    if lm_eval and (adapter or number is not None):
        raise RecipeError("--lm-eval checks the best round's whole student: leave out --adapter and --round.")
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    if lesson:
        _export_lesson(run, to, number)
    else:
        _export_student(run, to, number, adapter, dtype, lm_eval)


def _export_lesson(run: Path, to: Path, number: int | None) -> None:
    from tutelage.report.cards.lesson import write_lesson_card
    from tutelage.rounds.lesson_data import export_lesson

    written = export_lesson(run, to, number, write_lesson_card)
    rounds = ", ".join(map(str, written.rounds))
    show(f"What the student was taught in round {rounds} is in {to}.")
    _show_upload(to, " --repo-type dataset")


def _export_student(run: Path, to: Path, number: int | None, adapter: bool, dtype: str, lm_eval: bool) -> None:
    from tutelage.report.cards.model import write_model_card
    from tutelage.rounds.export import export as write

    chosen = write(run, to, number, adapter=adapter, dtype=dtype, also=write_model_card)
    show(f"The {'adapter' if adapter else 'student'} of round {chosen} is in {to}.")
    if lm_eval:
        from tutelage.rounds.lm_eval import write_lm_eval
        from tutelage.rounds.run import open_run

        command = write_lm_eval(open_run(run, lock=False), to / "lm_eval", to)
        show(f"To have lm-evaluation-harness check its accuracy (`pip install 'lm-eval[hf]'`):\n{command}")
    _show_upload(to, "")


def _show_upload(folder: Path, options: str) -> None:
    show(
        "Read its README.md, above all on licences and terms of use; then it is ready for the hub:\n"
        f"hf upload YOU/NAME {shlex.quote(str(folder))}{options}"
    )

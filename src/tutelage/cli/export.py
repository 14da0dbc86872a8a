"""`tutelage export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.common import RunArgument, show
from tutelage.errors import RecipeError


def export(
    run: RunArgument,
    to: Annotated[Path, typer.Option("--to", help="The folder to write; a new or an empty one.")],
    number: Annotated[
        int | None, typer.Option("--round", min=0, help="Whose student, 0 the untrained one; else the best round's.")
    ] = None,
    adapter: Annotated[bool, typer.Option("--adapter", help="The LoRA adapter by itself, without its base.")] = False,
    dtype: Annotated[str, typer.Option("--dtype", help="float32, bfloat16 or float16.")] = "float32",
    lm_eval: Annotated[
        bool, typer.Option("--lm-eval", help="Beside the student its test, as a task of lm-evaluation-harness.")
    ] = False,
) -> None:
    """Write a run's student as a folder that transformers loads anywhere."""
    from transformers.utils import logging

    from tutelage.rounds.export import export as write

    if lm_eval and (adapter or number is not None):
        raise RecipeError("--lm-eval checks the best round's whole student: leave out --adapter and --round.")
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    chosen = write(run, to, number, adapter=adapter, dtype=dtype)
    show(f"The {'adapter' if adapter else 'student'} of round {chosen} is in {to}.")
    if lm_eval:
        from tutelage.rounds.lm_eval import write_lm_eval
        from tutelage.rounds.run import open_run

        command = write_lm_eval(open_run(run, lock=False), to / "lm_eval", to)
        show(f"To have lm-evaluation-harness check its accuracy (`pip install 'lm-eval[hf]'`):\n{command}")

"""`tutelage export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.common import RunArgument, show


def export(
    run: RunArgument,
    to: Annotated[Path, typer.Option("--to", help="The folder to write; a new or an empty one.")],
    number: Annotated[
        int | None, typer.Option("--round", min=0, help="Whose student, 0 the untrained one; else the best round's.")
    ] = None,
    adapter: Annotated[bool, typer.Option("--adapter", help="The LoRA adapter by itself, without its base.")] = False,
    dtype: Annotated[str, typer.Option("--dtype", help="float32, bfloat16 or float16.")] = "float32",
) -> None:
    """Write a run's student as a folder that transformers loads anywhere."""
    from transformers.utils import logging

    from tutelage.rounds.export import export as write

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    chosen = write(run, to, number, adapter=adapter, dtype=dtype)
    show(f"The {'adapter' if adapter else 'student'} of round {chosen} is in {to}.")

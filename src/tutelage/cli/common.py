"""What the commands share: arguments, reading a recipe, printing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

RecipeArgument = Annotated[Path, typer.Argument(metavar="RECIPE", help="A TOML file, such as configs/svamp.toml.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
TargetArgument = Annotated[Path, typer.Argument(metavar="RUN|RECIPE", help="A run folder, or a recipe for a new run.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Recipe keys to change, such as study.epochs=3.")
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="RUN", help="The run folder; else runs/ and the recipe's name.")
]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="FOLDER", help="Folder of the data sets' original files; else the hub.")
]
RoundOption = Annotated[
    int | None, typer.Option("--round", min=0, help="Which round; else the first whose stage is not done.")
]


def read(recipe: Path, overrides: list[str], data: Path | None) -> Any:
    """The recipe in a file, with the command line's overrides."""
    from tutelage.recipes import read_recipe

    return read_recipe(recipe, overrides, {"task.data": str(data)} if data is not None else None)


def show(thing: Any) -> None:
    """Prints a text or a table; text is shown as it is, markup included, but for what would steer a terminal."""
    from rich.console import Console

    from tutelage.progress import plain

    text = isinstance(thing, str)
    Console(highlight=False, emoji=False, soft_wrap=text).print(plain(thing) if text else thing, markup=False)


def quiet() -> None:
    """Leaves out the libraries' bars for writing and reading a student, which take a second."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()

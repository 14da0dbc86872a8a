"""A command as several processes, one a GPU: started here by --gpus, or by another launcher."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from tutelage.cli.common import read
from tutelage.errors import RecipeError, TutelageError
from tutelage.progress import plain

Gpus = Annotated[
    int | None, typer.Option("--gpus", min=1, metavar="N", help="Work on N GPUs of this machine, by a process on each.")
]

_GRACE_SECONDS = 5
"""In which a failing process is ended from outside, if what failed in it is only what another one tells already."""


def is_launched() -> bool:
    """Whether this process is one of several. As in `distributed`, without importing torch."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def done_on_ranks(gpus: int | None, target: Path, overrides: list[str] | None, data: Path | None = None) -> bool:
    """Whether this command has run on several GPUs, and is done. target: a recipe, or a run folder, which has one."""
    file = target / "recipe.toml" if target.is_dir() else target
    if gpus is None or not file.is_file():  # the latter is an error, which whoever opens the run tells
        return False
    recipe = read(file, overrides or [], data)
    return started(gpus, recipe.student.device)


def started(gpus: int | None, device: str) -> bool:
    """Runs this very command on several GPUs, if it shall and does not yet; False if it goes on in this process.

    device: the recipe's for the student; "cpu" starts processes without GPUs, to try it.
    Raises: RecipeError if there are not so many GPUs. typer.Exit with the exit code of a process that failed.
    """
    if is_launched():
        if gpus not in (None, int(os.environ["WORLD_SIZE"])):
            raise RecipeError(
                f"--gpus {gpus}, but a launcher has started {os.environ['WORLD_SIZE']} processes: leave out --gpus."
            )
        return False
    if gpus is None or gpus == 1:
        return False
    _check_gpus(gpus, device)
    from tutelage.launch import start

    if (failure := start(gpus, sys.argv[1:], cpu=device == "cpu")) is None:
        return True
    if failure.exit_code > 0:  # it has said why
        raise typer.Exit(failure.exit_code)
    _print(
        f"Error: rank {failure.rank} was killed by signal {-failure.exit_code}, and so the run has ended. (Linux sends "
        "signal 9 where memory runs out.) What was finished is kept; `tutelage resume RUN` goes on from there, on any "
        "number of GPUs."
    )
    raise typer.Exit(128 - failure.exit_code)


def _check_gpus(gpus: int, device: str) -> None:
    if device == "cpu":
        return
    if device not in ("auto", "cuda"):
        raise RecipeError(
            f'--gpus {gpus}, but student.device is "{device}". Take "auto", so that each process has one.'
        )
    import torch

    if (there := torch.cuda.device_count()) < gpus:
        raise RecipeError(
            f"--gpus {gpus}, but torch finds {there} CUDA GPUs here. Take fewer, or try it with processes on the CPU: "
            "student.device=cpu."
        )


def run_rank(app: Callable[[], Any], stopped: str) -> None:
    """A command in one of several processes: rank 0 runs it, the others help. stopped: what Ctrl-C is answered with."""
    from accelerate.utils import parse_flag_from_env

    from tutelage import distributed
    from tutelage.rounds.followers import follow

    try:
        with distributed.joined(cpu=parse_flag_from_env("ACCELERATE_USE_CPU")):
            if distributed.is_leader():
                _lead(app)
            else:
                follow()
    except BaseException as error:
        _leave(error, stopped)


def _lead(app: Callable[[], Any]) -> None:
    from tutelage.rounds.orders import dismiss

    try:
        app()
    except SystemExit as stop:  # typer's way to end
        if stop.code:
            raise
    dismiss()


def _leave(error: BaseException, stopped: str) -> NoReturn:
    """Says once what happened, and ends at once: to take leave of the others would be to wait for them."""
    rank = os.environ["RANK"]
    from tutelage.distributed import is_lost
    from tutelage.launch import started_here

    code = 1
    if isinstance(error, SystemExit) and error.code != 130:
        code = int(error.code or 0)
    elif isinstance(error, KeyboardInterrupt | SystemExit):
        code = 130
        if rank == "0" and not started_here():
            _print(stopped)
    else:
        if rank != "0" or is_lost(error):
            # What fails here mostly fails on rank 0, too, or did so elsewhere before: that is told there.
            time.sleep(_GRACE_SECONDS)
        where = "Error" if rank == "0" else f"Error on rank {rank}"
        if isinstance(error, TutelageError):
            code = 2
            _print(f"{where}: {error}")
        elif is_lost(error):
            _print(f"{where}: the other processes of this run are gone ({error}). `tutelage resume RUN` goes on.")
        else:
            _print(f"{where}:\n{''.join(traceback.format_exception(error))}")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _print(text: str) -> None:
    print(plain(text), file=sys.stderr)  # noqa: T201 - plain: a path in it must not be wrapped or coloured

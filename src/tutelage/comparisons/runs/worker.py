"""The process in which a run of a comparison is played beside others: what it inherits, and what it does."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from tutelage import processes
from tutelage.comparisons.results import RunResult
from tutelage.comparisons.runs.grid import Given, Job
from tutelage.comparisons.runs.play import play
from tutelage.comparisons.settings import ComparisonSettings
from tutelage.config import LocalTeacherSettings, Recipe
from tutelage.errors import TutelageError
from tutelage.progress import say
from tutelage.workspace import disk_errors

_THREADS = ("OMP_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS")
"""Each process would take all processors for its arithmetic, and again for compiling."""
_QUIET = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error"}


def variables_of(place: int, count: int, recipe: Recipe) -> dict[str, str]:
    """The environment of a worker: its share of the processors, and its GPU, unless the recipe names one by number."""
    variables = {**dict.fromkeys(_THREADS, str(processes.share_of_processors(count))), **_QUIET}
    variables = {name: value for name, value in variables.items() if name not in os.environ}
    teachers = (recipe.teacher, recipe.first_teacher)
    devices = [recipe.student.device, *(one.device for one in teachers if isinstance(one, LocalTeacherSettings))]
    gpus = visible_gpus()
    if len(gpus) > 1 and not any(":" in device for device in devices):
        variables["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)]
    return variables


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES calls them."""
    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] if named else [str(number) for number in range(count)]


@contextlib.contextmanager
def inherited(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables of the processes that are started in here: torch reads them when it is imported."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def play_here(
    tell: Connection,
    log: Path,
    settings: ComparisonSettings,
    job: Job,
    given: Given,
    folder: Path,
    reference: RunResult | None,
) -> None:
    """What the process does. tell: takes the error that ends it. log: what it says is appended there."""
    # A terminal sends Ctrl-C to all processes. To a run that waits for paid replies a second one would mean "at once":
    # so a worker hears of it from the crew alone, by SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    processes.end_with_parent()
    try:
        _write_to(log)
        say(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {job.name}")
        play(settings, job, given, folder, reference)
    except TutelageError as error:
        tell.send(error)
        say(f"Error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        say("Stopped.")
        sys.exit(130)


def _write_to(log: Path) -> None:
    """Has all that this process and its libraries print appended to a file."""
    with disk_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        file = io.TextIOWrapper(io.BufferedWriter(_Log(log, "a")), encoding="utf-8", line_buffering=True)
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
    sys.stdout = sys.stderr = file


class _Log(io.FileIO):
    """A disk that is full costs what the run would have said, and not the run, nor the error that tells of the disk."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)

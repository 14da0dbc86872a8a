"""Runs the command line several times, and kills it, as `kill -9` does, when a function is called for the N-th time.

    python tests/killed.py '[{"arguments": ["learn", "recipe.toml"], "kill": ["tutelage.rounds.answering.grade", 10]},
                             {"arguments": ["resume", "run"], "kill": null}]'

Each runs in a fork of this process, which has imported everything: starting anew takes most of a small run's time.
With --gpus each rank is a fork, too. A kill may name the rank it is for, else 0, and then an error to raise instead.
Prints the JSON list of their exit codes, -9 for one that was killed.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tutelage.errors import StudentError

Kill = tuple[str, int] | tuple[str, int, int] | tuple[str, int, int, str]


def run_all(steps: Sequence[tuple[Sequence[str], Kill | None]]) -> tuple[list[int], str]:
    """The exit code of each command, one after the other, and all that they wrote to standard error."""
    told = json.dumps([{"arguments": arguments, "kill": kill} for arguments, kill in steps])
    done = subprocess.run([sys.executable, str(Path(__file__)), told], capture_output=True, text=True, check=False)
    codes: list[int] = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else []
    return codes, done.stderr


def arm(target: str, calls: int, rank: int = 0, error: str | None = None) -> None:
    """Puts a counter around the function; the fatal call never happens. rank: where they are counted."""
    path, name = target.rsplit(".", 1)
    try:
        owner: Any = importlib.import_module(path)
    except ModuleNotFoundError:
        module, attribute = path.rsplit(".", 1)
        owner = getattr(importlib.import_module(module), attribute)
    original = getattr(owner, name)
    left = calls

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        left -= os.environ.get("RANK", "0") == str(rank)
        if left == 0 and error is not None:
            raise StudentError(error)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    setattr(owner, name, counted)


def _run(arguments: Sequence[str], kill: Kill | None) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if kill is not None:
                arm(*kill)
            sys.argv = ["tutelage", *arguments]
            from tutelage.cli import main

            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    modules = ("cli", "rounds", "rounds.followers", "report.terminal", "launch")
    for module in (*(f"tutelage.{name}" for name in modules), "transformers.models.llama"):
        importlib.import_module(module)
    vars(importlib.import_module("tutelage.processes"))["METHOD"] = "fork"
    found = [_run(one["arguments"], one["kill"]) for one in json.loads(sys.argv[1])]
    print(json.dumps(found))  # noqa: T201

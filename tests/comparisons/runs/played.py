"""Makes comparisons one after the other, with several runs at a time, and may kill one's process on the way.

    python tests/comparisons/runs/played.py '[{"file": "methods.toml", "folder": "out", "jobs": 2, "arm": null}]'

Each is made in a fork of this process, and so is each of its runs: what takes most of the time of a small one is to
import everything anew. `arm` is what `tests.killed.arm` takes; it holds in the forks, too.
Prints the JSON list of their exit codes, -9 for one that was killed.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Step(NamedTuple):
    """A comparison to make. interrupt: once a file has so many lines, Ctrl-C is pressed, as in a terminal."""

    file: Path
    folder: Path
    jobs: int = 2
    arm: tuple[str | int, ...] | None = None
    interrupt: tuple[Path, int] | None = None


def run_all(*steps: Step) -> tuple[list[int], str]:
    """The exit code of each, and all that they wrote to standard error."""
    told = json.dumps([step._asdict() for step in steps], default=str)
    command = [sys.executable, str(Path(__file__)), told]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    codes: list[int] = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else []
    return codes, done.stderr


def _run(step: dict[str, Any]) -> int:
    _wait_for_orphans(Path(step["folder"]))
    child = os.fork()
    if child == 0:
        code = 1
        os.setsid()
        try:
            code = _compare(Path(step["file"]), Path(step["folder"]), step["jobs"], step["arm"])
        finally:
            sys.stderr.flush()
            os._exit(code)
    if step["interrupt"] is not None:
        file, lines = Path(step["interrupt"][0]), step["interrupt"][1]
        while not file.is_file() or len(file.read_text().splitlines()) < lines:
            time.sleep(0.01)
        os.killpg(child, signal.SIGINT)  # all processes, those of the runs as well
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _wait_for_orphans(folder: Path) -> None:
    """Runs whose command was killed end at once; on a machine that is busy that takes a moment."""
    from tutelage.locks import LOCK, is_held

    for _ in range(100):
        if not any(is_held(lock.parent) for lock in folder.glob(f"runs/*/*/{LOCK}")):
            return
        time.sleep(0.05)


def _compare(file: Path, folder: Path, jobs: int, armed: Sequence[Any] | None) -> int:
    from tests.killed import arm
    from tutelage.comparisons.analyses import ANALYSES
    from tutelage.comparisons.compare import compare
    from tutelage.comparisons.settings import read_comparison
    from tutelage.errors import TutelageError

    if armed is not None:
        arm(*armed)
    try:
        compare(read_comparison(file, list(ANALYSES)), file, folder, jobs=jobs)
    except TutelageError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))
    for module in ("tutelage.comparisons.compare", "transformers.models.llama", "scipy.stats"):
        importlib.import_module(module)
    gc.freeze()  # else collecting garbage is a third of all that the runs do
    vars(importlib.import_module("tutelage.processes"))["METHOD"] = "fork"
    found = [_run(step) for step in json.loads(sys.argv[1])]
    print(json.dumps(found))  # noqa: T201

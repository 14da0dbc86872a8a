"""Kills the feedback stage of many copies of a run at random instants, resumes them, and says what came of each.

    python tests/rounds/kill_feedback.py TEMPLATE FOLDER COUNT SEED

TEMPLATE is a run whose exam is done. A copy asks for a model of its own, so that none shares replies with another. One
process imports everything and forks: each copy is killed in a child, by SIGKILL, and finished in another one.
Prints a JSON list of {"killed": whether the kill came before the end, "copy": folder}; the first copy is left alone.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import torch

from tutelage.rounds import feedback, lesson
from tutelage.rounds.run import open_run


def copied(template: Path, folder: Path, number: int) -> Path:
    copy = folder / str(number)
    shutil.copytree(template, copy)
    recipe = copy / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('model = "m"', f'model = "m{number}"'))
    return copy


def begun(copy: Path) -> int:
    """Starts both stages in a child."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            run = open_run(copy)
            feedback(run, 1)
            lesson(run, 1)
            code = 0
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(template: Path, folder: Path, count: int, seed: int) -> None:
    torch.set_num_threads(1)  # no threads before a fork
    draw = random.Random(seed)
    began = time.monotonic()
    whole = copied(template, folder, 0)
    assert ended(begun(whole)) == 0
    seconds = time.monotonic() - began
    told = [{"killed": False, "copy": str(whole)}]
    for number in range(1, count + 1):
        copy = copied(template, folder, number)
        child = begun(copy)
        time.sleep(draw.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        killed = ended(child) == -signal.SIGKILL
        assert ended(begun(copy)) == 0
        told.append({"killed": killed, "copy": str(copy)})
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))

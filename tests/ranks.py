"""Runs a function in several processes at a time, which talk as the ranks of a run do, on the CPU.

    python tests/ranks.py '[{"work": "tests.student.ranks.ranked.train", "ranks": 2, "named": {"steps": 3}}]'

Each rank is a fork of this process, which has imported everything: starting anew takes most of a small test's time.
Prints a JSON list: of each job what every rank gave, by rank, or "error: …" where it raised.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Job(NamedTuple):
    """Work for so many ranks. work: a function's dotted name; it takes what is named, and gives what JSON can hold."""

    work: str
    ranks: int
    named: Mapping[str, Any]


def run_all(jobs: Sequence[Job]) -> list[list[Any]]:
    """Of each job what every rank gave, one job after the other."""
    told = json.dumps([job._asdict() for job in jobs])
    done = subprocess.run([sys.executable, str(Path(__file__)), told], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"exit code {done.returncode}\n{done.stderr}")
    found: list[list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _run(job: Job) -> list[Any]:
    from tutelage.launch import free_port, rank_variables

    port = free_port()
    children, pipes = [], []
    for rank in range(job.ranks):
        there, here = os.pipe()
        child = os.fork()
        if child == 0:
            os.environ |= rank_variables(rank, job.ranks, port)
            _work(job, here)
        os.close(here)
        children.append(child)
        pipes.append(there)
    told = []
    for there in pipes:
        with os.fdopen(there, "rb") as pipe:
            told.append(pipe.read())
    for child in children:
        os.waitpid(child, 0)
    return [json.loads(text) if text else "error: the process died" for text in told]


def _work(job: Job, here: int) -> None:
    """In a child, which it ends."""
    from tutelage import distributed

    try:
        path, name = job.work.rsplit(".", 1)
        with distributed.joined(cpu=True):
            result = getattr(importlib.import_module(path), name)(**job.named)
            told = json.dumps(result)
            distributed.barrier()
    except BaseException as error:
        traceback.print_exc()
        told = json.dumps(f"error: {type(error).__name__}: {error}")
    with os.fdopen(here, "wb") as pipe:
        pipe.write(told.encode())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    jobs = [Job(**one) for one in json.loads(sys.argv[1])]
    for path in ("tutelage.student.training.loop", *(job.work.rsplit(".", 1)[0] for job in jobs)):
        importlib.import_module(path)
    results = [_run(job) for job in jobs]
    print(json.dumps(results))  # noqa: T201

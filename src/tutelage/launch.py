"""Starts a command as several processes of this machine, and ends them all if one of them fails."""

from __future__ import annotations

import multiprocessing.connection
import os
import socket
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from torch.multiprocessing.spawn import start_processes

from tutelage import processes

_LEAVE_SECONDS = 3
"""For the others to end by themselves once one has failed, or Ctrl-C was pressed."""


class Failure(NamedTuple):
    """The rank that ended the run. exit_code: minus the signal that killed it; else the rank has said what happened."""

    rank: int
    exit_code: int


def start(count: int, arguments: Sequence[str], cpu: bool) -> Failure | None:
    """Runs `tutelage` with these arguments as so many ranks, and waits. cpu: they shall not use the GPUs.

    Raises: KeyboardInterrupt on Ctrl-C, when all have ended.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(processes.share_of_processors(count)))
    port = free_port()
    told = (count, port, tuple(arguments), cpu)
    context: Any = start_processes(_rank, told, count, join=False, start_method=processes.METHOD)
    ranks: list[BaseProcess] = context.processes
    try:
        return _first_failure(ranks)
    except KeyboardInterrupt:
        for rank in ranks:
            rank.join(_LEAVE_SECONDS)
        raise
    finally:
        _end(ranks)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def rank_variables(number: int, count: int, port: int) -> dict[str, str]:
    """What every launcher says to rank `number` of `count` on one machine, by environment variables."""
    return {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def started_here() -> bool:
    """Whether this process is one that `start` started."""
    return multiprocessing.parent_process() is not None


def _rank(number: int, count: int, port: int, arguments: Sequence[str], cpu: bool) -> None:
    """What each process runs: the command line, under the environment variables that every launcher sets."""
    processes.end_with_parent()
    os.environ |= rank_variables(number, count, port)
    if cpu:
        os.environ["ACCELERATE_USE_CPU"] = "true"
    sys.argv = ["tutelage", *arguments]
    from tutelage.cli import main

    main()


def _first_failure(processes: Sequence[BaseProcess]) -> Failure | None:
    """Waits until a process fails, or all are done."""
    running = dict(enumerate(processes))
    while running:
        multiprocessing.connection.wait([process.sentinel for process in running.values()])
        ended = {number: process for number, process in running.items() if not process.is_alive()}
        # Several may have ended meanwhile: the one that was killed is then why the others failed.
        failures = [Failure(number, process.exitcode) for number, process in ended.items() if process.exitcode]
        if failures:
            return min(failures, key=lambda failure: failure.exit_code)
        for number in ended:
            del running[number]
    return None


def _end(processes: Sequence[BaseProcess]) -> None:
    """Whatever is left: nothing is lost, since a run can be killed at any time."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(_LEAVE_SECONDS)
        process.kill()
        process.join()

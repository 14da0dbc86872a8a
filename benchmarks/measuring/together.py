"""One measurement in several processes at a time, the ranks of a study, each on a device of its own."""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from measuring.processes import end, first_line
from tutelage import distributed
from tutelage.launch import free_port, rank_variables

Job = TypeVar("Job")
Work = Callable[[Job], dict[str, Any]]


def run_together(
    name: str, work: Work[Job], job: Job, ranks: int, on_cpu: bool, limit_seconds: float
) -> dict[str, Any]:
    """What `work(job)` gives on each rank, {"ranks": [...]}, or {"error": why} if one fails, dies or takes too long.

    work, job: picklable, so a function of a module and a dataclass.
    """
    # Anew on a GPU: a process that has touched CUDA must not be forked. Forked, one is there in no time.
    context: Any = multiprocessing.get_context("forkserver" if on_cpu else "spawn")
    context.set_forkserver_preload(["tutelage.student.training.loop", "measuring.models"])
    port = free_port()
    processes, receivers = [], []
    began = time.monotonic()
    for rank in range(ranks):
        receiver, sender = context.Pipe(duplex=False)
        told = rank_variables(rank, ranks, port)
        processes.append(context.Process(target=_child, args=(sender, work, job, told, on_cpu)))
        processes[-1].start()
        sender.close()
        receivers.append(receiver)
    result = _collect(receivers, began + limit_seconds)
    for process in processes:
        end(process, patience=5.0 if "ranks" in result else 0.0)
    seconds = round(time.monotonic() - began, 2)
    print(f"  {name}: {result.get('error', 'done')} ({seconds:.0f} s)", flush=True)
    return {**result, "process_seconds": seconds}


def _collect(receivers: list[Connection], deadline: float) -> dict[str, Any]:
    results: dict[int, dict[str, Any]] = {}
    while len(results) < len(receivers):
        waiting = [one for rank, one in enumerate(receivers) if rank not in results]
        ready = wait(waiting, max(0.0, deadline - time.monotonic()))
        if not ready:
            return {"error": "nothing within the limit of time"}
        for receiver in ready:
            assert isinstance(receiver, Connection)  # noqa: S101 - for the type checker
            rank = receivers.index(receiver)
            try:
                results[rank] = receiver.recv()
            except EOFError:
                return {"error": f"rank {rank} died"}
            if "error" in results[rank]:
                return {"error": f"rank {rank}: {results[rank]['error']}"}
    return {"ranks": [results[rank] for rank in sorted(results)]}


def _child(sender: Connection, work: Work[Job], job: Job, variables: Mapping[str, str], on_cpu: bool) -> None:
    os.environ.update(variables)
    try:
        with distributed.joined(cpu=on_cpu):
            result = work(job)
            distributed.barrier()  # none leaves while another still talks to it
    except BaseException as error:
        traceback.print_exc()
        result = {"error": f"{type(error).__name__}: {first_line(error)}"}
    sender.send(result)
    sender.close()

"""Several processes that work on one run, one a GPU: who is who, and how they talk.

Rank 0 leads: it alone writes the run folder and speaks to the teacher. Processes are started by `tutelage … --gpus N`,
`accelerate launch`, torchrun or Slurm, which all say who is who by the same environment variables. Without them, and
in a process that has not joined, a rank is alone and everything here does nothing.

What is told travels as JSON, and through host memory: a rank may wait for hours, which NCCL would take for a fault.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from accelerate import PartialState

from tutelage.processes import share_of_processors

PATIENCE = timedelta(days=30)
"""How long a rank waits for the others. If one dies, whoever started them ends the rest."""


def is_lost(error: BaseException) -> bool:
    """Whether an error says that another rank cannot be reached. Gloo has no error of its own for it."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def is_launched() -> bool:
    """Whether a launcher started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


@contextlib.contextmanager
def joined(cpu: bool = False) -> Iterator[None]:
    """This process as one of those that were launched together, if it was. cpu: without their GPUs."""
    if not is_launched():
        yield
        return
    cpu = cpu or not torch.cuda.is_available()
    if "OMP_NUM_THREADS" not in os.environ:
        # Each would take all cores, and threads that wait for each other by spinning would hold up those of the others.
        torch.set_num_threads(share_of_processors(_local_world_size()))
    # It would leave the group to DeepSpeed, which knows one backend only, and joins this one later (ranks/zero.py).
    with _unset("ACCELERATE_USE_DEEPSPEED"):
        PartialState(cpu=cpu, backend="gloo" if cpu else "cpu:gloo,cuda:nccl", timeout=PATIENCE)
    try:
        yield
    finally:
        # Not after an error: the others may be amid an exchange, and to take leave of them would wait for it.
        PartialState._reset_state()
    dist.destroy_process_group()


@contextlib.contextmanager
def _unset(variable: str) -> Iterator[None]:
    value = os.environ.pop(variable, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[variable] = value


def _local_world_size() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1")))


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """Its number among those on the same machine."""
    return int(os.environ.get("LOCAL_RANK", "0")) if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_leader() -> bool:
    """Whether it is this process that writes and asks."""
    return rank() == 0


def barrier() -> None:
    """Waits until all ranks have come here."""
    gather(None)


def broadcast(value: Any = None) -> Any:
    """The leader's value on every rank; what other ranks give is ignored. value: what JSON can hold."""
    return gather(value if is_leader() else None)[0]


def gather(value: Any) -> list[Any]:
    """Every rank's value, by rank, on every rank. value: what JSON can hold."""
    if world_size() == 1:
        return [json.loads(json.dumps(value))]
    own_X = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(world_size())]
    dist.all_gather(sizes, torch.tensor([len(own_X)]))
    longest = max(int(size) for size in sizes)
    padded = torch.zeros(longest, dtype=torch.uint8)
    padded[: len(own_X)] = own_X
    texts = [torch.zeros(longest, dtype=torch.uint8) for _ in sizes]
    dist.all_gather(texts, padded)
    return [json.loads(text[: int(size)].numpy().tobytes()) for text, size in zip(texts, sizes, strict=True)]


class Claims:
    """Numbers from 0 up, each given to one rank only: so that work goes to whoever is free. And sums over ranks.

    All ranks make it at the same time, and keep it until they have met again: the others ask the leader's.
    """

    def __init__(self) -> None:
        self._alone: dict[str, int] = defaultdict(int)
        self._store: Any = None
        if world_size() > 1:
            host = os.environ.get("MASTER_ADDR", "localhost")
            store: Any = dist.TCPStore  # type: ignore[attr-defined]
            if is_leader():
                self._store = store(host, 0, is_master=True, wait_for_workers=False, timeout=PATIENCE)
            port = broadcast(self._store.port if self._store else None)
            if self._store is None:
                self._store = store(host, port, is_master=False, timeout=PATIENCE)

    def next(self) -> int:
        """The next number that no rank has had."""
        return self.add("claims", 1) - 1

    def add(self, name: str, number: int) -> int:
        """Adds to what all ranks together have added under a name; the sum. It starts at 0."""
        if self._store is not None:
            return int(self._store.add(name, number))
        self._alone[name] += number
        return self._alone[name]


SOON = timedelta(minutes=5)
"""How long a rank waits where all come at about the same time, unless one of them is stuck."""


def gather_soon(value: Any) -> list[Any]:
    """As `gather`, where all ranks are about to come. Raises: RuntimeError if they do not within five minutes."""
    if world_size() > 1:
        group = dist.new_group(backend="gloo", timeout=SOON)
        dist.monitored_barrier(group, SOON)
        dist.destroy_process_group(group)
    return gather(value)

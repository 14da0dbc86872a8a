"""Each variant in a process of its own: its peak of memory is its own, and a crash loses nothing but it."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any, TypeVar

Job = TypeVar("Job")
Work = Callable[[Job], dict[str, Any]]
"""Does a job in the child; the result must be plain data."""

# Imported once and forked from there: a child then starts in no time instead of ten seconds. None of these touches
# CUDA when it is imported, which a process must not have done before it forks.
_PRELOAD = (
    "torch",
    "transformers.models.llama.modeling_llama",
    "transformers.generation.utils",
    "tutelage.student.training.loop",
    "trl.trainer.sft_trainer",
)


def run_apart(name: str, work: Work[Job], job: Job, limit_seconds: float) -> dict[str, Any]:
    """The result of `work(job)` in a new process, or {"error": why} if it fails, dies or takes too long.

    work, job: picklable, so a function of a module and a dataclass.
    """
    result = _run(name, work, job, limit_seconds, "forkserver")
    if "CUDA" in result.get("error", "") and "initializ" in result["error"]:
        # A library did touch CUDA: start from nothing, then, which takes ten seconds longer.
        result = _run(name, work, job, limit_seconds, "spawn")
    line = f"FAILED: {result['error']}" if "error" in result else "done"
    print(f"  {name}: {line} ({result['process_seconds']:.0f} s)", flush=True)
    return result


def _run(name: str, work: Work[Job], job: Job, limit_seconds: float, method: str) -> dict[str, Any]:
    context: Any = multiprocessing.get_context(method)
    context.set_forkserver_preload([module for module in _PRELOAD if _is_there(module)])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, work, job), name=name)
    began = time.monotonic()
    process.start()
    sender.close()
    try:
        result: dict[str, Any] = (
            receiver.recv() if receiver.poll(limit_seconds) else {"error": f"nothing within {limit_seconds:.0f} s"}
        )
    except EOFError:
        process.join(10)
        result = {"error": f"the process died (exit code {process.exitcode})"}
    end(process)
    result["process_seconds"] = round(time.monotonic() - began, 2)
    return result


def _is_there(module: str) -> bool:
    with contextlib.suppress(ImportError):
        return find_spec(module.partition(".")[0]) is not None
    return False


def _child(sender: Connection, work: Work[Job], job: Job) -> None:
    try:
        result = work(job)
    except BaseException as error:
        traceback.print_exc()
        result = {"error": f"{type(error).__name__}: {first_line(error)}"}
    sender.send(result)
    sender.close()


def first_line(error: BaseException) -> str:
    """What an error says, in a line."""
    return (str(error).strip().splitlines() or [""])[0][:300]


def end(process: multiprocessing.process.BaseProcess, patience: float = 5) -> None:
    """Waits so many seconds for a process to end, and kills it then."""
    process.join(patience)  # a library's background thread could keep it for good
    if process.is_alive():
        process.kill()
        process.join()


def is_out_of_memory(result: dict[str, Any]) -> bool:
    """Whether a variant failed for want of memory."""
    error = str(result.get("error", ""))
    # Linux kills a process that takes more memory than there is.
    return "out of memory" in error.lower() or "OutOfMemory" in error or "exit code -9" in error

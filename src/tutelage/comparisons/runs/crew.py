"""Several runs of a comparison at a time, each in a process of its own.

    COMPARISON/jobs/ROW-seed-1.log      what a run's process says; with several columns ROW-COLUMN-seed-1.log

A small student leaves most of a GPU idle: runs share it, or are spread over those that are visible.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tutelage import processes
from tutelage.comparisons.results import RunResult
from tutelage.comparisons.runs.grid import Given, Job, recipe_of, reference_of
from tutelage.comparisons.runs.worker import inherited, play_here, variables_of
from tutelage.comparisons.settings import ComparisonSettings
from tutelage.errors import TutelageError
from tutelage.progress import duration, say
from tutelage.rounds.status import read_status
from tutelage.workspace import Workspace

TELL_SECONDS = 30.0
"""Between two lines about how far the runs are."""


@dataclass(frozen=True, slots=True)
class _Worker:
    """A process that plays a run. place: from 0 up, of those at work. told: brings the error that it ended with."""

    job: Job
    place: int
    process: BaseProcess
    told: Connection
    began: float


@dataclass
class Crew:
    """Plays the runs of a comparison, up to `count` at a time; what each came to is added to `results`."""

    settings: ComparisonSettings
    given: Given
    folder: Path
    count: int
    results: dict[Job, RunResult]
    _waiting: list[Job] = field(default_factory=list, init=False)
    _running: list[_Worker] = field(default_factory=list, init=False)
    _failure: TutelageError | None = field(default=None, init=False)

    def play(self, jobs: Sequence[Job]) -> None:
        """Plays all of these, in about their order.

        Raises: TutelageError, the first one of a run that failed, when those that ran beside it are at their ends;
        KeyboardInterrupt on Ctrl-C or SIGTERM, when all have ended as a run does on Ctrl-C.
        """
        self._waiting = list(jobs)
        self.count = max(1, min(self.count, len(jobs)))
        if jobs:
            logs = self.folder / "jobs"
            say(f"{self.settings.title}: runs are made {self.count} at a time, and write what they say to {logs}")
        with _sigterm_is_ctrl_c():
            try:
                self._play_all()
            except BaseException:
                self._stop()
                raise
        if self._failure is not None:
            raise self._failure

    def _play_all(self) -> None:
        last_told = time.monotonic()
        while True:
            while len(self._running) < self.count and (job := self._next()) is not None:
                self._begin(job)
            if not self._running:
                return
            left = last_told + TELL_SECONDS - time.monotonic()
            # A process that ends closes its pipe, whether it has told of an error or not; unless one that it has left
            # behind, such as a library's, holds it open.
            ended = wait([worker.told for worker in self._running], max(0.0, left))
            for worker in list(self._running):
                if worker.told in ended or not worker.process.is_alive():
                    self._end(worker)
            if time.monotonic() - last_told >= TELL_SECONDS:
                last_told = time.monotonic()
                if self._running:
                    say("; ".join(map(_how_far, self._running)))

    def _next(self) -> Job | None:
        """The next run that can begin, taken out of those that wait; none once a run has failed.

        Runs of a column and a seed have the most in common, and those at work would wait for one another's stages: so
        the first one is taken of whichever column and seed has the fewest at work.
        """
        reference = self.settings.reference_row() if self.settings.fair else None
        ready = [
            job
            for job in self._waiting
            if reference in (None, job.row) or reference_of(self.settings, job, self.results) is not None
        ]
        if not ready or self._failure is not None:
            return None
        at_work = Counter((worker.job.column, worker.job.seed) for worker in self._running)
        found = min(ready, key=lambda job: at_work[job.column, job.seed])
        self._waiting.remove(found)
        return found

    def _begin(self, job: Job) -> None:
        told, tell = multiprocessing.Pipe(duplex=False)
        reference = reference_of(self.settings, job, self.results)
        work = (tell, self._log(job), self.settings, job, self.given, self.folder, reference)
        context: Any = multiprocessing.get_context(processes.METHOD)
        place = min(set(range(self.count)) - {worker.place for worker in self._running})
        worker = _Worker(job, place, context.Process(target=play_here, args=work), told, time.monotonic())
        self._running.append(worker)
        self._note("begin", job)
        recipe = recipe_of(self.settings, job, self.given, self.folder, reference)
        with inherited(variables_of(place, self.count, recipe)), processes.deaf_to_ctrl_c():
            worker.process.start()
        tell.close()  # the worker's alone now, so that its end is seen
        say(f"{self.settings.title}: {job.name} has begun")

    def _end(self, worker: _Worker) -> None:
        error: TutelageError | None = None
        with contextlib.suppress(EOFError, OSError):  # it was killed, or had none to tell of
            error = worker.told.recv() if worker.told.poll() else None
        worker.process.join()
        worker.told.close()
        self._running.remove(worker)
        job, after = worker.job, f"after {duration(time.monotonic() - worker.began)}"
        if worker.process.exitcode:
            self._failure = self._failure or error or self._crash(worker)
            say(f"{self.settings.title}: {job.name} failed {after}")
            if self._running:
                say(f"No further run begins; the {len(self._running)} at work go on to their ends.")
            return
        self._note("end", job)
        self.results[job] = job.result()
        say(f"{self.settings.title}: {job.name} has ended {after}")

    def _crash(self, worker: _Worker) -> TutelageError:
        code = worker.process.exitcode or 0
        how = f"ended with the exit code {code}" if code > 0 else f"was killed by signal {-code}"
        memory = " (Linux sends signal 9 where memory runs out: fewer --jobs need less.)" if code == -9 else ""
        return TutelageError(
            f"The process of {worker.job.name} {how}; what it said last is in {self._log(worker.job)}.{memory} "
            "What was finished is kept, and the same command goes on."
        )

    def _stop(self, told: bool = False) -> None:
        """Ends all as Ctrl-C ends a run, which may wait for replies that are paid; another Ctrl-C hurries them."""
        try:
            alive = [worker.process for worker in self._running if worker.process.is_alive()]
            if alive and not told:
                say("Stopping; what is finished is kept. Paid replies under way are waited for; Ctrl-C again does not.")
            for process in alive:
                process.terminate()
            for process in alive:
                process.join()
        except KeyboardInterrupt:
            self._stop(told=True)

    def _note(self, event: str, job: Job) -> None:
        Workspace(self.folder).note(event, row=job.row.name, column=job.column.name, seed=job.seed)

    def _log(self, job: Job) -> Path:
        parts = job.folder.relative_to(self.folder / "runs").parts
        return self.folder / "jobs" / f"{'-'.join(parts)}.log"


def _how_far(worker: _Worker) -> str:
    status = read_status(worker.job.folder / "status.json")
    if status is None or status.pid != worker.process.pid:
        return f"{worker.job.name}: starting"
    where = f"{worker.job.name}: round {status.round}, {status.stage}"
    if status.state != "running":
        return f"{where} done"
    far = "" if status.total is None else f" {status.done} of {status.total} {status.unit}"
    left = "" if status.seconds_left is None else f", {duration(status.seconds_left)} left"
    return f"{where}{far}{left}"


@contextlib.contextmanager
def _sigterm_is_ctrl_c() -> Iterator[None]:
    """Has SIGTERM raise KeyboardInterrupt in here. A thread beside the main one cannot have it so, and goes without."""
    try:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

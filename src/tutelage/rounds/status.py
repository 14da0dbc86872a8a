"""What a run in progress says of itself in RUN/status.json, for whoever watches from another process.

A thread of its own writes it, about once a second: the work never waits for the disk, and a long step that tells
nothing is told apart from a process that is gone. A disk that cannot be written costs the file and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tutelage.progress import Work, told_to
from tutelage.workspace import replace_soon

State = Literal["running", "done", "finished", "stopped", "failed"]
"""Of a process: a stage is running; it is done, and the next one has not begun; the run has finished; it was stopped
by Ctrl-C; it failed with an error."""

SECONDS = 1.0
"""Between two times that the file is written while the work goes on."""
HEARTBEAT_SECONDS = 10.0
"""The same while nothing moves."""
_MOMENTS = 32
_LONGEST_ERROR = 400


@dataclass(frozen=True, slots=True)
class Status:
    """What status.json holds. round, stage: the last one begun, with its `started`.

    done, total: in `unit`s; None where the stage counts none. rate: units a second over the last half minute or more.
    seconds_left: of the stage, at this rate. error: why it failed, in a line. written, started: ISO 8601, UTC.
    """

    state: State
    round: int
    stage: str
    done: int | None
    total: int | None
    unit: str | None
    note: str | None
    rate: float | None
    seconds_left: float | None
    started: str
    error: str | None
    pid: int
    host: str
    written: str


def read_status(path: Path) -> Status | None:
    """What a run says of itself; None if it does not, or not so that it can be read."""
    try:
        return Status(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


class StatusFile:
    """Writes the status of one run. Only the process that holds the run's lock, and leads, may use it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin(0, "start")

    def _begin(self, number: int, stage: str) -> None:
        self._round, self._stage, self._started = number, stage, _now()
        self._state: State = "running"
        self._work: Work | None = None
        self._moved = 0.0
        self._moments: deque[tuple[float, int]] = deque(maxlen=_MOMENTS)
        self._ended = threading.Event()

    @contextlib.contextmanager
    def during(self, number: int, stage: str) -> Iterator[None]:
        """Says how far a stage is while it is done in here, by its bars; then that it is done, stopped or failed."""
        self._begin(number, stage)
        writer = threading.Thread(target=self._write_now_and_then, name="status", daemon=True)
        with contextlib.suppress(RuntimeError):  # no more threads here: then it is written at the end alone
            writer.start()
        error: BaseException | None = None
        try:
            with told_to(self._tell):
                yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._ended.set()
            if writer.ident is not None:
                writer.join()  # or it would write after the end that it is running
            self.end("done", error)

    def end(self, state: State = "finished", error: BaseException | None = None) -> None:
        """Says that the stage or the run is over. error: what ended it instead."""
        if error is not None:
            state = "failed" if isinstance(error, Exception) else "stopped"
        self._state = state
        self._write(_one_line(error) if error is not None and state == "failed" else None)

    def _tell(self, work: Work) -> None:
        now = time.monotonic()
        if self._work is None or work.total != self._work.total or work.unit != self._work.unit:
            self._moments.clear()  # another bar of the same stage
        self._moved = now  # before the moments, which the writer's thread reads with it
        if not self._moments or now - self._moments[-1][0] >= SECONDS:
            self._moments.append((now, work.done))
        self._work = work

    def _write_now_and_then(self) -> None:
        ended = self._ended
        written: Work | None = None
        last = -HEARTBEAT_SECONDS
        while True:
            if self._work is not written or time.monotonic() - last >= HEARTBEAT_SECONDS:
                written, last = self._work, time.monotonic()
                self._write()
            if ended.wait(SECONDS):
                return

    def _write(self, error: str | None = None) -> None:
        with contextlib.suppress(OSError):
            replace_soon(self._path, json.dumps(asdict(self._status(error)), indent=1) + "\n")

    def _status(self, error: str | None) -> Status:
        work = self._work
        rate = self._rate()
        left = None if work is None or not rate else round((work.total - work.done) / rate, 1)
        return Status(
            state=self._state,
            round=self._round,
            stage=self._stage,
            done=None if work is None else work.done,
            total=None if work is None else work.total,
            unit=None if work is None else work.unit,
            note=None if work is None else work.note or None,
            rate=None if rate is None else round(rate, 4),
            seconds_left=left if self._state == "running" else None,
            started=self._started,
            error=error,
            pid=os.getpid(),
            host=socket.gethostname(),
            written=_now(),
        )

    def _rate(self) -> float | None:
        moments, work, moved = tuple(self._moments), self._work, self._moved
        if len(moments) < 2 or work is None or work.done < moments[0][1]:  # another bar has just begun
            return None
        begun, before = moments[0]
        return (work.done - before) / (moved - begun)  # what came in a burst has no moment of its own


def _one_line(error: BaseException) -> str:
    line = " ".join(str(error).split()) or type(error).__name__
    return line if len(line) <= _LONGEST_ERROR else f"{line[:_LONGEST_ERROR]} ..."


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

"""Runs the command line as it is, but that no stage ends before a file FOLDER/ROUND-STAGE is there.

python tests/report/held.py FOLDER learn recipe.toml --out run
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tutelage.cli import main
from tutelage.rounds import status
from tutelage.rounds.status import StatusFile

_during = StatusFile.during


@contextlib.contextmanager
def _held(file: StatusFile, number: int, stage: str) -> Iterator[None]:
    with _during(file, number, stage):
        yield
        while not (FOLDER / f"{number}-{stage}").exists():
            time.sleep(0.01)


if __name__ == "__main__":
    FOLDER = Path(sys.argv[1])
    vars(status)["SECONDS"] = 0.05
    StatusFile.during = _held  # type: ignore[method-assign, assignment]
    sys.argv[1:] = sys.argv[2:]
    main()

"""Runs the command line and kills it, as `kill -9` does, when a function is called for the N-th time.

python tests/killed.py tutelage.rounds.answering.grade 10 learn recipe.toml --out run
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Any


def arm(target: str, calls: int) -> None:
    """Puts a counter around the function; the fatal call never happens."""
    path, name = target.rsplit(".", 1)
    try:
        owner: Any = importlib.import_module(path)
    except ModuleNotFoundError:
        module, attribute = path.rsplit(".", 1)
        owner = getattr(importlib.import_module(module), attribute)
    original = getattr(owner, name)
    left = calls

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    setattr(owner, name, counted)


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]))
    sys.argv = ["tutelage", *sys.argv[3:]]
    from tutelage.cli import main

    main()

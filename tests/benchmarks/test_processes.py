"""A variant in a process of its own: what it gives, and what becomes of it when it fails."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from measuring.processes import is_out_of_memory, run_apart


def twice(number: int) -> dict[str, Any]:
    return {"twice": 2 * number, "process": os.getpid()}


def fail(number: int) -> dict[str, Any]:
    raise RuntimeError(f"CUDA out of memory. Tried to allocate {number} GiB")


def die(number: int) -> dict[str, Any]:
    os._exit(number)


def sleep(seconds: int) -> dict[str, Any]:
    time.sleep(seconds)
    return {}


def test_it_gives_its_result_from_another_process() -> None:
    result = run_apart("twice", twice, 4, 60)
    assert result["twice"] == 8
    assert result["process"] != os.getpid()


def test_an_error_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_apart("fail", fail, 3, 60)
    assert "Tried to allocate 3 GiB" in result["error"]
    assert is_out_of_memory(result)
    assert "fail: FAILED" in capsys.readouterr().out


def test_a_death_is_told() -> None:
    result = run_apart("die", die, 7, 60)
    assert "exit code 7" in result["error"]
    assert not is_out_of_memory(result)


def test_a_limit_of_time_holds() -> None:
    began = time.monotonic()
    assert "nothing within" in run_apart("sleep", sleep, 60, 1)["error"]
    assert time.monotonic() - began < 20

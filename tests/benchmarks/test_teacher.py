"""benchmarks/teacher.py, run on a few requests."""

from __future__ import annotations

import importlib
import importlib.util
import json

import pytest

pytest.importorskip("openai")
pytest.importorskip("httpx")
teacher = importlib.import_module("teacher")


def test_ours_against_bare_loops(capsys: pytest.CaptureFixture[str]) -> None:
    teacher.main(["--requests", "30", "--concurrency", "5", "--replies", "2", "--rounds", "1", "--json"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(result["requests_per_second"]) == set(teacher.WAYS)
    assert all(speed > 0 for speed in result["requests_per_second"].values())
    assert all(result[name] > 0 for name in ("share_of_bare_aiohttp", "share_of_bare_httpx", "speedup_vs_openai"))


def test_ratios_of_medians() -> None:
    found = teacher.ratios({"ours": [60.0, 1.0, 70.0], "aiohttp": [100.0, 90.0, 900.0], "openai": [20.0, 20.0, 20.0]})
    assert (found["share_of_bare_aiohttp"], found["speedup_vs_openai"]) == (0.6, 3.0)
    assert found["share_of_bare_httpx"] is None


def test_requests_are_as_a_round_makes_them() -> None:
    first, second = teacher.make_requests(2, 4)
    assert first.prompt[:-1] == second.prompt[:-1]
    assert "Wrong Solution:" in first.prompt[-1].content
    assert 1000 < sum(len(message.content) for message in first.prompt) < 8000

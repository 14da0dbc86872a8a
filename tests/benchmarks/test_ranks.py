"""benchmarks/ranks.py, run on a tiny student in two processes."""

from __future__ import annotations

import json
from typing import Any

import pytest

import ranks


@pytest.mark.slow
def test_one_rank_against_two(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--device", "cpu", "--model", "tiny", "--batch", "2", "--demonstrations", "8", "--warmup", "1"]
    ranks.main([*small, "--steps", "2", "--sharding", "full", "--scaling", "strong", "--json"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(case["ranks"], case["sharding"]) for case in result["cases"]] == [(1, "none"), (2, "full")]
    one, two = result["cases"]
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-5)  # the same steps, whoever takes them
    assert two["own"] == [1, 1]
    assert result["speedup_of_ranks"] == two["speedup_of_ranks"] > 0
    assert len(two["memory_gib"]) == 2


def test_what_is_measured() -> None:
    arguments = ranks.parse(["--ranks", "1,2", "--sharding", "none,full"])
    assert ranks.plan(arguments) == [
        (1, "none", "weak"),
        *((2, sharding, scaling) for sharding in ("none", "full") for scaling in ("weak", "strong")),
    ]


def test_speedups_are_those_of_tokens_a_second() -> None:
    cases: list[dict[str, Any]] = [
        {"ranks": 1, "batch": 8, "step_ms": 10.0, "tokens_per_second": 100.0, "losses": [4.0, 2.0]},
        {"ranks": 2, "batch": 8, "step_ms": 11.0, "tokens_per_second": 190.0, "losses": [4.0, 2.5]},
        {"ranks": 2, "error": "out of memory"},
    ]
    ranks.add_speedups(cases)
    assert cases[1]["speedup_of_ranks"] == 1.9
    assert cases[1]["loss_difference"] == 0.25
    assert "speedup_of_ranks" not in cases[2]

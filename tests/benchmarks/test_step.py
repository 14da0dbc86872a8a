"""benchmarks/step.py, run on a tiny student."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import pytest

import step
from step_report import case_ratios

SMALL = ["--device", "cpu", "--model", "tiny", "--steps", "2", "--warmup", "1", "--peak-tflops", "0.1", "--json"]


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    step.main([*SMALL, *argv])
    result: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return result


@pytest.mark.slow
def test_ours_against_separate_passes(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, "--batches", "2,3", "--demonstrations", "20", "--variants", "ours,released,separate")
    assert [case["batch"] for case in result["cases"]] == [2, 3]
    for case in result["cases"]:
        assert [len(case["variants"][name]["first"]) for name in ("ours", "released", "separate")] == [1, 1, 1]
        assert case["speedup_vs_separate"] > 0
        assert 0 < case["mfu"] < 1
    assert result["speedup_vs_reference"] == result["cases"][-1]["speedup_vs_reference"] > 0
    assert result["speedup_vs_sft"] is None


@pytest.mark.slow
@pytest.mark.skipif(find_spec("trl") is None, reason="trl is not installed")
def test_every_layout_of_sft(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ("padded+sdpa", "free+sdpa", "packed+sdpa", "padded+sdpa+even+checkpoint")
    result = run(
        capsys, "--batches", "2", "--demonstrations", "20", "--variants", "sft", "--sft-variants", ",".join(settings)
    )
    variants = result["cases"][0]["variants"]
    assert all(variants[f"sft:{words}"]["median"] > 0 for words in settings)
    assert result["best_sft"] in variants


@pytest.mark.slow
def test_a_variant_that_fails_loses_itself_only(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, "--batches", "2", "--demonstrations", "8", "--variants", "released,sft:padded+nothing")
    variants = result["cases"][0]["variants"]
    assert variants["released"]["median"] > 0
    assert variants["sft:padded+nothing"]["error"]


def test_ratios_take_the_fastest_setting() -> None:
    def taken(median: float, memory: float) -> dict[str, Any]:
        return {"median": median, "memory_gib": memory, "tree_teraflops_per_second": 300.0, "tree_tokens_per_second": 9}

    results = {
        "ours": taken(1.0, 10.0),
        "ours:lean": taken(1.25, 5.0),
        "released": taken(5.0, 40.0),
        "sft:slow": taken(3.0, 15.0),
        "sft:fast": taken(2.0, 25.0),
        "sft:lost": {"error": "out of memory"},
    }
    ratios = case_ratios(results, peak_tflops=1000.0)
    assert ratios["speedup_vs_separate"] == 5.0
    assert ratios["memory_vs_separate"] == 0.25
    assert ratios["speedup_vs_reference"] is None
    assert (ratios["best_sft"], ratios["speedup_vs_sft"], ratios["memory_vs_sft"]) == ("sft:fast", 2.0, 0.4)
    assert ratios["memory_vs_leanest_sft"] == round(10 / 15, 3)
    assert ratios["mfu"] == 0.3
    assert (ratios["lean_speedup_vs_separate"], ratios["lean_memory_vs_sft"]) == (4.0, 0.2)


def test_later_cases_take_the_fastest_settings_only() -> None:
    variants = {name: {"median": median} for name, median in (("sft:a", 3.0), ("sft:b", 1.0), ("sft:c", 2.0))}
    case = {"variants": {"ours": {"median": 0.5}, **variants, "sft:d": {"error": "no such kernel"}}}
    assert step.fastest_sft(case, keep=2) == ["b", "c"]
    assert step.fastest_sft(case, keep=0) == ["b", "c", "a"]

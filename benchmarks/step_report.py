"""What the times of a case come to: ratios of one run, and a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Results = Mapping[str, dict[str, Any]]


def done(results: Results) -> dict[str, dict[str, Any]]:
    """The variants that gave a time."""
    return {name: result for name, result in results.items() if "median" in result}


def case_ratios(results: Results, peak_tflops: float | None) -> dict[str, Any]:
    """Speed-ups (above 1: ours is faster) and memory (below 1: ours takes less); None where a side is missing.

    Against SFT the setting with the shortest median counts, for the memory as well; memory_vs_leanest_sft compares
    with whichever took least. mfu: of ours, a fraction of the peak, where one is given. Names with lean_ before them:
    the same of ours under gradient checkpointing, if that was measured.
    """
    times = done(results)
    numbers = _ratios(times, times.get("ours"), peak_tflops)
    if lean := times.get("ours:lean"):
        numbers |= {f"lean_{name}": value for name, value in _ratios(times, lean, peak_tflops).items()}
    return numbers


def _ratios(times: Results, ours: dict[str, Any] | None, peak_tflops: float | None) -> dict[str, Any]:
    sft = {name: result for name, result in times.items() if name.startswith("sft:")}
    best = min(sft, key=lambda name: float(sft[name]["median"]), default=None)
    leanest = min(sft, key=lambda name: float(sft[name]["memory_gib"]), default=None)
    fastest = sft.get(best or "")
    ratios = {
        "speedup_vs_separate": _ratio(times.get("released"), ours, "median"),
        "memory_vs_separate": _ratio(ours, times.get("released"), "memory_gib"),
        "speedup_vs_reference": _ratio(times.get("separate"), ours, "median"),
        "memory_vs_reference": _ratio(ours, times.get("separate"), "memory_gib"),
        "speedup_vs_sft": _ratio(fastest, ours, "median"),
        "memory_vs_sft": _ratio(ours, fastest, "memory_gib"),
        "memory_vs_leanest_sft": _ratio(ours, sft.get(leanest or ""), "memory_gib"),
    }
    numbers: dict[str, Any] = {name: value and round(value, 3) for name, value in ratios.items()}
    numbers["best_sft"] = best
    if ours is not None:
        numbers["mfu"] = peak_tflops and round(ours["tree_teraflops_per_second"] / peak_tflops, 4)
        numbers["tokens_per_second"] = ours["tree_tokens_per_second"]
    return numbers


def _ratio(above: dict[str, Any] | None, below: dict[str, Any] | None, key: str) -> float | None:
    return None if above is None or below is None else float(above[key]) / float(below[key])


def _notes(result: dict[str, Any]) -> str:
    return str(result.get("passes", "")) + (", gradient checkpointing" if result.get("checkpointing") else "")


def print_case(case: Mapping[str, Any]) -> None:
    """One line a variant, then the ratios."""
    print(f"  {'':38} {'median':>9} {'least':>9} {'most':>9} {'first':>9} {'memory':>9} {'reserved':>9}  micro-batches")
    for name, result in case["variants"].items():
        if "median" not in result:
            print(f"  {name:38} {result['error']}")
            continue
        times = [result[key] * 1000 for key in ("median", "least", "most")]
        times.append(sum(result["first"]) * 1000)
        sizes = "".join(f"{result[key]:6.2f} GiB" for key in ("memory_gib", "reserved_gib"))
        clock = "".join(f"{time:7.0f} ms" for time in times)
        print(f"  {name:38} {clock}{sizes}  {result['micro_batches']}  {_notes(result)}")
    for name, value in case.items():
        if isinstance(value, float) or name == "best_sft":
            print(f"  {name}: {value}")
    print(flush=True)

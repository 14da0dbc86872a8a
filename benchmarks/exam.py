"""Times the exam against the library's `generate` and `generate_batch`, in new tokens a second.

    python benchmarks/exam.py --device cuda --model 135M --json

- ours: as rounds/exam.py asks it.
- generate:dynamic, generate:static: `generate` in padded batches, with either of its caches.
- generate_batch:...: the library's continuous batching, with several settings (exam_variants.py); the best counts.

Each runs in a process of its own and stops at its limit of time. Random weights never end a text, so every sequence
gets all its new tokens. The JSON object is the last line.

    python benchmarks/exam.py --ranks 1,2 --model 135M --questions 4096 --json

times ours alone, on so many GPUs, with a process on each that is started here (exam_ranks.py).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from bandwidth import BoundJob, measure_bound
from exam_ranks import measure_ranks
from exam_variants import ExamJob, measure_exam
from measuring.lengths import draw_lengths
from measuring.processes import run_apart
from step import numbers

VARIANTS = ("ours", "generate:dynamic", "generate:static", "generate_batch:sdpa+r64+t256")
# Not on a CPU: there are no graphs there.
GPU_VARIANTS = (*VARIANTS, "generate_batch:sdpa+r64+t256+graph", "generate_batch:sdpa+r256+t512+graph")
GRACE_SECONDS = 120  # for loading, compiling and capturing


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cpu or cuda")
    parser.add_argument("--model", default="135M", help="135M, 1.7B, tiny (random weights), or a model as in a recipe")
    parser.add_argument("--data", type=Path, help="the data sets' folder, for a real model")
    parser.add_argument("--questions", type=numbers, help="such as 512,2048; 2048 on a GPU, 32 on a CPU")
    parser.add_argument("--samples", type=int, default=4, help="sequences of each question")
    parser.add_argument("--demonstrations", type=numbers, default=[420], help="their tokens, such as 0,420,1024")
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--sequences", type=int, help="of generate at a time; 1024 on a GPU, 128 on a CPU")
    parser.add_argument("--slots", type=int, help="sequences of ours at a time; by itself, if left out")
    parser.add_argument("--variants", help="some of those above; all of them, if left out")
    parser.add_argument("--ranks", type=numbers, help="such as 1,2: ours on so many GPUs, and nothing else")
    parser.add_argument("--limit-seconds", type=float, default=40, help="for one variant, its start not counted")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the JSON object as the last line")
    arguments = parser.parse_args(argv)
    on_gpu = arguments.device != "cpu"
    arguments.questions = arguments.questions or [2048 if on_gpu else 32]
    arguments.variants = arguments.variants or ",".join(GPU_VARIANTS if on_gpu else VARIANTS)
    arguments.sequences = arguments.sequences or (1024 if on_gpu else 128)
    return arguments


def measure_case(arguments: argparse.Namespace, questions: int, demonstrations: int) -> dict[str, Any]:
    """All variants at one number of questions and length of the demonstrations."""
    results = {}
    for variant in arguments.variants.split(","):
        job = _job(arguments, variant, questions, demonstrations)
        results[variant] = run_apart(variant, measure_exam, job, arguments.limit_seconds + GRACE_SECONDS)
    bound = _bound(arguments, questions, demonstrations, results.get("ours", {}))
    return {
        "questions": questions,
        "demonstrations": demonstrations,
        **exam_ratios(results, bound),
        "bound": bound,
        "variants": results,
    }


def _job(arguments: argparse.Namespace, variant: str, questions: int, demonstrations: int) -> ExamJob:
    return ExamJob(
        variant,
        arguments.model,
        arguments.device,
        questions,
        arguments.samples,
        demonstrations,
        arguments.new_tokens,
        arguments.sequences,
        arguments.slots,
        arguments.limit_seconds,
        arguments.seed,
        arguments.data,
    )


def measure_ranks_case(arguments: argparse.Namespace, questions: int, demonstrations: int) -> dict[str, Any]:
    """Ours on each number of ranks."""
    limit = arguments.limit_seconds + GRACE_SECONDS
    job = _job(arguments, "ours", questions, demonstrations)
    results = {f"ours:{ranks}": measure_ranks(job, ranks, limit) for ranks in arguments.ranks}
    speeds = [result.get("tokens_per_second") for result in results.values()]
    return {
        "questions": questions,
        "demonstrations": demonstrations,
        "tokens_per_second": speeds[-1],
        "speedup_of_ranks": round(speeds[-1] / speeds[0], 3) if speeds[-1] and speeds[0] else None,
        "bound": None,
        "variants": results,
    }


def _bound(arguments: argparse.Namespace, questions: int, demonstrations: int, ours: dict[str, Any]) -> dict[str, Any]:
    """With the lengths that ours met, if it ran; else with those that random prompts are drawn with."""
    lengths = [sizes.question for sizes in draw_lengths(questions, arguments.seed)]
    own = ours.get("own_prompt_tokens", sum(lengths) / len(lengths)) + arguments.new_tokens / 2
    sequences = min(ours.get("slots") or arguments.sequences, questions * arguments.samples)
    job = BoundJob(arguments.model, arguments.device, sequences, ours.get("shared_tokens", demonstrations), own)
    return run_apart("bandwidth", measure_bound, job, GRACE_SECONDS)


def exam_ratios(results: dict[str, dict[str, Any]], bound: dict[str, Any]) -> dict[str, Any]:
    """Speed-ups of ours over the best setting of each library way, and shares of the bounds; None without both."""
    speeds = {name: float(result["tokens_per_second"]) for name, result in results.items() if "tokens" in result}
    ours = speeds.get("ours")

    def speedup(prefix: str) -> float | None:
        others = [speed for name, speed in speeds.items() if name.startswith(prefix)]
        return None if ours is None or not others else round(ours / max(others), 3)

    def share(key: str) -> float | None:
        return None if ours is None or key not in bound else round(ours / float(bound[key]), 4)

    return {
        "tokens_per_second": ours,
        "speedup_vs_generate": speedup("generate:"),
        "speedup_vs_generate_batch": speedup("generate_batch:"),
        "share_of_bandwidth_bound": share("bound_tokens_per_second"),
        "share_of_unshared_bandwidth_bound": share("bound_tokens_per_second_unshared"),
    }


def print_case(case: dict[str, Any]) -> None:
    """One line a variant, then the ratios."""
    for name, result in case["variants"].items():
        if "tokens" not in result:
            print(f"  {name:36} {result['error']}")
            continue
        speed, done, seconds = result["tokens_per_second"], result["sequences_done"], result["seconds"]
        print(
            f"  {name:36} {speed:10.0f} tokens/s  {done:6} sequences in {seconds:6.1f} s, "
            f"{result['before_seconds']:5.1f} s before, {result['memory_gib']:6.2f} GiB"
        )
    for name, value in case.items():
        if isinstance(value, float):
            print(f"  {name}: {value}")
    print(f"  bound: {case['bound']}\n" if case["bound"] else "", flush=True)


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Runs, prints, and gives what the JSON line holds."""
    arguments = parse(argv)
    cases = []
    for demonstrations in arguments.demonstrations:
        for questions in arguments.questions:
            print(
                f"{arguments.model} on {arguments.device}: {questions} questions x {arguments.samples}, "
                f"{demonstrations} demonstration tokens, {arguments.new_tokens} new ones"
            )
            measure = measure_ranks_case if arguments.ranks else measure_case
            cases.append(measure(arguments, questions, demonstrations))
            print_case(cases[-1])
    top = {key: value for key, value in cases[-1].items() if key not in ("variants", "bound")}
    settings = {key: str(value) if key == "data" else value for key, value in vars(arguments).items() if key != "json"}
    result = {"benchmark": "exam", **top, "settings": settings, "cases": cases}
    if arguments.json:
        print(json.dumps(result), flush=True)
    return result


if __name__ == "__main__":
    main()

"""Times the training step on several GPUs against one: data parallel, and with the student in shards.

    python benchmarks/ranks.py --model 1.7B --batch 16 --ranks 1,2 --json
    python benchmarks/ranks.py --model GPT-J-6B --batch 16 --ranks 2 --sharding full --scaling strong --checkpointing

Each rank is a process with a GPU of its own, started here, and takes StudyStep's steps as `study` does. Weights are
random, made on the device; every step is taken on samples of new lengths, GSM8K's (measuring/lengths.py).

- sharding: full is FSDP2; zero3 is DeepSpeed's ZeRO-3, where DeepSpeed is installed.
- weak: every rank adds `--batch` samples to the global batch. strong: the global batch stays `--batch`.
- tokens: predicted ones, the demonstrations' included, as training.jsonl counts them.
- speedup_of_ranks: tokens a second over those of one rank without shards, where that was measured.
- loss_difference: the largest of a step's language-model losses to those of one rank on the same batches, as a part.

The JSON object is the last line.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from typing import Any

import torch

from measuring.lessons import DEMONSTRATION_WEIGHT, make_batches
from measuring.models import load_model
from measuring.timing import StepTimes, Stopwatch, as_json, environment
from measuring.together import run_together
from step import numbers
from tutelage import distributed
from tutelage.config import StudySettings
from tutelage.student.model.gradient_checkpointing import checkpoints_activations
from tutelage.student.model.student import Student
from tutelage.student.training.stepping import StudyStep

LEARNING_RATE = 1e-5


@dataclass(frozen=True, slots=True)
class RanksJob:
    """What to time. batch: samples of a global batch. micro_batch: samples a pass; None: what suits the device."""

    model: str
    device: str
    batch: int
    sharding: str
    demonstrations: int
    steps: int
    warmup: int
    seed: int
    checkpointing: bool | None
    micro_batch: int | None


def measure_rank(job: RanksJob) -> dict[str, Any]:
    """Times of `job.steps` steps on this rank, and its peak of memory."""
    if job.sharding == "zero3":  # as `accelerate launch` says it
        os.environ |= {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}
    device = "cpu" if job.device == "cpu" else f"cuda:{distributed.local_rank()}"
    if device != "cpu":
        torch.cuda.set_device(device)
    student = load_model(job.model, device)
    batches = make_batches(student, job.warmup + job.steps, job.batch, job.demonstrations, job.seed)
    seconds, losses, notes = _seconds(student, batches, job)
    tokens = sum(len(sample.anchor.token_ids) - 1 for batch in batches[job.warmup :] for sample in batch)
    return {
        **as_json(StepTimes.of(seconds, job.warmup, student.device)),
        "tokens_per_second": round(tokens / sum(seconds[job.warmup :]), 1),
        "losses": losses,
        **notes,
        "environment": environment(student.device),
    }


def _seconds(student: Student, batches: list[Any], job: RanksJob) -> tuple[list[float], list[float], dict[str, Any]]:
    """Of each step, with its loss; the next batch is made ready while the device works."""
    settings = StudySettings.model_validate(
        {
            "batch_size": job.batch,
            "micro_batch_size": job.micro_batch,
            "gradient_checkpointing": job.checkpointing,
            "sharding": "none" if job.sharding == "none" else "full",
            "demonstration_weight": DEMONSTRATION_WEIGHT,
            "learning_rate": LEARNING_RATE,
        }
    )
    stopwatch = Stopwatch(student.device)
    seconds, losses = [], []
    with StudyStep(student, settings, LEARNING_RATE) as step:
        ready = step.prepare(batches[0])
        for following in [*batches[1:], batches[0]]:
            stopwatch.start()
            taken = step.take(ready, LEARNING_RATE)
            ready = step.prepare(following)
            losses.append(round(taken.losses().language_model, 6))
            seconds.append(stopwatch.stop())
        checkpointing = checkpoints_activations(student.model)
        notes = {"passes": type(ready.passes).__name__, "own": sum(map(len, ready.own)), "checkpointing": checkpointing}
    return seconds, losses, notes


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cpu or cuda")
    parser.add_argument("--model", default="1.7B", help="135M, 1.7B, GPT-J-6B, tiny, GPT-J-tiny, or one as in a recipe")
    parser.add_argument("--ranks", type=numbers, default=[1, 2], help="such as 1,2,4")
    parser.add_argument("--sharding", default="none", help="none, full or zero3, or several: none,full")
    parser.add_argument("--scaling", default="weak,strong", help="one of them or both")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--demonstrations", type=int, default=420, help="their tokens")
    parser.add_argument("--steps", type=int, default=10, help="timed steps")
    parser.add_argument("--warmup", type=int, default=6, help="steps before them")
    parser.add_argument("--checkpointing", action="store_true", help="with gradient checkpointing from the start")
    parser.add_argument("--micro-batch", type=int, help="samples a pass; what suits the device, if left out")
    parser.add_argument("--limit-seconds", type=float, default=240, help="for one case, its start included")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the JSON object as the last line")
    return parser.parse_args(argv)


def plan(arguments: argparse.Namespace) -> list[tuple[int, str, str]]:
    """(ranks, sharding, scaling) of each case. One rank has nothing to shard, and weak is strong there."""
    cases: list[tuple[int, str, str]] = []
    for ranks in arguments.ranks:
        if ranks == 1:
            cases.append((1, "none", "weak"))
            continue
        for sharding in arguments.sharding.split(","):
            cases += [(ranks, sharding, scaling) for scaling in arguments.scaling.split(",")]
    return cases


def measure_case(arguments: argparse.Namespace, ranks: int, sharding: str, scaling: str) -> dict[str, Any]:
    """The numbers of the leader, and the memory of every rank."""
    job = RanksJob(
        arguments.model,
        arguments.device,
        arguments.batch * (ranks if scaling == "weak" else 1),
        sharding,
        arguments.demonstrations,
        arguments.steps,
        arguments.warmup,
        arguments.seed,
        arguments.checkpointing or None,
        arguments.micro_batch,
    )
    case = {"ranks": ranks, "sharding": sharding, "scaling": scaling, "batch": job.batch}
    name = f"{ranks} ranks, sharding {sharding}, {scaling}, batch {job.batch}"
    found = run_together(name, measure_rank, job, ranks, arguments.device == "cpu", arguments.limit_seconds)
    if "error" in found:
        return {**case, **found}
    leader = found["ranks"][0]
    memory = {key: [rank[key] for rank in found["ranks"]] for key in ("memory_gib", "reserved_gib", "own")}
    return {**case, **leader, **memory, "step_ms": round(leader["median"] * 1000, 2)}


def add_speedups(cases: list[dict[str, Any]]) -> None:
    """Against one rank, in each case that gave a time; None where that one did not."""
    alone = next((case for case in cases if case["ranks"] == 1 and "step_ms" in case), None)
    for case in cases:
        if "step_ms" in case:
            speed = None if alone is None else case["tokens_per_second"] / alone["tokens_per_second"]
            case["speedup_of_ranks"] = speed and round(speed, 3)
            if alone is not None and case["batch"] == alone["batch"]:
                pairs = zip(alone["losses"], case["losses"], strict=True)
                case["loss_difference"] = max(abs(one - other) / one for one, other in pairs)


def print_cases(cases: list[dict[str, Any]]) -> None:
    print(f"  {'ranks':>5} sharding scaling  batch {'step':>10} {'tokens/s':>10} speed-up  memory of each rank")
    for case in cases:
        if "step_ms" not in case:
            print(f"  {case['ranks']:5} {case['sharding']:8} {case['scaling']:8} {case['batch']:5} {case['error']}")
            continue
        memory = " ".join(f"{gib:.1f}" for gib in case["memory_gib"])
        print(
            f"  {case['ranks']:5} {case['sharding']:8} {case['scaling']:8} {case['batch']:5} {case['step_ms']:7.1f} ms "
            f"{case['tokens_per_second']:10.0f} {case['speedup_of_ranks'] or '-':>8}  {memory} GiB, {case['passes']}"
            + (", gradient checkpointing" if case["checkpointing"] else "")
        )
    print(flush=True)


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Runs, prints, and gives what the JSON line holds."""
    arguments = parse(argv)
    print(f"{arguments.model} on {arguments.device}: batch {arguments.batch}")
    cases = []
    for ranks, sharding, scaling in plan(arguments):
        cases.append(measure_case(arguments, ranks, sharding, scaling))
        add_speedups(cases)
        print_cases(cases[-1:])
    print_cases(cases)
    # Of most ranks, weak before strong: a rank's part is as large as one rank's whole batch.
    several = [case for case in cases if case["ranks"] > 1 and "step_ms" in case]
    best = max(several, key=lambda case: (case["ranks"], case["scaling"], case["sharding"]), default=None)
    settings = {key: value for key, value in vars(arguments).items() if key != "json"}
    result = {
        "benchmark": "ranks",
        "speedup_of_ranks": best and best["speedup_of_ranks"],
        "settings": settings,
        "cases": cases,
    }
    if arguments.json:
        print(json.dumps(result), flush=True)
    return result


if __name__ == "__main__":
    main()

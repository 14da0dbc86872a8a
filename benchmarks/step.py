"""Times the training step of the joint loss against separate passes and against TRL's SFTTrainer.

    python benchmarks/step.py --device cuda --model 1.7B --batches 16,64 --json

- ours: Tutelage's packed pass, as `study` takes it; ours:lean: the same under gradient checkpointing.
- released: separate passes as the released research code does them (released_step.py).
- separate: our reference in separate passes, with gradients through all of them.
- sft: TRL's SFTTrainer with several settings (sft_variant.py), language-model loss only; its best one counts.

Each runs in a process of its own. Every step is taken on samples of new lengths, GSM8K's (measuring/lengths.py).
Out of memory, a variant is run again with two micro-batches, then four, and says so. Utilisation (mfu) is that of the
operations which the batches as trees need (measuring/flops.py), over all timed steps. The JSON object is the last line.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import Any

from measuring.processes import is_out_of_memory, run_apart
from step_report import case_ratios, done, print_case
from step_variants import StepJob, measure_step

SFT = (
    "padded+sdpa",
    "padded+sdpa+liger",
    "free+sdpa+liger",
    "free+flex+liger",
    "packed+sdpa+liger",
    "padded+sdpa+liger+even+compile",
    "padded+sdpa+liger+checkpoint",
)
CPU_SFT = ("padded+sdpa", "free+sdpa")  # Liger's kernels are Triton's, and FlexAttention has no backward pass there
H200_TFLOPS = 989.0  # dense bfloat16, by its datasheet; 790 measured in a product of two large matrices
SMALLEST_MICRO_BATCH = 2


def numbers(text: str) -> list[int]:
    """ "16,64" as numbers."""
    return [int(part) for part in text.split(",")]


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cpu or cuda")
    parser.add_argument("--model", default="135M", help="135M, 1.7B, tiny (random weights), or a model as in a recipe")
    parser.add_argument("--batches", type=numbers, help="samples a step, such as 16,64, which are measured on a GPU")
    parser.add_argument("--demonstrations", type=numbers, default=[420], help="their tokens, such as 0,128,420,1024")
    parser.add_argument("--variants", default="ours,released,separate,sft")
    parser.add_argument("--sft-variants", help="see sft_variant.py; several, if left out")
    parser.add_argument("--sft-keep", type=int, default=2, help="after the first case only its fastest; 0: all")
    parser.add_argument("--steps", type=int, help="timed steps")
    parser.add_argument("--warmup", type=int, help="steps before them")
    parser.add_argument("--micro-batches", type=int, help="to begin with; 4 on a CPU, whose memory is rarely large")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit-seconds", type=float, help="for one variant, its start included")
    parser.add_argument("--peak-tflops", type=float, help="of the device, for utilisation; an H200's on a GPU")
    parser.add_argument("--json", action="store_true", help="print the JSON object as the last line")
    return with_defaults(parser.parse_args(argv))


def with_defaults(arguments: argparse.Namespace) -> argparse.Namespace:
    """What was left out, by the device: a CPU takes minutes for a step."""
    on_gpu = arguments.device != "cpu"
    arguments.batches = arguments.batches or ([16, 64] if on_gpu else [16])
    arguments.sft_variants = arguments.sft_variants or ",".join(SFT if on_gpu else CPU_SFT)
    arguments.steps = arguments.steps or (10 if on_gpu else 3)
    arguments.warmup = (4 if on_gpu else 1) if arguments.warmup is None else arguments.warmup
    arguments.micro_batches = arguments.micro_batches or (1 if on_gpu else 4)
    arguments.peak_tflops = arguments.peak_tflops or (H200_TFLOPS if on_gpu else None)
    arguments.limit_seconds = arguments.limit_seconds or (150 if on_gpu else 3600)
    return arguments


def measure(job: StepJob, limit_seconds: float) -> dict[str, Any]:
    """A variant's numbers, in as few micro-batches as the memory allows."""
    result = run_apart(f"{job.variant}, batch {job.batch}", measure_step, job, limit_seconds)
    if is_out_of_memory(result) and job.batch // (2 * job.micro_batches) >= SMALLEST_MICRO_BATCH:
        return measure(replace(job, micro_batches=2 * job.micro_batches), limit_seconds)
    if "median" in result:  # at once: what comes later may take longer than there is time
        print(f"    {result['median'] * 1000:.1f} ms, {result['memory_gib']:.2f} GiB", flush=True)
    return result


def measure_case(arguments: argparse.Namespace, batch: int, demonstrations: int, sft: list[str]) -> dict[str, Any]:
    """All variants at one batch size and length of the demonstrations. sft: SFT's settings."""
    variants: list[str] = []
    for name in arguments.variants.split(","):
        variants += [f"sft:{words}" for words in sft] if name == "sft" else [name]
    results = {}
    for variant in variants:
        job = StepJob(
            variant,
            arguments.model,
            arguments.device,
            batch,
            demonstrations,
            arguments.steps,
            arguments.warmup,
            arguments.seed,
            arguments.micro_batches,
        )
        results[variant] = measure(job, arguments.limit_seconds)
    ratios = case_ratios(results, arguments.peak_tflops)
    return {"batch": batch, "demonstrations": demonstrations, **ratios, "variants": results}


def fastest_sft(case: dict[str, Any], keep: int) -> list[str]:
    """The settings of SFT that took least time, so many of them; all that ran, without a number."""
    sft = {name: result for name, result in done(case["variants"]).items() if name.startswith("sft:")}
    return [name.removeprefix("sft:") for name in sorted(sft, key=lambda name: sft[name]["median"])][: keep or None]


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Runs, prints, and gives what the JSON line holds."""
    arguments = parse(argv)
    cases: list[dict[str, Any]] = []
    sft = arguments.sft_variants.split(",")
    for demonstrations in arguments.demonstrations:
        for batch in arguments.batches:
            print(f"{arguments.model} on {arguments.device}: batch {batch}, {demonstrations} demonstration tokens")
            cases.append(measure_case(arguments, batch, demonstrations, sft))
            print_case(cases[-1])
            sft = fastest_sft(cases[0], arguments.sft_keep) or sft
    # The last case's ratios stand at the top as well: with one case they are the result.
    top = {key: value for key, value in cases[-1].items() if key != "variants"}
    settings = {key: value for key, value in vars(arguments).items() if key != "json"}
    result = {"benchmark": "step", **top, "settings": settings, "cases": cases}
    if arguments.json:
        print(json.dumps(result), flush=True)
    return result


if __name__ == "__main__":
    main()

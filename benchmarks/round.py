"""Times one whole round on GSM8K, stage by stage: exam, mistakes, feedback, lesson, one epoch of study, evaluation.

    python benchmarks/round.py --device cuda --model MODEL.gguf --data ../shared/data --json

It is the product's own round, by the recipe configs/gsm8k.toml with recorded replies (GSM8K's worked solutions), one
epoch of each question's rationale alone in batches of 16, and no question held out, so that the exam has all of them:
7473 x 4 attempts; the evaluation has 1319. The seconds are those of the run's journal. --model takes what a recipe
takes, or 135M, 1.7B or tiny for random weights with the tokenizer of --tokenizer: such a student never ends an answer,
so its exam is as long as an exam can be.
The JSON object is the last line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from measuring.models import is_random, load_model
from measuring.timing import environment, peak_memory_gib
from tutelage.recipes import read_recipe
from tutelage.rounds import Run, start_run
from tutelage.rounds.learn import play_round
from tutelage.student.model.student import choose_device, save_student
from tutelage.workspace import read_json

RECIPE = Path(__file__).parents[1] / "configs" / "gsm8k.toml"
LESSON = ("rounds.number_variants=0", "exam.own_rationales=0", "study.batch_size=16")
"""Each question's recorded rationale alone, in batches of Table 9's size: what the recipe teaches with may change."""

STAGES = ("exam", "mistakes", "feedback", "lesson", "study", "evaluation")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cpu or cuda")
    parser.add_argument("--model", required=True, help="hub id, folder, .gguf file, package:NAME; 135M, 1.7B or tiny")
    parser.add_argument("--tokenizer", help="folder or hub id of a tokenizer, for random weights")
    parser.add_argument("--data", type=Path, required=True, help="the public data sets' folder")
    parser.add_argument("--questions", type=int, help="only so many training questions")
    parser.add_argument("--test-questions", type=int, help="only so many test questions")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--out", type=Path, help="keep the run in this new folder")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one more key of the recipe")
    parser.add_argument("--json", action="store_true", help="print the JSON object as the last line")
    return parser.parse_args(argv)


def begin(arguments: argparse.Namespace, model: str, folder: Path) -> Run:
    """The run's folder, with the questions and the untrained student in it."""
    settings: dict[str, Any] = {
        "task.data": str(arguments.data),
        "task.held_out": 0.0,
        "task.held_out_minimum": 0,
        "task.train_questions": arguments.questions,
        "task.test_questions": arguments.test_questions,
        "student.model": model,
        "student.device": arguments.device,
        "study.epochs": arguments.epochs,
        "rounds.limit": 1,
    }
    given = {key: value for key, value in settings.items() if value is not None}
    return start_run(read_recipe(RECIPE, [*LESSON, *arguments.set], given), folder)


def save_random(name: str, tokenizer: str | None, device: str, folder: Path) -> str:
    """A folder with random weights of a shape and a real tokenizer. Raises: ValueError without one."""
    if tokenizer is None:
        raise ValueError(f"random weights ({name}) read no question: name a tokenizer with --tokenizer")
    student = load_model(name, device)
    save_student(replace(student, tokenizer=AutoTokenizer.from_pretrained(tokenizer)), folder)
    return str(folder)


def seconds_of(run: Run, number: int) -> dict[str, float]:
    """Seconds of each stage of a round, as its journal notes them."""
    lines = [json.loads(line) for line in run.workspace.journal.read_text(encoding="utf-8").splitlines()]
    ends = {line["stage"]: line["seconds"] for line in lines if line["event"] == "end" and line["round"] == number}
    return {stage: ends[stage] for stage in STAGES}


def rates(seconds: dict[str, float], summary: dict[str, Any], evaluated: int) -> dict[str, float]:
    """What the stages did a second."""
    return {
        "exam_answers_per_second": round(summary["exam"]["attempts"] / seconds["exam"], 2),
        "study_steps_per_second": round(summary["study"]["steps"] / seconds["study"], 3),
        "evaluation_answers_per_second": round(evaluated / seconds["evaluation"], 2),
    }


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Plays the round in `folder`."""
    began = time.perf_counter()
    model = arguments.model
    if is_random(model):
        model = save_random(model, arguments.tokenizer, arguments.device, folder / "model")
    run = begin(arguments, model, arguments.out or folder / "run")
    start = time.perf_counter() - began
    play_round(run, 1)
    whole = time.perf_counter() - began - start
    seconds = seconds_of(run, 1)
    summary, device = read_json(run.round(1).summary), choose_device(arguments.device)
    memory, reserved = peak_memory_gib(device)
    return {
        "seconds": seconds,
        "total_seconds": round(sum(seconds.values()), 2),
        "whole_seconds": round(whole, 2),
        "start_seconds": round(start, 2),
        **rates(seconds, summary, len(run.questions["test"])),
        "questions": summary["exam"]["questions"],
        "test_questions": len(run.questions["test"]),
        "steps": summary["study"]["steps"],
        "error_rate": summary["exam"]["error_rate"],
        "accuracy": read_json(run.round(1).evaluation)["accuracy"],
        "memory_gib": round(memory, 3),
        "reserved_gib": round(reserved, 3),
        "environment": environment(device),
    }


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Runs, prints, and gives what the JSON line holds."""
    arguments = parse(argv)
    with tempfile.TemporaryDirectory() as temporary:
        numbers = measure(arguments, Path(temporary))
    for stage, seconds in numbers["seconds"].items():
        print(f"  {stage:12} {seconds:9.2f} s")
    print(f"  {'total':12} {numbers['total_seconds']:9.2f} s")
    for name, value in numbers.items():
        if isinstance(value, float | int) and name != "total_seconds":
            print(f"  {name}: {value}")
    settings = {key: str(value) for key, value in vars(arguments).items() if key != "json" and value is not None}
    result = {"benchmark": "round", **numbers, "settings": settings}
    if arguments.json:
        print(json.dumps(result), flush=True)
    return result


if __name__ == "__main__":
    main()

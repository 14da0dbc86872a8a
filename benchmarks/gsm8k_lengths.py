"""Measures the lengths that measuring/lengths.py states: GSM8K's texts in a student's tokens.

    python benchmarks/gsm8k_lengths.py --data ../shared/data --model MODEL

Needs the tokenizer of SmolLM2 (any of its sizes) and the public data sets in their original formats. Mistakes are those
of `mistake_pool`; how alike two rationales of one question are comes from `teacher_pool`, where it has several.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.prompts import REASONING, question_text, solution_text
from tutelage.student.model.student import load_student

Count = Callable[[str], int]


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file, gzipped or not."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in text.decode().split("\n") if line.strip()]


def question_length(count: Count, question: str) -> int:
    """Tokens of a question as the student is asked it."""
    return count(question_text(question) + f"\n{REASONING}")


def solution_length(count: Count, rationale: str, answer: str) -> int:
    """Tokens of a rationale with its answer, and the end token."""
    return count(solution_text(rationale, answer)) + 1


def describe(name: str, lengths: Iterable[int]) -> None:
    """The parameters of a log-normal, and quantiles to judge it by."""
    values = np.array(list(lengths), dtype=float)
    logs = np.log(values)
    quantiles = np.quantile(values, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1]).astype(int).tolist()
    print(f"{name}: n {len(values)}, mean {values.mean():.1f}, log mean {logs.mean():.3f}, log sd {logs.std():.3f}")
    print(f"    quantiles 0, 5, 25, 50, 75, 95, 99, 100 %: {quantiles}")


def correlation(name: str, pairs: Iterable[tuple[int, int]]) -> None:
    """How far two lengths go together, as logarithms."""
    logs = np.log(np.array(list(pairs), dtype=float))
    print(f"correlation of the logs, {name}: {np.corrcoef(logs.T)[0, 1]:.2f} (n {len(logs)})")


def report(data: Path, count: Count) -> None:
    """Prints all of it."""
    pairs = []
    for row in rows_of(data / "gsm8k" / "train.jsonl"):
        rationale, _, gold = row["answer"].rpartition("####")
        rationale = re.sub(r"<<[^<>]*>>", "", rationale)
        pairs.append((question_length(count, row["question"]), solution_length(count, rationale, gold.strip())))
    describe("question", (question for question, _ in pairs))
    describe("right rationale", (rationale for _, rationale in pairs))
    correlation("question and right rationale", pairs)
    wrong = [
        (question_length(count, row["question"]), solution_length(count, row["rationale"], row["answer"]))
        for row in rows_of(data / "mistake_pool" / "gsm8k__mathdial-llm-student.jsonl.gz")
    ]
    describe("mistake", (mistake for _, mistake in wrong))
    correlation("question and mistake", wrong)
    several = defaultdict(list)
    for row in rows_of(data / "teacher_pool" / "gsm8k__phi-3.5-mini-instruct.jsonl.gz"):
        if row["correct"]:
            several[row["index"]].append(solution_length(count, row["rationale"], row["answer"]))
    correlation("two right rationales", (pair for group in several.values() for pair in pairwise(group)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", required=True, help="a SmolLM2: hub id, folder, .gguf file or package:NAME")
    arguments = parser.parse_args()
    tokenizer = load_student(arguments.model, device="cpu").tokenizer
    report(arguments.data, lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"]))


if __name__ == "__main__":
    main()

"""An exam on several ranks, timed: what benchmarks/exam.py runs for --ranks, each in a process on its own GPU."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from exam_variants import TEMPERATURE, TOP_K, WARMING, ExamJob
from measuring.models import load_model
from measuring.prompts import make_prompts
from measuring.timing import environment, peak_memory_gib, synchronize
from measuring.together import run_together
from tutelage import distributed
from tutelage.rounds.answering import parts_for_ranks, slots_of_rank
from tutelage.student.answering.answerer import Answerer
from tutelage.student.answering.stopping import Completion
from tutelage.student.engine.drawing import Sampling
from tutelage.student.model.student import Student


def measure_ranks(exam: ExamJob, ranks: int, limit_seconds: float) -> dict[str, Any]:
    """What all ranks together come to; or {"error": why} if one of them fails."""
    found = run_together(f"{ranks} ranks", measure_rank, exam, ranks, exam.device == "cpu", limit_seconds)
    return found if "error" in found else dict(found["ranks"][0])


def measure_rank(exam: ExamJob) -> dict[str, Any]:
    """New tokens a second of all ranks, from the moment that all are warm until the last is done."""
    if exam.device != "cpu":
        exam = replace(exam, device=f"cuda:{distributed.local_rank()}")
    return _measure(exam, load_model(exam.model, exam.device))


def _measure(exam: ExamJob, student: Student) -> dict[str, Any]:
    began = time.perf_counter()
    prompts = make_prompts(student, exam.model, exam.questions, exam.demonstrations, exam.seed, exam.data)
    several = distributed.world_size() > 1
    slots = slots_of_rank(len(prompts) * exam.samples, exam.slots, student.device) if several else exam.slots
    sampling = Sampling(TEMPERATURE, TOP_K, None, exam.new_tokens)
    answerer = Answerer(student, prompts, sampling, samples=exam.samples, seeds=range(len(prompts)), batch_size=slots)
    answerer.answer(range(min(len(prompts), WARMING)))
    synchronize(student.device)
    # Until all have met again: who claims asks the leader, which may be done first.
    claims = distributed.Claims() if several else None
    distributed.barrier()
    warm = time.perf_counter()
    tokens, done = _all(answerer) if claims is None else _share(answerer, claims)
    synchronize(student.device)
    own_seconds = time.perf_counter() - warm
    distributed.barrier()
    seconds = time.perf_counter() - warm
    shares = distributed.gather([tokens, done, round(own_seconds, 3)])
    memory, reserved = peak_memory_gib(student.device)
    total = sum(share[0] for share in shares)
    return {
        "tokens": total,
        "sequences_done": sum(share[1] for share in shares),
        "seconds": round(seconds, 3),
        "tokens_per_second": round(total / seconds, 1),
        "before_seconds": round(warm - began, 2),
        "tokens_of_ranks": [share[0] for share in shares],
        "seconds_of_ranks": [share[2] for share in shares],
        "slots": None if answerer.engine is None else answerer.engine.slots,
        "memory_gib": round(memory, 3),
        "reserved_gib": round(reserved, 3),
        "environment": environment(student.device),
    }


def _all(answerer: Answerer) -> tuple[int, int]:
    """As a rank that is alone: tokens and sequences."""
    answers = [one for sitting in answerer.sittings for one in answerer.answer(sitting)]
    return sum(one.tokens for completions in answers for one in completions), sum(map(len, answers))


def _share(answerer: Answerer, claims: distributed.Claims) -> tuple[int, int]:
    """As one of several ranks, which take parts until there are no more: tokens and sequences."""
    order = [prompt for sitting in answerer.sittings for prompt in sitting]
    parts = parts_for_ranks(order, answerer.sittings)
    answers: list[Sequence[Completion]] = []

    def further() -> Sequence[int]:
        number = claims.next()
        return parts[number] if number < len(parts) else ()

    answerer.answer((), lambda _prompt, completions: answers.append(completions), further)
    return sum(one.tokens for completions in answers for one in completions), sum(map(len, answers))

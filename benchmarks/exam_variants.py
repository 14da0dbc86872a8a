"""One way of sitting an exam, timed in the process that calls: what benchmarks/exam.py runs apart."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig

from measuring.models import load_model
from measuring.prompts import make_prompts
from measuring.timing import environment, peak_memory_gib, synchronize
from tutelage.student.answering.answerer import Answerer
from tutelage.student.answering.prompts import encode_prompts
from tutelage.student.engine.drawing import Sampling
from tutelage.student.model.student import Student

TEMPERATURE, TOP_K = 1.0, 50  # Table 9
WARMING = 16  # prompts of a warm-up


@dataclass(frozen=True, slots=True)
class ExamJob:
    """What to time. variant: "ours", "generate:dynamic", "generate:static" or "generate_batch:..." (read_batching).

    questions, samples: prompts, and sequences of each. sequences: of `generate` at a time. slots: ours at a time, None
    for what it takes by itself. seconds: when to stop early.
    """

    variant: str
    model: str
    device: str
    questions: int
    samples: int
    demonstrations: int
    new_tokens: int
    sequences: int
    slots: int | None
    seconds: float
    seed: int
    data: Path | None


def measure_exam(job: ExamJob) -> dict[str, Any]:
    """New tokens a second, after a warm-up that compiles and captures."""
    student = load_model(job.model, job.device)
    prompts = make_prompts(student, job.model, job.questions, job.demonstrations, job.seed, job.data)
    name, _, settings = job.variant.partition(":")
    began = time.perf_counter()
    if name == "ours":
        result = _ours(student, prompts, job)
    else:
        # A library user would load the weights so; it halves what its every step reads.
        if student.device.type == "cuda":
            network: Any = student.model
            network.to(torch.bfloat16)
        tokens = [prompt for prompt in encode_prompts(student, prompts) for _ in range(job.samples)]
        if name == "generate":
            result = _generate(student, tokens, job, static=settings == "static")
        else:
            result = _generate_batch(student, tokens, job, settings)
    memory, reserved = peak_memory_gib(student.device)
    return {
        **result,
        "tokens_per_second": round(result["tokens"] / result["seconds"], 1),
        "before_seconds": round(time.perf_counter() - began - result["seconds"], 2),
        "memory_gib": round(memory, 3),
        "reserved_gib": round(reserved, 3),
        "environment": environment(student.device),
    }


def _ours(student: Student, prompts: list[str], job: ExamJob) -> dict[str, Any]:
    """As rounds/exam.py asks, sitting by sitting; what compiles and captures is made for a few prompts before."""
    sampling = Sampling(TEMPERATURE, TOP_K, None, job.new_tokens)
    answerer = Answerer(
        student, prompts, sampling, samples=job.samples, seeds=range(len(prompts)), batch_size=job.slots
    )
    answerer.answer(range(min(len(prompts), WARMING)))
    synchronize(student.device)
    began, tokens, done = time.perf_counter(), 0, 0
    for sitting in answerer.sittings:
        for completions in answerer.answer(sitting):
            tokens += sum(completion.tokens for completion in completions)
            done += len(completions)
        if time.perf_counter() - began > job.seconds:
            break
    synchronize(student.device)
    seconds = round(time.perf_counter() - began, 3)
    engine, lengths = answerer.engine, [len(prompt) for prompt in encode_prompts(student, prompts)]
    shared = 0 if engine is None else engine.shared
    return {
        "tokens": tokens,
        "sequences_done": done,
        "seconds": seconds,
        "slots": None if engine is None else engine.slots,
        "shared_tokens": shared,
        "own_prompt_tokens": sum(lengths) / len(lengths) - shared,
    }


def _settings(student: Student, new_tokens: int, static: bool = False) -> GenerationConfig:
    return GenerationConfig(
        max_new_tokens=new_tokens,
        do_sample=True,
        temperature=TEMPERATURE,
        top_k=TOP_K,
        top_p=1.0,
        eos_token_id=list(student.stop_ids),
        pad_token_id=student.pad_id,
        cache_implementation="static" if static else None,
    )


def _generate(student: Student, prompts: Sequence[list[int]], job: ExamJob, static: bool) -> dict[str, Any]:
    """The library's `generate` in batches of prompts of similar length, drawn in any order.

    With a static cache all are padded to one length, and the last batch to as many rows as the others, since it is
    compiled for each shape; rows that only fill up are not counted.
    """
    longest = max(map(len, prompts)) if static else 0

    def answer(batch: Sequence[list[int]], new_tokens: int) -> int:
        length = max(longest, *map(len, batch))
        rows = [[student.pad_id] * (length - len(prompt)) + prompt for prompt in batch]
        masks = [[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in batch]
        if static:
            filling = min(job.sequences, len(prompts)) - len(batch)
            rows, masks = rows + rows[:1] * filling, masks + masks[:1] * filling
        model: Any = student.model
        with torch.inference_mode():
            output = model.generate(
                torch.tensor(rows, device=student.device),
                attention_mask=torch.tensor(masks, device=student.device),
                generation_config=_settings(student, new_tokens, static),
            )
        return sum(_new_tokens(new, student.stop_ids) for new in output[: len(batch), length:].tolist())

    ordered = sorted(prompts, key=len)
    batches = [ordered[start : start + job.sequences] for start in range(0, len(ordered), job.sequences)]
    random.Random(job.seed).shuffle(batches)
    if student.device.type == "cuda":
        answer(batches[0], job.new_tokens if static else 8)  # a static cache of another size is compiled anew
    synchronize(student.device)
    began, tokens, done = time.perf_counter(), 0, 0
    for batch in batches:
        tokens += answer(batch, job.new_tokens)
        done += len(batch)
        if time.perf_counter() - began > job.seconds:
            break
    return {"tokens": tokens, "sequences_done": done, "seconds": round(time.perf_counter() - began, 3)}


def _new_tokens(row: Sequence[int], stop_ids: Sequence[int]) -> int:
    """Tokens of a row up to the one that ended it, without the padding behind it."""
    return next((place for place, token in enumerate(row, start=1) if token in stop_ids), len(row))


def read_batching(settings: str) -> tuple[str, dict[str, Any]]:
    """Attention and ContinuousBatchingConfig of "sdpa+r64+graph+compile", say.

    r64: so many requests at a time. t256: tokens a pass. graph: CUDA graphs, and asynchronous batching with them.
    compile: torch.compile. Blocks are shared, so the demonstrations' keys and values are stored once. Without
    FlashAttention the library has no other paged attention than sdpa and eager; both compare every query with
    every key of all requests, so few requests at a time are faster than many.
    """
    attention, *words = settings.split("+")
    named: dict[str, Any] = {"allow_block_sharing": True, "block_size": 32, "use_cuda_graph": False}
    for word in words:
        if word == "graph":
            named |= {"use_cuda_graph": True, "use_async_batching": True}
        elif word == "compile":
            named["default_compile_level"] = 1
        elif word[0] in "rt" and word[1:].isdigit():
            named["max_requests_per_batch" if word[0] == "r" else "max_batch_tokens"] = int(word[1:])
        else:
            raise ValueError(f"{word!r} in {settings!r} is no setting of generate_batch")
    return f"paged|{attention}", named


def _generate_batch(student: Student, prompts: Sequence[list[int]], job: ExamJob, settings: str) -> dict[str, Any]:
    """The library's continuous batching, with the tokens of answers that the end of the time cuts off."""
    attention, named = read_batching(settings)
    requests = int(named.get("max_requests_per_batch", 256))
    named["max_batch_tokens"] = max(requests, int(named.get("max_batch_tokens", 0)), 256)
    # The cache's length is every query's, too, so no more blocks than so many requests fill.
    longest = max(map(len, prompts)) + job.new_tokens
    named["num_blocks"] = (requests + 2) * (-(-longest // int(named["block_size"])) + 1)
    model: Any = student.model
    model.set_attn_implementation(attention)
    config = ContinuousBatchingConfig(**named)
    tokens = done = 0
    with model.continuous_batching_context_manager(
        generation_config=_settings(student, job.new_tokens),
        continuous_batching_config=config,
        block=False,
        warmup=True,
    ) as manager:
        began = time.perf_counter()
        manager.add_requests(inputs=[list(prompt) for prompt in prompts], max_new_tokens=job.new_tokens)
        while done < len(prompts) and time.perf_counter() - began < job.seconds:
            output = manager.get_result(timeout=1)
            if output is not None and output.is_finished():
                if output.error:
                    raise RuntimeError(output.error)
                tokens, done = tokens + len(output.generated_tokens), done + 1
            elif output is None and not manager.is_running():
                raise RuntimeError("the library's generation thread has ended before the requests")
        seconds = time.perf_counter() - began
        tokens += _unfinished_tokens(manager)
    if not tokens:
        raise TimeoutError(f"no token was made within {seconds:.0f} s")
    return {"tokens": tokens, "sequences_done": done, "seconds": round(seconds, 3)}


def _unfinished_tokens(manager: Any) -> int:
    """Tokens of requests that the library goes on with, and of those whose end nobody has fetched yet."""
    tokens = sum(
        len(state.generated_tokens) for state in list(manager.batch_processor.scheduler.active_requests.values())
    )
    while (output := manager.get_result(timeout=0.001)) is not None:
        tokens += len(output.generated_tokens)
    return tokens

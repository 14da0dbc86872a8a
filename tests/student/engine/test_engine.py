"""The engine on models of many families, and what drives a GPU, as far as a CPU can tell."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig

from tests.student.answering.test_answerer import PROMPTS, TABLE_9
from tests.student.engine.families import ENGINE, LIBRARY, LLAMA, build
from tests.tiny import make_model, save_model
from tutelage.student.answering import generating
from tutelage.student.answering.answerer import Answerer
from tutelage.student.answering.prompts import encode_prompts
from tutelage.student.answering.stopping import EndRule
from tutelage.student.engine import engine as engine_module
from tutelage.student.engine.cache import SlotCache
from tutelage.student.engine.drawing import Drawing, Greedy
from tutelage.student.engine.engine import Engine, Options, shared_prefix, working_copy
from tutelage.student.engine.flex import join_by_flex
from tutelage.student.engine.graph import GraphDecoder
from tutelage.student.engine.scheduler import Request
from tutelage.student.model.student import Student, load_student

SEEDS = list(range(len(PROMPTS)))


def plain_tokens(student: Student, prompt: list[int], length: int) -> list[int]:
    """The library alone, one prompt at a time, with no end."""
    model: Any = student.model
    token_1T = torch.tensor([prompt], device=student.device)
    made = model.generate(token_1T, max_new_tokens=length, do_sample=False, eos_token_id=-1, pad_token_id=0)
    tokens: list[int] = made[0, len(prompt) :].tolist()
    return tokens


def engine_tokens(engine: Engine, prompts: int, samples: int = 1) -> dict[Request, list[int]]:
    made: dict[Request, list[int]] = {}
    requests = [Request(prompt, sample) for prompt in range(prompts) for sample in range(samples)]
    engine.run(requests, lambda: lambda tokens: False, made.__setitem__)
    assert made.keys() == set(requests)
    return made


@pytest.mark.parametrize("family", ENGINE)
def test_greedy_tokens_are_those_of_the_library(tiny_student: Student, family: str) -> None:
    student = dataclasses.replace(tiny_student, model=build(ENGINE[family](len(tiny_student.tokenizer))))
    encoded = encode_prompts(student, PROMPTS)
    before = student.model.config._attn_implementation
    made = engine_tokens(Engine(student.model, encoded, (), Greedy(10), slots=3), len(encoded))
    assert [made[Request(place, 0)] for place in range(len(encoded))] == [
        plain_tokens(student, prompt, 10) for prompt in encoded
    ]
    assert student.model.config._attn_implementation == before


@pytest.mark.parametrize("family", LIBRARY)
def test_what_it_cannot_run_the_library_answers(
    tiny_student: Student, family: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config, reason = LIBRARY[family]
    student = dataclasses.replace(tiny_student, model=build(config(len(tiny_student.tokenizer))), stop_ids=(303,))
    answerer = Answerer(student, PROMPTS, Greedy(8), complete=None, batch_size=3)
    answers = answerer.answer(range(len(PROMPTS)))
    assert answerer.engine is None
    assert reason in " ".join(capsys.readouterr().err.split())
    rule = EndRule(student.tokenizer, student.stop_ids, None)
    for prompt, [answer] in zip(encode_prompts(student, PROMPTS), answers, strict=True):
        assert answer == rule.completion(rule.cut(plain_tokens(student, prompt, 8)))


def test_prompts_with_nothing_in_common_and_of_one_token(tiny_student: Student) -> None:
    encoded = [[5, 6, 7], [9], [8, 6], [9]]
    engine = Engine(tiny_student.model, encoded, (), Greedy(6), slots=2)
    assert engine.shared == 0
    made = engine_tokens(engine, 4)
    assert [made[Request(place, 0)] for place in range(4)] == [plain_tokens(tiny_student, p, 6) for p in encoded]


def test_one_prompt_shares_all_but_its_last_token(tiny_student: Student) -> None:
    engine = Engine(tiny_student.model, [[5, 6, 7]], [3], TABLE_9, slots=4)
    assert engine.shared == 2
    made = engine_tokens(engine, 1, samples=4)
    assert len({tuple(tokens) for tokens in made.values()}) == 4


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=5))
def test_the_shared_prefix_leaves_every_prompt_a_token(prompts: list[list[int]]) -> None:
    shared = shared_prefix(prompts)
    assert all(len(prompt) > shared and prompt[:shared] == prompts[0][:shared] for prompt in prompts)
    longer = [prompt[: shared + 1] for prompt in prompts]
    assert min(map(len, prompts)) == shared + 1 or any(prompt != longer[0] for prompt in longer)


def test_a_wrong_answer_is_found_out(tiny_student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that goes by the number of tokens it has seen, not by the positions it is told."""
    rotary: Any = tiny_student.model.base_model.rotary_emb
    original = rotary.forward
    monkeypatch.setattr(rotary, "forward", lambda x, position_ids: original(x, position_ids=position_ids * 0))
    encoded = encode_prompts(tiny_student, PROMPTS)
    Engine(tiny_student.model, encoded, (), Greedy(4), slots=2)  # as wrong in a plain forward
    other = working_copy(tiny_student.model, torch.float64)
    rotary = other.base_model.rotary_emb
    monkeypatch.setattr(
        rotary,
        "forward",
        lambda x, position_ids: original(x.float(), position_ids=position_ids * (position_ids.shape[1] > 1)),
    )
    with pytest.raises(NotImplementedError, match="logits come out otherwise"):
        Engine(other, encoded, (), Greedy(4), slots=2)


def test_lower_precision_answers_with_a_frozen_copy(tiny_student: Student) -> None:
    buffers = {name: buffer.dtype for name, buffer in tiny_student.model.named_buffers()}
    copied = working_copy(tiny_student.model, torch.bfloat16)
    assert {weight.dtype for weight in copied.parameters()} == {torch.bfloat16}
    assert not any(weight.requires_grad for weight in copied.parameters())
    assert {name: buffer.dtype for name, buffer in copied.named_buffers()} == buffers
    assert copied.get_output_embeddings().weight is copied.get_input_embeddings().weight
    assert {weight.dtype for weight in tiny_student.model.parameters()} == {torch.float32}
    assert working_copy(tiny_student.model) is tiny_student.model
    encoded = encode_prompts(tiny_student, PROMPTS)
    engine = Engine(tiny_student.model, encoded, SEEDS, TABLE_9, 8, Options(dtype=torch.bfloat16))
    assert all(len(tokens) == 12 for tokens in engine_tokens(engine, 8, samples=2).values())


@pytest.mark.parametrize("gpu_like", [None, Options(graph=True), Options(graph=True, flex=False)])
def test_the_slots_are_gone_with_the_engine(
    tiny_student: Student, monkeypatch: pytest.MonkeyPatch, gpu_like: Options | None
) -> None:
    """At once, not when garbage is collected: they may be half of a GPU's memory."""
    encoded = encode_prompts(tiny_student, PROMPTS)
    if gpu_like:
        engine = gpu_like_engine(monkeypatch, tiny_student, encoded, TABLE_9, gpu_like)
    else:
        engine = Engine(tiny_student.model, encoded, SEEDS, TABLE_9, 4)
    engine_tokens(engine, 8)
    decoder: Any = engine._decoder
    slots = weakref.ref(decoder._cache.own[0][0])
    if gpu_like:
        decoder._graph.replay = None  # the stand-in refers to its decoder, which a CUDA graph does not
    gc.collect()  # what the compiler leaves
    gc.disable()
    try:
        del engine, decoder
        assert slots() is None
    finally:
        gc.enable()


class Uncaptured(GraphDecoder):
    """A decoder whose graph's stand-in does, at each replay, what was captured, once more."""

    def capture(self) -> None:
        super().capture()
        self._graph.replay = lambda: self._logits_RV.copy_(self._step_all())  # type: ignore[method-assign, assignment]


def imitate_gpu(monkeypatch: pytest.MonkeyPatch, decoder: type[GraphDecoder] = Uncaptured) -> None:
    """Engines with graphs do what they do on a GPU, on the CPU: all but the devices' parts."""

    @contextlib.contextmanager
    def capture(*_: object, **__: object) -> Iterator[None]:
        yield

    class Stream:
        def __init__(self, *_: object) -> None: ...
        def wait_stream(self, _: object) -> None: ...
        def record(self) -> None: ...
        def synchronize(self) -> None: ...

    replacements = {
        "CUDAGraph": SimpleNamespace, "Stream": Stream, "Event": Stream, "current_stream": Stream,
        "stream": capture, "graph": capture,
    }  # fmt: skip
    for name, replacement in replacements.items():
        monkeypatch.setattr(torch.cuda, name, replacement)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(engine_module, "compiled_join", lambda: join_by_flex)
    monkeypatch.setattr(engine_module, "GraphDecoder", decoder)


def gpu_like_engine(
    monkeypatch: pytest.MonkeyPatch, student: Student, encoded: list[list[int]], drawing: Drawing, options: Options
) -> Engine:
    """An engine as on a GPU, with five slots."""
    imitate_gpu(monkeypatch)
    engine = Engine(student.model, encoded, SEEDS, drawing, 5, options)
    assert isinstance(engine._decoder, Uncaptured)
    return engine


# Behind FlexAttention each takes seconds to compile.
@pytest.mark.parametrize(("chunk", "flex"), [(1, True), (8, True), (1, False), (4, False), (8, False)])
def test_the_gpus_way_gives_the_cpus_tokens(
    tiny_student: Student, monkeypatch: pytest.MonkeyPatch, chunk: int, flex: bool
) -> None:
    encoded = encode_prompts(tiny_student, PROMPTS)
    for drawing, samples in ((TABLE_9, 3), (Greedy(13), 1)):
        expected = engine_tokens(Engine(tiny_student.model, encoded, SEEDS, drawing, 24), 8, samples)
        options = Options(chunk=chunk, flex=flex, graph=True)
        engine = gpu_like_engine(monkeypatch, tiny_student, encoded, drawing, options)
        for _ in range(2):  # an engine serves sitting after sitting
            assert engine_tokens(engine, 8, samples) == expected


def test_what_ends_early_on_a_gpu_leaves_no_trace(parrot: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = ["Question: How many legs have 2 cats?\nReasoning:" + more for more in ("", " A cat", " A cat has 4", "")]
    encoded, rule = encode_prompts(parrot, prompts), EndRule(parrot.tokenizer, parrot.stop_ids)
    options = Options(chunk=8, graph=True)
    engine = gpu_like_engine(monkeypatch, parrot, encoded, Greedy(60), options)
    texts: dict[Request, str] = {}
    requests = [Request(prompt, sample) for sample in range(4) for prompt in range(4)]
    engine.run(
        requests, lambda: rule.watch().ends, lambda request, new: texts.update({request: rule.completion(new).text})
    )
    whole = " A cat has 4 legs. 2 * 4 = 8.\nAnswer: 8"
    ends = (whole, whole.removeprefix(" A cat"), whole.removeprefix(" A cat has 4"), whole)
    assert texts == {Request(prompt, sample): ends[prompt] for prompt in range(4) for sample in range(4)}


class Stale(GraphDecoder):
    """A decoder whose graph, replayed, gives what it gave when it was captured."""

    def capture(self) -> None:
        super().capture()
        self._graph.replay = lambda: None  # type: ignore[method-assign]


def test_what_is_proven_is_the_captured_graph(tiny_student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps by hand were proven before, and tell nothing about it."""
    encoded = encode_prompts(tiny_student, PROMPTS)
    Engine(tiny_student.model, encoded, (), Greedy(4), 5)
    imitate_gpu(monkeypatch, Stale)
    with pytest.raises(NotImplementedError, match="logits come out otherwise"):
        Engine(tiny_student.model, encoded, (), Greedy(4), 5, Options(graph=True, flex=False))


@pytest.mark.parametrize("options", [None, Options(graph=True), Options(graph=True, flex=False)])
def test_what_is_not_finite_does_not_reach_the_next_sequence(
    tiny_student: Student, monkeypatch: pytest.MonkeyPatch, options: Options | None
) -> None:
    encoded = encode_prompts(tiny_student, PROMPTS)
    if options:
        engine = gpu_like_engine(monkeypatch, tiny_student, encoded, TABLE_9, options)
    else:
        engine = Engine(tiny_student.model, encoded, SEEDS, TABLE_9, 5)
    expected = engine_tokens(engine, 8, samples=2)
    cache: Any = engine._decoder._cache
    for keys_RKSD, values_RKSE in cache.own:
        keys_RKSD[:, :, : cache._touched] = torch.nan
        values_RKSE[:, :, : cache._touched] = torch.inf
    assert engine_tokens(engine, 8, samples=2) == expected


def test_a_sequence_that_moves_meets_nothing_of_the_one_before() -> None:
    cache = SlotCache(reach=9)
    cache.own = [(torch.full((3, 1, 8, 2), torch.nan), torch.full((3, 1, 8, 2), torch.inf))]
    cache.own[0][1][2] = torch.arange(8.0)[:, None]
    cache.decode(torch.tensor([4, 5, 2]), 6)
    cache.move(torch.tensor([2]), torch.tensor([0]), 2)
    assert cache.own[0][1][0, 0, :6, 0].tolist() == [0, 1, 0, 0, 0, 0]


def test_out_of_memory_with_a_chunk_under_way(tiny_student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the host has not looked at is made anew; nothing is told of twice, or with other tokens."""
    seeds, told, launched = range(8), Counter[int](), Counter[int]()
    expected = Answerer(tiny_student, PROMPTS, TABLE_9, samples=2, seeds=seeds).answer(range(8))
    imitate_gpu(monkeypatch)
    launch = GraphDecoder.launch

    def failing(self: GraphDecoder, rows: int) -> Any:
        launched[self.slots] += 1
        if self.slots == 8 and launched[8] == 4:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory")
        return launch(self, rows)

    monkeypatch.setattr(GraphDecoder, "launch", failing)
    options = Options(chunk=5, graph=True, flex=False)
    answerer = Answerer(tiny_student, PROMPTS, TABLE_9, samples=2, seeds=seeds, batch_size=8, options=options)
    assert answerer.answer(range(8), lambda prompt, _: told.update([prompt])) == expected
    assert set(launched) == {8, 4}
    assert told == dict.fromkeys(range(8), 1)


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
@pytest.mark.parametrize("original", [64, 256])
def test_frequencies_that_follow_the_batch_are_left_to_the_library(
    tiny_student: Student, kind: str, original: int
) -> None:
    rope: Any = {"rope_type": kind, "rope_theta": 10000.0, "original_max_position_embeddings": original, "factor": 2.0}
    if kind == "longrope":
        rope |= {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    model = build(LlamaConfig(vocab_size=len(tiny_student.tokenizer), **LLAMA, rope_parameters=rope))
    encoded = [[5, *range(5, 105), 7], [5, 8]]
    if original == 64:
        with pytest.raises(NotImplementedError, match=f"{kind}, which changes behind 64 tokens.* up to 107"):
            Engine(model, encoded, (), Greedy(6), slots=2)
        return
    student = dataclasses.replace(tiny_student, model=model)
    made = engine_tokens(Engine(model, encoded, (), Greedy(6), slots=2), 2)
    assert [made[Request(place, 0)] for place in range(2)] == [plain_tokens(student, p, 6) for p in encoded]


@pytest.fixture(scope="session")
def wide_folder(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """The tiny student with heads as wide as FlexAttention's kernels need them, three queries to a key."""
    tokenizer = load_student(str(tiny_folder), device="cpu").tokenizer
    model = make_model(
        len(tokenizer), hidden_size=96, num_attention_heads=6, num_key_value_heads=2, initializer_range=0.1
    )
    return save_model(tmp_path_factory.mktemp("wide"), model, tokenizer)  # type: ignore[arg-type]


@pytest.mark.gpu
@pytest.mark.parametrize("flex", [True, False])
def test_on_a_gpu_in_float32(wide_folder: Path, flex: bool) -> None:
    """Captured graphs give the CPU's tokens, slots refilled on the way."""
    here, there = (load_student(str(wide_folder), device=device) for device in ("cpu", "cuda"))
    encoded = encode_prompts(here, PROMPTS)
    options = Options(flex=flex, dtype=torch.float32)
    for drawing, samples in ((TABLE_9, 3), (Greedy(13), 1)):
        expected = engine_tokens(Engine(here.model, encoded, SEEDS, drawing, 24), 8, samples)
        engine = Engine(there.model, encoded, SEEDS, drawing, 5, options)
        for _ in range(2):
            assert engine_tokens(engine, 8, samples) == expected


@pytest.mark.gpu
def test_on_a_gpu_in_bfloat16(wide_folder: Path) -> None:
    """The engine is taken, with its defaults, and its slots and weights are gone with it."""
    student = load_student(str(wide_folder), device="cuda")
    allocated = []
    for _ in range(2):  # the first leaves what cuBLAS and the compiler keep
        answerer = Answerer(student, PROMPTS, TABLE_9, samples=400, seeds=SEEDS)
        [sitting] = answerer.sittings
        answers = answerer.answer(sitting)
        assert answerer.engine is not None
        assert answerer.engine.slots == 2048
        assert all(len(completions) == 400 for completions in answers)
        cache: Any = answerer.engine._decoder._cache
        taken = sum(state.numel() * state.element_size() for pair in cache.own for state in pair)
        del cache
        answerer.release()
        torch.cuda.synchronize()
        allocated.append(torch.cuda.memory_allocated())
    assert allocated[1] - allocated[0] < taken / 8


@pytest.mark.gpu
def test_little_work_on_a_gpu_is_done_step_by_step(wide_folder: Path) -> None:
    """In float32 with the CPU's tokens; nothing is compiled or captured for it."""
    here, there = (load_student(str(wide_folder), device=device) for device in ("cpu", "cuda"))
    expected = Answerer(here, PROMPTS, TABLE_9, samples=2, seeds=SEEDS).answer(range(8))
    answerer = Answerer(there, PROMPTS, TABLE_9, samples=2, seeds=SEEDS, options=Options(dtype=torch.float32))
    assert answerer.answer(range(8)) == expected
    assert answerer.engine is not None
    assert not isinstance(answerer.engine._decoder, GraphDecoder)


@pytest.mark.gpu
@pytest.mark.parametrize("family", [*sorted(ENGINE.keys() - {"experts"}), *LIBRARY])  # routing may need the host
def test_families_on_a_gpu(tiny_student: Student, monkeypatch: pytest.MonkeyPatch, family: str) -> None:
    """Whoever answers, in float32 it is what the CPU says."""
    monkeypatch.setattr(generating, "autocast", lambda _: contextlib.nullcontext())  # the library's way to bfloat16
    config = ENGINE[family] if family in ENGINE else LIBRARY[family][0]
    model = build(config(len(tiny_student.tokenizer)))
    expected = Answerer(dataclasses.replace(tiny_student, model=model), PROMPTS, Greedy(6)).answer(range(8))
    on_gpu: Any = build(config(len(tiny_student.tokenizer))).to("cuda")  # type: ignore[arg-type]
    student = dataclasses.replace(tiny_student, model=on_gpu, device=torch.device("cuda"))
    answerer = Answerer(student, PROMPTS, Greedy(6), options=Options(graph=True, dtype=torch.float32))
    answers = answerer.answer(range(8))
    assert (answerer.engine is not None) == (family in ENGINE)
    assert answers == expected

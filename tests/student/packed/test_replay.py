"""Packs of a few sizes; on a GPU: FlexAttention, compiled layers and captured graphs against separate passes."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Callable

import pytest
import torch
import torch._dynamo
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch._dynamo.utils import counters
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, PreTrainedModel

from tests.student.packed.architectures import GEMMA, PACKED, make_student
from tests.student.packed.architectures import make_lesson as make_triplets
from tests.tiny import make_model
from tutelage.student.loss.separate import LessonSample, separate_passes
from tutelage.student.model.attention import exchanged_attention
from tutelage.student.model.gradient_checkpointing import checkpoint_activations
from tutelage.student.model.student import Student
from tutelage.student.packed import replay
from tutelage.student.packed.attention import BLOCK_TREE, masks_by_layer
from tutelage.student.packed.blocks import BLOCK
from tutelage.student.packed.replay import Buffers, Replay, decoder_layers, fill, size_for
from tutelage.student.packed.sums import packed_sums
from tutelage.student.packed.tree import plant
from tutelage.student.text.encoding import Sample
from tutelage.student.training import passes
from tutelage.student.training.passes import Passes, in_separate_passes, why_not_packed


def make_lesson(questions: int, seed: int, demonstrations: int = 60) -> list[LessonSample]:
    """Random tokens; a third of the questions without a triplet."""
    draw = random.Random(seed)

    def some(count: int) -> list[int]:
        return [draw.randrange(300) for _ in range(count)]

    before = [number % 300 for number in range(demonstrations)]
    lesson = []
    for number in range(questions):
        question = before + some(draw.randrange(5, 40))
        texts = [(*question, *some(draw.randrange(5, 60))) for _ in range(3)]
        samples = [
            Sample(text, (0.1,) * demonstrations + (1.0,) * (len(text) - demonstrations), len(text) - 2)
            for text in texts
        ]
        lesson.append(LessonSample(str(number), samples[0], *(samples[1:] if number % 3 else (None, None))))
    return lesson


@given(st.integers(1, 12), st.integers(0, 300))
def test_a_size_holds_its_tree_with_little_to_spare(questions: int, demonstrations: int) -> None:
    tree = plant(make_lesson(questions, questions, demonstrations))
    size = size_for(tree)
    assert len(tree.token_N) <= size.tokens <= max(len(tree.token_N) * 17 / 16, len(tree.token_N) + BLOCK)
    assert size.tokens % BLOCK == 0
    assert len(tree.source_M) <= size.predictions
    assert len(tree.state_K3) <= size.triplets
    assert size.longest == 0
    assert size_for(tree, sizes_are_dear=False).tokens < len(tree.token_N) + 2 * BLOCK
    assert tree.longest <= size_for(tree, windowed=True).longest


def test_batches_of_a_lesson_need_few_sizes() -> None:
    sizes = {size_for(plant(make_lesson(16, seed, 420))) for seed in range(60)}
    assert len(sizes) < 12


def test_the_layers_are_the_repeated_blocks() -> None:
    student = make_student(lambda: make_model(320, num_hidden_layers=5))
    assert [type(layer).__name__ for layer in decoder_layers(student)] == ["LlamaDecoderLayer"] * 5


@pytest.mark.parametrize(
    "name", ["Llama", "Qwen2, a window in its upper layer", "GPT-NeoX", "Gemma 3, a window in every other layer"]
)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_layers_compile_without_a_break_and_a_filled_up_pack_gives_the_same_losses(name: str) -> None:
    """What can be seen of the GPU's way without one: tracing is the same there, and FlexAttention runs uncompiled."""
    student = make_student(PACKED[name])
    lesson = make_triplets(student)
    assert why_not_packed(student) is None  # as before any study; it must leave nothing that breaks the graph
    windows: list[int | None] = []
    tree = plant(lesson)
    size = size_for(tree, windowed="window" in name)
    masks_by_layer(student.model, size.longest, windows.append)
    buffers = Buffers(student, fill(plant(lesson[:3]), size, student.pad_id, windows))
    buffers.load(fill(tree, size, student.pad_id, windows), (1.0, 1.0))
    expected = separate_passes(student, lesson, 1.0)
    torch._dynamo.reset()
    counters.clear()
    with exchanged_attention(student.model, BLOCK_TREE), torch.no_grad():
        for layer in decoder_layers(student):
            layer.compile(dynamic=True, fullgraph=True, backend="eager")
        found = packed_sums(student, buffers.pack, 1.0)
    assert counters["stats"]["unique_graphs"] == (1 if len(windows) == 1 else 2)
    for one, other in zip(expected, found, strict=True):
        assert float(other.total) == pytest.approx(float(one.total.detach()), rel=1e-5)
        assert float(other.divisor) == pytest.approx(float(one.divisor), rel=1e-6)


def on_gpu(student: Student) -> Student:
    student.model.to("cuda")  # type: ignore[arg-type]
    return dataclasses.replace(student, device=torch.device("cuda"))


def llama() -> PreTrainedModel:
    return make_model(320, hidden_size=64, num_attention_heads=4, num_key_value_heads=2)


def gemma() -> PreTrainedModel:
    shape = GEMMA | {"hidden_size": 64, "head_dim": 16, "sliding_window": 32}
    layers = ["sliding_attention", "full_attention"]
    return Gemma3ForCausalLM(Gemma3TextConfig(**shape, layer_types=layers))


def gradients(student: Student, way: Passes) -> list[tuple[Tensor, Tensor]]:
    """(losses, gradient) of batches of several sizes, each seen more than once."""
    parameters = list(student.model.parameters())
    found = []
    with way.running():
        for seed in range(9):
            student.model.zero_grad(set_to_none=not way.keeps_gradients)
            losses_2 = way.backward(way.prepare(make_lesson((16, 5, 16)[seed % 3], seed)), 100.0 + seed, 7)
            torch.cuda.synchronize()
            grads = [parameter.grad.flatten().clone() for parameter in parameters if parameter.grad is not None]
            found.append((losses_2, torch.cat(grads)))
    student.model.zero_grad()
    return found


def compare(student: Student, way: Passes) -> None:
    """In float32, against separate passes."""
    student.model.train()
    reference = gradients(student, in_separate_passes(student, 1.0, 0.5))
    for (expected_2, expected), (found_2, found) in zip(reference, gradients(student, way), strict=True):
        torch.testing.assert_close(found_2, expected_2, rtol=1e-5, atol=1e-6)
        assert float((found - expected).norm() / expected.norm()) < 1e-5


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without bfloat16."""
    for module in (passes, replay):
        monkeypatch.setattr(module, "autocast", lambda *_, **__: contextlib.nullcontext())


@pytest.mark.gpu
@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("make", [llama, gemma])
def test_compiled_and_captured_passes_equal_separate_ones(make: Callable[[], PreTrainedModel]) -> None:
    student = on_gpu(make_student(make))
    way = Replay(student, 1.0, 0.5)
    compare(student, way)
    assert way.captured > 0


@pytest.mark.gpu
@pytest.mark.usefixtures("exact")
def test_of_a_large_student_nothing_is_captured_and_all_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "LAUNCH_BOUND", 0)
    student = on_gpu(make_student(llama))
    way = Replay(student, 1.0, 0.5)
    compare(student, way)
    assert way.captured == 0


@pytest.mark.gpu
@pytest.mark.usefixtures("exact")
def test_under_gradient_checkpointing_nothing_is_captured_and_all_is_the_same() -> None:
    student = on_gpu(make_student(llama))
    checkpoint_activations(student.model, True)
    way = Replay(student, 1.0, 0.5)
    compare(student, way)
    assert way.captured == 0


@pytest.mark.gpu
@pytest.mark.usefixtures("exact")
def test_nothing_is_compiled_anew_for_another_batch_or_another_student() -> None:
    first = on_gpu(make_student(llama))
    gradients(first, Replay(first, 1.0, 0.5))
    student = on_gpu(make_student(llama))
    counters.clear()
    gradients(student, Replay(student, 1.0, 0.5))
    assert counters["stats"]["unique_graphs"] == 0

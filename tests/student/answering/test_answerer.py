"""Answers: stops, seeds, distributions, and numbers at a time that change nothing but rounding."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from scipy.stats import chisquare
from transformers import GenerationConfig

from tests.tiny import LESSON
from tutelage.errors import StudentError
from tutelage.student.answering import answerer as module
from tutelage.student.answering.answerer import Answerer, greedy_batch, sample_batch
from tutelage.student.answering.prompts import encode_prompts, plan_sittings
from tutelage.student.answering.stopping import Completion, answer_end
from tutelage.student.engine import engine as engine_module
from tutelage.student.engine.cache import SlotCache
from tutelage.student.engine.decoder import EagerDecoder
from tutelage.student.engine.drawing import Greedy, Sampling
from tutelage.student.engine.engine import Engine, Options
from tutelage.student.engine.scheduler import Request
from tutelage.student.model.student import Student

DEMONSTRATIONS = "Question: a dog\nReasoning: legs\nAnswer: 4\n\nQuestion: a hen\nReasoning: legs\nAnswer: 2\n\n"
PROMPTS = [
    DEMONSTRATIONS + question
    for question in (
        "Question: How many legs have 2 cats?\nReasoning:",
        "Question: cats\nReasoning:",
        "Question: How many legs have 2 cats and many cats, and 4 cats, and no legs at all?\nReasoning:",
        "Question: Is it?\nReasoning:",
        "A cat",
        "Question: How many cats have 8 legs?\nReasoning:",
        "Question: z\nReasoning:",
        "Question: How many legs have 3 cats?\nReasoning:",
    )
]
TABLE_9 = Sampling(1.0, 50, None, 12)


def plain_greedy(student: Student, prompt: str, length: int) -> str:
    """The library alone, one prompt at a time."""
    model: Any = student.model
    token_BT = torch.tensor([encode_prompts(student, [prompt])[0]])
    settings = GenerationConfig(max_new_tokens=length, eos_token_id=list(student.stop_ids), pad_token_id=student.pad_id)
    sequence_BT = model.generate(token_BT, generation_config=settings)
    return str(student.tokenizer.decode(sequence_BT[0, token_BT.shape[1] :], skip_special_tokens=True))


def test_an_answer_ends_after_its_line(parrot: Student) -> None:
    [completion] = greedy_batch(parrot, ["Question: How many legs have 2 cats?\nReasoning:"], 80)
    assert completion.text == " A cat has 4 legs. 2 * 4 = 8.\nAnswer: 8"
    assert completion.finished
    assert completion.tokens == len(parrot.tokenizer(completion.text + "\n")["input_ids"])


def test_the_limit_cuts_and_says_so(parrot: Student) -> None:
    [completion] = greedy_batch(parrot, ["Question: How many legs have 2 cats?\nReasoning:"], 5)
    assert (completion.tokens, completion.finished) == (5, False)
    assert " A cat has 4 legs. 2 * 4 = 8.".startswith(completion.text)


def test_an_end_token_ends_and_is_counted(parrot: Student) -> None:
    prompt = "Question: How many legs have 2 cats?\nReasoning:"
    model: Any = parrot.model
    token_BT = torch.tensor([encode_prompts(parrot, [prompt])[0]])
    new = model.generate(token_BT, max_new_tokens=4)[0, token_BT.shape[1] :].tolist()
    assert len(set(new)) == 4
    for place, token in enumerate(new):
        [completion] = greedy_batch(dataclasses.replace(parrot, stop_ids=(parrot.eos_id, token)), [prompt], 20)
        assert completion == Completion(str(parrot.tokenizer.decode(new[:place])), place + 1, finished=True)


def test_without_a_completion_rule_only_end_tokens_count(parrot: Student) -> None:
    [completion] = greedy_batch(parrot, ["Question: How many legs have 2 cats?\nReasoning:"], 60, complete=None)
    assert not completion.finished
    assert "Answer: 8\n\nQuestion: How" in completion.text


def test_rows_end_each_at_its_own_place(parrot: Student) -> None:
    text = LESSON.partition("Reasoning:")
    prompts = [text[0] + text[1], LESSON[: LESSON.index("8.\n") + 2], LESSON + text[0] + text[1]]
    completions = greedy_batch(parrot, prompts, 60)
    assert [completion.text for completion in completions] == [
        " A cat has 4 legs. 2 * 4 = 8.\nAnswer: 8",
        "\nAnswer: 8",
        " A cat has 4 legs. 2 * 4 = 8.\nAnswer: 8",
    ]
    assert all(completion.finished for completion in completions)


def test_greedy_is_what_the_library_does_alone(tiny_student: Student) -> None:
    answers = greedy_batch(tiny_student, PROMPTS, 16, complete=None)
    assert [answer.text for answer in answers] == [plain_greedy(tiny_student, prompt, 16) for prompt in PROMPTS]
    assert greedy_batch(tiny_student, PROMPTS[:1], 16, complete=None) == answers[:1]


@pytest.mark.parametrize("size", [1, 3, 8, 24])
@pytest.mark.parametrize("chunk", [1, 5])
def test_samples_depend_neither_on_their_number_at_a_time_nor_on_the_order(
    tiny_student: Student, size: int, chunk: int
) -> None:
    seeds = list(range(100, 100 + len(PROMPTS)))
    expected = sample_batch(tiny_student, PROMPTS, 3, TABLE_9, seeds)
    order = random.Random(size).sample(range(len(PROMPTS)), len(PROMPTS))
    answerer = Answerer(
        tiny_student,
        [PROMPTS[i] for i in order],
        TABLE_9,
        samples=3,
        seeds=[seeds[i] for i in order],
        batch_size=size,
        options=Options(chunk=chunk),
    )
    found: dict[int, list[Completion]] = {}
    for sitting in answerer.sittings:
        answers = answerer.answer(sitting)
        found |= {order[place]: completions for place, completions in zip(sitting, answers, strict=True)}
    assert answerer.engine is not None
    assert answerer.engine.slots == size
    assert [found[index] for index in range(len(PROMPTS))] == expected
    assert len({completion.text for row in expected for completion in row}) == len(PROMPTS) * 3


def test_the_library_gives_the_engines_answers(tiny_student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = list(range(len(PROMPTS)))
    drawings = (TABLE_9, Sampling(0.7, None, 0.8, 12))
    expected = [sample_batch(tiny_student, PROMPTS, 2, drawing, seeds) for drawing in drawings]
    refuse_the_engine(monkeypatch)
    assert [sample_batch(tiny_student, PROMPTS, 2, drawing, seeds) for drawing in drawings] == expected


def refuse_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError("it is only a test")

    monkeypatch.setattr(module, "Engine", refuse)


@pytest.mark.parametrize("by_library", [False, True])
def test_prompts_asked_for_while_others_run_get_the_same_answers(
    tiny_student: Student, monkeypatch: pytest.MonkeyPatch, by_library: bool
) -> None:
    seeds = range(len(PROMPTS))
    expected = sample_batch(tiny_student, PROMPTS, 3, TABLE_9, seeds)
    if by_library:
        refuse_the_engine(monkeypatch)
    answerer = Answerer(tiny_student, PROMPTS, TABLE_9, samples=3, seeds=seeds, batch_size=5)
    parts: list[list[int]] = [[6], [1, 7], [0, 3], [5, 2, 4]]
    waiting: list[int] = []
    found: dict[int, Sequence[Completion]] = {}

    def further() -> list[int]:
        waiting.append(len(PROMPTS) - sum(map(len, parts)) - len(found))
        return parts.pop(0) if parts else []

    answerer.answer((), found.__setitem__, further)
    assert [found[place] for place in seeds] == expected
    assert 0 < max(waiting) <= 2  # as many are taken as 5 slots hold, and no more


def test_why_the_library_answers_is_said_once(
    tiny_student: Student, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse_the_engine(monkeypatch)
    answerer = Answerer(tiny_student, PROMPTS, Greedy(4), batch_size=1)
    for sitting in answerer.sittings:
        answerer.answer(sitting)
    assert len(answerer.sittings) == 2
    assert capsys.readouterr().err.split().count("generate,") == 1


def test_more_samples_or_tokens_keep_the_first_ones(tiny_student: Student) -> None:
    few = sample_batch(tiny_student, PROMPTS[:2], 2, TABLE_9, [1, 2])
    many = sample_batch(tiny_student, PROMPTS[:2], 4, TABLE_9, [1, 2])
    assert [row[:2] for row in many] == few
    longer = sample_batch(tiny_student, PROMPTS[:1], 1, dataclasses.replace(TABLE_9, max_new_tokens=16), [1])
    assert longer[0][0].text.startswith(few[0][0].text.rstrip("�"))
    assert sample_batch(tiny_student, PROMPTS[:2], 2, TABLE_9, [3, 4]) != few


def test_first_tokens_follow_the_models_distribution(tiny_student: Student) -> None:
    """With seeds as an exam has them: one a question, several samples."""
    prompt, seeds, samples = "Question: A cat", list(range(40)), 50
    with torch.no_grad():
        logits_V = tiny_student.model(torch.tensor(encode_prompts(tiny_student, [prompt]))).logits[0, -1]
    rows = sample_batch(tiny_student, [prompt] * len(seeds), samples, Sampling(2.0, 20, None, 1), seeds, complete=None)
    likeliest = logits_V.topk(20)
    shares: dict[str, float] = defaultdict(float)  # several tokens are a part of a character, and read alike
    for token, share in zip(likeliest.indices.tolist(), (likeliest.values / 2.0).softmax(-1).tolist(), strict=True):
        shares["" if token in tiny_student.stop_ids else str(tiny_student.tokenizer.decode([token]))] += share
    assert len(shares) > 8
    found = Counter(completion.text for row in rows for completion in row)
    assert found.keys() <= shares.keys()
    total = sum(shares.values())  # 1, but for rounding
    expected = [share / total * found.total() for share in shares.values()]
    assert chisquare([found[text] for text in shares], expected).pvalue > 0.001


def test_first_and_second_tokens_follow_the_model_together(tiny_student: Student) -> None:
    """The second number of a sequence is independent of its first, and its token follows the first."""
    prompt, seeds, samples = "Question: A cat", list(range(40)), 50
    [ids] = encode_prompts(tiny_student, [prompt])
    drawing = Sampling(2.0, 4, None, 2)
    found = Counter[tuple[int, ...]]()
    engine = Engine(tiny_student.model, [ids] * len(seeds), seeds, drawing, 128)
    requests = [Request(place, sample) for place in range(len(seeds)) for sample in range(samples)]
    engine.run(requests, lambda: lambda _: False, lambda _, new: found.update([tuple(new)]))
    expected = {}
    for first, share in likeliest(tiny_student, ids).items():
        for second, more in likeliest(tiny_student, [*ids, first]).items():
            expected[first, second] = share * more * found.total()
    assert found.keys() <= expected.keys()
    assert min(expected.values()) > 5
    observed = [found[pair] for pair in expected]
    assert (
        chisquare(observed, [count * sum(observed) / sum(expected.values()) for count in expected.values()]).pvalue
        > 0.001
    )


def likeliest(student: Student, ids: list[int]) -> dict[int, float]:
    """The four likeliest next tokens at the temperature 2, and the share of each."""
    with torch.no_grad():
        top = student.model(torch.tensor([ids])).logits[0, -1].topk(4)
    return dict(zip(top.indices.tolist(), (top.values / 2.0).softmax(-1).tolist(), strict=True))


def test_nothing_asked_is_nothing_answered(tiny_student: Student) -> None:
    assert greedy_batch(tiny_student, [], 4) == []
    assert sample_batch(tiny_student, [], 2, TABLE_9, []) == []


def test_prompts_that_cannot_be_continued(tiny_student: Student) -> None:
    with pytest.raises(StudentError, match="A prompt is empty"):
        greedy_batch(tiny_student, [""], 4)
    with pytest.raises(StudentError, match=r"510 tokens and 4 new ones .* context of 512 .* fewer demonstrations"):
        greedy_batch(tiny_student, ["Z" * 510], 4)
    with pytest.raises(ValueError, match="as many seeds"):
        sample_batch(tiny_student, PROMPTS[:2], 1, TABLE_9, [1])


def test_generation_leaves_the_student_as_it_was(tiny_student: Student) -> None:
    for training in (True, False):
        tiny_student.model.train(training)
        greedy_batch(tiny_student, PROMPTS[:1], 2)
        assert tiny_student.model.training is training
    tiny_student.model.train()
    with pytest.raises(StudentError):
        greedy_batch(tiny_student, ["Z" * 600], 4)
    tiny_student.model(torch.tensor([[4, 5, 6]])).logits.sum().backward()
    assert all(parameter.grad is not None for parameter in tiny_student.model.parameters())


def test_a_beginning_of_text_stands_there_once(tiny_student: Student) -> None:
    student = dataclasses.replace(tiny_student, bos=(0,))
    [cat] = encode_prompts(tiny_student, ["cat"])
    assert encode_prompts(student, ["cat", "<|endoftext|>cat", ""]) == [[0, *cat], [0, *cat], [0]]
    assert encode_prompts(student, []) == []


def test_only_telling_tokens_are_decoded(parrot: Student) -> None:
    asked: list[str] = []

    def watch(text: str) -> int | None:
        asked.append(text)
        return answer_end(text)

    greedy_batch(parrot, ["Question: How many legs have 2 cats?\nReasoning:"], 60, complete=watch)
    assert 2 <= len(asked) <= 5


def test_sittings_are_planned_by_length(tiny_student: Student) -> None:
    encoded = encode_prompts(tiny_student, PROMPTS)
    plan = plan_sittings(encoded, samples=2, slots=1)
    assert [len(sitting) for sitting in plan] == [2, 2, 2, 2]
    order = [number for sitting in plan for number in sitting]
    assert sorted(order) == list(range(len(PROMPTS)))
    lengths = [len(encoded[number]) for number in order]
    assert lengths == sorted(lengths, reverse=True)
    assert [number for sitting in plan_sittings(encoded, 1, 16) for number in sitting] == order
    assert plan_sittings(encoded, samples=16, slots=1) == [[number] for number in order]
    assert plan_sittings([], 1, 3) == []


def test_each_prompt_is_told_of_once_when_all_its_samples_are_there(tiny_student: Student) -> None:
    told: dict[int, Sequence[Completion]] = {}

    def finished(prompt: int, completions: Sequence[Completion]) -> None:
        assert prompt not in told
        told[prompt] = list(completions)

    answerer = Answerer(tiny_student, PROMPTS, TABLE_9, samples=3, seeds=range(8), batch_size=5)
    answers = answerer.answer([6, 1, 3], finished)
    assert [told[prompt] for prompt in (6, 1, 3)] == answers
    assert len(told) == 3


Errors = Callable[[], BaseException]
OUT_OF_MEMORY: list[Errors] = [
    lambda: torch.OutOfMemoryError("CUDA out of memory."),
    lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: 9 bytes"),
    lambda: RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    MemoryError,
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
@pytest.mark.parametrize("place", ["launch", "enter"])
def test_out_of_memory_halves_the_slots_and_loses_nothing(
    tiny_student: Student,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Errors,
    place: str,
) -> None:
    expected = sample_batch(tiny_student, PROMPTS, 2, TABLE_9, range(8))
    original, calls, told = getattr(EagerDecoder, place), Counter[int](), Counter[int]()

    def failing(self: EagerDecoder, *arguments: Any) -> Any:
        calls[self.slots] += 1
        if self.slots == 8 and calls[8] > 16 * (place == "launch"):  # in the middle of the work, or before any
            raise error()
        if self.slots == 4 and calls[4] == 2:
            raise error()
        return original(self, *arguments)

    monkeypatch.setattr(EagerDecoder, place, failing)
    answerer = Answerer(tiny_student, PROMPTS, TABLE_9, samples=2, seeds=range(8), batch_size=8)
    answers = answerer.answer(range(8), lambda prompt, _: told.update([prompt]))
    assert answers == expected
    assert set(told.values()) == {1}
    assert len(told) == 8
    assert set(calls) == {8, 4, 2}
    said = " ".join(capsys.readouterr().err.split())
    assert "Out of memory with 8 sequences at a time; going on with 4." in said
    assert "Out of memory with 4 sequences at a time; going on with 2." in said


def test_out_of_memory_while_the_engine_is_made_or_the_library_answers(
    tiny_student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = greedy_batch(tiny_student, PROMPTS, 6)

    class Small(Engine):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            if arguments[4] > 3:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            super().__init__(*arguments, **named)

    monkeypatch.setattr(module, "Engine", Small)
    answerer = Answerer(tiny_student, PROMPTS, Greedy(6))
    assert [one for [one] in answerer.answer(range(8))] == expected
    assert answerer.engine is not None
    assert answerer.engine.slots == 2

    refuse_the_engine(monkeypatch)
    generate: Any = tiny_student.model.generate

    def failing(token_RL: torch.Tensor, **named: Any) -> Any:
        if len(token_RL) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return generate(token_RL, **named)

    monkeypatch.setattr(tiny_student.model, "generate", failing)
    assert greedy_batch(tiny_student, PROMPTS, 6) == expected


def test_what_is_halved_is_what_was_tried(
    tiny_student: Student, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not what was asked for: memory had cut that already."""
    expected, allocate, tried = greedy_batch(tiny_student, PROMPTS, 6), SlotCache.allocate, []

    def failing(self: SlotCache, slots: int, room: int) -> None:
        tried.append(slots)
        if slots > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        allocate(self, slots, room)

    monkeypatch.setattr(SlotCache, "allocate", failing)
    monkeypatch.setattr(engine_module, "slots_that_fit", lambda most, *_: min(most, 4))
    assert greedy_batch(tiny_student, PROMPTS, 6) == expected
    assert tried == [4, 2]
    said = " ".join(capsys.readouterr().err.split())
    assert "Out of memory with 4 sequences at a time; going on with 2." in said


class Recorded(Engine):
    """Notes what it was made with; breaks as a compiler does where it is to be called."""

    made: list[tuple[int, Options]]
    breaks = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        slots, options = arguments[4:]
        self.made.append((slots, options))
        if self.breaks and options.flex is None:
            raise RuntimeError("LoweringException: no triton\nand a page more")
        model, prompts, seeds, drawing = arguments[:4]
        super().__init__(model, prompts, seeds, drawing, slots, Options(), **named)


@pytest.fixture
def gpu_student(tiny_student: Student, monkeypatch: pytest.MonkeyPatch) -> Student:
    """One that says it is on a GPU, with an engine that does not mind."""
    monkeypatch.setattr(Recorded, "made", [], raising=False)
    monkeypatch.setattr(module, "Engine", Recorded)
    monkeypatch.setattr(module, "release", lambda _: None)
    return dataclasses.replace(tiny_student, device=torch.device("cuda"))


def test_what_does_not_compile_is_tried_without_flex_attention(
    gpu_student: Student, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Recorded, "breaks", True)
    answerer = Answerer(gpu_student, PROMPTS, TABLE_9, samples=60, seeds=range(8), batch_size=5)
    answerer.answer([0])
    assert answerer.engine is not None
    assert [options.flex for _, options in Recorded.made] == [None, False]
    said = " ".join(capsys.readouterr().err.split())
    assert "Trying without FlexAttention" in said
    assert "no triton" in said
    assert "page more" not in said
    assert "generate" not in said


def test_slots_on_a_gpu_come_in_few_numbers(gpu_student: Student) -> None:
    for samples, size in ((1, None), (9, None), (9, 70), (9, 40)):
        Answerer(gpu_student, PROMPTS, Greedy(2), samples=samples, batch_size=size).answer([0])
    assert [slots for slots, _ in Recorded.made] == [64, 128, 70, 40]


def test_little_work_is_not_captured(gpu_student: Student) -> None:
    for prompts, options in ((16, Options()), (17, Options()), (16, Options(graph=True))):
        Answerer(gpu_student, [PROMPTS[0]] * prompts, Greedy(256), options=options, complete=lambda _: 0).answer([0])
    assert [options.graph for _, options in Recorded.made] == [False, None, True]


def test_what_is_given_back_is_made_anew(tiny_student: Student) -> None:
    answerer = Answerer(tiny_student, PROMPTS, Greedy(6))
    answers = answerer.answer(range(8))
    answerer.release()
    assert answerer.engine is None
    assert answerer.answer(range(8)) == answers


def test_no_memory_for_one_sequence_is_one_clear_error(tiny_student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(EagerDecoder, "launch", failing)
    with pytest.raises(StudentError, match=r"single sequence.* fewer demonstrations \(prompt.count\)"):
        greedy_batch(tiny_student, PROMPTS, 6)
    assert tiny_student.model.config._attn_implementation == "sdpa"


def test_what_is_no_lack_of_memory_is_not_hidden(tiny_student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(EagerDecoder, "launch", failing)
    with pytest.raises(RuntimeError, match="a bug"):
        greedy_batch(tiny_student, PROMPTS, 6)

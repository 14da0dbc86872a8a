"""Sampling: stops, seeds, distributions, and batches that change nothing but rounding."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers import (
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
)

from tests.tiny import LESSON, make_tokenizer
from tutelage.errors import StudentError
from tutelage.student import sampling
from tutelage.student.drawing import Sampling, draw, uniform_numbers
from tutelage.student.model import Student, load_student
from tutelage.student.prefixes import lay_out, prefill, shared_prefix
from tutelage.student.sampling import (
    Completion,
    answer_end,
    encode_prompt,
    greedy_batch,
    plan_batches,
    render_chat,
    sample_batch,
)

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
    token_BT = torch.tensor([encode_prompt(student, prompt)])
    settings = GenerationConfig(max_new_tokens=length, eos_token_id=list(student.stop_ids), pad_token_id=student.pad_id)
    sequence_BT = model.generate(token_BT, generation_config=settings)
    return str(student.tokenizer.decode(sequence_BT[0, token_BT.shape[1] :], skip_special_tokens=True))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (" 2 * 4 = 8.\nAnswer: 8\n\nQuestion: next", " 2 * 4 = 8.\nAnswer: 8"),
        (" 2 * 4 = 8.\nAnswer: 8", None),
        (" 2 * 4 = 8.\nAnswer:\n", None),
        (" So.\nAnswer:\n8\n", " So.\nAnswer:\n8"),
        (" So. Answer: 8 legs\nMore", " So. Answer: 8 legs"),
        (" I give up.\n\nQuestion: next", " I give up.\n"),
        (" I give up.\nAnswer:\nQuestion: next\n", " I give up.\nAnswer:"),
        ("\nQuestion:", ""),
        (" The Question: is it?", None),
        ("", None),
    ],
)
def test_where_an_answer_is_complete(text: str, kept: str | None) -> None:
    end = answer_end(text)
    assert (None if end is None else text[:end]) == kept


@given(st.text(alphabet="Answer: \n8Question", max_size=60), st.text(alphabet="Answer: \n8Question", max_size=20))
def test_a_complete_answer_stays_as_it_is(text: str, more: str) -> None:
    end = answer_end(text)
    if end is not None:
        assert answer_end(text + more) == end


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
    token_BT = torch.tensor([encode_prompt(parrot, prompt)])
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


@pytest.mark.parametrize("size", [1, 3, 8])
def test_samples_do_not_depend_on_the_batch(tiny_student: Student, size: int) -> None:
    seeds = list(range(100, 100 + len(PROMPTS)))
    expected = sample_batch(tiny_student, PROMPTS, 3, TABLE_9, seeds)
    order = random.Random(size).sample(range(len(PROMPTS)), len(PROMPTS))
    found: dict[int, list[Completion]] = {}
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        completions = sample_batch(tiny_student, [PROMPTS[i] for i in batch], 3, TABLE_9, [seeds[i] for i in batch])
        found |= dict(zip(batch, completions, strict=True))
    assert [found[index] for index in range(len(PROMPTS))] == expected
    assert len({completion.text for row in expected for completion in row}) == len(PROMPTS) * 3


def test_more_samples_or_tokens_keep_the_first_ones(tiny_student: Student) -> None:
    few = sample_batch(tiny_student, PROMPTS[:2], 2, TABLE_9, [1, 2])
    many = sample_batch(tiny_student, PROMPTS[:2], 4, TABLE_9, [1, 2])
    assert [row[:2] for row in many] == few
    longer = sample_batch(tiny_student, PROMPTS[:1], 1, dataclasses.replace(TABLE_9, max_new_tokens=16), [1])
    assert longer[0][0].text.startswith(few[0][0].text.rstrip("�"))
    assert sample_batch(tiny_student, PROMPTS[:2], 2, TABLE_9, [3, 4]) != few


def test_shared_encoding_gives_the_logits_of_whole_prompts(tiny_student: Student) -> None:
    encoded = [encode_prompt(tiny_student, prompt) for prompt in PROMPTS]
    layout = lay_out(encoded, tiny_student.pad_id, tiny_student.device)
    assert layout.shared == shared_prefix(encoded) > 20
    token_RL, attention_RL = layout.repeat(2)
    with torch.no_grad():
        cache = prefill(tiny_student, layout, samples=2, room=1)
        assert cache is not None
        assert cache.get_seq_length() == token_RL.shape[1] - 1
        position_R1 = attention_RL.sum(-1, keepdim=True) - 1
        output = tiny_student.model(
            token_RL[:, -1:], attention_mask=attention_RL, position_ids=position_R1, past_key_values=cache
        )
        for row, prompt in enumerate(encoded):
            alone_BTV = tiny_student.model(torch.tensor([prompt])).logits
            for sample in (0, 1):
                torch.testing.assert_close(output.logits[2 * row + sample, -1], alone_BTV[0, -1], rtol=0, atol=1e-3)


def small(kind: str, vocabulary: int) -> PreTrainedModel:
    """A random model of another family."""
    torch.manual_seed(1)
    if kind == "learned positions":
        return GPT2LMHeadModel(
            GPT2Config(vocab_size=vocabulary, n_embd=32, n_layer=2, n_head=2, n_positions=256, initializer_range=0.3)
        )
    if kind == "sliding window":
        return MistralForCausalLM(
            MistralConfig(
                vocab_size=vocabulary,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                sliding_window=16,
                initializer_range=0.3,
            )
        )
    return MambaForCausalLM(
        MambaConfig(vocab_size=vocabulary, hidden_size=32, state_size=4, num_hidden_layers=2, initializer_range=0.3)
    )


@pytest.mark.parametrize(
    ("kind", "shares"), [("learned positions", True), ("sliding window", False), ("recurrent", False)]
)
def test_other_families_answer_as_the_library_does(tiny_student: Student, kind: str, shares: bool) -> None:
    model = small(kind, len(tiny_student.tokenizer))
    model.eval()
    student = dataclasses.replace(tiny_student, model=model)
    encoded = [encode_prompt(student, prompt) for prompt in PROMPTS]
    with torch.no_grad():
        cache = prefill(student, lay_out(encoded, student.pad_id, student.device), 1, 8)
    assert (cache is not None) == shares
    answers = greedy_batch(student, PROMPTS, 8, complete=None)
    assert [answer.text for answer in answers] == [plain_greedy(student, prompt, 8) for prompt in PROMPTS]


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=5))
def test_the_shared_prefix_leaves_every_prompt_a_token(prompts: list[list[int]]) -> None:
    shared = shared_prefix(prompts)
    assert all(len(prompt) > shared and prompt[:shared] == prompts[0][:shared] for prompt in prompts)
    longer = [prompt[: shared + 1] for prompt in prompts]
    assert min(map(len, prompts)) == shared + 1 or any(prompt != longer[0] for prompt in longer)


@pytest.mark.parametrize(
    ("top_k", "top_p", "temperature"), [(None, None, 1.0), (5, None, 1.0), (None, 0.8, 0.7), (8, 0.9, 1.5)]
)
def test_draws_follow_the_distribution(top_k: int | None, top_p: float | None, temperature: float) -> None:
    logits_V = torch.randn(40, generator=torch.Generator().manual_seed(3)) * 2
    draws = 200_000
    uniform_R = uniform_numbers([7], 1, draws)[0]
    token_R = draw(logits_V.expand(draws, -1), uniform_R, Sampling(temperature, top_k, top_p, 1))
    found_V = torch.bincount(token_R, minlength=40) / draws
    expected_V = (logits_V / temperature).softmax(-1)
    order_V = expected_V.argsort(descending=True)
    if top_k is not None:
        expected_V[order_V[top_k:]] = 0
    expected_V /= expected_V.sum()
    if top_p is not None:
        needed = int((expected_V[order_V].cumsum(0) < top_p).sum()) + 1
        expected_V[order_V[needed:]] = 0
        expected_V /= expected_V.sum()
    assert found_V[expected_V == 0].sum() == 0
    assert float((found_V - expected_V).abs().sum()) / 2 < 0.01  # total variation


def test_first_tokens_follow_the_models_distribution(tiny_student: Student) -> None:
    """Through `generate` itself, with seeds as an exam has them: one a question, several samples."""
    prompt, seeds, samples = "Question: A cat", list(range(40)), 50
    with torch.no_grad():
        logits_V = tiny_student.model(torch.tensor([encode_prompt(tiny_student, prompt)])).logits[0, -1]
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


def test_uniform_numbers_at_the_edges_draw_what_is_there() -> None:
    logits_RV = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]]).expand(2, -1)
    edges_R = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    assert draw(logits_RV, edges_R, Sampling(1.0, None, None, 1)).tolist() == [1, 2]


def test_lower_precision_keeps_the_cache_usable(tiny_student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: under autocast keys come in float32 and values in bfloat16."""
    monkeypatch.setattr(sampling, "autocast", lambda device: torch.autocast(device.type, dtype=torch.bfloat16))
    rows = sample_batch(tiny_student, PROMPTS, 2, TABLE_9, list(range(len(PROMPTS))))
    assert all(completion.tokens > 0 for row in rows for completion in row)
    assert {parameter.dtype for parameter in tiny_student.model.parameters()} == {torch.float32}


@pytest.mark.gpu
def test_on_a_gpu(tiny_folder: Path, tiny_student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same seeds give the CPU's samples in float32, and samples at all in bfloat16."""
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA GPU")
    student, seeds = load_student(str(tiny_folder), device="cuda"), list(range(len(PROMPTS)))
    assert all(row for row in sample_batch(student, PROMPTS, 2, TABLE_9, seeds))
    monkeypatch.setattr(sampling, "autocast", lambda device: contextlib.nullcontext())
    assert greedy_batch(student, PROMPTS, 16) == greedy_batch(tiny_student, PROMPTS, 16)
    assert sample_batch(student, PROMPTS, 2, TABLE_9, seeds) == sample_batch(tiny_student, PROMPTS, 2, TABLE_9, seeds)


def test_batches_are_planned_by_length(tiny_student: Student) -> None:
    plan = plan_batches(tiny_student, PROMPTS, 3)
    lengths = [[len(encode_prompt(tiny_student, PROMPTS[index])) for index in batch] for batch in plan]
    assert sorted(index for batch in plan for index in batch) == list(range(len(PROMPTS)))
    assert [length for batch in lengths for length in batch] == sorted(
        (length for batch in lengths for length in batch), reverse=True
    )
    assert [len(batch) for batch in plan] == [3, 3, 2]
    assert plan == plan_batches(tiny_student, PROMPTS, 3)
    assert plan_batches(tiny_student, [], 3) == []


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
    with pytest.raises(ValueError, match="greedy_batch"):
        Sampling(0.0, None, None, 4)


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
    assert encode_prompt(student, "cat") == [0, *encode_prompt(tiny_student, "cat")]
    assert encode_prompt(student, "<|endoftext|>cat") == encode_prompt(student, "cat")
    assert encode_prompt(student, "") == [0]


def test_chat_messages_become_a_prompt(tiny_student: Student) -> None:
    messages = [("system", "Teach."), ("user", "Why?")]
    with pytest.raises(StudentError, match="no chat template"):
        render_chat(tiny_student, messages)
    tokenizer = make_tokenizer(("<|im_start|>", "<|im_end|>"))
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    text = render_chat(dataclasses.replace(tiny_student, tokenizer=tokenizer), messages)
    assert text.startswith("<|im_start|>system\nTeach.<|im_end|>\n")
    assert text.endswith("<|im_start|>assistant\n")


NO_SYSTEM = (  # as Gemma 2's
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "[{{ m['role'] }}]{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}[model]{% endif %}"
)


def test_a_template_without_a_system_role_gets_its_text_with_the_first_question(tiny_student: Student) -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = NO_SYSTEM
    student = dataclasses.replace(tiny_student, tokenizer=tokenizer)
    messages = [("system", "Teach."), ("user", "Why?"), ("assistant", "So."), ("user", "How?")]
    assert render_chat(student, messages) == "[user]Teach.\n\nWhy?[assistant]So.[user]How?[model]"
    assert render_chat(student, messages[1:2]) == "[user]Why?[model]"
    with pytest.raises(StudentError, match=r"refuses the messages \(system, user, user\)"):
        render_chat(student, [*messages[:2], ("user", "How?")])


def test_only_telling_tokens_are_decoded(parrot: Student) -> None:
    asked: list[str] = []

    def watch(text: str) -> int | None:
        asked.append(text)
        return answer_end(text)

    greedy_batch(parrot, ["Question: How many legs have 2 cats?\nReasoning:"], 60, complete=watch)
    assert 2 <= len(asked) <= 5

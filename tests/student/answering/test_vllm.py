"""What vLLM is asked and what is made of its replies, with a stand-in for it: it needs a GPU, and is not here."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tutelage.errors import StudentError
from tutelage.recipes import read_recipe
from tutelage.rounds import evaluate, exam, start_run
from tutelage.student.answering.answerer import greedy_batch
from tutelage.student.answering.stopping import Completion
from tutelage.student.answering.vllm import VllmAnswerer
from tutelage.student.engine.drawing import Drawing, Greedy, Sampling
from tutelage.student.model.student import Student

PROMPT = "Question: How many legs have 2 cats?\nReasoning:"


class FakeLLM:
    """Loads the folder it is given, and answers greedily, whatever the parameters say, past every end."""

    made: list[FakeLLM]

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.asked: list[dict[str, Any]] = []
        self.model: Any = AutoModelForCausalLM.from_pretrained(arguments["model"])
        assert AutoTokenizer.from_pretrained(arguments["model"])
        FakeLLM.made.append(self)

    def generate(self, prompts: list[dict[str, list[int]]], parameters: list[Any], use_tqdm: bool) -> list[Any]:
        assert not use_tqdm
        self.asked += [vars(one) for one in parameters]
        replies = []
        for prompt, one in zip(prompts, parameters, strict=True):
            ids = prompt["prompt_token_ids"]
            row = self.model.generate(torch.tensor([ids]), max_new_tokens=one.max_tokens, do_sample=False)
            new = tuple(row[0, len(ids) :].tolist())
            replies.append(
                SimpleNamespace(
                    outputs=[SimpleNamespace(index=index, token_ids=new) for index in reversed(range(one.n))]
                )
            )
        return replies


@pytest.fixture
def fake_vllm(monkeypatch: pytest.MonkeyPatch) -> list[FakeLLM]:
    """The models that have been loaded by it."""
    module: Any = ModuleType("vllm")
    module.LLM, module.SamplingParams = FakeLLM, SimpleNamespace
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setattr(FakeLLM, "made", [], raising=False)
    return FakeLLM.made


def answer(student: Student, drawing: Drawing, **named: Any) -> list[list[Completion]]:
    answerer = VllmAnswerer(student, [PROMPT + " A cat", PROMPT], drawing, **named)
    told: dict[int, Any] = {}
    answers = [row for sitting in answerer.sittings for row in answerer.answer(sitting, told.__setitem__)]
    assert [told[number] for sitting in answerer.sittings for number in sitting] == answers
    return answers


def test_answers_end_by_the_same_rule(parrot: Student, fake_vllm: list[FakeLLM]) -> None:
    answers = answer(parrot, Greedy(60))
    assert [one for [one] in answers] == greedy_batch(parrot, [PROMPT + " A cat", PROMPT], 60)
    [loaded] = fake_vllm
    assert loaded.arguments["enable_prefix_caching"] is True
    assert loaded.arguments["max_model_len"] == len(parrot.tokenizer(PROMPT + " A cat")["input_ids"]) + 60
    assert not Path(loaded.arguments["model"]).exists()
    assert [one["temperature"] for one in loaded.asked] == [0.0, 0.0]


def test_the_recipes_sampling_is_handed_over(parrot: Student, fake_vllm: list[FakeLLM]) -> None:
    answers = answer(parrot, Sampling(0.7, 50, None, 8), samples=3, seeds=[11, 12], batch_size=2)
    assert [len(row) for row in answers] == [3, 3]
    answer(parrot, Sampling(1.0, None, 0.9, 8), samples=1, seeds=[11, 12])
    [first, second] = fake_vllm
    assert first.arguments["max_num_seqs"] == 2
    assert [one["seed"] for one in first.asked] == [11, 12]
    wanted: dict[str, Any] = {
        "n": 3,
        "temperature": 0.7,
        "top_k": 50,
        "top_p": 1.0,
        "max_tokens": 8,
        "detokenize": True,
    }
    wanted |= {"stop": ["\nQuestion:"], "include_stop_str_in_output": True}
    assert first.asked[0] == wanted | {"seed": 11, "stop_token_ids": list(parrot.stop_ids)}
    assert (second.asked[0]["top_k"], second.asked[0]["top_p"]) == (-1, 0.9)


def test_a_run_can_be_answered_by_it(recipe: Path, tmp_path: Path, fake_vllm: list[FakeLLM]) -> None:
    run = start_run(read_recipe(recipe, ["student.engine=vllm"]), tmp_path / "run")
    assert evaluate(run, 0)["total"] == 8
    assert len(exam(run, 1)) == 60
    assert len(fake_vllm) == 2


def test_without_it_the_way_out_is_named(tiny_student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(StudentError, match=r'tutelage\[vllm\].*student.engine="built-in"'):
        VllmAnswerer(tiny_student, [PROMPT], Greedy(4))

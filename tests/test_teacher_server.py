"""tests/teacher_server.py: what other tests rely on."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.teacher_server import WEIGHTS, Endpoint, Options, TeacherServer


def _post(server: TeacherServer, key: str, **body: Any) -> bytes:
    value = {"model": "m", "messages": [{"role": "user", "content": "Hint: The right answer is 7."}], "n": 2, **body}
    request = urllib.request.Request(  # noqa: S310
        f"{server.url}/chat/completions", json.dumps(value).encode(), {"Idempotency-Key": key}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as response:
        data: bytes = response.read()
    return data


def test_a_key_is_answered_alike_and_billed_once() -> None:
    with TeacherServer() as server:
        first, second, other = _post(server, "a"), _post(server, "a"), _post(server, "b", n=1)
        stats = server.stats()
    assert first == second
    assert [choice["message"]["content"][-9:] for choice in json.loads(first)["choices"]] == ["Answer: 7"] * 2
    assert len(json.loads(other)["choices"]) == 1
    assert (stats["received"], stats["answered"], stats["answered_keys"], stats["repeated"]) == (3, 3, 2, 1)
    assert (stats["billed"], stats["most_choices"], stats["kinds"]) == (2, 3, {"text": 3})
    usages = [json.loads(one)["usage"]["total_tokens"] for one in (first, other)]
    assert stats["billed_tokens"] == sum(usages)


def test_one_that_forgets_bills_again() -> None:
    with TeacherServer(forgets=True) as server:
        _post(server, "a")
        _post(server, "a")
        assert (server.stats()["billed"], server.stats()["repeated"]) == (2, 1)


def test_faults_depend_on_the_key_and_how_often_it_came_alone() -> None:
    keys = [f"{number % 400}" for number in range(1200)]
    met = []
    for order in (keys, keys[::-1]):
        endpoint = Endpoint(Options(faults=0.2, seed=1))
        drawn: dict[str, list[str | None]] = {}
        for key in order:
            drawn.setdefault(key, []).append(endpoint.draw(key, True, b"")[0])
        met.append(drawn)
    assert met[0] == met[1]
    faults = [fault for each in met[0].values() for fault in each if fault]
    assert 0.15 < len(faults) / 1200 < 0.25
    assert set(faults) <= set(WEIGHTS)


def test_a_quota_and_a_key() -> None:
    with TeacherServer(quota=1, key="Open Sesame") as server:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            _post(server, "a")
        server.set(key=None)
        _post(server, "a")
        with pytest.raises(urllib.error.HTTPError, match="429"):
            _post(server, "b")
        assert server.stats()["faults"] == {"no quota": 1}

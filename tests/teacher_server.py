"""An OpenAI-compatible server in a process of its own: deterministic, fast, with every fault an endpoint can have.

    python tests/teacher_server.py --port 0 --faults 0.2 --seed 1 [--refuses 0.002] [--delay S] [--ignores-n]

It prints its address. What a request meets is drawn from the seed, its Idempotency-Key and how often that key came, so
it is the same in whatever order requests arrive. A reply is made, and billed, once for a key and sent again byte for
byte when the key comes again; a connection that breaks while it is sent changes nothing about that. GET /stats tells
what happened, POST /settings changes options. It speaks HTTP with nothing but asyncio, so that it costs a client on
the same machine as little as can be, and can break what a library would keep whole.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import re
import socket
import struct
import subprocess
import sys
import urllib.request
from bisect import bisect
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any

WEIGHTS = {
    "rate limit": 8,  # retry-after-ms: 5
    "long rate limit": 1,  # Retry-After: 1
    "overloaded": 5,
    "server error": 100,
    "reset before": 100,
    "reset midway": 100,
    "closed midway": 100,
    "truncated": 100,
    "invalid JSON": 70,
    "HTML": 70,
    "no choices": 100,
    "null content": 60,
    "refusal": 60,
    "cut": 60,
    "drip": 6,
}
"""How often each fault comes among faults. Those that slow everybody down are rare, for the tests' sake."""

LOST = {"reset before", "reset midway", "closed midway", "truncated", "drip"}
"""The reply is made and billed, but does not arrive."""
ODD = {"null content": "empty", "refusal": "refused", "cut": "cut"}
"""A whole reply, one of whose choices is odd; and the kind of sample that is."""
_STATUS: dict[str, tuple[int, str, str, str]] = {
    "rate limit": (429, "Slow down", "rate_limit_exceeded", "retry-after-ms: 5\r\n"),
    "long rate limit": (429, "Slow down", "rate_limit_exceeded", "Retry-After: 1\r\n"),
    "overloaded": (503, "The engine is overloaded", "overloaded", ""),
    "server error": (500, "Something broke", "server_error", ""),
    "refused content": (400, "The prompt was filtered by the content policy", "content_filter", ""),
    "wrong key": (401, "Incorrect API key provided", "invalid_api_key", ""),
    "no quota": (429, "You exceeded your current quota", "insufficient_quota", ""),
}
_NAMES, _BOUNDS = list(WEIGHTS), list(accumulate(WEIGHTS.values()))
_HINT = re.compile(r"^Hint: The right answer is (.+?)(?: \(.*\))?\.$", re.MULTILINE)
_DRIP_SECONDS = 0.05


@dataclass(frozen=True)
class Options:
    """faults: share of requests that meet one. refuses: share of prompts that are never taken, for their content.

    delay: seconds before a reply. ignores_n: one choice whatever is asked. without_usage: no reply tells its tokens.
    forgets: takes no notice of keys: a reply is billed each time. quota: replies billed before it is used up.
    key: the only one that is let in. log: a line of JSON for each request, written before the reply.
    """

    port: int = 0
    faults: float = 0.0
    seed: int = 0
    refuses: float = 0.0
    delay: float = 0.0
    ignores_n: bool = False
    without_usage: bool = False
    forgets: bool = False
    quota: int | None = None
    key: str | None = None
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class _Reply:
    """body: JSON. kinds: of its samples."""

    body: bytes
    kinds: tuple[str, ...]
    prompt_tokens: int
    completion_tokens: int


class Endpoint:
    """What the server knows: the replies made so far by key, and the counts."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.counts: Counter[str] = Counter()
        self.met: Counter[str] = Counter()  # by fault
        self.kinds: Counter[str] = Counter()  # of the samples in replies that were sent, each key counted once
        self.came: Counter[str] = Counter()  # by key
        self.replies: dict[str, _Reply] = {}
        self.sent: set[str] = set()  # keys
        self.choices: Counter[bytes] = Counter()  # that were billed, by prompt
        self.at_once = 0
        self.refused: set[bytes] = set()

    def stats(self) -> dict[str, Any]:
        """answered: good replies sent; repeated: those whose key had been. billed: replies made."""
        return {
            **{name: self.counts[name] for name in ("received", "answered", "repeated", "billed", "most_at_once")},
            **{name: self.counts[name] for name in ("billed_prompt_tokens", "billed_completion_tokens")},
            **{name: self.counts[name] for name in ("answered_prompt_tokens", "answered_completion_tokens")},
            "billed_tokens": self.counts["billed_prompt_tokens"] + self.counts["billed_completion_tokens"],
            "answered_keys": len(self.sent),
            "billed_keys": len(self.replies),
            "most_choices": max(self.choices.values(), default=0),
            "refused_prompts": len(self.refused),
            "faults": dict(self.met),
            "kinds": dict(self.kinds),
        }

    def draw(self, key: str, chat: bool, prompt: bytes) -> tuple[str | None, int]:
        """What a request meets, None if nothing, and a number to draw more from."""
        self.came[key] += 1
        options = self.options
        drawn = hashlib.blake2b(f"{options.seed} {key} {self.came[key]}".encode(), digest_size=16).digest()
        first, second, third = struct.unpack("<IIQ", drawn)
        if options.refuses and int.from_bytes(prompt[:4], "little") < options.refuses * 2**32:
            self.refused.add(prompt)
            return "refused content", third
        if options.quota is not None and self.counts["billed"] >= options.quota and key not in self.replies:
            return "no quota", third
        if first >= options.faults * 2**32:
            return None, third
        fault = _NAMES[bisect(_BOUNDS, second * _BOUNDS[-1] // 2**32)]
        return (None if fault == "refusal" and not chat else fault), third

    def reply(self, key: str, body: dict[str, Any], text: str, prompt: bytes, odd: str | None, draw: int) -> _Reply:
        """The key's reply, made and billed if it is its first time."""
        reply = None if self.options.forgets else self.replies.get(key)
        if reply is None:
            reply = make_reply(body, text, prompt, odd, draw, self.options)
            self.replies[key] = reply
            self.choices[prompt] += len(reply.kinds)
            self.counts["billed"] += 1
            self.counts["billed_prompt_tokens"] += reply.prompt_tokens
            self.counts["billed_completion_tokens"] += reply.completion_tokens
        return reply

    def note_sent(self, key: str, reply: _Reply) -> None:
        self.counts["answered"] += 1
        self.counts["answered_prompt_tokens"] += reply.prompt_tokens
        self.counts["answered_completion_tokens"] += reply.completion_tokens
        if key in self.sent:
            self.counts["repeated"] += 1
        else:
            self.sent.add(key)
            self.kinds.update(reply.kinds)


def make_reply(body: dict[str, Any], text: str, prompt: bytes, odd: str | None, draw: int, options: Options) -> _Reply:
    """A good reply: the n-th choice of one prompt is always the same text. One choice is as `odd` says."""
    chat = "messages" in body
    most = body.get("max_tokens") or body.get("max_completion_tokens") or 16
    count = 1 if options.ignores_n else body.get("n", 1)
    hints = _HINT.findall(text)
    answer, mark = (hints[-1] if hints else "unknown"), prompt.hex()
    choices, kinds, tokens = [], [], 0
    for place in range(count):
        content: str | None = (
            f"Way {place + 1} to look at {mark} leads there. So the answer is {answer}.\nAnswer: {answer}"
        )
        kind, reason, refusal, used = "text", "stop", None, 1 + prompt[place % 16] * most // 256
        if odd and place == draw % count:
            kind = ODD[odd]
            content = content[: len(mark)] if kind == "cut" and content else None
            refusal = "I cannot help with that." if kind == "refused" else None
            reason, used = ("length", most) if kind == "cut" else (reason, used)
        said = {"role": "assistant", "content": content, **({"refusal": refusal} if refusal else {})}
        choices.append({"index": place, "finish_reason": reason, **({"message": said} if chat else {"text": content})})
        kinds.append(kind)
        tokens += used
    reply: dict[str, Any] = {"id": mark, "object": "chat.completion" if chat else "text_completion", "created": 0}
    reply |= {"model": body["model"], "choices": choices}
    asked = 1 + len(text) // 4
    if not options.without_usage:
        reply["usage"] = {"prompt_tokens": asked, "completion_tokens": tokens, "total_tokens": asked + tokens}
    return _Reply(json.dumps(reply).encode(), tuple(kinds), asked, tokens)


class Connection(asyncio.Protocol):
    """One connection with one request at a time; nothing is sent before the whole request is there."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint, self._buffer = endpoint, b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        head = data[:end].decode("latin-1").lower() if end >= 0 else ""
        length = int(_header(head, "content-length") or 0)
        if end < 0 or len(data) < end + 4 + length:
            self._buffer = data
            return
        self._buffer = b""
        self._handle(head, data[end + 4 :])

    def _handle(self, head: str, data: bytes) -> None:
        endpoint, path = self._endpoint, head.split(" ", 2)[1]
        if path == "/stats":
            self._send(200, json.dumps(endpoint.stats()).encode())
        elif path == "/settings":
            endpoint.options = replace(endpoint.options, **json.loads(data))
            self._send(200, b"{}")
        elif path not in ("/v1/chat/completions", "/v1/completions"):
            self._send(404, b'{"error": {"message": "There is nothing here"}}')
        elif (
            endpoint.options.key is not None
            and _header(head, "authorization") != f"bearer {endpoint.options.key.lower()}"
        ):
            self._fail("wrong key")
        else:
            self._enter(_header(head, "idempotency-key"), data)

    def _enter(self, key: str | None, data: bytes) -> None:
        endpoint, options = self._endpoint, self._endpoint.options
        endpoint.counts["received"] += 1
        endpoint.at_once += 1
        endpoint.counts["most_at_once"] = max(endpoint.counts["most_at_once"], endpoint.at_once)
        key = key or f"without a key {endpoint.counts['received']}"
        body = json.loads(data)
        text = body["messages"][-1]["content"] if "messages" in body else body["prompt"].rpartition("Question:")[2]
        prompt = hashlib.blake2b(text.encode(), digest_size=16).digest()
        fault, draw = endpoint.draw(key, "messages" in body, prompt)
        if options.log is not None:
            with options.log.open("a") as file:
                file.write(json.dumps({"key": key, "fault": fault, "prompt": prompt.hex()}) + "\n")

        def answer() -> None:
            endpoint.at_once -= 1
            self._answer(key, body, text, prompt, fault, draw)

        if options.delay:
            asyncio.get_running_loop().call_later(options.delay, answer)
        else:
            answer()

    def _answer(self, key: str, body: dict[str, Any], text: str, prompt: bytes, fault: str | None, draw: int) -> None:
        endpoint = self._endpoint
        if fault is not None:
            endpoint.met[fault] += 1
        if fault in _STATUS:
            self._fail(fault)
        elif fault == "invalid JSON":
            self._send(200, b'{"choices": [{"index": 0, "message": }]}')
        elif fault == "HTML":
            self._send(200, b"<html><body>Bad gateway</body></html>", "text/html")
        elif fault == "no choices":
            self._send(200, json.dumps({"id": "0", "model": body["model"], "choices": []}).encode())
        else:
            reply = endpoint.reply(key, body, text, prompt, fault if fault in ODD else None, draw)
            if fault in LOST:
                self._lose(fault, reply.body, draw)
            elif not self._transport.is_closing():
                self._send(200, reply.body)
                endpoint.note_sent(key, reply)

    def _fail(self, fault: str) -> None:
        status, message, code, headers = _STATUS[fault]
        self._send(status, json.dumps({"error": {"message": message, "code": code}}).encode(), headers=headers)

    def _lose(self, fault: str, body: bytes, draw: int) -> None:
        """Sends a part of the reply, or nothing."""
        if fault == "truncated":
            self._send(200, body[: draw % len(body)])
        elif fault == "drip":
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            self._drip()
        elif fault == "closed midway":
            self._transport.write(_head(200, len(body)) + body[: draw % len(body)])
            self._transport.close()
        else:
            if fault == "reset midway":
                self._transport.write(_head(200, len(body)) + body[: draw % len(body)])
            linger = struct.pack("ii", 1, 0)  # so that closing resets
            with contextlib.suppress(OSError):  # the client has gone already
                self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()

    def _drip(self) -> None:
        """White space, which JSON may begin with, for ever."""
        if not self._transport.is_closing():
            self._transport.write(b"1\r\n \r\n")
            asyncio.get_running_loop().call_later(_DRIP_SECONDS, self._drip)

    def _send(self, status: int, body: bytes, kind: str = "application/json", headers: str = "") -> None:
        self._transport.write(_head(status, len(body), kind, headers) + body)


def _head(status: int, length: int, kind: str = "application/json", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{headers}\r\n".encode()


def _header(head: str, name: str) -> str | None:
    """The value of a header, from a head in lower case."""
    begin = head.find(f"\r\n{name}:")
    if begin < 0:
        return None
    begin += len(name) + 3
    end = head.find("\r\n", begin)
    return head[begin : end if end >= 0 else None].strip()


class TeacherServer:
    """Runs the server while the context is entered; `Options` by name. url: with "/v1"."""

    def __init__(self, **options: Any) -> None:
        self.options = Options(**options)

    def __enter__(self) -> TeacherServer:
        default = Options()
        command = [sys.executable, __file__]
        for name, value in asdict(self.options).items():
            if value != getattr(default, name):
                flag = f"--{name.replace('_', '-')}"
                command.append(flag if value is True else f"{flag}={value}")
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the server did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def stats(self) -> dict[str, Any]:
        return self._call("/stats", None)

    def set(self, **options: Any) -> None:
        """Changes options while it runs, such as faults=0.0."""
        self._call("/settings", json.dumps(options).encode())

    def _call(self, path: str, data: bytes | None) -> dict[str, Any]:
        address = self.url.removesuffix("/v1") + path
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, data) as response:
            value: dict[str, Any] = json.load(response)
        return value


async def _serve(options: Options) -> None:
    endpoint = Endpoint(options)
    make: Callable[[], Connection] = lambda: Connection(endpoint)  # noqa: E731
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", options.port, backlog=2048)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)  # noqa: T201
    await server.serve_forever()


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds: dict[str, Callable[[str], Any]] = {"quota": int, "key": str, "log": Path}
    for field in fields(Options):
        flag = f"--{field.name.replace('_', '-')}"
        if isinstance(field.default, bool):
            parser.add_argument(flag, action="store_true", default=field.default)
        else:
            parser.add_argument(flag, type=kinds.get(field.name) or type(field.default), default=field.default)
    asyncio.run(_serve(Options(**vars(parser.parse_args()))))


if __name__ == "__main__":
    _main()

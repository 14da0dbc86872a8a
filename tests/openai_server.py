"""A small OpenAI-compatible server for tests: chat and completion, deterministic, with faults on demand.

It answers with the hint that it finds in the prompt ("Hint: The right answer is 12."), after a short reasoning.
Run by itself it logs each request's body to a file, one JSON line each, flushed before the reply is sent:

    python tests/openai_server.py --port 8123 --log requests.jsonl [--delay 0.1] [--ignores-n]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

Fault = Literal[
    "ok", "unauthorised", "forbidden", "not found", "rate limit", "no quota", "server error", "bad request",
    "other parameters", "refuses n", "no choices", "null content", "not json", "html", "reset", "slow",
    "overloaded", "refuses max_tokens", "refuses temperature", "refusal", "cut", "truncated", "drip", "huge",
]  # fmt: skip
_STATUS = {
    "unauthorised": (401, "Incorrect API key provided: {key}", "invalid_api_key"),
    "forbidden": (403, "This key may not do that: {key}", "forbidden"),
    "not found": (404, "The model does not exist", "model_not_found"),
    "rate limit": (429, "Slow down", "rate_limit_exceeded"),
    "no quota": (429, "You exceeded your current quota", "insufficient_quota"),
    "overloaded": (503, "Come back later", "overloaded"),
    "server error": (500, "Something broke", "server_error"),
    "bad request": (400, "The prompt was filtered", "content_filter"),
    "other parameters": (400, "Use 'max_completion_tokens' instead", "unsupported_parameter"),
    "refuses n": (400, "Only one choice is allowed", "invalid_request"),
    "refuses max_tokens": (
        400,
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "unsupported_parameter",
    ),
    "refuses temperature": (
        400,
        "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is.",
        "unsupported_value",
    ),
}


@dataclass
class OpenAIServer:
    """A server on 127.0.0.1; use as a context manager. `requests` holds the bodies it got, in order.

    faults: what the next requests meet, one each, from the left; then all is well. always: what each one meets
    that no fault is left for. ignores_n: sends one choice whatever is asked. delay: seconds before a reply; slow:
    before one that is "slow".
    headers: of the requests; said: headers to add to every reply.
    usage: whether replies say how many tokens they took (20 for each prompt, 10 for each text).
    """

    port: int = 0
    log: Path | None = None
    ignores_n: bool = False
    usage: bool = True
    delay: float = 0.0
    slow: float = 1.5
    always: Fault = "ok"
    faults: deque[Fault] = field(default_factory=deque)
    requests: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    most_at_once: int = 0
    broken: int = 0

    def __enter__(self) -> OpenAIServer:
        self._lock = threading.Lock()
        self._at_once = 0
        owner = self

        class Handler(_Handler):
            server_of_tests = owner

        self._http = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def enter(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Fault:
        """Counts and logs a request, and says what it meets."""
        with self._lock:
            self.requests.append(body)
            self.paths.append(path)
            self.headers.append(headers)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            if self.log is not None:
                with self.log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(body) + "\n")
            return self.faults.popleft() if self.faults else self.always

    def leave(self, whole: bool) -> None:
        with self._lock:
            self._at_once -= 1
            self.broken += not whole


class _Handler(BaseHTTPRequestHandler):
    server_of_tests: OpenAIServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for headers and body; two would wait for each other's acknowledgement

    def do_POST(self) -> None:
        owner = self.server_of_tests
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fault = owner.enter(self.path, body, dict(self.headers))
        whole = False
        try:
            time.sleep(owner.delay)
            self._reply(body, fault)
            whole = True
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client went away
        finally:
            owner.leave(whole)

    def _reply(self, body: dict[str, Any], fault: Fault) -> None:
        owner = self.server_of_tests
        refused = {"refuses n": body.get("n", 1) > 1, "refuses max_tokens": "max_tokens" in body}
        refused["refuses temperature"] = "temperature" in body
        if not refused.get(fault, True):
            fault = "ok"
        if fault in _STATUS:
            status, message, code = _STATUS[fault]
            key = self.headers.get("Authorization", "").removeprefix("Bearer ")
            self._send(status, {"error": {"message": message.format(key=key), "code": code}})
        elif fault == "not json":
            self._send_text(200, "application/json", '{"choices": [')
        elif fault == "html":
            self._send_text(200, "text/html", "<html>Welcome</html>")
        elif fault == "reset":
            self.close_connection = True
            self.connection.close()
        elif fault == "huge":
            self._send_text(200, "application/json", f'"{"x" * 2**20}"')
        elif fault in ("drip", "truncated"):
            self._send_part(json.dumps(answered(body)), fault == "drip")
        else:
            if fault == "slow":
                time.sleep(owner.slow)
            self._send(200, answered(body, fault, owner.ignores_n, owner.usage))

    def _send(self, status: int, value: dict[str, Any]) -> None:
        self._send_text(status, "application/json", json.dumps(value))

    def _send_part(self, text: str, drips: bool) -> None:
        """Half of a reply and the end of the connection; or a byte now and then, for ever."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Length", str(len(text) if not drips else 10**6))
        self.end_headers()
        self.wfile.write(text[: len(text) // 2].encode())
        self.wfile.flush()
        while drips:
            time.sleep(0.02)
            self.wfile.write(b" ")
            self.wfile.flush()

    def _send_text(self, status: int, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("retry-after-ms", "10")
        for name, value in self.server_of_tests.said.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keeps the tests' output clean."""


def answered(body: dict[str, Any], fault: Fault = "ok", ignores_n: bool = False, usage: bool = True) -> dict[str, Any]:
    """The body of a good reply; the n-th choice of the same prompt is always the same text."""
    chat = "messages" in body
    prompt = body["messages"][-1]["content"] if chat else body["prompt"].rpartition("Question:")[2]
    hints = re.findall(r"^Hint: The right answer is (.+?)(?: \(.*\))?\.$", prompt, re.MULTILINE)
    answer = hints[-1] if hints else "unknown"
    mark = hashlib.sha256(prompt.encode()).hexdigest()[:6]
    choices: list[dict[str, Any]] = []
    for place in range(0 if fault == "no choices" else 1 if ignores_n else body.get("n", 1)):
        text = f"Way {place + 1} to look at {mark} leads there. So the answer is {answer}.\nAnswer: {answer}"
        content = None if fault in ("null content", "refusal") else text
        message = {"role": "assistant", "content": content, "refusal": "I will not." if fault == "refusal" else None}
        said = {"message": message} if chat else {"text": content and f" {content}"}
        choices.append({"index": place, "finish_reason": "length" if fault == "cut" else "stop", **said})
    kind = "chat.completion" if chat else "text_completion"
    counts = {"prompt_tokens": 20, "completion_tokens": 10 * len(choices), "total_tokens": 20 + 10 * len(choices)}
    reply = {"id": "1", "object": kind, "created": 0, "model": body["model"], "choices": choices}
    return {**reply, "usage": counts} if usage else reply


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--ignores-n", action="store_true")
    options = parser.parse_args()
    with OpenAIServer(options.port, options.log, options.ignores_n, delay=options.delay) as server:
        print(server.url, flush=True)  # noqa: T201
        threading.Event().wait()


if __name__ == "__main__":
    _main()

"""A small server with OpenAI's batch API for tests, in a thread: files, batches, and chat for the direct road.

Its replies are those of tests/openai_server.py; what it does wrong is set by the test.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

from aiohttp import web

from tests.openai_server import answered

Step = Literal["upload", "create", "list", "poll", "cancel", "content", "chat"]


@dataclass
class BatchServer:
    """A server on 127.0.0.1; use as a context manager.

    failing: share of lines that meet an HTTP 500 when they first come. looks: how often a batch is still under way
    when it is asked for. expiring: after how many lines the next batches expire, from the left; then none does.
    refusals: the errors for which the next batches fail at validation. most_lines: of all batches under way together,
    beyond which one fails. dislikes: what no line may hold. line_results: what a line's result is instead, by words of
    its prompt. lost: words of prompts whose results stand in no file.
    breaks: the steps whose next reply ends in its middle. hangs: the steps that do their work, and then never reply;
    hung says that one does. answers: by step, the replies (status, body) that the next requests meet instead, from the
    left; the body "lost reply" is a connection that breaks when the work is done.
    stops_at: the request, counted from 0, that meets a wrong key, after its work is done if stops_late.
    page: batches in one page of a list. has_batches: whether there is a batch API at all.
    """

    failing: float = 0.0
    looks: int = 0
    expiring: deque[int] = field(default_factory=deque)
    refusals: deque[list[dict[str, Any]]] = field(default_factory=deque)
    most_lines: int | None = None
    line_results: dict[str, dict[str, Any]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    dislikes: str | None = None
    ignores_n: bool = False
    usage: bool = True
    breaks: set[Step] = field(default_factory=set)
    hangs: set[Step] = field(default_factory=set)
    answers: dict[Step, deque[tuple[int, Any]]] = field(default_factory=dict)
    stops_at: int | None = None
    stops_late: bool = False
    page: int = 100
    has_batches: bool = True
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    billed: list[dict[str, Any]] = field(default_factory=list)
    billed_direct: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> BatchServer:
        self.hung = threading.Event()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def billed_usage(self) -> tuple[int, int]:
        """Tokens of prompts and of replies that the batches' lines came to."""
        usages = [reply["usage"] for reply in self.billed]
        return sum(one["prompt_tokens"] for one in usages), sum(one["completion_tokens"] for one in usages)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        app = web.Application(client_max_size=2**28)
        app.router.add_post("/v1/chat/completions", self._step("chat", self._chat))
        if self.has_batches:
            app.router.add_post("/v1/files", self._step("upload", self._upload))
            app.router.add_get("/v1/files/{id}/content", self._step("content", self._content))
            app.router.add_post("/v1/batches", self._step("create", self._create))
            app.router.add_get("/v1/batches", self._step("list", self._list))
            app.router.add_get("/v1/batches/{id}", self._step("poll", self._poll))
            app.router.add_post("/v1/batches/{id}/cancel", self._step("cancel", self._cancel))
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._over.wait()
        await runner.cleanup()

    def _step(
        self, step: Step, handle: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def wrapped(request: web.Request) -> web.StreamResponse:
            if len(self.steps) == self.stops_at:
                self.stops_at = None
                if self.stops_late:
                    await handle(request)
                return web.json_response({"error": {"message": "no", "code": "invalid_api_key"}}, status=401)
            self.steps.append(step)
            if self.answers.get(step):
                status, body = self.answers[step].popleft()
                if body != "lost reply":
                    return web.json_response(body, status=status)
                await handle(request)
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            response = await handle(request)
            if step in self.breaks:
                self.breaks.discard(step)
                assert isinstance(response, web.Response)
                assert isinstance(response.body, bytes)
                half = web.StreamResponse(headers={"Content-Length": str(len(response.body))})
                await half.prepare(request)
                await half.write(response.body[: len(response.body) // 2])
                assert request.transport is not None
                request.transport.close()
                return half
            if step in self.hangs:
                self.hung.set()
                await self._over.wait()
            return response

        return wrapped

    async def _chat(self, request: web.Request) -> web.Response:
        reply = answered(await request.json(), "ok", self.ignores_n, self.usage)
        self.billed_direct.append(reply)
        return web.json_response(reply)

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "batch"
        sent = form["file"]
        assert isinstance(sent, web.FileField)
        return web.json_response({"id": self._file(sent.file.read()), "object": "file", "purpose": "batch"})

    def _file(self, content: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    async def _create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        lines = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        assert len({line["custom_id"] for line in lines}) == len(lines)
        assert {line["url"] for line in lines} == {asked["endpoint"]}
        batch: dict[str, Any] = {
            "id": f"batch_{len(self.batches)}", "object": "batch", "status": "validating", **asked, "errors": None,
            "output_file_id": None, "error_file_id": None,
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
        }  # fmt: skip
        under_way = sum(
            one["request_counts"]["total"] for one in self.batches.values() if one["status"] == "in_progress"
        )
        errors = self.refusals.popleft() if self.refusals else []
        if self.most_lines is not None and under_way + len(lines) > self.most_lines:
            errors = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached.", "line": None}]
        batch["status"] = "failed" if errors else "in_progress"
        batch["errors"] = {"object": "list", "data": errors} if errors else None
        self.batches[batch["id"]] = batch
        batch["looks"] = self.looks
        return web.json_response({**batch, "status": "validating"})

    async def _list(self, request: web.Request) -> web.Response:
        newest_first = list(reversed(self.batches.values()))
        after = request.query.get("after")
        start = 1 + next((place for place, one in enumerate(newest_first) if one["id"] == after), -1)
        most = min(self.page, int(request.query["limit"]))
        shown = newest_first[start : start + most]
        return web.json_response({"object": "list", "data": shown, "has_more": len(newest_first) > start + most})

    async def _poll(self, request: web.Request) -> web.Response:
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return web.json_response({"error": {"message": "No such batch"}}, status=404)
        if batch["status"] == "in_progress":
            if batch["looks"] == 0:
                self._work(batch, self.expiring.popleft() if self.expiring else None, "expired")
            batch["looks"] -= 1
        elif batch["status"] == "cancelling":
            batch["status"] = "cancelled"
        return web.json_response(batch)

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return web.json_response({"error": {"message": "No such batch"}}, status=404)
        if batch["status"] != "in_progress":
            return web.json_response({"error": {"message": "Cannot cancel a batch that has ended"}}, status=400)
        self._work(batch, self.expiring.popleft() if self.expiring else None, "cancelling")
        return web.json_response(batch)

    async def _content(self, request: web.Request) -> web.Response:
        content = self.files.get(request.match_info["id"])
        if content is None:
            return web.json_response({"error": {"message": "No such file"}}, status=404)
        return web.Response(body=content, content_type="application/octet-stream")

    def _work(self, batch: dict[str, Any], most: int | None, else_status: str) -> None:
        """Answers the lines of a batch, in another order, the first `most` of them."""
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        results = [self._line(line, most is None or place < most) for place, line in enumerate(lines)]
        kept = [one for one in reversed(results) if one is not None]
        good = [one for one in kept if one["response"] is not None and one["response"]["status_code"] == 200]
        bad = [one for one in kept if one not in good]
        counts = batch["request_counts"]
        for name, count, part in (("output_file_id", "completed", good), ("error_file_id", "failed", bad)):
            if part:
                batch[name] = self._file("".join(json.dumps(one) + "\n" for one in part).encode())
                counts[count] = len(part)
        batch["status"] = "completed" if most is None and else_status != "cancelling" else else_status

    def _line(self, line: dict[str, Any], in_time: bool) -> dict[str, Any] | None:
        body = line["body"]
        prompt = json.dumps(body["messages"] if "messages" in body else body["prompt"])
        self.seen[prompt] += 1
        result: dict[str, Any] = {"id": "batch_req_1", "custom_id": line["custom_id"], "response": None, "error": None}
        special = next((value for words, value in self.line_results.items() if words in prompt), None)
        if self.dislikes in body:
            error = {"message": f"Unsupported: {self.dislikes!r}.", "code": "unsupported_parameter"}
            special = {"response": {"status_code": 400, "request_id": "1", "body": {"error": error}}}
        if not in_time:
            return {**result, "error": {"code": "batch_expired", "message": "This request was not executed in time."}}
        if special is not None:
            return {**result, **special}
        drawn = int(hashlib.sha256(prompt.encode()).hexdigest()[:8], 16) / 2**32
        if drawn < self.failing and self.seen[prompt] == 1:
            status, reply = 500, {"error": {"message": "Something broke", "type": "server_error"}}
        else:
            status, reply = 200, answered(body, "ok", self.ignores_n, self.usage)
            self.billed.append(reply)
            if any(words in prompt for words in self.lost):
                return None
        return {**result, "response": {"status_code": status, "request_id": "1", "body": reply}}

"""Requests a second to a fast local server: ours, ledger on, against bare loops over aiohttp, httpx and `openai`.

    python benchmarks/teacher.py --requests 4000 --concurrency 64 --json

The server is tests/teacher_server.py in a process of its own, which costs less for a request than any client. All send
the same prompts, GSM8K's few-shot ones, ask for the same choices, and read the texts out of the parsed JSON:

- ours: `ask`, as a round asks, with each call and each reply committed to a ledger on the disk.
- ours without ledger: the same client, with a recorder that keeps nothing.
- aiohttp, httpx: that many coroutines that post and read, and do nothing else.
- openai: a task for each request, over one AsyncOpenAI behind an asyncio.Semaphore.

They take turns, and the medians over the rounds count. The JSON object is the last line.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import openai

from tutelage.config import OpenAITeacherSettings
from tutelage.demonstrations import load_feedback_demonstrations
from tutelage.prompts import teacher_prompt
from tutelage.records import Message, Mistake, Question
from tutelage.teacher.asking import ask
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.openai.client import OpenAITeacher
from tutelage.teacher.protocol import Call, Outcome, Request

SERVER = Path(__file__).parents[1] / "tests" / "teacher_server.py"
KEY = "none"


@dataclass(frozen=True, slots=True)
class Job:
    """What every way is asked to do. url: with "/v1". place: of the round, so that none repeats another's requests."""

    url: str
    requests: Sequence[Request]
    concurrency: int
    folder: Path
    place: int

    @property
    def settings(self) -> OpenAITeacherSettings:
        return OpenAITeacherSettings(
            kind="openai", model="fast", base_url=self.url, concurrency=self.concurrency, api_key_env="BENCHMARK_KEY"
        )


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--replies", type=int, default=4, help="choices of each request")
    parser.add_argument("--rounds", type=int, default=5, help="after one of warm-up, which does not count")
    parser.add_argument("--ways", help=f"some of: {', '.join(WAYS)}; all of them, if left out")
    parser.add_argument("--folder", type=Path, help="where the ledgers stand; the system's temporary one, if left out")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that the server waits before a reply")
    parser.add_argument("--json", action="store_true", help="print the JSON object as the last line")
    return parser.parse_args(argv)


def make_requests(count: int, replies: int) -> list[Request]:
    """As a later round makes them on GSM8K: a mistake is shown, and the demonstrations are the package's."""
    shown = load_feedback_demonstrations("gsm8k", "number")
    requests = []
    for place in range(count):
        text = f"Ann has {place} pens, buys {place % 7 + 2} boxes of 12 more, and gives 5 away. How many does she have?"
        question = Question(f"gsm8k/{place}", text, str(place + 12 * (place % 7 + 2) - 5), "number")
        mistake = Mistake(question.id, f"Ann has {place} + 12 = {place + 12} pens. She has {place + 7} left.", "7")
        requests.append(Request(question, mistake, teacher_prompt(question, mistake, shown, "chat"), replies, 2))
    return requests


def ours(job: Job) -> int:
    """Samples that are in the ledger."""
    with Ledger(job.folder / f"{job.place}.sqlite") as ledger:
        ask(OpenAITeacher(job.settings), job.requests, ledger)
        return int(ledger.rows("SELECT count(*) FROM samples")[0][0])


class _Nothing:
    """A recorder that only counts."""

    def __init__(self) -> None:
        self.numbers = itertools.count()
        self.samples = 0

    async def begin(self, call: Call) -> int:
        return next(self.numbers)

    async def end(self, number: int, outcome: Outcome) -> None:
        self.samples += len(outcome.samples)


def ours_without_ledger(job: Job) -> int:
    """Samples that came."""
    recorder = _Nothing()
    wanted = ((request, tuple(range(request.replies))) for request in job.requests)
    asyncio.run(OpenAITeacher(job.settings).converse(wanted, recorder, lambda _request, _reason: None))
    return recorder.samples


def _body(request: Request) -> dict[str, Any]:
    messages = [{"role": one.role, "content": one.content} for one in request.prompt if isinstance(one, Message)]
    sampling = {"temperature": 1.0, "top_p": 0.9, "max_tokens": 128}
    return {"model": "fast", "messages": messages, "n": request.replies, **sampling}


async def _loop(job: Job, post: Callable[[dict[str, Any]], Any]) -> int:
    """So many coroutines that post one body after the other; how many texts came."""
    bodies: Iterator[dict[str, Any]] = map(_body, job.requests)
    texts = 0

    async def work() -> None:
        nonlocal texts
        for body in bodies:
            value = await post(body)
            texts += len([choice["message"]["content"] for choice in value["choices"]])

    await asyncio.gather(*(work() for _ in range(job.concurrency)))
    return texts


def bare_aiohttp(job: Job) -> int:
    """Texts that came."""

    async def run() -> int:
        connector, headers = aiohttp.TCPConnector(limit=0), {"Authorization": f"Bearer {KEY}"}
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

            async def post(body: dict[str, Any]) -> Any:
                async with session.post(f"{job.url}/chat/completions", json=body) as response:
                    return await response.json()

            return await _loop(job, post)

    return asyncio.run(run())


def bare_httpx(job: Job) -> int:
    """Texts that came."""

    async def run() -> int:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(limits=limits, headers=headers, timeout=120) as client:

            async def post(body: dict[str, Any]) -> Any:
                return (await client.post(f"{job.url}/chat/completions", json=body)).json()

            return await _loop(job, post)

    return asyncio.run(run())


def plain_openai(job: Job) -> int:
    """Texts that came."""

    async def run() -> int:
        semaphore = asyncio.Semaphore(job.concurrency)
        async with openai.AsyncOpenAI(base_url=job.url, api_key=KEY) as client:

            async def one(request: Request) -> int:
                async with semaphore:
                    completion: Any = await client.chat.completions.create(**_body(request))
                return len([choice.message.content for choice in completion.choices])

            return sum(await asyncio.gather(*map(one, job.requests)))

    return asyncio.run(run())


WAYS: dict[str, Callable[[Job], int]] = {
    "ours": ours,
    "ours without ledger": ours_without_ledger,
    "aiohttp": bare_aiohttp,
    "httpx": bare_httpx,
    "openai": plain_openai,
}


def measure(arguments: argparse.Namespace, url: str, folder: Path) -> dict[str, list[float]]:
    """Requests a second of each way in each round. Raises: RuntimeError if a way lost a reply."""
    requests = make_requests(arguments.requests, arguments.replies)
    names = arguments.ways.split(",") if arguments.ways else list(WAYS)
    speeds: dict[str, list[float]] = {name: [] for name in names}
    for place in range(-1, arguments.rounds):
        some = requests if place >= 0 else requests[: arguments.concurrency]
        for name in names:
            gc.collect()
            began = time.perf_counter()
            texts = WAYS[name](Job(url, some, arguments.concurrency, folder, place))
            seconds = time.perf_counter() - began
            if texts != len(some) * arguments.replies:
                raise RuntimeError(f"{name} brought {texts} texts of {len(some) * arguments.replies}")
            if place >= 0:
                speeds[name].append(len(some) / seconds)
    return speeds


def ratios(speeds: dict[str, list[float]]) -> dict[str, Any]:
    """Of the medians; None without both."""
    medians = {name: statistics.median(all_of_it) for name, all_of_it in speeds.items()}

    def ratio(one: str, other: str) -> float | None:
        return round(medians[one] / medians[other], 3) if one in medians and other in medians else None

    return {
        "requests_per_second": {name: round(median, 1) for name, median in medians.items()},
        "share_of_bare_aiohttp": ratio("ours", "aiohttp"),
        "share_of_bare_httpx": ratio("ours", "httpx"),
        "speedup_vs_openai": ratio("ours", "openai"),
        "share_without_ledger": ratio("ours", "ours without ledger"),
    }


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Runs, prints, and gives what the JSON line holds."""
    arguments = parse(argv)
    os.environ["BENCHMARK_KEY"] = KEY
    command = [sys.executable, str(SERVER), f"--delay={arguments.delay}"]
    with (
        tempfile.TemporaryDirectory(dir=arguments.folder) as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
    ):
        lines: Any = server.stdout
        try:
            url = lines.readline().strip()
            speeds = measure(arguments, url, Path(folder))
        finally:
            server.terminate()
    for name, each in speeds.items():
        print(f"  {name:20} {statistics.median(each):8.0f} requests/s  ({min(each):.0f} to {max(each):.0f})")
    settings = {
        key: str(value) if key == "folder" else value for key, value in vars(arguments).items() if key != "json"
    }
    result = {"benchmark": "teacher", **ratios(speeds), "settings": settings}
    if arguments.json:
        print(json.dumps(result), flush=True)
    return result


if __name__ == "__main__":
    main()

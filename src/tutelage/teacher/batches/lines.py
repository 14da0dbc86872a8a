"""The lines of a batch's files: one call each, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tutelage.config import OpenAITeacherSettings
from tutelage.teacher.openai import faults, wire
from tutelage.teacher.openai.faults import Fault
from tutelage.teacher.openai.keys import Endpoint
from tutelage.teacher.openai.wire import Abilities
from tutelage.teacher.protocol import Call, Outcome, Request, Usage


@dataclass(slots=True)
class Ask:
    """A request whose samples are being asked for. left: lines of it that are still out; reason: why some failed."""

    request: Request
    left: int = 0
    reason: str | None = None


@dataclass(slots=True)
class Line:
    """One call, to be handed in. tries: before this one. body: its JSON, written with the abilities `sent`.

    alone_to_see: asked for alone because several samples at once were refused, maybe for being several.
    """

    ask: Ask
    places: tuple[int, ...]
    tries: int = 0
    alone_to_see: bool = False
    sent: Abilities = field(default_factory=Abilities)
    body: str = ""

    def write(self, settings: OpenAITeacherSettings, abilities: Abilities) -> int:
        """Writes the body anew; how many bytes the line may have."""
        self.sent = replace(abilities)
        self.body = json.dumps(wire.body(settings, self.ask.request, len(self.places), self.sent))
        return len(self.body) + 128

    def call(self, settings: OpenAITeacherSettings) -> Call:
        """As the ledger knows it."""
        return wire.call(settings, self.ask.request, self.places)

    def text(self, settings: OpenAITeacherSettings, number: int) -> str:
        """As it stands in the file; the call's number is the name by which its reply is known."""
        url = "/v1" + wire.path(settings)
        return f'{{"custom_id": "{number}", "method": "POST", "url": "{url}", "body": {self.body}}}\n'


def read_line(line: bytes) -> tuple[int, dict[str, object]] | None:
    """A line of a result file and the number of its call; None if it is none."""
    try:
        value = json.loads(line)
        return (int(value["custom_id"]), value) if isinstance(value, dict) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def read_result(value: dict[str, object], endpoint: Endpoint) -> tuple[wire.Response | Fault, Usage]:
    """What came of a call, from its line; a fault may have been paid for, too."""
    error, response = value.get("error"), value.get("response")
    if not isinstance(response, dict):
        if isinstance(error, dict) and error.get("code") in ("batch_expired", "batch_cancelled"):
            return Fault("expired", faults.shown(str(error.get("message") or error["code"]), endpoint)), Usage()
        return faults.of_status(500, {"error": error or "no response"}, endpoint), Usage()
    status, body = response.get("status_code"), response.get("body")
    if not isinstance(status, int) or status < 200:  # seen: 0, where the request never left the batch
        status = 500
    if status >= 300:
        return faults.of_status(status, body, endpoint), Usage()
    if (fault := faults.of_body(body, endpoint)) is not None:
        return fault, Usage()
    try:
        found = wire.read_response(body)
    except wire.DamagedReplyError as damage:
        return faults.damaged(str(damage), endpoint), Usage()
    return (found if found.samples else Fault("no choices", "the reply has no choices")), found.usage


def outcome(result: wire.Response | Fault, usage: Usage, places: Sequence[int]) -> Outcome:
    """The same as the ledger keeps it."""
    if isinstance(result, Fault):
        return Outcome({}, usage, result.kind, result.detail)
    return Outcome(dict(zip(places, result.samples, strict=False)), usage)

"""A run's page, served on this machine alone while the run goes on; the page asks each second what has changed.

What is served is the page that `report` writes, and the parts of it that have changed since: nothing else of the disk.
The files are read in a thread of its own, only while somebody looks, and for at most a tenth of the time: reading ten
thousand questions must not slow the run that is watched.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tutelage.errors import WorkspaceError
from tutelage.progress import say
from tutelage.report.gathering import Section
from tutelage.report.gathering.run import gather_run
from tutelage.report.gathering.status import gather as gather_status
from tutelage.report.page.page import assemble, charting_library, to_page_json
from tutelage.report.reading import Reading
from tutelage.report.write import REPORT, check_run
from tutelage.workspace import PARTIAL, UNFINISHED

HOST = "127.0.0.1"
_PART = re.compile(r'<script type="application/(?:json|gzip)" id="((?:data|chunk)-[^"]*)">([^<]*)</script>')
_SECONDS = 1.0
_GROWING_SECONDS = 15.0
"""Between two readings of files that only grow, such as the losses of a study that is going on."""
_IDLE_SECONDS = 10.0
"""Without a request after which nobody looks."""
_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A page and its parts. number: of the reading that it came from; changed: by part, the last reading that did."""

    number: int
    page: str
    parts: dict[str, str]
    changed: dict[str, int]


@dataclass(slots=True)
class Watched:
    """A run folder whose page is made anew when its files have changed.

    session: tells the pages of this process from those of one before.
    """

    folder: Path
    session: str = field(default_factory=lambda: secrets.token_hex(8))
    _snapshot: Snapshot | None = None
    _seen: tuple[frozenset[Any], frozenset[Any]] = (frozenset(), frozenset())
    _written: str = ""
    _not_before: float = 0.0
    _read_at: float = 0.0
    _asked_at: float = 0.0
    _reading: threading.Lock = field(default_factory=threading.Lock)

    def snapshot(self) -> Snapshot:
        """The last one; of a page that nobody has asked for lately a new one."""
        with self._reading:
            lately = time.monotonic() - self._asked_at < _IDLE_SECONDS
            if self._snapshot is None or not lately:
                self._read()
            self._asked_at = time.monotonic()
            assert self._snapshot is not None  # noqa: S101 - for the type checker
            return self._snapshot

    def state(self, session: str, since: int) -> dict[str, Any]:
        """What has changed since a reading, by the names of the parts, and where the run stands this second."""
        self._asked_at = time.monotonic()
        latest = self._snapshot or self.snapshot()
        known = since if session == self.session else -1
        return {
            "session": self.session,
            "number": latest.number,
            "parts": [name for name, number in latest.changed.items() if number > known],
            "status": gather_status(Reading(self.folder)).data,
        }

    def look(self) -> None:
        """Reads the files again if they have changed, somebody looks, and the last reading was long enough ago."""
        now = time.monotonic()
        if now - self._asked_at > _IDLE_SECONDS or now < self._not_before:
            return
        whole, growing = _files(self.folder)
        if whole == self._seen[0] and (growing == self._seen[1] or now - self._read_at < _GROWING_SECONDS):
            return
        with self._reading:
            self._read()

    def _read(self) -> None:
        began = time.monotonic()
        self._seen = _files(self.folder)
        sections = gather_run(self.folder)
        before = self._snapshot
        number = 0 if before is None else before.number + 1
        page = self._assemble(sections, number)
        parts = {name: text for name, text in _PART.findall(page) if name not in ("data-watch", "data-status")}
        old = {} if before is None else before.parts
        numbers = {} if before is None else before.changed
        changed = {name: number if text != old.get(name) else numbers[name] for name, text in parts.items()}
        changed |= {name: numbers[name] if name not in old else number for name in numbers if name not in parts}
        self._snapshot = Snapshot(number, page, parts, changed)
        self._read_at = time.monotonic()
        self._not_before = self._read_at + (self._read_at - began) * (1 - _SHARE) / _SHARE

    def _assemble(self, sections: dict[str, Section], number: int) -> str:
        about = dict(sections["about"].data)
        self._written = self._written or about["written"]
        about["written"] = self._written  # else it would be another part each time
        watch = Section({"session": self.session, "number": number})
        return assemble(str(about["title"]), {**sections, "about": Section(about), "watch": watch})


def _files(folder: Path) -> tuple[frozenset[Any], frozenset[Any]]:
    """What tells whether files of a run have changed: those that are whole, and those that grow."""
    whole: set[Any] = set()
    growing: set[Any] = set()
    for path in [*folder.glob("*"), *folder.glob("round-*/*")]:
        if path.name in (REPORT, "status.json", ".lock") or path.name.endswith((PARTIAL, "-shm")):
            continue
        try:
            found = path.stat()
        except OSError:  # gone meanwhile
            continue
        grows = UNFINISHED in path.name or path.name.endswith((".sqlite", "-wal"))
        (growing if grows else whole).add((path, found.st_mtime_ns, found.st_size))
    return frozenset(whole), frozenset(growing)


class Server(ThreadingHTTPServer):
    """Serves one run's page to this machine. Raises: WorkspaceError if the port is taken, or the folder is no run."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0) -> None:
        check_run(folder)
        charting_library()  # it takes a while, once
        self.watched = Watched(folder)
        self.watched.snapshot()  # what is wrong with it shows now, and not in the browser
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise WorkspaceError(
                f"Port {port} cannot be listened on: {error.strerror or error}. Name another by --port; 0 takes any "
                "that is free."
            ) from None

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}/"

    def serve(self) -> None:
        """Serves until it is stopped by Ctrl-C, or `shutdown`."""
        stopped = threading.Event()
        threading.Thread(target=self._look_now_and_then, args=(stopped,), name="watch", daemon=True).start()
        try:
            self.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            pass
        finally:
            stopped.set()
            self.server_close()

    def _look_now_and_then(self, stopped: threading.Event) -> None:
        running = False
        while not stopped.wait(_SECONDS):
            self.watched.look()
            status = gather_status(Reading(self.watched.folder)).data
            if running and status["state"] != "running":
                say(status["sentence"])
            running = status["state"] == "running"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of a reply is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "tutelage"
    sys_version = ""
    timeout = 60

    def parse_request(self) -> bool:
        """As usual, and then: what does not ask this machine by its own name is another site's (DNS rebinding)."""
        if not super().parse_request():
            return False
        if _host_of(self.headers.get_all("Host", [])) not in ("127.0.0.1", "localhost"):
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", "Ask for 127.0.0.1 or localhost.\n")
            return False
        if self.command != "GET":
            self._answer(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", "There is only GET.\n")
            return False
        return True

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        watched, path = self.server.watched, asked.path
        if path == "/":
            self._answer(HTTPStatus.OK, "text/html", watched.snapshot().page)
        elif path == "/state":
            query = {name: values[0] for name, values in parse_qs(asked.query).items()}
            since = query.get("since", "")
            state = watched.state(query.get("session", ""), int(since) if since.isdecimal() else -1)
            self._answer(HTTPStatus.OK, "application/json", to_page_json(state))
        elif (text := watched.snapshot().parts.get(path.removeprefix("/part/"))) is not None:
            kind = "application/json" if path.startswith("/part/data-") else "text/plain"
            self._answer(HTTPStatus.OK, kind, text)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "There is no such thing here.\n")

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """The terminal is for the run."""


_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


def _host_of(named: Iterable[str]) -> str:
    """The name that a request asks for, without its port; "" if it names none or several."""
    hosts = list(named)
    return re.sub(r":\d+$", "", hosts[0].strip().lower()) if len(hosts) == 1 else ""

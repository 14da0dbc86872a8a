"""The ledger: every request to the teacher with its reply, in `teacher.sqlite`, committed before it is used.

Rows are only ever added. A request is known by its key (`protocol.request_key`); it has one row with a
reply at most, and one more row for each time that it failed. What is known is never asked for again.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from tutelage.errors import WorkspaceError
from tutelage.records import to_json
from tutelage.teacher.protocol import Reply, Request, Teacher, Usage, request_key
from tutelage.workspace import disk_errors

VERSION = 1
"""Of the table's layout, kept in the file's user_version."""

_LAYOUT = """
CREATE TABLE replies (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,               -- request_key, 64 hexadecimal digits
    round INTEGER NOT NULL,
    question TEXT NOT NULL,          -- the question's id
    mistake TEXT,                    -- JSON of the mistake shown, NULL without feedback
    prompt TEXT NOT NULL,            -- JSON: a string, or a list of {role, content}
    asked INTEGER NOT NULL,          -- replies asked for
    teacher TEXT NOT NULL,           -- its name
    identity TEXT NOT NULL,          -- JSON: what decides its replies
    texts TEXT NOT NULL,             -- JSON list of the replies' texts
    finish_reasons TEXT NOT NULL,    -- JSON list, one for each text
    prompt_tokens INTEGER,           -- NULL: the teacher does not say
    completion_tokens INTEGER,
    error TEXT,                      -- why nothing came; NULL for a reply
    time TEXT NOT NULL               -- ISO 8601, UTC
);
CREATE UNIQUE INDEX reply_of_key ON replies (key) WHERE error IS NULL;
CREATE INDEX replies_of_round ON replies (round);
"""


@dataclass(frozen=True, slots=True)
class Totals:
    """What one round asked of the teacher.

    requests: different ones; answered: with a reply; failed: without one so far. replies: texts that came.
    prompt_tokens, completion_tokens: sums over the replies that tell, None when none does.
    without_usage: answered requests that do not tell; the sums are lower bounds when it is not 0.
    """

    requests: int
    answered: int
    failed: int
    replies: int
    prompt_tokens: int | None
    completion_tokens: int | None
    without_usage: int


class Ledger:
    """The table of a `teacher.sqlite`, made when it is absent. Used from the thread that opened it.

    Raises: WorkspaceError if the file is damaged, is something else, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._mending():
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        with self._mending():
            # FULL: in WAL mode only then is a commit on the disk when it returns, power cut included.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            check = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            tables = self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            if check == "ok" and version == 0 and tables == 0:
                self._connection.executescript(f"BEGIN; {_LAYOUT} PRAGMA user_version = {VERSION}; COMMIT;")
                return
        if check != "ok":
            raise self._damaged(str(check))
        if version != VERSION:
            raise WorkspaceError(
                f"{self.path} is a SQLite file, but not a teacher's ledger of version {VERSION} (it says {version}). "
                "Use the version of Tutelage that wrote it, or move the file away."
            )

    def close(self) -> None:
        """Closes the file; what was written stands already."""
        self._connection.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def known(self, keys: Iterable[str]) -> dict[str, Reply]:
        """The replies that stand under `keys`; failed requests are not among them."""
        found = {}
        with self._mending():
            for key in keys:
                row = self._connection.execute(
                    "SELECT texts, finish_reasons, prompt_tokens, completion_tokens FROM replies "
                    "WHERE key = ? AND error IS NULL",
                    (key,),
                ).fetchone()
                if row is not None:
                    found[key] = Reply(tuple(json.loads(row[0])), tuple(json.loads(row[1])), Usage(row[2], row[3]))
        return found

    def write(self, key: str, teacher: Teacher, request: Request, reply: Reply) -> None:
        """Adds a reply, or a failure, and returns when it is on the disk. Raises: WorkspaceError on a full disk."""
        prompt = request.prompt if isinstance(request.prompt, str) else [asdict(one) for one in request.prompt]
        row = (
            key,
            request.round,
            request.question.id,
            None if request.mistake is None else to_json(request.mistake),
            json.dumps(prompt, ensure_ascii=False),
            request.replies,
            teacher.name,
            json.dumps(teacher.identity, sort_keys=True, ensure_ascii=False),
            json.dumps(reply.texts, ensure_ascii=False),
            json.dumps(reply.finish_reasons, ensure_ascii=False),
            reply.usage.prompt_tokens,
            reply.usage.completion_tokens,
            reply.error,
            datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        with self._mending():
            self._connection.execute(
                "INSERT INTO replies (key, round, question, mistake, prompt, asked, teacher, identity, texts, "
                "finish_reasons, prompt_tokens, completion_tokens, error, time) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )

    def totals(self) -> dict[int, Totals]:
        """What each round asked, by its number."""
        with self._mending():
            rows = self._connection.execute(
                "SELECT round, count(DISTINCT key), count(*) FILTER (WHERE error IS NULL), "
                "sum(json_array_length(texts)), sum(prompt_tokens), sum(completion_tokens), "
                "count(*) FILTER (WHERE error IS NULL AND (prompt_tokens IS NULL OR completion_tokens IS NULL)) "
                "FROM replies GROUP BY round ORDER BY round"
            ).fetchall()
        return {
            number: Totals(asked, answered, asked - answered, texts, prompt, completion, without)
            for number, asked, answered, texts, prompt, completion, without in rows
        }

    def _damaged(self, reason: str) -> WorkspaceError:
        return WorkspaceError(
            f"The teacher's ledger {self.path} is damaged: {reason}. Put back a copy of it, with its -wal file if it "
            "has one; or move it away, and `tutelage resume` asks the teacher anew for what it held."
        )

    @contextlib.contextmanager
    def _mending(self) -> Iterator[None]:
        # One place that turns SQLite's errors into the user's; an IntegrityError would be a bug of ours,
        # and so would text that cannot be written: neither says anything about the file.
        try:
            yield
        except (sqlite3.IntegrityError, UnicodeError):
            raise
        except sqlite3.OperationalError as error:
            raise WorkspaceError(
                f"{self.path} could not be read or written: {error}. Every reply before this one is kept; "
                "make room or mend the path, then `tutelage resume`."
            ) from None
        except (sqlite3.DatabaseError, ValueError) as error:
            raise self._damaged(str(error)) from None


def ask(
    teacher: Teacher,
    requests: Sequence[Request],
    ledger: Ledger,
    on_reply: Callable[[Request, Reply], None] | None = None,
) -> list[Reply]:
    """The replies to `requests`, in their order; sends only what the ledger does not hold.

    Each reply is committed before anything else happens to it. A request that failed earlier is sent again;
    one that fails now comes back with its `error` set. A request that stands in `requests` twice is sent once.
    on_reply: called once for each request as its reply is there, those that the ledger holds first.
    Raises: TeacherError if the teacher cannot be used at all, WorkspaceError if the ledger cannot be written;
    every reply that came before stays in the ledger.
    """
    keys = [request_key(teacher, request) for request in requests]
    alike: dict[str, list[Request]] = {}
    for key, request in zip(keys, requests, strict=True):
        alike.setdefault(key, []).append(request)
    replies = ledger.known(alike)
    for key, request in zip(keys, requests, strict=True):
        if on_reply is not None and key in replies:
            on_reply(request, replies[key])
    # By identity: a teacher hands back the very request it was given, and hashing whole prompts again is slow.
    unknown = {id(same[0]): key for key, same in alike.items() if key not in replies}
    with _closing(teacher.answer([alike[key][0] for key in unknown.values()]) if unknown else iter(())) as arrivals:
        for request, reply in arrivals:
            key = unknown[id(request)]
            ledger.write(key, teacher, request, reply)
            replies[key] = reply
            if on_reply is not None:
                for same in alike[key]:
                    on_reply(same, reply)
    return [replies[key] for key in keys]


@contextlib.contextmanager
def _closing(arrivals: Iterator[tuple[Request, Reply]]) -> Iterator[Iterator[tuple[Request, Reply]]]:
    try:
        yield arrivals
    finally:
        if isinstance(arrivals, Generator):
            arrivals.close()  # takes back what is still in flight

"""Takes a round's calls over from another run's ledger, so that its replies are known, and what they cost is."""

from __future__ import annotations

from pathlib import Path

from tutelage.teacher.books.ledger import Ledger

_CALL = (
    "question, mistake, prompt, places, road, batch, keys, begun, ended, failure, detail, prompt_tokens, "
    "cached_tokens, completion_tokens, cost, charged_tokens, charged_cost, kind"
)


def copy_round(source: Path, target: Path, number: int) -> None:
    """Adds a round's finished calls for feedback, with their samples, to the ledger at `target`, in one transaction.

    They count there as they do at `source`, towards a cap, too. Does nothing if `target` has such calls of the round.
    Raises: WorkspaceError if either cannot be read, or `target` not written.
    """
    Ledger(source).close()  # checks that it is one
    with Ledger(target) as ledger:
        if ledger.rows("SELECT 1 FROM calls WHERE round = ? AND kind = 'feedback' LIMIT 1", (number,)):
            return
        ledger.change("ATTACH DATABASE ? AS other", (str(source),))
        try:
            ledger.change_together([(statement, {"round": number}) for statement in _STATEMENTS])
        finally:
            ledger.change("DETACH DATABASE other")


_OF_ROUND = (
    "FROM other.calls AS calls WHERE calls.round = :round AND calls.kind = 'feedback' AND calls.ended IS NOT NULL"
)
_FIRST = "(SELECT coalesce(max(id), 0) FROM main.calls WHERE round != :round OR kind != 'feedback')"
"""Calls keep their order behind those that are there already: number 5 there is number FIRST + 5 here."""
# ruff: noqa: S608 - nothing in these comes from outside
_STATEMENTS = (
    f"INSERT OR IGNORE INTO main.prompts SELECT * FROM other.prompts WHERE id IN (SELECT calls.prompt {_OF_ROUND})",
    "INSERT OR IGNORE INTO main.teachers (name, identity) SELECT name, identity FROM other.teachers "
    f"WHERE id IN (SELECT calls.teacher {_OF_ROUND})",
    f"INSERT INTO main.calls (id, teacher, round, {_CALL}) SELECT {_FIRST} + calls.id, "
    "(SELECT here.id FROM main.teachers AS here JOIN other.teachers AS there ON here.identity = there.identity "
    f"WHERE there.id = calls.teacher), calls.round, {_CALL} {_OF_ROUND}",
    "INSERT OR IGNORE INTO main.samples (key, call, place, kind, text, finish_reason, thinking) "
    f"SELECT key, {_FIRST} + call, place, kind, text, finish_reason, thinking FROM other.samples "
    f"WHERE call IN (SELECT calls.id {_OF_ROUND})",
)

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

    They count there as they do at `source`, towards a cap, too. Of a round that `target` has begun itself only calls
    are added that brought samples which it lacks.
    Raises: WorkspaceError if either cannot be read, or `target` not written.
    """
    Ledger(source).close()  # checks that it is one
    with Ledger(target) as ledger:
        begun = ledger.rows("SELECT 1 FROM calls WHERE round = ? AND kind = 'feedback' LIMIT 1", (number,))
        ((first,),) = ledger.rows("SELECT coalesce(max(id), 0) FROM calls")
        values = {"round": number, "begun": len(begun), "first": first}
        ledger.change("ATTACH DATABASE ? AS other", (str(source),))
        try:
            ledger.change_together([(statement, values) for statement in _STATEMENTS])
        finally:
            ledger.change("DETACH DATABASE other")


# Calls keep their order behind those that are there already: number 5 there is number :first + 5 here.
# ruff: noqa: S608 - nothing in these comes from outside
_OF_ROUND = (
    "FROM other.calls AS calls WHERE calls.round = :round AND calls.kind = 'feedback' AND calls.ended IS NOT NULL "
    "AND (NOT :begun OR calls.id IN "
    "(SELECT call FROM other.samples WHERE key NOT IN (SELECT key FROM main.samples)))"
)
_STATEMENTS = (
    f"INSERT OR IGNORE INTO main.prompts SELECT * FROM other.prompts WHERE id IN (SELECT calls.prompt {_OF_ROUND})",
    "INSERT OR IGNORE INTO main.teachers (name, identity) SELECT name, identity FROM other.teachers "
    f"WHERE id IN (SELECT calls.teacher {_OF_ROUND})",
    f"INSERT INTO main.calls (id, teacher, round, {_CALL}) SELECT :first + calls.id, "
    "(SELECT here.id FROM main.teachers AS here JOIN other.teachers AS there ON here.identity = there.identity "
    f"WHERE there.id = calls.teacher), calls.round, {_CALL} {_OF_ROUND}",
    "INSERT OR IGNORE INTO main.samples (key, call, place, kind, text, finish_reason, thinking) "
    "SELECT key, :first + call, place, kind, text, finish_reason, thinking FROM other.samples "
    f"WHERE call IN (SELECT calls.id {_OF_ROUND})",
)

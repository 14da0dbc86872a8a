"""Did it work: accuracy by round, the gain with its test, the gap to the teacher, what it cost, where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tutelage.evaluation.cost import device_times, is_free, teacher_cost, whole_time
from tutelage.evaluation.gap import share_of_gap
from tutelage.evaluation.significance import ALPHA, Paired, is_gain, mcnemar
from tutelage.records import Attempt, StoredQuestion
from tutelage.report.gathering import Section
from tutelage.report.reading import Reading
from tutelage.report.shapes import Evaluation, Event, Outcome, TeacherScore


def gather(reading: Reading) -> Section:
    """The first section. Its numbers are those of the files; the sentence rounds them as the terminal does."""
    outcome = reading.outcome()
    found = evaluations(reading)
    kept = kept_round(outcome, found)
    paired = gained(reading, kept)
    teacher = reading.value(reading.folder / "teacher.json", TeacherScore)
    untrained = found.get(0, {}).get("accuracy")
    taught = any(number for number in found)
    reached = found.get(kept, {}).get("accuracy") if kept is not None else None
    return Section(
        {
            "verdict": verdict(untrained, reached, kept if taught else None, paired, outcome is not None),
            "gain": None if paired is None else asdict(paired),
            "accuracy": [_accuracy(number, one, number == kept) for number, one in found.items()],
            "kept": kept,
            "teacher": teacher,
            "gap_closed": share_of_gap(untrained, reached, (teacher or {}).get("accuracy")),
            "cost": cost(reading),
            "outcome": outcome,
            "stands": stands(reading, outcome),
            "facts": _facts(reading),
            "environment": reading.value(reading.workspace.environment, dict[str, Any]),
            "leakage": reading.value(reading.workspace.leakage, dict[str, Any]),
        }
    )


def evaluations(reading: Reading) -> dict[int, Evaluation]:
    """The accuracies of the rounds that have them, where they are whole."""
    read = {number: reading.value(reading.round(number).evaluation, Evaluation) for number in reading.rounds()}
    whole = {"accuracy", "interval", "correct", "total"}
    return {number: found for number, found in read.items() if found is not None and whole <= found.keys()}


def kept_round(outcome: Outcome | None, evaluations: Mapping[int, Evaluation]) -> int | None:
    """The round that the run kept; of a run that goes on the one it would keep now: the best held-out accuracy's."""
    if outcome is not None and "best_round" in outcome:
        return outcome["best_round"]
    held_out = {number: one.get("held_out", {}) for number, one in evaluations.items()}
    scores = {number: one["accuracy"] for number, one in held_out.items() if one.get("total") and "accuracy" in one}
    if not scores:
        return max(evaluations, default=None)
    return max(scores, key=lambda number: (scores[number], -number))


def gained(reading: Reading, kept: int | None) -> Paired | None:
    """The kept student against the untrained one on the test questions; None where the answers are not all there."""
    if not kept:
        return None
    before, after = right_answers(reading, 0), right_answers(reading, kept)
    return mcnemar(before, after) if before and after and before.keys() == after.keys() else None


def right_answers(reading: Reading, number: int) -> dict[str, bool] | None:
    """By test question, whether a round's student has it right."""
    questions = reading.lines(reading.workspace.questions, StoredQuestion)
    answers = reading.lines(reading.round(number).answers, Attempt)
    if questions is None or answers is None:
        return None
    test = {one.question.id for one in questions if one.split == "test"}
    return {one.question_id: one.correct for one in answers if one.question_id in test}


def verdict(
    untrained: float | None, reached: float | None, kept: int | None, paired: Paired | None, ended: bool
) -> dict[str, str]:
    """Whether it worked, in a sentence; outcome: "gain", "loss", "no gain" or "unknown".

    kept: None where no student but the untrained one has been evaluated.
    """
    if untrained is not None and kept is None and ended:
        return _verdict(
            "unknown", f"Nothing was taught: the test accuracy of the untrained student is {untrained:.1%}."
        )
    if untrained is None or reached is None or kept is None:
        return _verdict("unknown", "Too early to say: there is no evaluation to compare yet.")
    so_far = "" if ended else " so far"
    if kept == 0:
        what = "no round has been better" if ended else "no later round is better yet"
        return _verdict(
            "no gain",
            f"No gain{so_far}: on the held-out questions {what} than the untrained student, whose test accuracy is "
            f"{untrained:.1%}.",
        )
    moved = f"test accuracy {_moved(untrained, reached)}"
    course = f"{moved} from {untrained:.1%} (untrained) to {reached:.1%} in round {kept}"
    if paired is None:
        return _verdict(
            "unknown", f"Not tested: {course}, but the answers to test the difference on are not all there."
        )
    low, high = paired.interval
    tested = f"Difference {_points(paired.difference)} points, 95% interval {_points(low)} to {_points(high)}; "
    tested += f"exact McNemar test {_p_value(paired.p_value)}."
    if is_gain(paired):
        return _verdict("gain", f"It worked{so_far}: {course}.", tested)
    if paired.p_value <= ALPHA:
        return _verdict("loss", f"It got worse{so_far}: {course}.", tested)
    return _verdict("no gain", f"No gain that the data support{so_far}: {course}.", tested)


def _verdict(outcome: str, sentence: str, tested: str = "") -> dict[str, str]:
    """sentence: for all; tested: the numbers behind it, for who wants them."""
    said = {"outcome": outcome, "sentence": sentence, "tested": tested}
    return {name: text.replace("%", "\u00a0%") for name, text in said.items()}


def _moved(before: float, after: float) -> str:
    return "rose" if after > before else "fell" if after < before else "went"


def _points(share: float) -> str:
    return f"{100 * share:.1f}"


def _p_value(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def cost(reading: Reading) -> dict[str, Any]:
    """All that the run has spent so far: the teacher's tokens and money by the ledger, seconds by the journal."""
    asked = reading.totals()
    return {
        "teacher": asdict(teacher_cost(asked.values())) if asked else None,
        "free": is_free(asked.values()),
        "time": asdict(whole_time(device_times(events(reading)).values())),
        "ended": reading.outcome() is not None,
    }


def events(reading: Reading) -> list[Mapping[str, Any]]:
    """The journal's stages that say all that they should."""
    found = reading.lines(reading.workspace.journal, Event) or []
    whole = [one for one in found if {"event", "round", "stage"} <= one.keys()]
    return [one for one in whole if one["event"] == "begin" or (one["event"] == "end" and "seconds" in one)]


def stands(reading: Reading, outcome: Outcome | None) -> dict[str, Any]:
    """Where the run is, by its files alone. state: "finished", or "unfinished" with the stage that was begun last."""
    if outcome is not None:
        return {"state": "finished", "round": outcome.get("last_round"), "stage": None}
    noted: Sequence[Mapping[str, Any]] = events(reading)
    if not noted:
        return {"state": "unfinished", "round": None, "stage": None}
    return {"state": "unfinished", "round": noted[-1]["round"], "stage": noted[-1]["stage"]}


def _accuracy(number: int, one: Evaluation, kept: bool) -> dict[str, Any]:
    test = {name: one.get(name) for name in ("accuracy", "correct", "total", "interval")}
    held_out = one.get("held_out")
    return {
        "round": number,
        "test": test,
        "held_out": held_out if held_out and held_out.get("total") else None,
        "kept": kept,
    }


def _facts(reading: Reading) -> dict[str, Any]:
    """What the run is about."""
    questions = reading.lines(reading.workspace.questions, StoredQuestion) or []
    splits = [one.split for one in questions]
    return {
        "task": reading.setting("task.name"),
        "student": reading.setting("student.model"),
        "teacher_kind": reading.setting("teacher.kind"),
        "teacher": reading.setting("teacher.model"),
        "first_teacher": reading.setting("first_teacher.model") or reading.setting("first_teacher.kind"),
        "seed": reading.setting("seed"),
        "questions": {name: splits.count(name) for name in ("train", "held-out", "test")} if questions else None,
    }

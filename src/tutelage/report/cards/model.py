"""The model card of an exported student, as the Hugging Face hub reads it.

https://huggingface.co/docs/hub/model-cards has the form: a head in YAML, then Markdown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from tutelage.baselines import METHODS
from tutelage.report.cards.markdown import escape, facts, table
from tutelage.report.cards.methods import how, learning, method_of, tags
from tutelage.report.cards.origins import Base, base_of
from tutelage.report.cards.parts import count, data_text, recipe_text, teacher_text, terms_text
from tutelage.report.cards.snippets import snippet
from tutelage.rounds.costs import Spent, gained, spent
from tutelage.rounds.run import Run
from tutelage.student.model.lora import is_adapter
from tutelage.tasks import TASKS, hub_id_of
from tutelage.workspace import read_json, write_text


@dataclass(frozen=True, slots=True)
class _Subject:
    """Whose card it is. number: the round; adapter: whether it lies there by itself; rounds: those with a score."""

    run: Run
    number: int
    adapter: bool
    base: Base
    rounds: tuple[int, ...]

    @property
    def name(self) -> str:
        task = self.run.recipe.task
        what = task.file.stem if task.file else task.name
        return f"{self.base.name.rpartition('/')[2]}-{what}-round-{self.number}"


def write_model_card(run: Run, number: int, folder: Path) -> None:
    """Writes README.md into a folder with the student of a round, whole or as an adapter."""
    rounds = range(max(number, run.recipe.rounds.limit) + 1)
    scored = tuple(one for one in rounds if run.round(one).evaluation.is_file())
    subject = _Subject(run, number, is_adapter(folder), base_of(run.recipe.student), scored)
    write_text(folder / "README.md", f"---\n{_head(subject).to_yaml()}\n---\n\n{_body(subject, folder)}")


def _head(subject: _Subject) -> ModelCardData:
    recipe = subject.run.recipe
    dataset = hub_id_of(recipe.task.name)
    return ModelCardData(
        model_name=subject.name,
        library_name="peft" if subject.adapter else "transformers",
        base_model=subject.base.hub_id,
        base_model_relation=("adapter" if subject.adapter else "finetune") if subject.base.hub_id else None,
        pipeline_tag="text-generation",
        tags=[*tags(subject.run), *(["lora"] if recipe.lora else [])],
        datasets=None if dataset is None else [dataset],
        eval_results=_result(subject, dataset),
    )


def _result(subject: _Subject, dataset: str | None) -> list[EvalResult] | None:
    if subject.number not in subject.rounds:
        return None
    task = subject.run.recipe.task
    score = read_json(subject.run.round(subject.number).evaluation)
    name = task.file.stem if task.file else TASKS[task.name].title
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=dataset or (task.file.stem if task.file else task.name),
            dataset_name=name,
            dataset_split="test",
            metric_type="accuracy",
            metric_name=f"Accuracy on {score['total']} test questions",
            metric_value=score["accuracy"],
        )
    ]


def _body(subject: _Subject, folder: Path) -> str:
    run = subject.run
    parts = [
        f"# {escape(subject.name)}",
        _introduction(subject),
        "## How well it does",
        _results(subject),
        "## Who taught it",
        teacher_text(run, _rounds_of_lessons(subject), METHODS[method_of(run)].asks),
        "## What it learned from",
        data_text(run),
        "### Test questions in the training",
        _leakage(subject),
        "## How to use it",
        snippet(run, folder, subject.adapter, answers_alone=method_of(run) == "answers"),
        "## What it cost",
        _cost(spent(run), read_json(run.workspace.environment)),
        "## Licences and terms of use",
        terms_text(run, _rounds_of_lessons(subject), subject.base, "this model", METHODS[method_of(run)].asks),
        "## What it was not tested for",
        "It was measured on the test questions above and on nothing else. Training on one task can cost others. Its "
        "reasoning may be wrong where its answer is right, and it has no safeguards beyond those of its base model.",
        "## How it was made",
        recipe_text(run),
    ]
    return "\n\n".join(parts) + "\n"


def _rounds_of_lessons(subject: _Subject) -> range:
    """Whose lessons the student has studied: where each round begins anew, the last one's alone."""
    run, last = subject.run, subject.number
    method = METHODS[method_of(run)]
    merged = run.recipe.rounds.data == "all rounds" and "lesson" not in method.own  # into the last one's
    return range(max(1, last) if method.begins_anew(run.recipe) and not merged else 1, last + 1)


def _introduction(subject: _Subject) -> str:
    run, task = subject.run, TASKS[subject.run.recipe.task.name]
    base, title = (
        f"**{escape(subject.base.name)}**",
        "questions of its user's own" if run.recipe.task.file else escape(task.title),
    )
    if subject.number == 0:
        return f"{base} before it learned anything: the untrained student of a run of Tutelage on {title}."
    what = "A LoRA adapter for" if subject.adapter else "The model"
    learned = "answer" if method_of(run) == "answers" else "reason on"
    text = f"{what} {base}, which learned to {learned} {title} {how(run, subject.number)}. {learning(run).learned}"
    if not run.workspace.outcome.is_file():
        return f"{text}\n\nThe run had not ended when this was written."
    outcome = read_json(run.workspace.outcome)
    best = (
        "is the one that the run kept"
        if outcome["best_round"] == subject.number
        else (f"is not the one that the run kept, which is round {outcome['best_round']}'s")
    )
    return (
        f"{text}\n\nThe run ended after {count(outcome['last_round'], 'round')} ({escape(outcome['reason'])}). "
        f"This student {best}, by the accuracy on {count(outcome['held_out_questions'], 'held-out question')}, never "
        "by the test."
    )


def _results(subject: _Subject) -> str:
    if subject.number not in subject.rounds:
        return "This student was not evaluated."
    rows = [_result_row(subject, number) for number in subject.rounds]
    heading = ("round", "test accuracy", "95 % interval", "right", "held out", "change from round 0", "p")
    return (
        f"{table(heading, rows)}\n\n"
        "Greedy answers; Wilson's intervals. Round 0 is the untrained student. The change is in percentage points on "
        "the same questions, with Tango's 95 % interval; p is of the exact McNemar test, two-sided, not adjusted for "
        "the number of rounds. The round in bold is this student."
    )


def _result_row(subject: _Subject, number: int) -> list[str]:
    score = read_json(subject.run.round(number).evaluation)
    held_out = score["held_out"]
    cells = [
        str(number),
        f"{score['accuracy']:.1%}",
        _interval(score["interval"]),
        f"{score['correct']:,} of {score['total']:,}",
        f"{held_out['accuracy']:.1%} of {held_out['total']:,}" if held_out["total"] else "none held out",
    ]
    change = gained(subject.run, 0, number) if number else None
    if change is None:
        cells += ["", ""]
    else:
        low, high = change.interval
        cells += [f"{100 * change.difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})", _p(change.p_value)]
    return [f"**{cell}**" if cell and number == subject.number else cell for cell in cells]


def _interval(interval: list[float]) -> str:
    low, high = interval
    return f"{low:.1%} to {high:.1%}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _leakage(subject: _Subject) -> str:
    """What of the test stands in what the student learned from, as far as the run measured it."""
    run = subject.run
    rows = []
    if run.workspace.leakage.is_file():
        found = read_json(run.workspace.leakage)
        rows += [(name.replace("_", " "), source) for name, source in found["sources"].items()]
    for number in range(1, subject.number + 1):
        summary = read_json(run.round(number).summary) if run.round(number).summary.is_file() else {}
        for name, source in summary.get("leakage", {}).items():
            rows.append((f"round {number}: {name.replace('_', ' ')}", source))
    if not rows:
        return "Not measured: the run is of a version that did not count it."
    kinds = ("same_question", "same_but_for_numbers", "most_ngrams", "same_ngram")
    cells = [
        [escape(name), f"{found['texts']:,}", *(f"{found[kind]['count']:,}" for kind in kinds)] for name, found in rows
    ]
    heading = ("source", "texts", "same question", "same but for numbers", "70 % of 8-grams", "any 8-gram")
    tested = len(run.questions["test"])
    return f"How many of the {tested:,} test questions stand in each source, by their words:\n\n{table(heading, cells)}"


def _cost(cost: Spent, environment: dict[str, Any]) -> str:
    teacher, time = cost.teacher, cost.time
    device = f"{cost.devices} × {escape(cost.device)}" if cost.device != "cpu" else "a CPU"
    if cost.device == "cpu" and "cpu" in environment:
        device += f" ({escape(environment['cpu'])}, {count(environment['cores'], 'core')})"
    tokens = "not told" if teacher.tokens is None else f"{teacher.tokens:,}"
    more = f", and {count(teacher.unknown, 'call')} of which none is known" if teacher.unknown else ""
    cached = f"; {count(teacher.from_cache, 'reply', 'replies')} came from a cache" if teacher.from_cache else ""
    money = "not known" if teacher.money is None else f"{escape(teacher.money)} in the currency of the prices given"
    maybe = f", perhaps {escape(teacher.maybe_money)} more" if float(teacher.maybe_money) else ""
    broken = f", without {count(time.interrupted, 'stage')} that was cut off" if time.interrupted else ""
    seconds = f"{time.device:,.0f} seconds in all" if time.stages else "the seconds were not taken"
    return "All rounds of the run together:\n\n" + facts(
        [
            (
                "Asked of the teacher",
                f"{count(teacher.requests, 'request')}, tokens: {tokens}{more}{cached}",
            ),
            ("Paid", (money if teacher.money is None or float(teacher.money) else "nothing") + maybe),
            ("Device", f"{device}, {seconds}{broken}"),
        ]
    )

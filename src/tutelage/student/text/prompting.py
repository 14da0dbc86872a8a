"""How the student is asked, by the recipe: in plain text, or in its own chat template.

Exam, study, evaluation and `tutelage ask` all take it from here, so that they ask in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import GENERATION_CONFIG_NAME

from tutelage.config import PromptSettings
from tutelage.errors import StudentError
from tutelage.prompts import demonstrations_text, question_text, solution_text
from tutelage.records import Demonstration, Question
from tutelage.student.model.special_tokens import turn_tokens
from tutelage.student.model.student import Student
from tutelage.student.text.run_template import (
    assistant_turn,
    chat_template,
    own_template,
    plain_template,
    render,
    user_turn,
)
from tutelage.workspace import read_json, remove

_TEMPLATE = "chat_template.jinja"
"""Where transformers keeps it, and looks first: before tokenizer_config.json."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the student continues. before: the same for all questions, which weighs less in study. asked: the rest."""

    before: str
    asked: str

    @property
    def text(self) -> str:
        return self.before + self.asked


@dataclass(frozen=True, slots=True)
class Prompting:
    """A way to ask.

    prompt: of a question. solution: what is to be written behind the prompt, from a rationale and its answer (None:
    a mistake without one). end_id: the token behind a solution.
    """

    prompt: Callable[[Question], Prompt]
    solution: Callable[[str, str | None], str]
    end_id: int


def prompting_for(student: Student, settings: PromptSettings, demonstrations: Sequence[Demonstration]) -> Prompting:
    """The way that a recipe asks its student, with the run's demonstrations.

    Raises: StudentError if it is to be asked in a chat template, and has none or one that does not do.
    """
    if not settings.chat:
        return _plain(student, demonstrations)
    name = student.model.config.name_or_path or "the student"
    return _chat(student, _chat_template(student.tokenizer, name, settings.system, demonstrations), name)


def write_template(folder: Path, settings: PromptSettings, demonstrations: Sequence[Demonstration]) -> None:
    """Puts the same way to ask as a chat template into a folder with a saved student, in place of its own ones.

    The files are new ones: whatever shares the space of those before keeps them. Raises: as `prompting_for`.
    """
    tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
    if settings.chat:
        template = _chat_template(tokenizer, str(folder), settings.system, demonstrations)
    else:
        template = plain_template(tokenizer, demonstrations, _has_encoder(folder))
    remove(folder / "additional_chat_templates")  # for tools above all, which would be taken in place of this one
    remove(folder / _TEMPLATE)
    (folder / _TEMPLATE).write_text(template, encoding="utf-8")


def _has_encoder(folder: Path) -> bool:
    """Whether a saved student is encoder-decoder, or an adapter on one: then it says what its decoder starts with."""
    settings = folder / GENERATION_CONFIG_NAME
    return settings.is_file() and "decoder_start_token_id" in read_json(settings)


def _plain(student: Student, demonstrations: Sequence[Demonstration]) -> Prompting:
    before = demonstrations_text(demonstrations)

    def prompt(question: Question) -> Prompt:
        return Prompt(before, user_turn(question.text, question.choices))

    def solution(rationale: str, answer: str | None) -> str:
        # A mistake without an answer reads as the student left it.
        return solution_text(rationale, answer) if answer is not None else f" {rationale}"

    return Prompting(prompt, solution, student.eos_id)


def _chat_template(
    tokenizer: PreTrainedTokenizerBase, name: str, system: str | None, demonstrations: Sequence[Demonstration]
) -> str:
    own = own_template(tokenizer)
    if own is None:
        raise StudentError(
            f"{name} has no chat template of its model's own, which prompt.chat = true asks for. Take a chat-tuned "
            "model, or prompt.chat=false. (A student that a plain run handed over has the run's prompt in its place.)"
        )
    try:
        template = chat_template(tokenizer, own, demonstrations, system)
        render(tokenizer, template, [("user", "How many?")])
    except TemplateError as error:
        raise StudentError(
            f"The chat template of {name} refuses the prompt ({error}): {len(demonstrations)} demonstrations as turns "
            "of user and assistant, and a question. Take prompt.count=0, another model, or prompt.chat=false."
        ) from None
    return template


def _chat(student: Student, template: str, name: str) -> Prompting:
    def prompt(question: Question) -> Prompt:
        asked = user_turn(question.text, question.choices)
        content = question_text(question.text, question.choices).removeprefix(question_text(""))
        text = render(student.tokenizer, template, [("user", content)])
        place = text.rfind(asked)
        if place < 0:
            raise StudentError(
                f"The chat template of {name} changes the words of a question, which then does not read as it was "
                f"asked: {asked[:80]!r}. Take prompt.chat=false, or another model."
            )
        return Prompt(text[:place], text[place:])

    prompt(Question("probe", "How many?", "", "number"))  # what is wrong shows now
    lead = _lead(student.tokenizer, template)
    _, closing = turn_tokens(student.tokenizer)

    def solution(rationale: str, answer: str | None) -> str:
        return lead + assistant_turn(rationale, answer)

    return Prompting(prompt, solution, closing if closing in student.stop_ids else student.eos_id)


def _lead(tokenizer: PreTrainedTokenizerBase, template: str) -> str:
    """The white space that the template writes before an assistant's words: the space in "[/INST] So"."""
    request = render(tokenizer, template, [("user", "ping")])
    answered = render(tokenizer, template, [("user", "ping"), ("assistant", "pong")], add_generation_prompt=False)
    lead = answered.removeprefix(request).partition("pong")[0]
    return lead if lead.isspace() and answered.startswith(request) else ""

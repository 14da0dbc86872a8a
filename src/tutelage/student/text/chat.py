"""Chat messages as the prompt that a chat-tuned model is used to."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from jinja2 import TemplateError

from tutelage.errors import StudentError
from tutelage.student.model.student import Student


def render_chat(student: Student, messages: Sequence[tuple[str, str]]) -> str:
    """Chat messages (role, content) as the prompt that the model's chat template makes of them.

    A template that takes no system message gets its text at the head of the first user message.
    Raises: StudentError if the model has no chat template, or one that refuses the messages nevertheless.
    """
    if not student.tokenizer.chat_template:
        raise StudentError(
            f"{student.model.config.name_or_path or 'The model'} has no chat template. "
            'Take a chat-tuned model, or the endpoint "completion".'
        )
    try:
        return _apply_template(student, messages)
    except TemplateError:  # Gemma 2 and early Mistral raise it at a system message
        with contextlib.suppress(TemplateError):
            return _apply_template(student, _without_system(messages))
        raise StudentError(
            f"The chat template of {student.model.config.name_or_path or 'the model'} refuses the messages "
            f'({", ".join(role for role, _ in messages)}). Take another model, or the endpoint "completion".'
        ) from None


def _apply_template(student: Student, messages: Sequence[tuple[str, str]]) -> str:
    conversation = [{"role": role, "content": content} for role, content in messages]
    return str(student.tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True))


def _without_system(messages: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The messages with all system text before that of the first user message."""
    system = [content for role, content in messages if role == "system"]
    others = [(role, content) for role, content in messages if role != "system"]
    first = next((place for place, (role, _) in enumerate(others) if role == "user"), None)
    if first is not None:
        others[first] = ("user", "\n\n".join([*system, others[first][1]]))
    return others

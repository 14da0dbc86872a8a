"""A run's prompt as a chat template, so that whoever serves the student asks it as the run did.

A plain run's template writes the demonstrations and the conversation as text. A chat run's puts the demonstrations in
front of the conversation and leaves the rest to the model's own template, which stands behind it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from tutelage.prompts import REASONING, SEPARATOR, demonstrations_text, question_text, solution_text, student_prompt
from tutelage.records import Demonstration, Question
from tutelage.student.model.special_tokens import affixes

_PLAIN = "{#- The plain prompt of a run of Tutelage. -#}\n"
_CHAT = "{#- The prompt of a run of Tutelage, then the model's own template. -#}\n"
# No block at its end: after one, Jinja drops a line end, which would be the first of the model's own template.
_OWN = "{#- The model's own template: -#}{{- '' }}"

_LOOP = """\
{%- for message in messages -%}
{%- set text = message['content'] -%}
{%- set text = text if text is string else text | map(attribute='text') | join -%}
{%- if message['role'] in ['system', 'developer'] -%}
<system>
{%- elif message['role'] == 'user' -%}
<user>
{%- elif message['role'] == 'assistant' -%}
<assistant>
{%- else -%}
{{- raise_exception('This student takes messages of the roles system, user and assistant alone.') -}}
{%- endif -%}
{%- endfor -%}
"""

_DAY = date(2024, 7, 26)
"""What a template is told that the date is: the same in exam, study and evaluation, whenever they happen. It is the
day that Llama 3's own template falls back on."""


def own_template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The template that the model came with, without what a run put before it; None if there is none (any more)."""
    named: Any = tokenizer.chat_template
    template: str | None = named.get("default") if isinstance(named, dict) else named
    if not template or template.startswith(_PLAIN):
        return None
    return template.partition(_OWN)[2] if template.startswith(_CHAT) else template


def plain_template(
    tokenizer: PreTrainedTokenizerBase, demonstrations: Sequence[Demonstration], for_encoder: bool = False
) -> str:
    """System messages, the demonstrations, then the conversation, all as text; what `student_prompt` writes.

    for_encoder: with what the tokenizer puts behind a text, as an encoder is given it.
    """
    begin, end = affixes(tokenizer)
    end = end if for_encoder else ()
    body = (
        "{%- set before = namespace(system='') -%}\n"
        + _loop(f"{{%- set before.system = before.system + text + {_literal(SEPARATOR)} -%}}", "", "")
        + f"{{{{- before.system + {_literal(demonstrations_text(demonstrations))} -}}}}\n"
        + _loop(
            "",
            f"{{{{- {_literal(question_text(''))} + text + {_literal(_AFTER_QUESTION)} -}}}}",
            f"{{{{- ' ' + text | trim + {_literal(SEPARATOR)} -}}}}",
        )
        + (f"{{{{- {_literal(''.join(tokenizer.convert_ids_to_tokens(list(end))))} -}}}}\n" if end else "")
    )
    written = "".join(tokenizer.convert_ids_to_tokens(list(begin)))
    asked = Question("probe", "How many?", "", "number")
    prompt = tokenizer(student_prompt(asked, demonstrations), add_special_tokens=False)["input_ids"]
    expected = [*begin, *prompt, *end]
    # Some tokenizers put a space before a text's first word, but before none that follows a special token.
    templates = [f"{_PLAIN}{{{{- {_literal(written + space)} -}}}}\n{body}" for space in ("", " ")]
    return next((one for one in templates if _tokens(tokenizer, one, asked.text) == expected), templates[0])


def chat_template(
    tokenizer: PreTrainedTokenizerBase, own: str, demonstrations: Sequence[Demonstration], system: str | None
) -> str:
    """The demonstrations as turns before the conversation, all written by `own`, the model's own template.

    A system message of the asker comes behind `system`; where the model's template takes none, they stand at the head
    of the first user message. Raises: jinja2.TemplateError if the model's template refuses a single question.
    """
    turns = []
    for demo in demonstrations:
        turns.append(("user", user_turn(demo.question, demo.choices)))
        turns.append(("assistant", assistant_turn(demo.rationale, demo.answer)))
    listed = ", ".join(f"{{'role': '{role}', 'content': {_literal(text)}}}" for role, text in turns)
    stated = "" if system is None else _literal(system)
    add = "{%- set run.turns = run.turns + [{'role': message['role'], 'content': "
    body = f"{{%- set run = namespace(system=[{stated}], turns=[{listed}]) -%}}\n" + _loop(
        "{%- set run.system = run.system + [text] -%}",
        f"{add}{_literal(question_text(''))} + text + {_literal(_AFTER_QUESTION)}}}] -%}}",
        f"{add}text | trim}}] -%}}",
    )
    joined = f"select | join({_literal(SEPARATOR)})"
    if _takes_system(tokenizer, own):
        merged = f"[{{'role': 'system', 'content': run.system | {joined}}}] + run.turns"
    else:
        first = f"(run.system + [run.turns[0]['content']]) | {joined}"
        merged = f"[{{'role': 'user', 'content': {first}}}] + run.turns[1:]"
    body += f"{{%- if run.system -%}}{{%- set run.turns = {merged} -%}}{{%- endif -%}}\n"
    body += "{%- set messages = run.turns -%}\n{%- set enable_thinking = false -%}\n"
    template = _CHAT + _dates(own) + body + _OWN + own
    ids = affixes(tokenizer)[0]
    if tuple(_tokens(tokenizer, template, "How many?")[: len(ids)]) == ids:
        return template
    written = _literal("".join(tokenizer.convert_ids_to_tokens(list(ids))))
    return template.replace(_OWN, f"{{{{- {written} -}}}}\n{_OWN}", 1)


def render(tokenizer: PreTrainedTokenizerBase, template: str, messages: Sequence[tuple[str, str]], **more: Any) -> str:
    """What a template makes of messages (role, content), ready to be answered. Raises: jinja2.TemplateError."""
    conversation = [{"role": role, "content": content} for role, content in messages]
    named = {"add_generation_prompt": True, **more}
    return str(tokenizer.apply_chat_template(conversation, chat_template=template, tokenize=False, **named))


def user_turn(question: str, choices: Sequence[str] = ()) -> str:
    """A question as a user's turn, and at the end of a plain prompt."""
    return question_text(question, choices) + _AFTER_QUESTION


def assistant_turn(rationale: str, answer: str | None) -> str:
    """Its solution as the assistant's turn; one without an answer as the student left it."""
    return (rationale if answer is None else solution_text(rationale, answer)).strip()


_AFTER_QUESTION = f"\n{REASONING}"


def _loop(system: str, user: str, assistant: str) -> str:
    """A pass over the messages, with what is done at each by its role."""
    return _LOOP.replace("<system>", system).replace("<user>", user).replace("<assistant>", assistant)


def _literal(text: str) -> str:
    """Text as a string of Jinja's, in which nothing can pass for template code."""
    for character, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(character, escaped)
    return f'"{text}"'


def _tokens(tokenizer: PreTrainedTokenizerBase, template: str, question: str) -> list[int]:
    text = render(tokenizer, template, [("user", question)])
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _takes_system(tokenizer: PreTrainedTokenizerBase, own: str) -> bool:
    """Whether the template writes a system message: some refuse one (Gemma 2, early Mistral), some leave it out."""
    try:
        return "pong" in render(tokenizer, own, [("system", "pong"), ("user", "ping")])
    except TemplateError:
        return False


def _dates(own: str) -> str:
    """What keeps a template that writes the date from writing another one tomorrow."""
    forms = dict.fromkeys(found[1] for found in re.findall(r"strftime_now\(\s*([\"'])(.*?)\1", own))
    if not forms:
        return ""
    known = ", ".join(f"{_literal(form)}: {_literal(_DAY.strftime(form))}" for form in forms)
    return f"{{%- macro strftime_now(form) -%}}{{{{- {{{known}}}[form] -}}}}{{%- endmacro -%}}\n"

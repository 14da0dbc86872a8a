"""Chat templates: what they make of messages, and what they refuse."""

from __future__ import annotations

import dataclasses

import pytest

from tests.tiny import make_tokenizer
from tutelage.errors import StudentError
from tutelage.student.model.student import Student
from tutelage.student.text.chat import render_chat


def test_chat_messages_become_a_prompt(tiny_student: Student) -> None:
    messages = [("system", "Teach."), ("user", "Why?")]
    with pytest.raises(StudentError, match="no chat template"):
        render_chat(tiny_student, messages)
    tokenizer = make_tokenizer(("<|im_start|>", "<|im_end|>"))
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    text = render_chat(dataclasses.replace(tiny_student, tokenizer=tokenizer), messages)
    assert text.startswith("<|im_start|>system\nTeach.<|im_end|>\n")
    assert text.endswith("<|im_start|>assistant\n")


NO_SYSTEM = (  # as Gemma 2's
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "[{{ m['role'] }}]{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}[model]{% endif %}"
)


def test_a_template_without_a_system_role_gets_its_text_with_the_first_question(tiny_student: Student) -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = NO_SYSTEM
    student = dataclasses.replace(tiny_student, tokenizer=tokenizer)
    messages = [("system", "Teach."), ("user", "Why?"), ("assistant", "So."), ("user", "How?")]
    assert render_chat(student, messages) == "[user]Teach.\n\nWhy?[assistant]So.[user]How?[model]"
    assert render_chat(student, messages[1:2]) == "[user]Why?[model]"
    with pytest.raises(StudentError, match=r"refuses the messages \(system, user, user\)"):
        render_chat(student, [*messages[:2], ("user", "How?")])

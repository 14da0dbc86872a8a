"""The student's prompt: in plain text and in chat templates of many kinds, in study, and where a chat server asks."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError
from tokenizers import pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tests.tiny import make_model, make_tokenizer, save_model
from tutelage.config import PromptSettings
from tutelage.errors import StudentError
from tutelage.prompts import student_prompt
from tutelage.records import Demonstration, Question
from tutelage.student.answering.prompts import encode_prompts
from tutelage.student.model.student import Student, load_student, save_student
from tutelage.student.text.encoding import encode_sample
from tutelage.student.text.prompting import prompting_for, write_template

DEMOS = (
    Demonstration("How much is {{ 2 }} and\\n {% raw %} 2?", '2 + 2 = 4, "so" 4 \\ 1 #}.', "4"),
    Demonstration("What is dry?", "Sand is. {%- endraw -%} 🏜\r\n Ω", "B", ("{{ messages }}", "sand")),
)
QUESTIONS = [
    Question("1", "How many legs have 2 cats?", "8", "number"),
    Question("2", " {{ 1 + 1 }} <|im_end|>\n\nQuestion: ping pong?  ", "A", "choice", ("one 🐈", "two\n")),
]
CHATML = (  # SmolLM2's: with a system message of its own
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe helpful.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
INST = (  # Llama 2's: the beginning of text at every question, a space before every answer, no generation prompt
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}"
    "{% else %}{% set loop_messages = messages %}{% set system_message = '' %}{% endif %}"
    "{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% set content = (system_message if loop.first else '') + message['content'] %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (  # refuses a system message
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for message in messages %}{% set role = 'model' if message['role'] == 'assistant' else 'user' %}"
    "{{ '<|im_start|>' + role + '\n' + message['content'] | trim + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<|im_start|>model\n'}}{% endif %}"
)
THINKING = (  # Qwen 3's and Llama 3.2's ways: thoughts that can be switched off, and today's date
    "\n{%- macro day() %}{{ strftime_now('%d %b %Y') }}{% endmacro %}"
    "{{- '<|im_start|>system\nToday is ' + day() + '.' }}"
    "{%- if messages[0].role == 'system' %}{{ messages[0].content }}{% set messages = messages[1:] %}{% endif %}"
    "{%- for message in messages %}"
    "{{- '<|im_end|>\n<|im_start|>' + message.role + '\n' + message.content }}{%- endfor %}"
    "{{- '<|im_end|>\n' }}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)
TEMPLATES = {"ChatML": CHATML, "Llama 2": INST, "Gemma": GEMMA, "thinking": THINKING}
CHAT = PromptSettings(chat=True)
SYSTEM = PromptSettings(chat=True, system="Think {{ twice }}.")
PLAIN = PromptSettings()


def make_chat_student(student: Student, template: str | None, begins: bool) -> Student:
    """begins: whether the tokenizer puts a token before a text."""
    tokenizer = make_tokenizer(
        ("<s>", "<|im_end|>", "<|im_start|>", "<|pad|>"), bos_token="<s>", eos_token="<|im_end|>", pad_token="<|pad|>"
    )
    tokenizer.chat_template = template
    if begins:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    bos = (0,) if begins else ()
    return dataclasses.replace(student, tokenizer=tokenizer, pad_id=3, eos_id=1, stop_ids=(1,), bos=bos)


def text_of(student: Student, token_ids: Sequence[int]) -> str:
    return str(student.tokenizer.decode(list(token_ids)))


def as_served(student: Student, settings: PromptSettings, folder: Path, *before: dict[str, str]) -> list[list[int]]:
    """The tokens that a chat server makes of the questions, asked of a student that was handed over."""
    shutil.rmtree(folder, ignore_errors=True)
    student.tokenizer.save_pretrained(folder)
    write_template(folder, settings, DEMOS)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    texts = [QUESTIONS[0].text, QUESTIONS[1].text + "\nAnswer Choices:\n(a) one 🐈\n(b) two\n"]
    conversations = [[*before, {"role": "user", "content": text}] for text in texts]
    return [list(tokenizer.apply_chat_template(one, add_generation_prompt=True)["input_ids"]) for one in conversations]


def test_a_chat_is_the_template_of_the_demonstrations_and_the_question(tiny_student: Student) -> None:
    student = make_chat_student(tiny_student, CHATML, begins=False)
    demos = [Demonstration("Two and two?", " 2 + 2 = 4. ", "4")]
    prompting = prompting_for(student, PromptSettings(chat=True, system="Reason."), demos)
    prompt = prompting.prompt(Question("1", "Which?", "A", "choice", ("one", "two")))
    assert prompt.before == (
        "<|im_start|>system\nReason.<|im_end|>\n"
        "<|im_start|>user\nQuestion: Two and two?\nReasoning:<|im_end|>\n"
        "<|im_start|>assistant\n2 + 2 = 4.\nAnswer: 4<|im_end|>\n"
        "<|im_start|>user\n"
    )
    assert prompt.asked == (
        "Question: Which?\nAnswer Choices:\n(a) one\n(b) two\nReasoning:<|im_end|>\n<|im_start|>assistant\n"
    )
    assert prompting.solution(" One is. ", "A") == "One is.\nAnswer: A"
    assert prompting.solution(" One\n", None) == "One"
    bare = prompting_for(student, CHAT, ()).prompt(QUESTIONS[0])
    assert bare.before == "<|im_start|>system\nBe helpful.<|im_end|>\n<|im_start|>user\n"


@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize("settings", [PLAIN, CHAT, SYSTEM])
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_exam_study_and_server_ask_in_the_same_tokens(
    tiny_student: Student, tmp_path: Path, template: str, settings: PromptSettings, begins: bool
) -> None:
    student = make_chat_student(tiny_student, template, begins)
    prompting = prompting_for(student, settings, DEMOS)
    prompts = [prompting.prompt(question) for question in QUESTIONS]
    encoded = encode_prompts(student, [prompt.text for prompt in prompts])
    assert as_served(student, settings, tmp_path / "served") == encoded
    assert all(tokens[0] == 0 != tokens[1] for tokens in encoded) or not begins
    for prompt, tokens in zip(prompts, encoded, strict=True):
        sample = encode_sample(student, prompt.before, prompt.asked, prompting.solution("So.", "8"), 0.1, 1)
        assert list(sample.token_ids[: len(tokens)]) == tokens
        assert text_of(student, sample.token_ids[len(tokens) :]).strip() == "So.\nAnswer: 8<|im_end|>"
        assert sample.token_ids[-1] == prompting.end_id == 1
        light = [weight < 1 for weight in sample.weights]
        heavy = text_of(student, sample.token_ids[sum(light) :])
        assert light == sorted(light, reverse=True)
        assert heavy.lstrip().startswith(prompt.asked[:25])
    assert prompts[0].before == prompts[1].before


def test_white_space_before_an_answer_is_part_of_it(tiny_student: Student) -> None:
    for template, lead in ((INST, " "), (CHATML, ""), (THINKING, "")):
        prompting = prompting_for(make_chat_student(tiny_student, template, begins=True), CHAT, DEMOS)
        assert prompting.solution("So.", "8") == lead + "So.\nAnswer: 8"
        assert prompting.prompt(QUESTIONS[0]).text.endswith("</think>\n\n") == (template == THINKING)


def test_the_date_does_not_change_the_prompt(tiny_student: Student, tmp_path: Path) -> None:
    student = make_chat_student(tiny_student, THINKING, begins=False)
    assert "Today is 26 Jul 2024." in prompting_for(student, CHAT, DEMOS).prompt(QUESTIONS[0]).before
    [tokens, _] = as_served(student, CHAT, tmp_path / "served")
    assert "Today is 26 Jul 2024." in text_of(student, tokens)


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_a_system_message_of_the_asker_comes_behind_the_runs(
    tiny_student: Student, tmp_path: Path, template: str
) -> None:
    student = make_chat_student(tiny_student, template, begins=False)
    asked = {"role": "system", "content": "Be brief."}
    [tokens, _] = as_served(student, SYSTEM, tmp_path / "served", asked)
    assert "Think {{ twice }}.\n\nBe brief." in text_of(student, tokens)
    [tokens, _] = as_served(student, PLAIN, tmp_path / "served", asked)
    assert text_of(student, tokens) == "Be brief.\n\n" + student_prompt(QUESTIONS[0], DEMOS)


def test_a_longer_conversation_with_a_plain_student(tiny_student: Student, tmp_path: Path) -> None:
    student = make_chat_student(tiny_student, None, begins=False)
    before = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "1.\nAnswer: 1"}]
    [tokens, _] = as_served(student, PLAIN, tmp_path / "served", *before)
    expected = student_prompt(QUESTIONS[0], [*DEMOS, Demonstration("One?", "1.", "1")])
    assert text_of(student, tokens) == expected


@pytest.mark.parametrize("settings", [PLAIN, CHAT])
def test_what_servers_make_of_messages(tiny_student: Student, tmp_path: Path, settings: PromptSettings) -> None:
    """A text may come in parts; a tool's message has no place."""
    student = make_chat_student(tiny_student, CHATML, begins=False)
    [expected, _] = as_served(student, settings, tmp_path)
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path)
    parts = [{"type": "text", "text": text} for text in ("How many legs", " have 2 cats?")]
    conversation = [{"role": "user", "content": parts}]
    assert list(tokenizer.apply_chat_template(conversation, add_generation_prompt=True)["input_ids"]) == expected
    with pytest.raises(TemplateError, match="system, user and assistant alone"):
        tokenizer.apply_chat_template([*conversation, {"role": "tool", "content": "4"}])


def test_a_tokenizer_that_puts_a_space_before_the_first_word(tiny_student: Student, tmp_path: Path) -> None:
    """As Llama 2's: it does so at a text's start, and not behind the special token that a template writes there."""
    student = make_chat_student(tiny_student, None, begins=True)
    student.tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(replacement="Ġ", prepend_scheme="first"), pre_tokenizers.ByteLevel(False, False)]
    )
    expected = encode_prompts(student, [prompting_for(student, PLAIN, DEMOS).prompt(q).text for q in QUESTIONS])
    assert as_served(student, PLAIN, tmp_path / "served") == expected


def test_a_student_without_a_template_of_its_own_is_refused(tiny_student: Student, tmp_path: Path) -> None:
    with pytest.raises(StudentError, match=r"no chat template.*prompt\.chat=false"):
        prompting_for(tiny_student, CHAT, ())
    student = make_chat_student(tiny_student, CHATML, begins=False)
    as_served(student, PLAIN, tmp_path)
    plain = dataclasses.replace(student, tokenizer=AutoTokenizer.from_pretrained(tmp_path))
    with pytest.raises(StudentError, match="a plain run handed over"):
        prompting_for(plain, CHAT, ())
    assert prompting_for(plain, PLAIN, DEMOS).prompt(QUESTIONS[0]).text == student_prompt(QUESTIONS[0], DEMOS)


def test_a_student_that_a_chat_run_handed_over_is_asked_as_before(tiny_student: Student, tmp_path: Path) -> None:
    student = make_chat_student(tiny_student, CHATML, begins=False)
    expected = prompting_for(student, SYSTEM, DEMOS).prompt(QUESTIONS[0])
    as_served(student, SYSTEM, tmp_path)
    again = dataclasses.replace(student, tokenizer=AutoTokenizer.from_pretrained(tmp_path))
    assert prompting_for(again, SYSTEM, DEMOS).prompt(QUESTIONS[0]) == expected
    write_template(tmp_path, CHAT, ())
    other = dataclasses.replace(student, tokenizer=AutoTokenizer.from_pretrained(tmp_path))
    assert prompting_for(other, CHAT, ()).prompt(QUESTIONS[0]) == prompting_for(student, CHAT, ()).prompt(QUESTIONS[0])


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (
            "{% if messages | length > 1 %}{{ raise_exception('one message') }}{% endif %}x",
            r"one message.*prompt\.count",
        ),
        ("{{ messages[-1]['content'] | upper }}", "changes the words of a question"),
    ],
)
def test_a_template_that_does_not_do_is_told(tiny_student: Student, template: str, said: str) -> None:
    with pytest.raises(StudentError, match=said):
        prompting_for(make_chat_student(tiny_student, template, begins=False), CHAT, DEMOS)


def test_the_student_that_is_handed_over_has_the_same_special_tokens(tmp_path: Path) -> None:
    """Base, chat-tuned, and a tokenizer that names the opening of a turn as the end, as SmolLM2's GGUF file has it."""
    for number, named in enumerate(({"eos_token": "<s>"}, {"eos_token": "<|im_end|>"}, {"eos_token": "<|im_start|>"})):
        tokenizer: PreTrainedTokenizerFast = make_tokenizer(("<s>", "<|im_end|>", "<|im_start|>"), **named)
        tokenizer.chat_template = CHATML
        folder = tmp_path / str(number)
        model = make_model(len(tokenizer), eos_token_id=0 if number == 0 else 1)
        student = load_student(str(save_model(folder / "own", model, tokenizer)), device="cpu")
        for settings in (PLAIN, SYSTEM):
            save_student(student, folder / "run")
            write_template(folder / "run", settings, DEMOS)
            again = load_student(str(folder / "run"), device="cpu")
            for name in ("pad_id", "eos_id", "bos", "stop_ids"):
                assert getattr(again, name) == getattr(student, name)
            assert "chat_template" not in (folder / "run" / "tokenizer_config.json").read_text()

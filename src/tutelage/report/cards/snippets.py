"""How to ask an exported student in a few lines of transformers, or of PEFT."""

from __future__ import annotations

import json
from pathlib import Path

from tutelage.baselines.answers import answer_prompt
from tutelage.prompts import question_text
from tutelage.records import AnswerKind, Question
from tutelage.report.cards.markdown import fence
from tutelage.rounds.run import Run
from tutelage.rounds.students import public_base
from tutelage.workspace import read_json

_EXAMPLES: dict[AnswerKind, tuple[str, tuple[str, ...]]] = {
    "number": ("A shelf holds 3 rows of 12 books. 5 are lent out. How many are left?", ()),
    "percentage": ("A shelf holds 40 books. 10 are lent out. What percentage is left?", ()),
    "choice": ("Where do people borrow books?", ("a bakery", "a library", "a harbour")),
    "yes/no": ("Can a book be read without light?", ()),
    "text": ("What is a place called where people borrow books?", ()),
}
_CODE = """\
from transformers import {auto}AutoTokenizer, GenerationConfig
{peft}
place = "."  # this folder, or the name of its repository on the hub
tokenizer = AutoTokenizer.from_pretrained(place)
model = {model}.from_pretrained(place)
{asked}
settings = GenerationConfig.from_pretrained(place, max_new_tokens={tokens}, do_sample=False)
output = model.generate(**inputs, generation_config=settings)
print(tokenizer.decode(output[0]{new}, skip_special_tokens=True))
"""
_ASKED = """\
question = {question}
messages = [{{"role": "user", "content": question}}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)"""
_ASKED_FOR_ANSWER = """\
prompt = {prompt}
inputs = tokenizer(prompt, return_tensors="pt")"""

_PROMPT = (
    "The chat template is the very prompt of its training and test, demonstrations included: give it the question "
    'alone, as the user\'s message. It answers with its reasoning and a last line "Answer: ...".'
)
_NO_REASONING = (
    "This is the very prompt of its training and test, in which the first line that it writes is its answer. The chat "
    "template beside it asks for a reasoning that it never learned: leave that alone."
)


def snippet(run: Run, folder: Path, adapter: bool, answers_alone: bool = False) -> str:
    """The code, and what to know of it. folder: with the student's files. answers_alone: that it learned to give."""
    encoder = "decoder_start_token_id" in read_json(folder / "generation_config.json")
    auto = "AutoModelForSeq2SeqLM" if encoder else "AutoModelForCausalLM"
    peft = auto.replace("AutoModel", "AutoPeftModel") if adapter else ""
    kind = next(iter(run.questions["test"])).kind
    text, choices = _EXAMPLES[kind]
    if answers_alone:
        prompt = answer_prompt(Question("asked", text, "", kind, choices), run.demonstrations)
        asked = _ASKED_FOR_ANSWER.format(prompt=json.dumps(prompt, ensure_ascii=False))
    else:
        question = question_text(text, choices).removeprefix(question_text(""))
        asked = _ASKED.format(question=json.dumps(question))
    code = _CODE.format(
        auto="" if adapter else f"{auto}, ",
        peft=f"from peft import {peft}\n" if adapter else "",
        model=peft or auto,
        asked=asked,
        tokens=run.recipe.evaluation.max_new_tokens,
        new="" if encoder else '[inputs["input_ids"].shape[1] :]',
    )
    said = _NO_REASONING if answers_alone else _PROMPT
    return f"{fence(code, 'python')}\n\n{said}" + (f"\n\n{_base_text(run)}" if adapter else "")


def _base_text(run: Run) -> str:
    name, _ = public_base(run.workspace, run.recipe)
    if not Path(name).is_absolute():
        return "PEFT loads the base model that `adapter_config.json` names."
    return (
        "The base model is one that the hub does not have under a name known to the run: `adapter_config.json` names "
        "where it lies on the machine of the run, and others need the same weights. Name them there, or export the "
        "student whole."
    )

"""Encoder-decoder students: loading, special tokens, what the two halves are given, and answers."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import processors
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig, T5Config, T5EncoderModel

from tests.encoder_decoder import BART, MODELS, T5, load_seq2seq, make_t5_tokenizer, save_seq2seq
from tests.tiny import LESSON, make_tokenizer, save_model
from tutelage.errors import StudentError
from tutelage.prompts import solution_text, student_prompt, teacher_prompt
from tutelage.records import Demonstration, Mistake, Question
from tutelage.rounds.answering import grade
from tutelage.student.answering.answerer import Answerer, greedy_batch, sample_batch
from tutelage.student.answering.prompts import encode_prompts
from tutelage.student.answering.stopping import EndRule, writes_lines
from tutelage.student.answering.vllm import VllmAnswerer
from tutelage.student.engine.drawing import Greedy, Sampling
from tutelage.student.model.student import Student, load_student, save_student
from tutelage.student.text.encoding import Text, encode_sample, encode_samples

FLAN = "Flan-T5, gated and untied"
BART_NAME = "BART, learned positions and a bias"
PROMPTS = [
    LESSON + "Question: How many legs have 3 cats?\nReasoning:",
    "Question: cats\nReasoning:",
    "Question: How many pens and more pens are there, and is a cow there? The cat gets 2 more.\nReasoning:",
]
QUESTION = Question("q", "A cat has 4 legs. How many legs have 2 cats?", "8", "number")
DEMONSTRATION = Demonstration("A cow has 1 pen, gets 2. How many?", "1 + 2 = 3.", "3")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return load_seq2seq(tmp_path_factory.mktemp("t5"))


@pytest.mark.parametrize("name", MODELS)
def test_a_student_is_what_was_saved_and_saves_the_same(name: str, tmp_path: Path) -> None:
    student = load_seq2seq(tmp_path / "given", name)
    assert student.is_encoder_decoder
    assert (student.pad_id, student.eos_id, student.stop_ids, student.bos, student.suffix) == (0, 1, (1,), (), (1,))
    assert student.decoder_start == (student.model.config.decoder_start_token_id,)
    assert student.context == (256 if "BART" in name else None)
    save_student(student, tmp_path / "saved")
    plain: Any = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "saved")
    inputs = AutoTokenizer.from_pretrained(tmp_path / "saved")(PROMPTS, return_tensors="pt", padding=True)
    assert inputs["input_ids"].tolist()[0] == encode_prompts(student, PROMPTS[:1])[0]
    with torch.no_grad():
        start = torch.tensor([student.decoder_start] * 3)
        before, after = (model(**inputs, decoder_input_ids=start).logits for model in (student.model, plain))
    assert torch.equal(before, after)
    again = load_student(str(tmp_path / "saved"), device="cpu")
    save_student(again, tmp_path / "twice")
    for file in ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json"):
        assert (tmp_path / "twice" / file).read_text() == (tmp_path / "saved" / file).read_text()
    answers = greedy_batch(student, PROMPTS, 8, complete=None)
    told = plain.generate(**inputs, max_new_tokens=8)[:, 1:]
    decoded = AutoTokenizer.from_pretrained(tmp_path / "saved").batch_decode(told, skip_special_tokens=True)
    assert [answer.text for answer in answers] == decoded


def test_a_head_of_its_own_is_stated_where_other_versions_look(tmp_path: Path) -> None:
    """T5's configuration says in transformers 5 that the head is the embeddings, even where it is not."""
    student = load_seq2seq(tmp_path / "given", FLAN)
    save_student(student, tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["tie_word_embeddings"] is False
    head = student.model.get_output_embeddings().weight.clone()
    student.model.resize_token_embeddings(len(head) + 4)
    assert torch.equal(student.model.get_output_embeddings().weight[: len(head)], head)


def test_a_sentinel_is_never_the_padding(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(("</s>", "<extra_id_0>", "<extra_id_1>"), eos_token="</s>")
    torch.manual_seed(0)
    config = T5Config(**T5 | {"vocab_size": len(tokenizer), "eos_token_id": 0})
    folder = save_model(tmp_path, type(MODELS[FLAN]())(config), tokenizer)
    assert load_student(str(folder), device="cpu").tokenizer.pad_token == "<|pad|>"


def test_a_beginning_of_text_is_given_and_not_learnt(tmp_path: Path) -> None:
    """As BART's tokenizer has it: "<s> text </s>", behind a decoder start of "</s>"."""
    tokenizer = make_tokenizer(("<s>", "</s>", "<pad>"), bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    ends = [("<s>", 0), ("</s>", 1)]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A $B </s>", ends)
    config = BART | {"vocab_size": len(tokenizer), "pad_token_id": 2, "bos_token_id": 0}
    model = type(MODELS[BART_NAME]())(type(MODELS[BART_NAME]().config)(**config))
    student = load_student(str(save_model(tmp_path, model, tokenizer)), device="cpu")
    assert (student.decoder_start, student.bos, student.suffix) == ((1, 0), (0,), (1,))
    sample = encode_sample(student, "", "Question: cats", " legs", 0.1)
    assert sample.token_ids == (1, 0, *tokenizer(" legs", add_special_tokens=False)["input_ids"], 1)
    assert sample.weights[:3] == (0.0, 0.0, 1.0)
    assert list(sample.source_ids) == tokenizer("Question: cats")["input_ids"]
    save_student(student, tmp_path / "saved")
    plain: Any = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "saved")
    told = plain.generate(torch.tensor([sample.source_ids]), max_new_tokens=7)[0]
    assert told[:2].tolist() == [1, 0]
    [answer] = greedy_batch(student, ["Question: cats"], 6, complete=None)
    assert answer.text == tokenizer.decode(told, skip_special_tokens=True)


def test_what_is_no_whole_student_is_refused(tmp_path: Path) -> None:
    tokenizer: Any = make_t5_tokenizer()
    encoder = T5EncoderModel(T5Config(**T5))
    with pytest.raises(StudentError, match="Take one with a language-model head"):
        load_student(str(save_model(tmp_path / "encoder", encoder, tokenizer)), device="cpu")
    whole = MODELS["T5, tied"]()
    half = {name: weight for name, weight in whole.state_dict().items() if "decoder.block.1" not in name}
    whole.save_pretrained(tmp_path / "half", state_dict=half)
    tokenizer.save_pretrained(tmp_path / "half")
    with pytest.raises(StudentError, match=r"not a whole language model: decoder\.block\.1"):
        load_student(str(tmp_path / "half"), device="cpu")
    folder = save_seq2seq(tmp_path / "startless")
    for file in ("config.json", "generation_config.json"):
        settings = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(settings | {"decoder_start_token_id": None}))
    with pytest.raises(StudentError, match="does not say what its decoder starts with"):
        load_student(str(folder), device="cpu")


def test_exam_and_study_give_the_encoder_the_same_tokens(student: Student) -> None:
    prompt = student_prompt(QUESTION, [DEMONSTRATION])
    [asked] = encode_prompts(student, [prompt])
    before, _, question = prompt.rpartition("Question:")
    sample = encode_sample(student, before, f"Question:{question}", solution_text("4 + 4 = 8.", "8"), 0.1)
    assert list(sample.source_ids) == asked
    assert asked[-1] == student.eos_id
    assert encode_prompts(student, [prompt + "</s>"]) == [asked]
    assert sample.token_ids[0] == student.pad_id
    assert sample.token_ids[-1] == student.eos_id
    assert sample.weights == (0.0, *(1.0 for _ in sample.token_ids[1:]))
    assert student.tokenizer.decode(list(sample.token_ids[1 : sample.last + 1])) == "4 + 4 = 8. Answer: 8"
    others = [Text("", "Question: cats", " legs"), Text(before, f"Question:{question}", " legs")]
    expected = [encode_sample(student, *text, 0.1) for text in others]
    assert encode_samples(student, others, 0.1) == expected


@pytest.mark.parametrize("invented", ["", " Question: A cow has 4 legs. Reasoning: Answer: 4"])
def test_an_answer_without_line_ends_is_read_and_goes_into_prompts(student: Student, invented: str) -> None:
    assert not writes_lines(student.tokenizer)
    written = student.tokenizer("So 4 + 5 = 9. Answer: 9", add_special_tokens=False)["input_ids"]
    more = student.tokenizer(invented, add_special_tokens=False)["input_ids"] or [student.eos_id]
    rule = EndRule(student.tokenizer, student.stop_ids)
    kept = rule.cut([*written, *more])
    assert len(kept) == len(written) + (2 if invented else 1)  # "Question" and ":", or the end token
    attempt = grade(QUESTION, 0, rule.completion(kept))
    assert (attempt.text, attempt.rationale, attempt.answer) == ("So 4 + 5 = 9. Answer: 9", "So 4 + 5 = 9.", "9")
    assert (attempt.correct, attempt.finished) == (False, True)
    assert grade(dataclasses.replace(QUESTION, answer="9"), 0, rule.completion(kept)).correct
    told = teacher_prompt(QUESTION, Mistake("q", attempt.rationale, attempt.answer), [], "completion")
    assert "Wrong Solution: So 4 + 5 = 9. So the answer is 9.\nHint:" in told
    negative = encode_sample(student, "", "Question: x", solution_text(attempt.rationale, attempt.answer or ""), 0.1)
    assert list(negative.token_ids[1:-1]) == written


def test_a_question_among_words_ends_no_answer_where_there_are_lines(tiny_student: Student) -> None:
    assert writes_lines(tiny_student.tokenizer)
    text = "The Question: is it? Answer: 4"
    assert EndRule(tiny_student.tokenizer, ()).completion(tiny_student.tokenizer(text)["input_ids"]).text == text


def plain_greedy(student: Student, prompt: str, length: int) -> str:
    """The library alone, one prompt at a time."""
    model: Any = student.model
    settings = GenerationConfig(max_new_tokens=length)
    told = model.generate(torch.tensor(encode_prompts(student, [prompt])), generation_config=settings)
    return str(student.tokenizer.decode(told[0], skip_special_tokens=True))


@pytest.mark.parametrize("name", [FLAN, BART_NAME])
def test_greedy_is_what_the_library_does_alone(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    student = load_seq2seq(tmp_path, name)
    answers = greedy_batch(student, PROMPTS, 12, complete=None)
    assert [answer.text for answer in answers] == [plain_greedy(student, prompt, 12) for prompt in PROMPTS]
    assert len({answer.text for answer in answers}) == len(PROMPTS)
    assert greedy_batch(student, PROMPTS[1:2], 12, complete=None) == answers[1:2]
    assert " ".join(capsys.readouterr().err.split()).count("it has an encoder, and the engine") == 2  # once a call


@pytest.mark.parametrize("size", [1, 4, 12])
def test_samples_depend_neither_on_their_number_at_a_time_nor_on_the_order(student: Student, size: int) -> None:
    drawing, seeds = Sampling(1.0, 50, None, 10), [5, 6, 7]
    expected = sample_batch(student, PROMPTS, 4, drawing, seeds)
    order = random.Random(size).sample(range(3), 3)
    prompts, of_order = [PROMPTS[i] for i in order], [seeds[i] for i in order]
    answerer = Answerer(student, prompts, drawing, samples=4, seeds=of_order, batch_size=size)
    for sitting in answerer.sittings:
        for place, completions in zip(sitting, answerer.answer(sitting), strict=True):
            assert completions == expected[order[place]]
    assert len({completion.text for row in expected for completion in row}) == 12
    assert all(completion.tokens <= 10 for row in expected for completion in row)


def test_the_encoder_reads_each_prompt_once_for_all_its_samples(student: Student) -> None:
    rows: list[int] = []
    encoder = student.model.get_encoder()
    handle = encoder.register_forward_hook(lambda *told: rows.append(len(told[-1].last_hidden_state)))
    sample_batch(student, PROMPTS, 4, Sampling(1.0, None, None, 3), [1, 2, 3])
    handle.remove()
    assert rows == [3]


def test_prompts_and_answers_must_fit_each_its_half(tmp_path: Path) -> None:
    student = load_seq2seq(tmp_path, BART_NAME)
    assert len(greedy_batch(student, ["Z" * 200], 200)) == 1  # 400 tokens in all, of 256 each
    for prompt, new in (("Z" * 300, 4), ("Z", 256)):
        with pytest.raises(StudentError, match=r"context of 256 tokens, in the encoder or in the decoder"):
            greedy_batch(student, [prompt], new)
    with pytest.raises(StudentError, match="A prompt is empty"):
        greedy_batch(student, [""], 4)


def test_vllm_refuses_it_in_plain_words(student: Student) -> None:
    with pytest.raises(StudentError, match=r'runs no encoder-decoder models .*student\.engine="built-in"'):
        VllmAnswerer(student, PROMPTS, Greedy(4))

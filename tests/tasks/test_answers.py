"""The grader: reading answers, comparing them, and the rationales that are left."""

from __future__ import annotations

import concurrent.futures
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.prompts import solution_text
from tutelage.records import AnswerKind, Question
from tutelage.tasks.answers import canonical, is_right, read_answer, read_reply, reply_rationale, student_rationale
from tutelage.tasks.expressions import evaluate
from tutelage.tasks.quantities import number_text

KINDS: tuple[AnswerKind, ...] = ("number", "percentage", "choice", "yes/no", "text")
CHOICES = ("shirt pocket", "inkwell", "fruit", "fruit basket", "blotter")
NUMBER = Question("t/0", "How many?", "8", "number")
CHOICE = Question("t/1", "What absorbs ink?", "E", "choice", CHOICES)
YES_NO = Question("t/2", "Is it?", "Yes", "yes/no")
PILLOW = Question("t/8", "What is soft?", "B", "choice", ("sandal", "ladder", "a pillow"))
MOOD = Question("t/9", "How is he?", "A", "choice", ("not happy", "a pillow", "do not enter"))
TEXT = Question("t/3", "Which city?", "Paris", "text")
QUESTIONS = {"number": NUMBER, "choice": CHOICE, "yes/no": YES_NO, "text": TEXT}


def number(answer: str) -> Question:
    return Question("t/n", "How many?", answer, "number")


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("1,000", "1000"),
        ("1000.00", "1000"),
        ("$18.00", "18"),
        ("$18.", "18"),
        ("-5", "-5"),
        ("−5", "-5"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("1/2", "0.5"),
        ("2/6", "1/3"),
        ("3 1/2", "3.5"),
        ("3½", "3.5"),
        ("50%", "50"),
        ("1e3", "1000"),
        ("1.5 × 10^3", "1500"),
        ("**8**", "8"),
        ("8 apples", "8"),
        ("8 m²", "8"),
        ("٤٢", "42"),
        (r"\frac{3}{4}", "0.75"),
        (r"3\frac{1}{2}", "3.5"),
        (r"-\frac{1}{2}", "-0.5"),
        (r"\boxed{\frac{3}{4}}", "0.75"),
        (r"$\sqrt{16}$", "4"),
        (r"1{,}000", "1000"),
        (r"\text{8 apples}", "8"),
    ],
)
def test_numbers_compare_exactly_however_they_are_written(text: str, gold: str) -> None:
    assert canonical(text, "number") == gold
    assert is_right(text, number(gold))


@pytest.mark.parametrize("text", ["", "none", "25 - 5", "5-8", "1,00", "1e999", "1/0", "3rd", "9" * 5000, r"2\sqrt{2}"])
def test_what_is_no_single_number_has_no_canonical_form(text: str) -> None:
    assert canonical(text, "number") is None
    assert not is_right(text, NUMBER)


def test_near_misses_are_wrong() -> None:
    assert not is_right("-5", number("5"))
    assert not is_right("0.33", number("1/3"))
    assert not is_right("0.3333333333333333", number("1/3"))
    assert not is_right(None, NUMBER)
    assert not is_right("A", CHOICE)
    assert not is_right("No", YES_NO)
    assert not is_right("Lyon", TEXT)


def test_a_percentage_is_a_share_only_where_the_task_says_so() -> None:
    share = Question("t/p", "What share?", "0.5", "percentage")
    assert is_right("50%", share)
    assert is_right("50 percent", share)
    assert is_right("1/2", share)
    assert not is_right("50", share)
    assert is_right("50%", number("50"))
    assert not is_right("50%", number("0.5"))


@pytest.mark.parametrize(
    ("question", "text", "answer"),
    [
        (NUMBER, " 5 + 3 = 8.\nAnswer: 8", "8"),
        (NUMBER, " r\nAnswer: 8 apples\n\nQuestion: How many are 9?", "8"),
        (NUMBER, " r\nAnswer: 7\nAnswer: 8", "7"),
        (NUMBER, " r\nAnswer: 25 - 5 = 20", "25"),
        (NUMBER, " r\nAnswer:\n8", "8"),
        (NUMBER, " r\nAnswer:\n\nQuestion: 8?", None),
        (NUMBER, " r\nAnswer: unknown\n8", None),
        (NUMBER, " The answer is 8.", None),
        (CHOICE, " r\nAnswer: (e)", "E"),
        (CHOICE, " r\nAnswer: e", "E"),
        (CHOICE, " r\nAnswer: e.", "E"),
        (CHOICE, " r\nAnswer: blotter (e)", "E"),
        (CHOICE, " r\nAnswer: blotter", "E"),
        (CHOICE, " r\nAnswer: a blotter", "E"),
        (CHOICE, " r\nAnswer: E. blotter", "E"),
        (CHOICE, " r\nAnswer: fruit", "C"),
        (CHOICE, " r\nAnswer: fruit basket", "D"),
        (CHOICE, " r\nAnswer: (f)", None),
        (CHOICE, " r\nAnswer: pillow", None),
        (CHOICE, " Blotters absorb. Therefore, the answer is blotter (e).", "E"),
        (CHOICE, " Therefore, the answer is blotter (e).\nAnswer: pillow", None),
        (PILLOW, "Answer: Choice B", "B"),
        (PILLOW, "Answer: option b", "B"),
        (PILLOW, "Answer: letter B", "B"),
        (PILLOW, "Answer: option a", "A"),
        (PILLOW, "Answer: option a ladder", "B"),
        (PILLOW, "Answer: a ladder", "B"),
        (PILLOW, "Answer: the pillow", "C"),
        (PILLOW, "Answer: pillow", "C"),
        (PILLOW, "Answer: not (a) but (b)", "B"),
        (PILLOW, "Answer: not (a)", None),
        (PILLOW, "Answer: B (not A)", "B"),
        (PILLOW, "Answer: the ladder, not the sandal", "B"),
        (MOOD, "Answer: not happy", "A"),
        (MOOD, "Answer: not happy (a)", "A"),
        (MOOD, "Answer: Do not enter.", "C"),
        (NUMBER, "Answer: not 7 but 8", "8"),
        (YES_NO, "Answer: Not true", "No"),
        (YES_NO, "Answer: not entirely true", "No"),
        (YES_NO, "Answer: It isn't true", "No"),
        (YES_NO, "Answer: It is not false", "Yes"),
        (YES_NO, "Answer: Yes or No", None),
        (YES_NO, "Answer: yes/no", None),
        (YES_NO, " r\nAnswer: No.", "No"),
        (YES_NO, " r\nAnswer: yes", "Yes"),
        (YES_NO, " r\nAnswer: perhaps", None),
        (TEXT, ' r\nAnswer:  "Paris." \nmore', "Paris"),
        (TEXT, " r\nAnswer: ", None),
    ],
)
def test_the_students_answer_is_the_first_valid_token(question: Question, text: str, answer: str | None) -> None:
    assert read_answer(text, question) == answer


@pytest.mark.parametrize(
    ("text", "rationale"),
    [
        (" 3 + 5 = 8.\nAnswer: 8", "3 + 5 = 8."),
        ("3 + 5 = 8.\n\nFinal Answer: 8", "3 + 5 = 8."),
        ("3 + 5 = 8.\n**Answer:** 8", "3 + 5 = 8."),
        ("3 + 5 = 8.\n**Final Answer:** 8\nAnswer: 9", "3 + 5 = 8."),
        ("3 + 5 = 8.\nSo, the Answer: 8", "3 + 5 = 8."),
        ("3 + 5 = 8. The final Answer: 8", "3 + 5 = 8."),
        ("**3 + 5 = 8.** Answer: 8", "**3 + 5 = 8.**"),
        ("**3 + 5 = 8**\nAnswer: 8", "**3 + 5 = 8**"),
        ("That is final. Answer: 8", "That is final."),
        ("They are the\nAnswer: 8", "They are the"),
        ("Therefore, the answer is blotter (e).", "Therefore, the answer is blotter (e)."),
        ("Answer: 8", ""),
    ],
)
def test_the_students_reasoning_ends_where_its_answer_begins(text: str, rationale: str) -> None:
    assert student_rationale(text) == rationale


def test_a_denied_yes_is_graded_wrong() -> None:
    assert not is_right("Not true", YES_NO)
    assert is_right("It is not false", YES_NO)


def test_two_choices_with_the_same_words_need_the_letter() -> None:
    twins = Question("t/4", "Which?", "B", "choice", ("desk", "desk", "lamp"))
    assert read_answer("Answer: desk", twins) is None
    assert read_answer("Answer: desk (b)", twins) == "B"


def test_text_compares_but_for_case_outer_punctuation_and_space() -> None:
    assert is_right(" “new   york.” ", Question("t/5", "?", "New York", "text"))
    assert not is_right("5", Question("t/6", "?", "-5", "text"))
    assert not is_right("5", Question("t/7", "?", ".5", "text"))


@pytest.mark.parametrize(
    "text",
    [
        "5 + 3 = 8.\nAnswer: 8",
        "5 + 3 = 8.\n\n**Answer:** 8\n\nI hope this helps you, dear 5-year-old!",
        "**Final answer: 8 apples**",
        "### Answer\n8",
        r"Thus \boxed{8}.",
        r"$$\boxed{\text{8 apples}}$$",
        r"\boxed{\frac{16}{2}}",
        "They are\n#### 8",
        "Therefore, the answer is 8.",
        "The answer is $8.00.",
        "The answer is 10 - 2 = 8 apples.",
        "The answer is: **8**.",
        "1. Add 5.\n2. Add 3.\n\nTotal: 8",
        "- 5 pears\n- 3 plums\n\nSo she has 8 pieces.",
        "8 * 4 = 32 and 32 / 4 = 8. Therefore, she fills 8 rows with 4 each.",
        "3 + 5 = <<3+5=8>>8",
        "Answer:\n1. She has 5.\n2. She gets 3, so she has 5 + 3 = 8.",
        "3 + 5 = 8\nAnswer: 8\n\nQuestion: What is 4 + 5?\nAnswer: 9",
        "Question: How many are 3 and 5?\nReasoning: 3 + 5 = 8.\nAnswer: 8",
        "<think>So 3+5.\nThe hint says 9</think>\n3 + 5 = 8.\nAnswer: 8",
        "So 3+5, or 9?\n</think>\n3 + 5 = 8.",
        "```\n3+5=8\nAnswer: 8\n```",
        "The answer is 8. This makes sense since the answer is more than 5.",
        "Hence the answer is 8.\n\nNote: the student's answer is 7, which is wrong.",
        "The answer is 8. To say that the answer is 7, which is wrong, would forget one.",
        "3 + 5 = 8. The student's answer is 7, but it should be 8.",
        "Correct answer: 8\nStudent's answer: 7",
        "The student's answer should be 8.",
        "So the answer is not 7 but 8.",
        "The answer is not 7. It is 8.",
        "The answer is 8, not 7.",
        "Answer: 8 (since 3+5=8, 5-3=2)",
        "Answer: 8 (3+5=8, 5-3=2)",
    ],
)
def test_a_teachers_number_is_read_in_every_style(text: str) -> None:
    assert read_reply(text, NUMBER) == "8"


@pytest.mark.parametrize(
    ("question", "text", "answer"),
    [
        (NUMBER, "The loss is -5.", "-5"),
        (NUMBER, "25 - 5", "5"),
        (NUMBER, "I cannot say.", None),
        (CHOICE, r"\boxed{\text{(E)}}", "E"),
        (CHOICE, "So the answer is (e) blotter.", "E"),
        (CHOICE, "The correct answer is **E. blotter**", "E"),
        (CHOICE, "Neither (a) nor (b), so I take (e)", "E"),
        (CHOICE, "So the answer is (b) inkwell or (e) blotter.", None),
        (NUMBER, "The answer is not 7.", None),
        (NUMBER, "<think>\nHmm, 9?\nAnswer: 9\n", None),
        (PILLOW, "The answer is not (a) sandal. It is (b) ladder.", "B"),
        (PILLOW, "The correct option is B.", "B"),
        (PILLOW, "The best choice is B.", "B"),
        (PILLOW, "So the answer is option B", "B"),
        (PILLOW, "The answer is clearly B", "B"),
        (PILLOW, "The answer is most likely B.", "B"),
        (PILLOW, "The answer is B because A is wrong", "B"),
        (PILLOW, "The answer is (b), since (a) and (c) are no use.", "B"),
        (PILLOW, "Answer: B (not A)", "B"),
        (PILLOW, "The answer is a ladder.", "B"),
        (PILLOW, "The answer is A or B.", None),
        (PILLOW, "The answer is option A or option B.", None),
        (MOOD, "The answer is not happy.", "A"),
        (YES_NO, "The answer is not true.", "No"),
        (YES_NO, "It is not false", "Yes"),
        (YES_NO, "That isn't true.", "No"),
        (YES_NO, "The answer is yes or no", None),
        (YES_NO, "So, the answer is Yes.", "Yes"),
        (YES_NO, "Therefore, the answer is:\n\nB) False", "No"),
        (YES_NO, "No, since it is not. There is no doubt.", "No"),
        (YES_NO, "There is no doubt that I know nothing", None),
        (TEXT, "It lies on the Seine.\nAnswer: Paris", "Paris"),
        (TEXT, "It lies on the Seine.", None),
    ],
)
def test_a_teachers_reply_is_read_for_every_kind(question: Question, text: str, answer: str | None) -> None:
    assert read_reply(text, question) == answer


@pytest.mark.parametrize(
    ("text", "rationale"),
    [
        ("Reasoning: 3 + 5 = 8.\nAnswer: 8", "3 + 5 = 8."),
        ("**Better reasoning:** 3 + 5 = 8.\n\n**Answer:** 8\n\nHope this helps!", "3 + 5 = 8."),
        ("Sure! Here is a better solution:\n\n3 + 5 = 8.\n#### 8", "3 + 5 = 8."),
        ("Here the cows: 3 + 5 = 8.", "Here the cows: 3 + 5 = 8."),
        ("3 + 5 = 8.\n\n### Final answer\n8", "3 + 5 = 8."),
        ("3 + 5 = 8.\n\n$\\boxed{8}$", "3 + 5 = 8."),
        ("Answer: 8\n\nExplanation: 3 + 5 = 8.", "3 + 5 = 8."),
        ("First: Answer: 5\nThen 3 more.\nAnswer: 8", "First: 5\nThen 3 more."),
        ("Plan: add.\n\nAnswer:\nThey had 3 + 5 = 8.", "Plan: add.\n\n\nThey had 3 + 5 = 8."),
        ("3 + 5 = 8.\nAnswer: 8\n\nQuestion: More?\nAnswer: 9", "3 + 5 = 8."),
        ("Question: More?\nReasoning: 3 + 5 = 8.\nAnswer: 8", "3 + 5 = 8."),
        ("3 + 5 = <<3+5=8>>8. So the answer is 8.", "3 + 5 = 8. So the answer is 8."),
        ("<think>So 3+5.\nThe hint says 8</think>\n3 + 5 = 8.\nAnswer: 8", "3 + 5 = 8."),
        ("<think>\nHmm, 9?\nAnswer: 9\n", ""),
        ("3 + 5 = 8. Answer: 8", "3 + 5 = 8."),
        ("3 + 5 = 8. **Answer:** 8", "3 + 5 = 8."),
        ("3 + 5 = 8. So the answer is Answer: 8", "3 + 5 = 8. So the answer is 8"),
        ("3 + 5 = 8. The final answer: 8\nAnswer: 8", "3 + 5 = 8."),
        ("3+5=8\n```\nAnswer: 8\n```", "3+5=8"),
        ("```text\n3+5=8\nAnswer: 8\n```", "3+5=8"),
        ("Answer: 8", ""),
        ("", ""),
    ],
)
def test_a_rationale_is_the_reply_without_its_answer_line(text: str, rationale: str) -> None:
    assert reply_rationale(text, NUMBER) == rationale


MARKS = ["Answer:", "Answer", "\n", " ", "Question:", "Reasoning:", "####", "**", "=", "the answer is ", "<<1+1=2>>"]
PIECES = [*MARKS, "8", "-5", "1,000", "1/2", "(e)", "yes", "½", "٤", "-", ".", "%", "^", "word", "\u2028"]
PIECES += ["\\boxed{", "}", "$", "\\frac{1}{2}", "<think>", "</think>", "```", "not ", "or", "option ", "Final ", ". "]
MESSY = st.one_of(st.text(max_size=300), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))


@given(text=MESSY, question=st.sampled_from(list(QUESTIONS.values())))
def test_no_text_makes_the_grader_fail(text: str, question: Question) -> None:
    for answer in (read_answer(text, question), read_reply(text, question)):
        assert isinstance(is_right(answer, question), bool)
        assert answer is None or canonical(answer, question.kind) == answer


@given(text=MESSY, kind=st.sampled_from(KINDS))
def test_the_canonical_form_of_a_canonical_form_is_itself(text: str, kind: AnswerKind) -> None:
    once = canonical(text, kind)
    assert once is None or canonical(once, kind) == once


@given(text=MESSY, question=st.sampled_from(list(QUESTIONS.values())))
def test_a_rationale_never_hides_the_answer_after_it(text: str, question: Question) -> None:
    rationale = reply_rationale(text, question)
    assert "Answer:" not in rationale
    assert "\nQuestion:" not in rationale
    assert rationale == rationale.strip()
    lesson = solution_text(rationale, question.answer)
    assert read_answer(lesson, question) == question.answer


@given(value=st.integers(-(10**12), 10**12))
def test_every_way_to_write_n_is_right_and_n_plus_one_never(value: int) -> None:
    sign, size = "-" if value < 0 else "", abs(value)
    ways = (f"{value}", f"{value:,}", f"{value}.00", f"{sign}${size}", f"**{value}**", f"{value} apples", f"{value}/1")
    for text in (*ways, f"{2 * value}/2", f"\\boxed{{{value}}}", f"${value}$", str(value).replace("-", "−")):
        assert is_right(text, number(str(value))), text
        assert not is_right(text, number(str(value + 1))), text
        assert read_answer(f" r\nAnswer: {text}", number("0")) == str(value)
        assert read_reply(f"So the answer is {text}.", number("0")) == str(value)


@given(value=st.fractions(max_denominator=10**6))
def test_fractions_survive_their_canonical_text(value: Fraction) -> None:
    text = number_text(value)
    assert canonical(text, "number") == text
    assert is_right(f"{value.numerator}/{value.denominator}", number(text))


BOMBS = [
    "9**9**9**9",
    "9^9^9^9",
    r"\boxed{9^{9^{9^9}}}",
    "9^{99999999}",
    "1e99999999",
    "(" * 39 + "1" + ")" * 39,
    "9!!!!!!!!!",
    "answer is not ",
    "answer is that is ",
    "the student's answer is ",
    "<think>",
    "```",
    " *",
]


@pytest.mark.parametrize("text", [*BOMBS, *(bomb * 2000 for bomb in BOMBS), "Answer:\n" * 10_000, "½" * 20_000])
def test_bombs_are_defused(text: str) -> None:
    evaluate(text)  # the library's first import is not the text's fault
    start = time.perf_counter()
    for question in QUESTIONS.values():
        read_answer(f"Answer: {text}", question)
        read_reply(text, question)
        reply_rationale(text, question)
        student_rationale(f"{text}Answer: 8")
        canonical(text, question.kind)
    assert time.perf_counter() - start < 10


def test_expressions_are_read_in_any_thread() -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        values = list(pool.map(evaluate, [r"\frac{3}{4} + 1", "0.1 + 0.2", "10^2", "2(3)"] * 5))
    assert values == [Fraction(7, 4), Fraction(3, 10), Fraction(100), None] * 5

"""How questions and requests read, and that no text of a student can pass for a part of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.demonstrations import load_feedback_demonstrations
from tutelage.prompts import STOP, mentions_prompt, question_text, student_prompt, teacher_prompt
from tutelage.records import AnswerKind, Demonstration, Message, Mistake, Question

QUESTION = Question("own/1", "What is 3 * 4?", "12", "number")
DEMO = Demonstration("What is 2 * 2?", "2 * 2 = 4.", "4", wrong_rationale="2 * 2 = 5. So the answer is 5.")
MISTAKE = Mistake("own/1", "3 * 4 = 11.", "11")


def as_text(question: Question = QUESTION, mistake: Mistake | None = None, *demos: Demonstration) -> str:
    prompt = teacher_prompt(question, mistake, demos, "completion")
    assert isinstance(prompt, str)
    return prompt


def test_the_student_sees_demonstrations_as_it_is_to_answer() -> None:
    assert student_prompt(QUESTION, [DEMO]) == (
        "Question: What is 2 * 2?\nReasoning: 2 * 2 = 4.\nAnswer: 4\n\nQuestion: What is 3 * 4?\nReasoning:"
    )
    assert question_text("Which?", ["one", "two"]) == "Question: Which?\nAnswer Choices:\n(a) one\n(b) two"


def test_with_feedback_the_teacher_sees_the_wrong_solution_and_the_hint() -> None:
    assert as_text(QUESTION, MISTAKE, DEMO).partition("\n\n")[2] == (
        "Question: What is 2 * 2?\nWrong Solution: 2 * 2 = 5. So the answer is 5.\nHint: The right answer is 4.\n"
        "Better Reasoning: 2 * 2 = 4.\nAnswer: 4\n\n"
        "Question: What is 3 * 4?\nWrong Solution: 3 * 4 = 11. So the answer is 11.\nHint: The right answer is 12.\n"
        "Better Reasoning:"
    )


def test_without_feedback_there_is_no_wrong_solution_anywhere() -> None:
    text = as_text(QUESTION, None, DEMO)
    assert text.partition("\n\n")[2] == (
        "Question: What is 2 * 2?\nHint: The right answer is 4.\nReasoning: 2 * 2 = 4.\nAnswer: 4\n\n"
        "Question: What is 3 * 4?\nHint: The right answer is 12.\nReasoning:"
    )
    assert "rong solution" not in text


def test_a_chat_takes_turns_and_says_the_same() -> None:
    messages = teacher_prompt(QUESTION, MISTAKE, [DEMO], "chat")
    assert [message.role for message in messages if isinstance(message, Message)] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
    assert isinstance(messages, tuple)
    instruction, asked, shown, last = (message.content for message in messages)
    assert shown == "2 * 2 = 4.\nAnswer: 4"
    assert f"{instruction}\n\n{asked} {shown}\n\n{last}" == as_text(QUESTION, MISTAKE, DEMO)
    for wish in ("no LaTeX", "no Markdown", "Never mention the hint or the wrong solution", 'last line "Answer: ..."'):
        assert wish in instruction


def test_a_choice_is_hinted_at_by_letter_and_words() -> None:
    question = Question("own/2", "Where do cats sleep?", "B", "choice", ("lake", "sofa"))
    text = as_text(question, Mistake("own/2", "Cats like water. Therefore, the answer is lake (a).", "A"))
    assert "(a) lake\n(b) sofa\nWrong Solution: Cats like water. Therefore, the answer is lake (a).\n" in text
    assert text.endswith("Hint: The right answer is B (sofa).\nBetter Reasoning:")
    assert "letter of the choice" in text


@pytest.mark.parametrize(
    ("rationale", "answer", "shown"),
    [
        ("3 + 4 = 7", "7", "3 + 4 = 7. So the answer is 7."),
        ("It is 7. So, the answer is 7.", "7", "It is 7. So, the answer is 7."),
        ("It is 7.", None, "It is 7. (It gives no answer.)"),
        ("", None, "(nothing) (It gives no answer.)"),
        ("One.\n\n\n  Two.\nAnswer: 3", "3", "One.\nTwo.\nSo the answer is 3"),
        ("One.\n\nQuestion: What is 1?\nHint: The right answer is 1.", "7", "One. So the answer is 7."),
        ("One.\n  better reasoning: Two.", "7", "One. So the answer is 7."),
        ("Question: again", None, "(nothing) (It gives no answer.)"),
        ("**Hint:** 1", None, "(nothing) (It gives no answer.)"),
        ("x Answer: 5. Better Reasoning: foo", "5", "x Answer 5. Better Reasoning foo. So the answer is 5."),
        (
            "a hint :: b wrong  solution: c Question: d",
            "7",
            "a hint b wrong  solution c Question d. So the answer is 7.",
        ),
        ("so the answer is 12 legs", "2", "so the answer is 12 legs. So the answer is 2."),
        ("so the answer is 2 legs", "2", "so the answer is 2 legs"),
        ("so the answer is 2.5.", "2", "so the answer is 2.5. So the answer is 2."),
        ("so the answer is -2.", "2", "so the answer is -2. So the answer is 2."),
        ("so the answer is 1/2", "2", "so the answer is 1/2. So the answer is 2."),
        ("so the answer is 50%", "50", "so the answer is 50%. So the answer is 50."),
        ("so the answer is -2.", "-2", "so the answer is -2."),
        ("the answer is $7.", "7", "the answer is $7."),
        ("the answer is 7. Or the answer is 8.", "7", "the answer is 7. Or the answer is 8. So the answer is 7."),
        ("the answer is a lake", "A", "the answer is a lake. So the answer is A."),
        ("the answer is water", "A", "the answer is water. So the answer is A."),
        ("the answer is A", "A", "the answer is A"),
        ("the answer is yes.", "Yes", "the answer is yes."),
        ("the answer is yesterday.", "Yes", "the answer is yesterday. So the answer is Yes."),
        ("It is so.", "red\nHint: The right answer is 1", "It is so. So the answer is red Hint The right answer is 1."),
    ],
)
def test_the_students_text_is_data(rationale: str, answer: str | None, shown: str) -> None:
    text = as_text(QUESTION, Mistake("own/1", rationale, answer))
    assert f"\nWrong Solution: {shown}\nHint: " in text


FRAME = [
    "\n",
    "\n\n",
    " ",
    "Question:",
    "Hint:",
    "Reasoning:",
    "Better Reasoning:",
    "Wrong Solution:",
    "Answer:",
    "7",
    "so",
]


@given(st.lists(st.sampled_from(FRAME) | st.text(max_size=5), max_size=12), st.none() | st.sampled_from(["7", "Yes"]))
def test_no_text_of_a_student_changes_the_frame(parts: list[str], answer: str | None) -> None:
    frame = as_text(QUESTION, Mistake("own/1", "Harmless.", None), DEMO)
    text = as_text(QUESTION, Mistake("own/1", "".join(parts), answer), DEMO)
    for marker in ("\nQuestion:", "\nHint:", "\nBetter Reasoning:", "\nWrong Solution:", "\nAnswer:", "\n\n", STOP[0]):
        assert text.count(marker) == frame.count(marker)
    for marker in FRAME[3:8]:
        assert text.casefold().count(marker.casefold()) == frame.casefold().count(marker.casefold())


@given(st.lists(st.sampled_from(FRAME) | st.text(max_size=5), max_size=12))
def test_no_text_of_a_question_changes_the_frame(parts: list[str]) -> None:
    frame = as_text(QUESTION, MISTAKE, DEMO)
    text = as_text(Question("own/1", "".join(parts), "B", "choice", ("".join(parts), "so")), MISTAKE, DEMO)
    for marker in ("\nQuestion:", "\nHint:", "\nBetter Reasoning:", "\nReasoning:", "\nWrong Solution:", "\nAnswer:"):
        assert text.count(marker) == frame.count(marker)


def test_a_questions_own_lines_stay() -> None:
    question = Question("own/1", "One.\n\nTwo.\n  Hint: The right answer is 1.", "12", "number")
    assert "Question: One.\n\nTwo. Hint: The right answer is 1.\nHint: The right answer is 12." in as_text(question)
    assert "Two.\n  Hint:" in student_prompt(question)


@pytest.mark.parametrize(
    ("rationale", "mentions"),
    [
        ("We know the hint says 8.", True),
        ("As hinted, it is 8.", True),
        ("Hint: it is 8.", True),
        ("The student's mistake was to subtract.", True),
        ("This student subtracted 3.", True),
        ("The wrong solution added 3.", True),
        ("The previous reasoning is off by 3.", True),
        ("The mistake was to subtract.", True),
        ("3 * 4 = 12. So the answer is 12.", False),
        ("Dark clouds hint at rain, and the cake has a hint of lemon.", False),
        ("A student sits in a classroom. Students learn there.", False),
        ("Hinterland is no harbour.", False),
        ("(a) is the wrong answer.", False),
    ],
)
def test_talk_of_the_request_is_noticed(rationale: str, mentions: bool) -> None:
    assert mentions_prompt(rationale, QUESTION) is mentions


@pytest.mark.parametrize(
    ("text", "choices", "rationale"),
    [
        ("How many points has each student?", (), "The student's answer gives 3 points."),
        ("Ann gives 3 hints. How many?", (), "The hints are 3."),
        ("What helps?", ("a Hint", "a nap"), "The hint helps."),
        ("A given solution has 3 g of salt.", (), "The given solution has 3 g."),
    ],
)
def test_a_word_of_the_question_is_no_talk_of_the_request(text: str, choices: tuple[str, ...], rationale: str) -> None:
    assert not mentions_prompt(rationale, Question("own/3", text, "A", "text", choices))
    assert mentions_prompt(rationale, QUESTION)


@pytest.mark.parametrize(
    ("name", "kind"), [("gsm8k", "number"), ("commonsense_qa", "choice"), ("strategy_qa", "yes/no"), ("own", "text")]
)
def test_the_packages_demonstrations_fit_the_prompt(name: str, kind: AnswerKind) -> None:
    demos = load_feedback_demonstrations(name, kind)
    text = as_text(QUESTION, MISTAKE, *demos)
    assert text.count("\nWrong Solution:") == text.count("\nHint:") == len(demos) + 1
    assert not any(mentions_prompt(demo.rationale, Question("own/0", demo.question, "", kind)) for demo in demos)

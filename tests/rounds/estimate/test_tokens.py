"""Tokens counted before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tests.teacher.asking import ScriptedTeacher, numbered, request
from tutelage.errors import TeacherError
from tutelage.records import Message
from tutelage.rounds.estimate.tokens import A_MESSAGE, count_roughly, counting, measured, prompt_tokens, stored_bytes
from tutelage.teacher.books.entries import Begun, Ended, Road
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.protocol import Call, FailureKind, Outcome, Request, Sample, Usage, sample_keys

TEACHER = ScriptedTeacher()


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("How many legs are there?", 6),
        ("12345 + 7 = 12352", 9),
        ("(a) blotter\n(b) ink", 7),
        ("So the answer is 12.\nAnswer: 12", 11),
        ("Unquestionably", 2),
        ("größer", 2),
        ("\n\n", 1),
    ],
)
def test_a_rough_count_by_words_numbers_and_signs(text: str, tokens: int) -> None:
    assert count_roughly(text) == tokens


# Counted once with OpenAI's own vocabulary o200k_base.
MEASURED = [
    (
        "Write the reasoning that the student should have written: a few short sentences, step by step.",
        19,
    ),
    ("Question: Paco had 26 salty cookies and 17 sweet cookies. He ate 14 sweet cookies and 9 salty cookies.", 26),
    ("3 cows have 3 * 4 = 12 legs. 2 ducks have 2 * 2 = 4 legs. 12 + 4 = 16.\nAnswer: 16", 40),
]


@pytest.mark.parametrize(("text", "tokens"), MEASURED)
def test_the_rough_count_is_close_to_openais(text: str, tokens: int) -> None:
    assert count_roughly(text) == pytest.approx(tokens, rel=0.07)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_counts_at_most_its_bytes(text: str) -> None:
    assert (text != "") <= count_roughly(text) <= len(text.encode())


def test_a_chat_adds_tokens_to_each_message() -> None:
    messages = (Message("system", "one two"), Message("user", "three"))
    assert prompt_tokens(messages, count_roughly) == 3 + 3 * A_MESSAGE
    assert prompt_tokens("one two", count_roughly) == 2


def test_a_tokenizer_of_ones_own_counts_exactly(tiny_folder: Path) -> None:
    text = "A cat has 4 legs. «ü»"
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    assert counting(str(tiny_folder))(text) == len(tokenizer.tokenize(text))
    assert counting(None) is not counting(str(tiny_folder))


def test_a_tokenizer_that_is_none_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"teacher\.tokenizer"):
        counting(str(tmp_path / "nowhere"))


def write(
    ledger: Ledger,
    one: Request,
    usage: Usage,
    places: tuple[int, ...] = (0, 1),
    road: Road = "direct",
    failure: FailureKind | None = None,
) -> None:
    number = ledger.number()
    samples = {} if failure else {place: Sample("text", "a") for place in places}
    outcome = Outcome(samples, usage, failure, failure or "")
    keys = sample_keys(TEACHER, one)
    ledger.write([Begun(number, TEACHER, Call(one, places, 0, 0), road), Ended(number, keys, outcome)])


def test_a_ledger_measures_what_its_paid_calls_told(tmp_path: Path) -> None:
    requests = [request(numbered(place)) for place in range(6)]
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        assert measured(ledger) is None
        write(ledger, requests[0], Usage(100, 20, 40))
        write(ledger, requests[1], Usage(120, 30))
        write(ledger, requests[2], Usage())  # it does not say
        write(ledger, requests[3], Usage(7, 7), road="free")
        write(ledger, requests[4], Usage(9, 9), failure="damaged reply")
        found = measured(ledger)
    assert found is not None
    assert (found.calls, found.requests, found.samples) == (2, 2, 4)
    assert found.prompt_bytes == stored_bytes(requests[0].prompt) + stored_bytes(requests[1].prompt)
    assert (found.completion, found.cached) == (50 / 4, 40 / 220)
    assert found.tokens_a_byte == 220 / found.prompt_bytes
    assert not found.one_by_one


def test_a_ledger_tells_an_endpoint_that_gives_one_sample_at_a_time(tmp_path: Path) -> None:
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        for one in (request(numbered(0)), request(numbered(1))):
            for place in (0, 1):
                write(ledger, one, Usage(100, 20), places=(place,))
        found = measured(ledger)
    assert found is not None
    assert found.one_by_one
    assert (found.calls, found.requests, found.samples) == (4, 2, 4)


def test_one_reply_to_a_request_is_no_sign_of_it(tmp_path: Path) -> None:
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        for place in range(3):
            write(ledger, request(numbered(place), replies=1), Usage(100, 20), places=(0,))
        found = measured(ledger)
    assert found is not None
    assert not found.one_by_one


@pytest.mark.parametrize("completion", [False, True])
def test_bytes_are_counted_as_a_ledger_stores_them(tmp_path: Path, completion: bool) -> None:
    one = request(numbered(3), completion=completion)
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        write(ledger, one, Usage(1, 1))
        assert ledger.rows("SELECT length(CAST(prompt AS BLOB)) FROM prompts") == [(stored_bytes(one.prompt),)]

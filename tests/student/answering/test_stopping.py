"""Where an answer ends."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.student.answering import stopping
from tutelage.student.answering.stopping import Complete, EndRule, answer_end, decode
from tutelage.student.model.student import Student


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (" 2 * 4 = 8.\nAnswer: 8\n\nQuestion: next", " 2 * 4 = 8.\nAnswer: 8"),
        (" 2 * 4 = 8.\nAnswer: 8", None),
        (" 2 * 4 = 8.\nAnswer:\n", None),
        (" So.\nAnswer:\n8\n", " So.\nAnswer:\n8"),
        (" So. Answer: 8 legs\nMore", " So. Answer: 8 legs"),
        (" I give up.\n\nQuestion: next", " I give up.\n"),
        (" I give up.\nAnswer:\nQuestion: next\n", " I give up.\nAnswer:"),
        ("\nQuestion:", ""),
        (" The Question: is it?", None),
        ("", None),
    ],
)
def test_where_an_answer_is_complete(text: str, kept: str | None) -> None:
    end = answer_end(text)
    assert (None if end is None else text[:end]) == kept


@given(st.text(alphabet="Answer: \n8Question", max_size=60), st.text(alphabet="Answer: \n8Question", max_size=20))
def test_a_complete_answer_stays_as_it_is(text: str, more: str) -> None:
    end = answer_end(text)
    if end is not None:
        assert answer_end(text + more) == end


def test_tokens_are_cut_where_they_would_have_ended(parrot: Student) -> None:
    text = " 2 * 4 = 8.\nAnswer: 8\n\nQuestion: How"
    whole = parrot.tokenizer(text)["input_ids"]
    rule = EndRule(parrot.tokenizer, parrot.stop_ids)
    kept = rule.cut(whole)
    assert len(kept) < len(whole)
    assert rule.completion(kept).text == " 2 * 4 = 8.\nAnswer: 8"
    assert rule.cut([*whole[:3], parrot.eos_id, *whole]) == [*whole[:3], parrot.eos_id]
    assert rule.cut(whole[:4]) == whole[:4]
    assert not rule.completion(whole[:4]).finished
    assert EndRule(parrot.tokenizer, parrot.stop_ids, complete=None).cut(whole) == whole


@given(st.text(alphabet="A:\n8 ", max_size=12).map(lambda text: text.replace("A", "Answer")))
def test_the_first_answer_line_is_the_one_that_a_search_finds(text: str) -> None:
    found = re.search(r"Answer:\s*\S[^\n]*(?=\n)", text)
    assert answer_end(text) == (found and found.end())


def odd_colons(text: str) -> int | None:
    """A rule that turns on and off again."""
    return 0 if text.count(":") % 2 and "\n" in text else None


@pytest.mark.parametrize("complete", [answer_end, odd_colons])
@given(st.data())
def test_a_watch_says_what_the_whole_text_says(parrot: Student, complete: Complete, data: st.DataObject) -> None:
    """Whatever the tokens: parts of characters, special ones, and pieces of answers."""
    pieces = ["\n", ":", " 8", "Answer:", "Question:", "é\n", "€:", "\ufffd"]
    known = [parrot.tokenizer(piece)["input_ids"] for piece in pieces]
    anything = st.integers(0, len(parrot.tokenizer) - 1).map(lambda token: [token])
    new = [token for piece in data.draw(st.lists(st.sampled_from(known) | anything, max_size=20)) for token in piece]
    rule = EndRule(parrot.tokenizer, parrot.stop_ids, complete)
    assert rule.joins
    watch = rule.watch()
    for end in range(1, len(new) + 1):
        if data.draw(st.booleans()):  # it need not be asked each time
            text = decode(parrot.tokenizer, new[:end])
            told = new[end - 1] in rule.telling and complete(text) is not None
            assert watch.completes(new[:end]) == told


def test_what_is_decoded_grows_with_the_text_only(parrot: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    line_end = parrot.tokenizer("\n")["input_ids"]
    decoded = 0

    def count(tokenizer: object, token_ids: Sequence[int]) -> str:
        nonlocal decoded
        decoded += len(token_ids)
        return decode(parrot.tokenizer, token_ids)

    monkeypatch.setattr(stopping, "decode", count)
    assert EndRule(parrot.tokenizer, parrot.stop_ids).cut(line_end * 400) == line_end * 400
    assert decoded == 400 * len(line_end)

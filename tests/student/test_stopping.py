"""Where an answer ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.student.model import Student
from tutelage.student.stopping import EndRule, answer_end


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

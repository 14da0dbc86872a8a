"""A model's attention function, exchanged for a while."""

from __future__ import annotations

import pytest

from tests.student.packed.architectures import PACKED, SEPARATE, make_student
from tutelage.student.attention import exchanged_attention
from tutelage.student.packed.attention import TREE


def test_the_models_own_is_back_afterwards_whatever_happens() -> None:
    model = make_student(PACKED["Llama"]).model
    before = model.config._attn_implementation

    def fail() -> None:
        with exchanged_attention(model, TREE):
            assert model.config._attn_implementation == TREE
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert model.config._attn_implementation == before


def test_a_model_that_cannot_exchange_it_keeps_its_own_and_nothing_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    model = make_student(SEPARATE["GPT-J"]).model
    before = model.config._attn_implementation
    capfd.readouterr()
    with exchanged_attention(model, TREE):
        assert model.config._attn_implementation == before
    assert "".join(capfd.readouterr()) == ""

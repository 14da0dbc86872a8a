"""A model's attention function, exchanged for a while."""

from __future__ import annotations

import pytest

from tests.student.packed.architectures import OWN_ATTENTION, PACKED, make_student
from tutelage.student.model.attention import exchanged_attention
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
    model = make_student(OWN_ATTENTION["GPT-J"]).model
    before = model.config._attn_implementation
    capfd.readouterr()
    with exchanged_attention(model, TREE):
        assert model.config._attn_implementation == before
    assert "".join(capfd.readouterr()) == ""


def test_a_model_that_refuses_halfway_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_student(PACKED["Llama"]).model
    before, real = model.config._attn_implementation, model.set_attn_implementation

    def halfway(name: str) -> None:
        real(name)
        if name == TREE:
            raise ValueError("a part of it refuses")

    monkeypatch.setattr(model, "set_attn_implementation", halfway)
    with pytest.raises(ValueError, match="refuses"), exchanged_attention(model, TREE):
        pass
    assert model.config._attn_implementation == before

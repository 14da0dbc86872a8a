"""The page as text: what data becomes in it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import RecipeError
from tutelage.report.page import page
from tutelage.report.page.page import to_page_json

_TEXTS = st.text(st.sampled_from("<>&/!-\"'\\\u2028\u2029\u202e\x00\ud800 script") | st.characters())


@given(st.recursive(st.none() | st.integers() | _TEXTS, lambda inner: st.lists(inner) | st.dictionaries(_TEXTS, inner)))
def test_data_in_a_script_element_ends_no_element_and_is_the_same_data(value: Any) -> None:
    text = to_page_json(value)
    assert not set(text) & set("<>&\u2028\u2029")
    # Half a surrogate pair, which is no text, becomes a question mark.
    expected = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()
    assert json.loads(text) == json.loads(expected)


def test_what_is_no_number_is_null() -> None:
    assert to_page_json({"loss": [float("nan"), float("inf"), 1.5]}) == '{"loss":[null,null,1.5]}'


@pytest.mark.parametrize(
    "failure",
    [subprocess.CalledProcessError(1, "python", stderr=b"no such module"), FileNotFoundError("no such module")],
)
def test_without_the_charts_package_it_says_what_to_install(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any, **_options: Any) -> None:
        raise failure

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(RecipeError, match=r"\(no such module\)\. Run: pip install vl-convert-python"):
        page.charting_library.__wrapped__()

"""Vega-Lite specifications of the charts that compare runs and rows; as in `charts`, without data or colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.report.page.charts import Spec

_COLOURS = ["$accent", "$second", "$good", "$bad", "$muted"]
_SHAPES = ["circle", "square", "triangle-up", "diamond", "cross"]
_NAMES = {"orient": "top", "title": None, "symbolOpacity": 1, "columns": {"expr": "width < 500 ? 1 : 4"}}


def _by(field: str) -> dict[str, Any]:
    """Colour and shape together: neither has to be told apart alone. In the order of the rows."""
    shared: dict[str, Any] = {"field": field, "type": "nominal", "sort": None, "legend": {**_NAMES, "labelLimit": 320}}
    return {
        "color": {**shared, "scale": {"range": _COLOURS}},
        "shape": {**shared, "scale": {"range": _SHAPES}},
    }


def _number(field: str, title: str, **axis: Any) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": title, "axis": {"tickCount": 6, **axis}}


def _tip(*fields: str) -> list[dict[str, str]]:
    return [{"field": field, "type": "nominal"} for field in fields]


def _with_interval(x: Mapping[str, Any], y: Mapping[str, Any], by: str, line: bool, **more: Any) -> Spec:
    """A point, with its interval as a rule through it. more: of the encodings of all, such as an offset."""
    seen = _by(by)
    mark: dict[str, Any] = {"type": "line" if line else "point", "strokeWidth": 2}
    mark |= {"point": {"size": 60, "filled": True}} if line else {"size": 80, "filled": True, "opacity": 1}
    tip = _tip(by, str(x["field"]), str(y["field"]), "low", "high")
    return {
        "height": 300,
        "encoding": {"x": x, **more},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.5},
                "encoding": {
                    "y": {**y, "field": "low"},
                    "y2": {"field": "high"},
                    "color": {**seen["color"], "legend": None},
                },
            },
            {"mark": mark, "encoding": {"y": y, **seen, "tooltip": tip}},
        ],
    }


_SHARE = _number("accuracy", "accuracy", format=".0%")
_PERCENT = _number("accuracy", "accuracy, %")
_ROUND = {"field": "round", "type": "ordinal", "title": "round", "axis": {"labelAngle": 0, "grid": False}}

RUNS: Spec = _with_interval(
    _ROUND,
    _SHARE,
    "run",
    line=True,
    xOffset={"field": "run", "type": "nominal", "sort": None, "scale": {"paddingOuter": 4}},
)
"""Test accuracy by round, a line a run. Rows: run, round, accuracy, low, high."""
MONEY: Spec = _with_interval(_number("money", "teacher's money, all rounds"), _SHARE, "run", line=False)
"""Test accuracy of the kept student by what its run paid the teacher. Rows: run, money, accuracy, low, high."""
TOKENS: Spec = _with_interval(_number("tokens", "teacher's tokens, all rounds", format="~s"), _SHARE, "run", line=False)
"""The same by tokens. Rows: run, tokens, accuracy, low, high."""
LAMBDA: Spec = _with_interval(_number("λ", "λ"), _PERCENT, "whose", line=True)
"""Accuracy in percent by λ, ours and the paper's (Fig. 5). Rows: whose, λ, accuracy, low, high."""
LAMBDA_LOSS: Spec = {
    "height": 300,
    "mark": {"type": "line", "strokeWidth": 2, "point": {"size": 60, "filled": True}},
    "encoding": {"x": _number("λ", "λ"), "y": _number("value", "loss"), **_by("loss")},
}
"""What was left of each part of the loss, by λ. Rows: loss, λ, value."""
BY_ROUND: Spec = _with_interval(_ROUND, _PERCENT, "row", line=True)
"""Accuracy in percent by round (Table 5). Rows: row, round, accuracy, low, high."""

ROWS: Spec = {
    "height": {"step": 20},
    "encoding": {
        "y": {
            "field": "row",
            "type": "nominal",
            "sort": None,
            "title": None,
            "axis": {"labelLimit": 170, "grid": True},
        },
        "yOffset": {"field": "whose", "type": "nominal", "sort": None},
        "color": _by("whose")["color"],
    },
    "layer": [
        {
            "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.5},
            "encoding": {"x": {**_PERCENT, "field": "low"}, "x2": {"field": "high"}},
        },
        {
            "mark": {"type": "point", "size": 70, "filled": True, "opacity": 1},
            "encoding": {"x": _PERCENT, "shape": _by("whose")["shape"], "tooltip": _tip("row", "whose", "accuracy")},
        },
    ],
}
"""Accuracy in percent, a line a row (Tables 1, 3 and 7). Rows: row, whose, accuracy, low, high."""

SPECS: Mapping[str, Spec] = {
    "runs": RUNS,
    "money": MONEY,
    "tokens": TOKENS,
    "lambda": LAMBDA,
    "lambda-loss": LAMBDA_LOSS,
    "by-round": BY_ROUND,
    "rows": ROWS,
}
"""By the name that the page's scripts know them by."""

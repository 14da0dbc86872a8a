"""Vega-Lite specifications of the charts that compare runs and rows; as in `charts`, without data or colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.report.page.charts import Spec

_COLOURS = ["$accent", "$second", "$good", "$bad", "$muted"]
_SHAPES = ["circle", "square", "triangle-up", "diamond", "cross"]
_NAMES = {"orient": "top", "title": None, "symbolOpacity": 1, "columns": 1, "labelLimit": 280}
"""One below the other: a run's name may be as long as a phone is wide."""


def _by(field: str) -> dict[str, Any]:
    """Colour and shape together: neither has to be told apart alone. In the order of the rows."""
    shared: dict[str, Any] = {"field": field, "type": "nominal", "sort": None, "legend": _NAMES}
    return {
        "color": {**shared, "scale": {"range": _COLOURS}},
        "shape": {**shared, "scale": {"range": _SHAPES}},
    }


def _number(field: str, title: str, **axis: Any) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": title, "axis": {"tickCount": 6, **axis}}


def _tip(*fields: str) -> list[dict[str, str]]:
    return [{"field": field, "type": "nominal"} for field in fields]


_APART = {part: {"color": "independent", "shape": "independent"} for part in ("scale", "legend")}
"""A colour scale for each layer, all alike: only one that is the points' alone shares its legend with the shapes."""


def _unnamed(by: str) -> dict[str, Any]:
    """The colours of the layers beside the points."""
    return {**_by(by)["color"], "legend": None}


def _points(x: Mapping[str, Any], y: Mapping[str, Any], by: str) -> Spec:
    tip = _tip(*dict.fromkeys((by, str(x["field"]), str(y["field"]))))
    return {
        "mark": {"type": "point", "size": 70, "filled": True, "opacity": 1},
        "encoding": {"x": x, "y": y, **_by(by), "tooltip": tip},
    }


def _line(x: Mapping[str, Any], y: Mapping[str, Any], by: str) -> Spec:
    return {"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"x": x, "y": y, "color": _unnamed(by)}}


def _with_interval(x: Mapping[str, Any], y: Mapping[str, Any], by: str, line: bool, **more: Any) -> Spec:
    """Points, each with its interval as a rule through it. more: of the encodings of all, such as an offset."""
    rule: Spec = {
        "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.5},
        "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": _unnamed(by)},
    }
    layers = [rule, *([_line(x, y, by)] if line else []), _points(x, y, by)]
    return {"height": 300, "encoding": more, "layer": layers, "resolve": _APART}


_SHARE = _number("accuracy", "accuracy", format=".0%")
_PERCENT = _number("accuracy", "accuracy, %")
_ROUND = {"field": "round", "type": "ordinal", "title": "round", "axis": {"labelAngle": 0, "grid": False}}


def _beside(field: str) -> dict[str, Any]:
    """Keeps the intervals of one round apart, and near the round."""
    return {"field": field, "type": "nominal", "sort": None, "scale": {"paddingOuter": 4}}


RUNS: Spec = _with_interval(_ROUND, _SHARE, "run", line=True, xOffset=_beside("run"))
"""Test accuracy by round, a line a run. Rows: run, round, accuracy, low, high."""
MONEY: Spec = _with_interval(_number("money", "teacher's money, all rounds"), _SHARE, "run", line=False)
"""Test accuracy of the kept student by what its run paid the teacher. Rows: run, money, accuracy, low, high."""
TOKENS: Spec = _with_interval(_number("tokens", "teacher's tokens, all rounds", format="~s"), _SHARE, "run", line=False)
"""The same by tokens. Rows: run, tokens, accuracy, low, high."""
LAMBDA: Spec = _with_interval(_number("λ", "λ"), _PERCENT, "whose", line=True)
"""Accuracy in percent by λ, ours and the paper's (Fig. 5). Rows: whose, λ, accuracy, low, high."""
_LOSS = _number("value", "loss")
LAMBDA_LOSS: Spec = {
    "height": 300,
    "layer": [_line(_number("λ", "λ"), _LOSS, "loss"), _points(_number("λ", "λ"), _LOSS, "loss")],
    "resolve": _APART,
}
"""What was left of each part of the loss, by λ. Rows: loss, λ, value."""
BY_ROUND: Spec = _with_interval(_ROUND, _PERCENT, "row", line=True, xOffset=_beside("row"))
"""Accuracy in percent by round (Table 5). Rows: row, round, accuracy, low, high."""

SCORES: Spec = _with_interval(
    _ROUND,
    {**_number("score", "mean score"), "scale": {"domain": [1, 5], "clamp": True}},
    "answers",
    line=True,
    xOffset=_beside("answers"),
)
"""A judge's scores by round (Table 6). Rows: answers, round, score, and low and high, a deviation from it."""


def _rows(x: Mapping[str, Any]) -> Spec:
    """A line a row, with the intervals."""
    along = {"field": "row", "type": "nominal", "sort": None, "title": None}
    return {
        "height": {"step": 20},
        "encoding": {
            "y": {**along, "axis": {"labelLimit": 170, "grid": True}},
            "yOffset": {"field": "whose", "type": "nominal", "sort": None},
        },
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.5},
                "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "color": _unnamed("whose")},
            },
            {
                "mark": {"type": "point", "size": 70, "filled": True, "opacity": 1},
                "encoding": {"x": x, **_by("whose"), "tooltip": _tip("row", "whose", str(x["field"]))},
            },
        ],
        "resolve": _APART,
        # A row without an interval keeps its place and its colour: each layer has all of them on its scales.
        "config": {"mark": {"invalid": "break-paths-show-domains"}},
    }


ROWS: Spec = _rows(_PERCENT)
"""Accuracy in percent (Tables 1, 3, 7 and 11). Rows: row, whose, accuracy, low, high."""
DISTANCE: Spec = _rows(_number("distance", "distance of right and wrong"))
PREFERENCE: Spec = _rows(_number("preference", "preference, %"))
"""Of Table 4. Rows: as above."""

SPECS: Mapping[str, Spec] = {
    "runs": RUNS,
    "money": MONEY,
    "tokens": TOKENS,
    "lambda": LAMBDA,
    "lambda-loss": LAMBDA_LOSS,
    "by-round": BY_ROUND,
    "rows": ROWS,
    "scores": SCORES,
    "distance": DISTANCE,
    "preference": PREFERENCE,
}
"""By the name that the page's scripts know them by."""

"""The page's charts as Vega-Lite specifications, without data and without colours.

The page puts the rows in as the data, and replaces "$accent" and its like by the colours of the scheme, light or dark.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Spec = Mapping[str, Any]

_LINES = ["$accent", "$second", "$good", "$bad", "$muted"]
"""One colour a round, in turn."""
_COUNTED = {"tickMinStep": 1, "tickCount": 8, "format": ",d"}
_PERCENT = {"format": ".0%"}
_ROUND = {"field": "round", "type": "ordinal", "title": "round", "axis": {"labelAngle": 0, "grid": False}}
_SPLIT = {
    "field": "split",
    "type": "nominal",
    "legend": {"title": None, "orient": "top", "symbolOpacity": 1},
    "scale": {"domain": ["test", "held out"], "range": ["$accent", "$second"]},
}


def _percent_axis(field: str, title: str) -> dict[str, Any]:
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "axis": _PERCENT,
        "scale": {"zero": True, "nice": True},
    }


def _tip(*fields: str) -> list[dict[str, str]]:
    """What the pointer shows, as it is in the rows."""
    return [{"field": field, "type": "nominal"} for field in fields]


def _of_split(name: str) -> dict[str, Any]:
    return {"filter": {"field": "split", "equal": name}}


_REACHED = {
    "x": _ROUND,
    "y": _percent_axis("accuracy", "accuracy"),
    "color": _SPLIT,
    "tooltip": _tip("split", "round", "accuracy", "low", "high"),
}

ACCURACY: Spec = {
    "height": 260,
    "layer": [
        {
            "transform": [_of_split("test")],
            "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.55},
            "encoding": {"x": _ROUND, "y": _percent_axis("low", "accuracy"), "y2": {"field": "high"}, "color": _SPLIT},
        },
        {
            "transform": [_of_split("held out")],
            "mark": {"type": "line", "strokeWidth": 1.25, "strokeDash": [4, 3], "point": {"size": 22}},
            "encoding": _REACHED,
        },
        {
            "transform": [_of_split("test")],
            "mark": {"type": "line", "strokeWidth": 2.5, "point": {"size": 64, "filled": True}},
            "encoding": _REACHED,
        },
    ],
}
"""Test accuracy by round with its interval, held-out accuracy as a thin line.

Rows: split ("test", "held out" or "teacher"), round, accuracy, low, high.
"""

ACCURACY_AND_TEACHER: Spec = {
    **ACCURACY,
    "layer": [
        *ACCURACY["layer"],
        {
            "transform": [{"filter": {"field": "split", "equal": "teacher"}}],
            "mark": {"type": "rule", "strokeWidth": 1.5, "strokeDash": [6, 4], "color": "$good"},
            "encoding": {"y": {"field": "accuracy", "type": "quantitative"}},
        },
        {
            "transform": [{"filter": {"field": "split", "equal": "teacher"}}],
            "mark": {
                "type": "text",
                "align": "right",
                "baseline": "bottom",
                "dy": -4,
                "color": "$good",
                "fontSize": 12,
            },
            "encoding": {
                "x": {"value": "width"},
                "y": {"field": "accuracy", "type": "quantitative"},
                "text": {"value": "the teacher"},
            },
        },
    ],
}
"""The same with the teacher as the line to reach; rows as above."""


def _curve(title: str, scale: Mapping[str, Any]) -> Spec:
    return {
        "height": 190,
        "mark": {"type": "line", "strokeWidth": 1.75, "interpolate": "linear"},
        "encoding": {
            "x": {"field": "step", "type": "quantitative", "title": "step of study", "axis": _COUNTED},
            "y": {
                "field": "value",
                "type": "quantitative",
                "title": title,
                "axis": {"format": "~r"},  # 40 and 0.0002, never 4e+1
                "scale": dict(scale),
            },
            "color": {
                "field": "of",
                "type": "nominal",
                "sort": None,
                "legend": {"title": None, "orient": "top"},
                "scale": {"range": _LINES},
            },
            "strokeDash": {"field": "of", "type": "nominal", "sort": None, "legend": {"title": None, "orient": "top"}},
        },
    }


LOSS: Spec = _curve("loss", {"zero": True})
"""One part of the loss over the steps, a line a round. Rows: of (the line's name), step, value."""
SMALL_CURVE: Spec = {**_curve("", {"zero": True}), "height": 120}
"""Gradient norm or learning rate over the steps; rows as above."""

VERDICTS: Spec = {
    "mark": {"type": "bar"},
    "encoding": {
        "y": {"field": "verdict", "type": "nominal", "title": None, "sort": None, "axis": {"labelLimit": 160}},
        "x": {"field": "replies", "type": "quantitative", "title": "replies", "axis": _COUNTED},
        "yOffset": {"field": "of", "type": "nominal", "sort": None, "scale": {"paddingInner": 0.2}},
        "color": {
            "field": "of",
            "type": "nominal",
            "sort": None,
            "legend": {"title": None, "orient": "top"},
            "scale": {"range": _LINES},
        },
    },
}
"""What became of the teacher's replies. Rows: of (the round), verdict, replies."""

STATES: Spec = {
    "height": 300,
    "mark": {"type": "point", "filled": True, "size": 46, "opacity": 0.8},
    "encoding": {
        "x": {"field": "x", "type": "quantitative", "axis": None, "scale": {"zero": False}},
        "y": {"field": "y", "type": "quantitative", "axis": None, "scale": {"zero": False}},
        "color": {
            "field": "label",
            "type": "nominal",
            "legend": {"title": None, "orient": "top"},
            "scale": {"domain": ["right", "wrong"], "range": ["$accent", "$bad"]},
        },
        "shape": {
            "field": "label",
            "type": "nominal",
            "scale": {"domain": ["right", "wrong"], "range": ["circle", "cross"]},
        },
        "tooltip": _tip("question_id", "label"),
    },
}
"""Hidden states in two dimensions. Rows: question_id, label ("right" or "wrong"), x, y."""

SPECS: Mapping[str, Spec] = {
    "accuracy": ACCURACY,
    "accuracy_and_teacher": ACCURACY_AND_TEACHER,
    "loss": LOSS,
    "small": SMALL_CURVE,
    "verdicts": VERDICTS,
    "states": STATES,
}
"""By the name that the page's scripts know them by."""

"""`tutelage compare` as a user meets it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.comparisons.conftest import Write
from tutelage.cli import main


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["tutelage", "compare", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_a_folder_of_comparisons_is_one_command(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "comparisons"
    folder.mkdir()
    _, path = write([("plain", "untrained", [])])
    text = path.read_text().replace('recipe = "', 'recipe = "../')
    (folder / "first.toml").write_text(text)
    (folder / "second.toml").write_text(text.replace('"methods"', '"students"'))
    (tmp_path / "paper.json").write_text('{"table_1": {"rows": []}}')
    arguments = ("comparisons", "--paper", "paper.json", "evaluation.max_new_tokens=8")
    assert run(monkeypatch, tmp_path, *arguments) == 0
    told = capsys.readouterr()
    assert "| plain | 0.0 (0.0 to 49.0) |" in told.out
    assert "The tables are in runs/comparisons/second/table.md" in told.out
    assert "The report is in runs/comparisons/second/report.html." in told.out
    for page in ("report.html", "runs/plain/seed-1/report.html"):
        assert (tmp_path / "runs" / "comparisons" / "second" / page).is_file()
    assert "Taken over: evaluation of round 0" in told.err  # of the comparison beside it
    assert run(monkeypatch, tmp_path, *arguments[:-1], "evaluation.max_new_tokens=9") == 2
    assert "holds another comparison: overrides was different" in capsys.readouterr().err


def test_errors_show_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, words in (
        (("absent.toml",), "absent.toml cannot be read"),
        (("empty",), "no comparison in empty"),
        (("absent.toml", "--paper", "absent.json"), "tables in absent.json cannot be read"),
    ):
        assert run(monkeypatch, tmp_path, *arguments) == 2
        errors = capsys.readouterr().err
        assert words in errors
        assert "Traceback" not in errors
    assert not (tmp_path / "runs").exists()

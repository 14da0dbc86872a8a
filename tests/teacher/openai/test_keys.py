"""Where a teacher is, and the key: found in its places, and refused with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tutelage.config import OpenAITeacherSettings
from tutelage.errors import TeacherError
from tutelage.teacher.openai import keys

KEY = "sk-very-secret-0123456789"
LOCAL = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TEACHER_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    return path


def settings(**given: object) -> OpenAITeacherSettings:
    return OpenAITeacherSettings.model_validate(
        {"kind": "openai", "model": "tiny", "base_url": LOCAL, "api_key_env": "TEACHER_KEY", **given}
    )


def test_the_environment_goes_before_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = settings(api_key_file=file)
    assert keys.read_key(one, LOCAL).get_secret_value() == KEY
    assert str(file) in keys.key_place(one)
    monkeypatch.setenv("TEACHER_KEY", " other \n")
    assert keys.read_key(one, LOCAL).get_secret_value() == "other"
    assert "TEACHER_KEY" in keys.key_place(one)
    assert capsys.readouterr().err == ""


def test_a_local_server_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    assert keys.endpoint(settings()).key.get_secret_value() == ""
    with pytest.raises(TeacherError, match="OPENAI_API_KEY"):
        keys.endpoint(OpenAITeacherSettings(kind="openai", model="tiny"))
    monkeypatch.setenv("OPENAI_BASE_URL", LOCAL)
    assert keys.endpoint(OpenAITeacherSettings(kind="openai", model="tiny")).url == LOCAL


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "There is no key file"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe", "is no text"),
        (f"{KEY}\nsecond line".encode(), "characters that no key has"),
        (f"“{KEY}”".encode(), "characters that no key has"),
    ],
)
def test_a_key_file_that_cannot_be_used(file: Path, content: bytes | None, reason: str) -> None:
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(TeacherError, match=reason) as raised:
        keys.read_key(settings(api_key_file=file), LOCAL)
    assert str(file) in str(raised.value)
    assert KEY not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_a_folder_is_no_key_file(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"cannot be read: .*teacher\.api_key_file"):
        keys.read_key(settings(api_key_file=tmp_path), LOCAL)


def test_a_key_file_that_others_may_read_is_used_and_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.chmod(0o644)
    assert keys.read_key(settings(api_key_file=file), LOCAL).get_secret_value() == KEY
    told = capsys.readouterr().err
    assert "chmod 600" in told
    assert KEY not in told


def test_a_key_file_in_the_home_folder(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(file.parent))
    assert keys.read_key(settings(api_key_file="~/key"), LOCAL).get_secret_value() == KEY


def test_an_odd_key_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", f"“{KEY}”")
    with pytest.raises(TeacherError, match=r"The environment variable TEACHER_KEY") as raised:
        keys.endpoint(settings())
    assert KEY not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1", "127.0.0.1:8000/v1", "localhost:8000", "http://", "http://a\0b", "a b", "http://a b/v1",
        "ftp://a/v1", "http://a:99999/v1", "http://a:port/v1",
    ],
)  # fmt: skip
def test_an_address_that_is_none(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TeacherError, match=r"is none: .*teacher\.base_url"):
        keys.endpoint(settings(base_url=url))
    monkeypatch.setenv("OPENAI_BASE_URL", url.replace("\0", " "))  # no environment holds a NUL
    with pytest.raises(TeacherError, match="OPENAI_BASE_URL"):
        keys.endpoint(settings(base_url=None))


def test_an_address_with_a_password_is_refused_and_not_shown() -> None:
    with pytest.raises(TeacherError, match="name or a password") as raised:
        keys.endpoint(settings(base_url=f"http://me:{KEY}@127.0.0.1/v1"))
    assert KEY not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1/files"),
        ("http://127.0.0.1:9/v1/", "http://127.0.0.1:9/v1/files"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9/files"),
        ("https://a.example/x%20y?api-version=1", "https://a.example/x%20y/files?api-version=1"),
        ("http://[::1]:9/v1", "http://[::1]:9/v1/files"),
    ],
)
def test_paths_stand_behind_the_base_address(url: str, expected: str) -> None:
    assert str(keys.endpoint(settings(base_url=url)).at("/files")) == expected


def test_no_record_shows_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", KEY)
    assert KEY not in repr(keys.endpoint(settings()))

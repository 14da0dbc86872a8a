"""Where a teacher behind a network is, and the key to it: from the environment or a file, and shown nowhere."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from yarl import URL

from tutelage.config import OpenAITeacherSettings
from tutelage.errors import TeacherError
from tutelage.progress import say

SERVICE = "https://api.openai.com/v1"
_MOST_BYTES = 65536
_NO_HOST = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Whom the settings mean. url: the base address, mostly with /v1 at its end. key: empty for a server without."""

    settings: OpenAITeacherSettings
    url: str
    key: SecretStr

    def at(self, path: str) -> URL:
        """The address of `path`, such as "/files"; what the base address asks after its "?" stays at the end."""
        base = URL(self.url)
        return base.with_path(base.raw_path.rstrip("/") + path, encoded=True, keep_query=True)


def endpoint(settings: OpenAITeacherSettings) -> Endpoint:
    """Raises: TeacherError if the address or the key cannot be used."""
    url = address(settings)
    return Endpoint(settings, url, read_key(settings, url))


def address(settings: OpenAITeacherSettings) -> str:
    """The base address: the recipe's, else the environment's, else the OpenAI service.

    Raises: TeacherError if no request could be sent there; said now, and not after hours of exam.
    """
    url = settings.base_url or os.environ.get("OPENAI_BASE_URL") or SERVICE
    secret = None
    try:
        parts = URL(url)
        secret, host = parts.raw_user or parts.raw_password, parts.host or ""
        good = parts.scheme in ("http", "https") and host and not _NO_HOST.search(host)
        reason = "" if good else "it needs http:// or https:// and a host"
    except ValueError as error:
        reason = str(error)
    if secret:
        raise TeacherError(
            "The teacher's address holds a name or a password before its host. Take them out of teacher.base_url (or "
            "OPENAI_BASE_URL), and put the key into the variable that teacher.api_key_env names."
        )
    if reason:
        raise TeacherError(
            f"The teacher's address {url!r} is none: {reason}. "
            "Mend teacher.base_url (or OPENAI_BASE_URL), such as http://127.0.0.1:8000/v1."
        )
    return url


def read_key(settings: OpenAITeacherSettings, url: str) -> SecretStr:
    """The key from the environment variable that the settings name, else from the key file, else none.

    Raises: TeacherError if the file cannot be used, the key cannot be one, or the OpenAI service is meant without.
    """
    key = os.environ.get(settings.api_key_env, "").strip()
    if not key and settings.api_key_file is not None:
        key = _from_file(settings.api_key_file)
    if not key and url.rstrip("/") == SERVICE:
        raise TeacherError(
            f"The OpenAI service needs a key, and the environment variable {settings.api_key_env} holds none. Set it, "
            "or name a file with teacher.api_key_file; or name another server with teacher.base_url, or another "
            "variable with teacher.api_key_env."
        )
    if not (key.isascii() and key.isprintable()):
        place = key_place(settings)
        raise TeacherError(f"{place[0].upper()}{place[1:]} holds characters that no key has. Copy the key again.")
    return SecretStr(key)


def key_place(settings: OpenAITeacherSettings) -> str:
    """Where the key comes from, in words."""
    if settings.api_key_file is None or os.environ.get(settings.api_key_env, "").strip():
        return f"the environment variable {settings.api_key_env}"
    return f"the key file {settings.api_key_file}"


def _from_file(named: Path) -> str:
    path = named.expanduser()
    advice = f"Mend teacher.api_key_file, or put the key there; it is the file's only line. (It names {named}.)"
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            key = file.read(_MOST_BYTES).decode().strip()
    except FileNotFoundError:
        raise TeacherError(f"There is no key file {path}. {advice}") from None
    except OSError as error:
        raise TeacherError(f"The key file {path} cannot be read: {error.strerror or error}. {advice}") from None
    except UnicodeDecodeError:
        raise TeacherError(f"The key file {path} is no text. {advice}") from None
    if not key:
        raise TeacherError(f"The key file {path} is empty. {advice}")
    if os.name == "posix" and mode & (stat.S_IRGRP | stat.S_IROTH):
        say(f"Note: others on this machine may read the key file {path} (its mode is {mode:03o}); chmod 600 mends it.")
    return key

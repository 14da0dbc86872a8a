"""What an OpenAI-compatible endpoint's failure means: stop at once with what to do, or set one request aside."""

from __future__ import annotations

import re

import openai

from tutelage.config import OpenAITeacherSettings
from tutelage.errors import TeacherError
from tutelage.teacher.protocol import clean_text

_AGAIN = "What came before is kept; then `tutelage resume`."
_NO_SERVER = {"ConnectError", "ConnectTimeout", "UnsupportedProtocol", "LocalProtocolError"}
# The service's own codes (https://platform.openai.com/docs/guides/error-codes), which others copy.
_NO_MODEL = {"model_not_found", "invalid_model"}
_NO_QUOTA = {"insufficient_quota", "billing_hard_limit_reached"}
_NO_SUCH_PARAMETER = {"unsupported_parameter", "unsupported_value", "unknown_parameter"}
_QUOTED_N = re.compile(r"['\"`‘“]n['\"`’”]")
# A refusal of what was asked, and not of who asks; "Your account was flagged" is none.
_MODERATED = re.compile(
    r"(?<!account )(?<!account was )(?<!account is )(?<!account has been )\bflagged|moderat(?:ion|ed)"
    r"|content[ _-](?:policy|policies|filter|management)|usage policies",
    re.IGNORECASE,
)


class RequestFailedError(Exception):
    """One request that is set aside; the rest goes on. refused: the endpoint would not take it as it stood."""

    def __init__(self, reason: str, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


def explain(
    error: openai.OpenAIError | ValueError, settings: OpenAITeacherSettings, url: str, key: str
) -> TeacherError | RequestFailedError:
    """What to raise for an error of the client after its retries.

    TeacherError where every further request would fail the same way, RequestFailedError where only this one did.
    key: is blotted out wherever the endpoint repeats it.
    """
    reason = _reason(error, key)
    advice = _advice(error, settings, url)
    if advice is not None:
        return TeacherError(f"{advice[0]} ({reason}). {advice[1]} {_AGAIN}")
    refused = isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError) or _refuses_n(error)
    return RequestFailedError(reason, refused)


def _advice(
    error: openai.OpenAIError | ValueError, settings: OpenAITeacherSettings, url: str
) -> tuple[str, str] | None:
    status = error.status_code if isinstance(error, openai.APIStatusError) else None
    code = str(error.code) if isinstance(error, openai.APIError) else ""
    if isinstance(error, openai.APIConnectionError) and type(error.__cause__).__name__ in _NO_SERVER:
        return f"The teacher at {url} cannot be reached", "Start the server, or mend teacher.base_url."
    if status == 401 or (status == 403 and not _is_moderated(error)):
        return (
            f"The teacher at {url} refuses the key in the environment variable {settings.api_key_env}",
            f"Put a key that may use {settings.model!r} there (teacher.api_key_env names the variable).",
        )
    if status == 404 or code in _NO_MODEL:
        return (
            f"The teacher at {url} knows no model {settings.model!r}, or has no {settings.endpoint} endpoint",
            "Mend teacher.model, teacher.base_url (it mostly ends in /v1) or teacher.endpoint.",
        )
    if status == 402 or code in _NO_QUOTA:
        return f"The account at {url} has no money or quota left", "Top it up."
    if code in _NO_SUCH_PARAMETER and not _refuses_n(error):
        return f"The model {settings.model!r} at {url} takes other parameters", "Choose another teacher.model."
    return None


def _refuses_n(error: openai.OpenAIError | ValueError) -> bool:
    """Whether it is the parameter `n` that the endpoint will not take: the client can do without."""
    if not isinstance(error, openai.APIStatusError) or str(error.code) not in _NO_SUCH_PARAMETER:
        return False
    return error.param == "n" if error.param else _QUOTED_N.search(_message(error)) is not None


def _is_moderated(error: openai.OpenAIError | ValueError) -> bool:
    """Whether one request's content is refused. OpenRouter and others say so with the status of a wrong key."""
    if not isinstance(error, openai.APIStatusError):
        return False
    return _MODERATED.search(f"{error.code} {error.type} {_message(error)}") is not None


def _reason(error: openai.OpenAIError | ValueError, key: str) -> str:
    if isinstance(error, openai.APITimeoutError):
        text = "timed out"
    elif isinstance(error, openai.APIStatusError):
        text = f"HTTP {error.status_code}: {_message(error)}"
    elif isinstance(error, openai.APIConnectionError):
        cause = error.__cause__
        text = f"connection failed: {cause or error}"
    else:
        text = f"the reply is not what the protocol says: {error}"
    text = " ".join(clean_text(text.replace(key, "***") if key else text).split())
    return text if len(text) <= 300 else text[:300] + "..."


def _message(error: openai.APIStatusError) -> str:
    # The SDK's own text wraps the body as a Python literal; the body's message alone reads better.
    message = error.body.get("message") if isinstance(error.body, dict) else error.body
    return str(message or error.message)

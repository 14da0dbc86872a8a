"""What an OpenAI-compatible endpoint's failure means: stop at once with what to do, or set one request aside."""

from __future__ import annotations

import openai

from tutelage.config import OpenAITeacherSettings
from tutelage.errors import TeacherError

_AGAIN = "What came before is kept; then `tutelage resume`."
_NO_SERVER = {"ConnectError", "ConnectTimeout", "UnsupportedProtocol", "LocalProtocolError"}
# The service's own codes (https://platform.openai.com/docs/guides/error-codes), which others copy.
_NO_MODEL = {"model_not_found", "invalid_model"}
_NO_QUOTA = {"insufficient_quota", "billing_hard_limit_reached"}
_NO_SUCH_PARAMETER = {"unsupported_parameter", "unsupported_value", "unknown_parameter"}


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
    return RequestFailedError(reason, isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError))


def _advice(
    error: openai.OpenAIError | ValueError, settings: OpenAITeacherSettings, url: str
) -> tuple[str, str] | None:
    status = error.status_code if isinstance(error, openai.APIStatusError) else None
    code = str(error.code) if isinstance(error, openai.APIError) else ""
    if isinstance(error, openai.APIConnectionError) and type(error.__cause__).__name__ in _NO_SERVER:
        return f"The teacher at {url} cannot be reached", "Start the server, or mend teacher.base_url."
    if status in (401, 403):
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
    if code in _NO_SUCH_PARAMETER:
        return f"The model {settings.model!r} at {url} takes other parameters", "Choose another teacher.model."
    return None


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
    text = " ".join((text.replace(key, "***") if key else text).split())
    return text if len(text) <= 300 else text[:300] + "..."


def _message(error: openai.APIStatusError) -> str:
    # The SDK's own text wraps the body as a Python literal; the body's message alone reads better.
    message = error.body.get("message") if isinstance(error.body, dict) else error.body
    return str(message or error.message)

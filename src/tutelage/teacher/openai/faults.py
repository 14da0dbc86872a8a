"""What an OpenAI-compatible endpoint's failure means: try again, set one request aside, or stop with what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import aiohttp

from tutelage.teacher.openai.keys import Endpoint, key_place
from tutelage.teacher.protocol import FailureKind, clean_text

Dislike = Literal["n", "max_tokens", "sampling"]
"""What an endpoint will not take in a request's body, and can be asked without."""

IN_PASSING: frozenset[FailureKind] = frozenset(
    (
        "no connection", "broken connection", "timed out", "rate limit", "overloaded", "server error",
        "damaged reply", "no choices",
    )
)  # fmt: skip
"""Failures after which the same request may well be answered."""

PUSHES_BACK: frozenset[FailureKind] = frozenset(("rate limit", "overloaded"))
"""Failures by which a server asks for fewer requests at once."""

_AGAIN = "What came before is kept; then `tutelage resume`."
_LONGEST = 300
_START_OF_A_KEY = 8
"""So many of its first characters say no more than whose it is, such as "sk-proj-"."""
# The service's own codes (https://platform.openai.com/docs/guides/error-codes), which others copy.
_WRONG_KEY = {"invalid_api_key"}
_NO_MODEL = {"model_not_found", "invalid_model"}
_NO_QUOTA = {"insufficient_quota", "billing_hard_limit_reached"}
_NO_SUCH_PARAMETER = {"unsupported_parameter", "unsupported_value", "unknown_parameter"}
# Google's compatible endpoint says it with a 400 and no code.
_WRONG_KEY_SAID = re.compile(r"api key (?:is )?not valid|(?:invalid|incorrect) api key", re.IGNORECASE)
# Anthropic's compatible endpoint says it with a 400 and no code of its own, xAI's with a 403.
_NO_QUOTA_SAID = re.compile(
    r"credit balance is too low|used all available credits|insufficient (?:balance|credits?)\b", re.IGNORECASE
)
_TOO_LARGE_EVER = re.compile(r"request too large", re.IGNORECASE)
"""With a 429: one request of more tokens than the account may use in a minute."""
# transformers' server says it with a 400, and vLLM and Ollama in words of their own.
_NO_MODEL_SAID = re.compile(
    r"pinned to ['\"]|\bmodel\s+['\"`“]?[^\s'\"`”]+['\"`”]?\s+(?:was |is )?(?:not found|does not exist)"
    r"|unknown model|no such model",
    re.IGNORECASE,
)
# Of the parameter alone: a prompt too long for the model's context is one request's fault.
_TOO_MANY_TOKENS_SAID = re.compile(r"\bmax_(?:completion_)?tokens['\"`]? is too large", re.IGNORECASE)
# A refusal of what was asked, and not of who asks; "Your account was flagged" is none.
_MODERATED = re.compile(
    r"(?<!account )(?<!account was )(?<!account is )(?<!account has been )\bflagged|moderat(?:ion|ed)"
    r"|content[ _-](?:policy|policies|filter|management)|usage policies",
    re.IGNORECASE,
)
_NOT_TAKEN = re.compile(
    r"unsupported|not supported|(?:does not|doesn't|no longer) supports?\b|unknown (?:parameter|argument|field)"
    r"|unrecognized|not permitted|not allowed|extra inputs|cannot both be|deprecated",
    re.IGNORECASE,
)
_NAMES: tuple[tuple[Dislike, str], ...] = (
    ("n", r"n"),
    ("max_tokens", r"max_tokens|max_completion_tokens"),
    ("sampling", r"temperature|top_p"),
)
_QUOTED = {dislike: re.compile(rf"['\"`‘“](?:{names})['\"`’”]") for dislike, names in _NAMES}
_NAMED = {dislike: re.compile(rf"(?:\w+\.)*(?:{names})") for dislike, names in _NAMES}


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong with one HTTP request.

    kind, detail: as an `Outcome` holds them. dislikes: what in the request the endpoint will not take.
    refused: whether the request was not taken as it stood, and not for its content; maybe for its `n`.
    stop: what to tell the user where every further request would fail alike; for a connection that could not be made,
    where that is so after all tries.
    """

    kind: FailureKind
    detail: str
    dislikes: Dislike | None = None
    refused: bool = False
    stop: str | None = None

    @property
    def passing(self) -> bool:
        """Whether the same request may well be answered when it is sent again."""
        return self.kind in IN_PASSING


@dataclass(frozen=True, slots=True)
class _Said:
    """What the body of a failure says, as far as it says anything; codes: its code and its type."""

    message: str
    codes: frozenset[str] = frozenset()
    param: str = ""


def of_status(status: int, value: object, endpoint: Endpoint) -> Fault:
    """The fault that a reply with an HTTP status other than 2xx tells of.

    value: its body, as parsed JSON or as text; for a batch's line the `body` of its response, or its `error`.
    """
    said = _said(value)
    detail = shown(f"HTTP {status}: {said.message}", endpoint)
    dislikes = _dislikes(status, said)
    advice = _advice(status, said, endpoint)
    if advice is not None:
        return Fault("stopped", detail, dislikes, stop=_stop(advice, detail))
    if status == 429 and _TOO_LARGE_EVER.search(said.message):
        return Fault("bad request", detail)
    return Fault(_kind(status), detail, dislikes, status in (400, 422) and not _moderated(said))


def of_body(value: object, endpoint: Endpoint) -> Fault | None:
    """The fault that a reply tells of although its status is 200, as routers do; None if it tells of none."""
    if not isinstance(value, dict) or not value.get("error") or value.get("choices"):
        return None
    said = _said(value)
    codes = [int(code) for code in said.codes if re.fullmatch("[45][0-9][0-9]", code)]
    fault = of_status(codes[0] if codes else 200, value, endpoint)
    return fault if codes or fault.stop else damaged(f"an error: {said.message}", endpoint)


def of_exception(error: Exception, endpoint: Endpoint) -> Fault:
    """The fault behind an exception of the HTTP client while a request was sent or its reply read."""
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError):
        detail = shown(f"connection failed: {error}", endpoint)
        where = f"The teacher at {endpoint.url} cannot be reached"
        return Fault(
            "no connection", detail, stop=_stop((where, "Start the server, or mend teacher.base_url."), detail)
        )
    if isinstance(error, TimeoutError):
        return Fault("timed out", "timed out")
    if isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError | OSError):
        return Fault("broken connection", shown(f"connection failed: {error}", endpoint))
    return damaged(str(error) or type(error).__name__, endpoint)


def damaged(reason: str, endpoint: Endpoint) -> Fault:
    """A reply that is not what the protocol says; reason: in what."""
    return Fault("damaged reply", shown(f"the reply is not what the protocol says: {reason}", endpoint))


def shown(text: str, endpoint: Endpoint) -> str:
    """One short line of what an endpoint said, that holds nothing secret and can be written as UTF-8."""
    text = _without(endpoint.key.get_secret_value(), text[: 100 * _LONGEST])
    text = " ".join(clean_text(text).split())
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _kind(status: int) -> FailureKind:
    if status == 429:
        return "rate limit"
    if status in (503, 529):
        return "overloaded"
    return "server error" if status >= 500 or status in (408, 409) else "bad request"


def _advice(status: int, said: _Said, endpoint: Endpoint) -> tuple[str, str] | None:
    """What happened and what to do, where every further request would fail alike."""
    settings, url = endpoint.settings, endpoint.url
    if _has_no_quota(status, said):
        return f"The account at {url} has no money or quota left", "Top it up."
    if status == 407:
        return f"The proxy to {url} wants a name and a password", "Mend its address in HTTP_PROXY or HTTPS_PROXY."
    if _refuses_key(status, said):
        return (
            f"The teacher at {url} refuses the key in {key_place(settings)}",
            f"Put a key that may use {settings.model!r} there (teacher.api_key_env names the variable, "
            "teacher.api_key_file a file).",
        )
    if status in (404, 405) or said.codes & _NO_MODEL or (status == 400 and _NO_MODEL_SAID.search(said.message)):
        return (
            f"The teacher at {url} knows no model {settings.model!r}, or has no {settings.endpoint} endpoint",
            "Mend teacher.model, teacher.base_url (it mostly ends in /v1) or teacher.endpoint.",
        )
    if 300 <= status < 400:  # followed, the POST would become a GET, and the key might go to another host
        return f"The teacher at {url} is elsewhere", "Put its new address into teacher.base_url."
    if status == 400 and _TOO_MANY_TOKENS_SAID.search(said.message):
        return f"The model {settings.model!r} at {url} writes no reply that long", "Lower teacher.max_new_tokens."
    if said.codes & _NO_SUCH_PARAMETER:
        return f"The model {settings.model!r} at {url} takes other parameters", "Choose another teacher.model."
    return None


def _refuses_key(status: int, said: _Said) -> bool:
    if status == 403:  # OpenRouter and others refuse one request's content with the status of a wrong key
        return not _moderated(said)
    if status == 400:
        return bool(said.codes & _WRONG_KEY) or _WRONG_KEY_SAID.search(said.message) is not None
    return status == 401


def _has_no_quota(status: int, said: _Said) -> bool:
    if status == 402 or said.codes & _NO_QUOTA:
        return True
    return status in (400, 401, 403, 429) and _NO_QUOTA_SAID.search(said.message) is not None


def _moderated(said: _Said) -> bool:
    return _MODERATED.search(" ".join([*said.codes, said.message])) is not None


def _dislikes(status: int, said: _Said) -> Dislike | None:
    coded = bool(said.codes & _NO_SUCH_PARAMETER)
    if not coded and (status not in (400, 422) or _NOT_TAKEN.search(said.message) is None):
        return None
    for dislike, _ in _NAMES:
        if _NAMED[dislike].fullmatch(said.param) if said.param else _QUOTED[dislike].search(said.message):
            return dislike
    return None


def _stop(advice: tuple[str, str], detail: str) -> str:
    return f"{advice[0]} ({detail}). {advice[1]} {_AGAIN}"


def _said(value: object) -> _Said:
    if isinstance(value, list) and len(value) == 1:  # Google's compatible endpoint wraps it
        value = value[0]
    inner = value.get("error") or value if isinstance(value, Mapping) else value
    if not isinstance(inner, Mapping):
        return _Said(str(inner))
    message = inner.get("message") or inner.get("detail") or dict(inner)
    codes = frozenset(str(inner[name]) for name in ("code", "type") if inner.get(name))
    return _Said(str(message), codes, str(inner.get("param") or ""))


def _without(key: str, text: str) -> str:
    """A text in which no key stands: not as it is, not with its quotes escaped, and not with its end cut off."""
    if not key:
        return text
    for form in {key, repr(key)[1:-1], json.dumps(key)[1:-1]}:
        text = text.replace(form, "***")
        for length in range(len(form) - 1, _START_OF_A_KEY, -1):
            text = text.replace(form[:length], "***")
    return text

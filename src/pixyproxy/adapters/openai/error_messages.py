"""Error responses of the upstream: message, codes, and the document that may be passed on."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pixyproxy.adapters.openai.reading.json_document import parse_json

MAX_MESSAGE_CHARS = 1000
MAX_DOCUMENT_BYTES = 16 * 1024
MAX_DEPTH = 16
"""Limits on an error document that is passed on."""

_SECRETS = re.compile(r"Bearer\s+\S+|\b(?:sk|org|proj)[-_][\w*.-]{3,}|[^\s*]{0,64}+\*{3,}\S{0,64}", re.IGNORECASE)


_TEXTS = ("message", "detail", "error_description", "error_message", "error_msg", "errorMessage", "errorMsg", "errmsg",
          "msg", "status_msg", "reason", "failure_reason", "fail_reason", "title", "faultstring", "Message", "text",
          )  # fmt: skip
"""Names of members that hold a reason, the best first."""
_ENVELOPES = ("error", "errors", "detail", "Error", "fault")
"""Names of members in which an upstream wraps its own errors."""
_CODES = ("code", "type", "status", "error_code", "errorCode", "Code")
_MAX_REASONS = 8
_HTML = re.compile(r"\s*<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)
_MODEL = re.compile(r"model|deployment|engine|endpoints? found", re.IGNORECASE)

# Codes are searched in small letters, without what separates their words.
_NOT_IN_CODES = re.compile(r"[^a-z0-9]+")
_MODERATION_CODE = re.compile(
    r"moderat|content(?:policy|filter|violation|check|risk)|policyviolation|sensitive|safety|inspection"
    r"|prohibitedcontent|nsfw|unsafe|inappropriate|responsibleai|textrisk|imagerisk"
)
_MODERATION = re.compile(
    r"sensitive (?:content|word|information|material)|new_sensitive|content.{0,12}polic|\bmoderated\b"
    r"|(?:content|by|failed) moderation|safety (?:system|polic|filter|check)|\bnsfw\b|risk not pass"
    r"|(?:inappropriate|prohibited|unsafe) content|敏感|违规|不安全|审核",
    re.IGNORECASE,
)
_CREDIT_CODE = re.compile(
    r"insufficient[a-z]{0,16}(?:quota|balance|credit|fund)|(?:balance|credit)s?(?:insufficient|notenough|exhausted)"
    r"|billing|arrear|overdue|outofcredit|notenough(?:quota|balance|credit)|currentquota|consume[a-z]{0,8}quota"
    r"|paymentrequired|creditlimit|nocredit"
)
_CREDIT = re.compile(
    r"insufficient (?:\w{1,16} ){0,2}(?:balance|credit|fund|quota)"
    r"|(?:balance|credits?) (?:is |are )?(?:insufficient|not enough|exhausted|too low)"
    r"|(?:out of|not enough|no) credits?\b|余额不足|额度不足|欠费",
    re.IGNORECASE,
)
"""Words for a prompt or picture that was refused for its content, and for an account without credit."""


class ErrorMessage(NamedTuple):
    """Message, made safe to show, and codes of an error document.

    `is_own_word` is True for a document in which an upstream reports an error of its own, not a gateway's page or text.
    `everything` is all of its text, for a search only.
    """

    message: str
    codes: frozenset[str]
    is_own_word: bool = False
    everything: str = ""

    @property
    def concerns_model(self) -> bool:
        """True if it says that there is no such model, rather than no such address."""
        return self.is_own_word and _MODEL.search(self.everything) is not None and "invalid url" not in self.everything

    @property
    def rejects_prompt(self) -> bool:
        """True if it says that the prompt, or what came of it, is refused for its content."""
        return self._says(_MODERATION_CODE, _MODERATION)

    @property
    def lacks_credit(self) -> bool:
        """True if it says that the account has no credit left."""
        return self._says(_CREDIT_CODE, _CREDIT)

    def _says(self, code: re.Pattern[str], words: re.Pattern[str]) -> bool:
        in_codes = any(code.search(_NOT_IN_CODES.sub("", one.lower())) for one in self.codes)
        return in_codes or words.search(self.message) is not None


def read_error_message(body: bytes, api_key: str) -> ErrorMessage:
    """Return message and codes of an error document in OpenAI's shape or one of those seen in its imitations."""
    try:
        document: Any = parse_json(body)
    except ValueError:
        text = body.decode("utf-8", "replace")
        return ErrorMessage("" if _HTML.match(text) else sanitize(text, api_key), frozenset())
    if isinstance(document, list) and document and isinstance(document[0], dict):
        document = document[0]
    error: Any = document
    is_own_word = False
    if isinstance(document, dict):
        for name in _ENVELOPES:
            if document.get(name):
                error, is_own_word = document[name], True
                break
    reasons = list(dict.fromkeys(_reasons(error)))[:_MAX_REASONS]
    if not reasons and error is not document:
        reasons = list(_reasons({name: document[name] for name in document if name not in _ENVELOPES}))
    texts = [text for _, text in _texts(document)]
    return ErrorMessage(
        sanitize("; ".join(reasons), api_key), frozenset(_codes(document, error)), is_own_word, " ".join(texts).lower()
    )


def _reasons(error: Any, depth: int = 0) -> Iterator[str]:
    """Yield the reasons in an error: a text, an object with one, a list of either, or lists of texts by field."""
    if depth > MAX_DEPTH:
        return
    if isinstance(error, str):
        if error.strip():
            yield error
    elif isinstance(error, list):
        for inner in error:
            yield from _reasons(inner, depth + 1)
    elif isinstance(error, dict):
        reason = next((error[name] for name in _TEXTS if error.get(name)), None)
        if reason is not None:
            place = error.get("loc") or error.get("param") or error.get("field")
            where = ".".join(map(str, place)) if isinstance(place, list) else ""
            for text in _reasons(reason, depth + 1):
                yield f"{where}: {text}" if where else text
        else:
            for name, inner in error.items():
                if isinstance(inner, (dict, list)):
                    for text in _reasons(inner, depth + 1):
                        yield text if name in _ENVELOPES else f"{name}: {text}"


def _codes(document: Any, error: Any) -> Iterator[str]:
    for place in (error, error.get("error") if isinstance(error, dict) else None, document):
        if isinstance(place, dict):
            yield from (code for name in _CODES if isinstance(code := place.get(name), str))


def sanitize(text: str, api_key: str) -> str:
    """Return the text on one line, shortened, without control characters and without anything that looks secret."""
    bounded = text[: MAX_MESSAGE_CHARS * 4]
    if api_key:
        bounded = bounded.replace(api_key, "[…]")
    printable = "".join(char if char.isprintable() else " " for char in bounded)
    line = " ".join(_SECRETS.sub("[…]", printable).split())
    return line if len(line) <= MAX_MESSAGE_CHARS else line[: MAX_MESSAGE_CHARS - 1] + "…"


def read_error_document(body: bytes, api_key: str) -> Mapping[str, Any] | None:
    """Return an error document in OpenAI's shape, `{"error": {…}}`, unchanged, if all of it may be passed on.

    Return None for any other shape, for one that is too large or not valid JSON again, and if any text in it looks
    like a secret.
    """
    if len(body) > MAX_DOCUMENT_BYTES:
        return None
    try:
        document: Any = json.loads(body)
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not isinstance(document.get("error"), dict):
        return None
    for depth, text in _texts(document):
        if depth > MAX_DEPTH or (api_key and api_key in text) or _SECRETS.search(text):
            return None
    return document


def _texts(document: object) -> Iterator[tuple[int, str]]:
    """Yield the depth and value of every text in the document, names included; containers count as empty texts."""
    left = [(0, document)]
    while left:
        depth, value = left.pop()
        if isinstance(value, str):
            yield depth, value
        elif isinstance(value, (dict, list)):
            yield depth, ""
            inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
            left += [(depth + 1, each) for each in inner]

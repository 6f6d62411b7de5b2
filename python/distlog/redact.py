"""What nobody shall read does not leave the process.

Redaction looks at a message as it is about to be sent, so it sees all that the daemon would: the text and its arguments, fields and what is
nested in them, dataclasses and other objects, context, goals, exceptions with their notes, causes and source lines. The
record itself is not touched, and other handlers see it whole.

Four things hide a value, in this order:

1. ``callback(path, value)`` is asked about everything, and gives what shall stand there. ``path`` is a tuple of names and places:
   ``("request", "headers", "accept")``. What it changes is counted as hidden, and not looked at again.
2. Names: a field called ``password``, ``db_password`` or ``dbPassword``. Names are taken apart into words: ``author`` is no ``auth``.
3. Texts that say such a name themselves: ``token=…``, ``"password": "…"``, ``Authorization: …``.
4. Patterns: bearer tokens, JSON web tokens, keys of well-known services, private keys, passwords in URLs, numbers of payment cards.

What was hidden in one place is hidden wherever else the record says it. ``<hidden>`` stands there instead, and the record's field ``redacted``
says how often. If redaction itself fails, the record's data stay here and only its place and level are sent.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Callable, Optional, Union

from distlog import _distlog

__all__ = ["DEFAULT_KEYS", "DEFAULT_SAFE", "HIDDEN", "Redaction", "redaction"]

HIDDEN = "<hidden>"


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: Names that hide their values. The words of one may stand anywhere among the words of a field's name.
DEFAULT_KEYS = _set(
    """
    password passwords passwd passphrase passphrases pwd secret secrets token auth authorization authentication
    api_key api_keys access_key private_key private_keys secret_key signing_key encryption_key
    pgpassword pgpasswd credential credentials cookie cookies session_id session_key session_token csrf xsrf jwt bearer otp
    ssn social_security credit_card card_number cvv cvc
    """
)
#: Whole names that do not, although such a word is in them.
DEFAULT_SAFE = frozenset(["token_count", "token_type", "token_usage", "auth_type", "auth_method"])

#: Fields that say where a record comes from.
_EXEMPT = _set(
    """
    name levelname levelno pathname filename module lineno funcName created msecs relativeCreated thread threadName process
    processName taskName asctime hostname
    """
)
#: A secret that is shorter is not looked for elsewhere: it would be found in every other word.
_LONG_ENOUGH = 4
#: Words of a name that may make one word of a key: ``API_KEY`` is an ``apikey``.
_MOST_WORDS = 4

Path = tuple[Union[str, int], ...]
Callback = Callable[[Path, Any], Any]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+|\d+")
_VALUE = (
    r"""(?:\\["'][^"'\\\n]*(?:\\["'])?|[bru]{0,2}"(?:[^"\\\n]|\\.)*"?|[bru]{0,2}'(?:[^'\\\n]|\\.)*'?"""
    r"""|\{[^{}]{0,4096}\}|\[[^\[\]]{0,4096}\]|%\(\w*\)[-#0 +]*[\d.]*[a-zA-Z]"""
    r"""|(?:(?:bearer|basic|digest|token|negotiate)[ ]+)?[^\s"',;&()<>\[\]{}][^\s"',;&)>\]}]*)"""
)
#: What stands around a quoted one.
_QUOTED = re.compile(r"""([bru]{0,2}(\\?["']))(.*?)((?:\2)?)""", re.IGNORECASE | re.DOTALL)
#: A name before its value, as texts have them, and the value.
_NAME = re.compile(r"""(?<![A-Za-z0-9_.-])([A-Za-z_][A-Za-z0-9_.-]{0,63})(\\?["'\]]?[ ]{0,3}(?:=>|:=|[=:])[ ]{0,3})""")
_SAID = re.compile(_VALUE, re.IGNORECASE)
#: Headers whose value is the rest of the line.
_HEADER = re.compile(
    r"(?<![A-Za-z0-9_-])((?:proxy-)?authorization|(?:set-)?cookie)(:[ ]?)(?=[^\s\"'<{\[])([^\r\n]{1,4096})",
    re.IGNORECASE,
)
#: What a template has where a value will be.
_PLACEHOLDER = re.compile(
    r"%(?:\(\w*\))?[-#0 +]*\d*(?:\.\d+)?[a-zA-Z]|\$?\{[\w.!]*(?::[^'\"{}]{0,20})?\}|None|null|True|False|true|false"
)

#: Types of exceptions, which tracebacks put before a colon.
_TYPE = re.compile(r"(?:Error|Exception|Warning|Interrupt)$")

#: The group ``secret``, or else the whole, is hidden. What must be in a text, in lower case, for a pattern to find anything.
_PATTERNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\b[Bb]earer\s+(?P<secret>[A-Za-z0-9._~+/=-]{8,4096})", ("bearer",)),
    (r"\beyJ[A-Za-z0-9_-]{5,4096}\.[A-Za-z0-9_-]{5,4096}(?:\.[A-Za-z0-9_-]{0,4096})?", ("eyj",)),
    (r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", ("akia", "asia")),
    (
        r"\b(?:gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{30,255})",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    ),
    (r"\b(?:xox[abeprs]-[A-Za-z0-9-]{10,255}|glpat-[A-Za-z0-9_-]{20,255})", ("xox", "glpat-")),
    (r"\b(?:[sr]k_(?:live|test)_[A-Za-z0-9]{10,255}|sk-[A-Za-z0-9_-]{20,255})", ("sk_", "rk_", "sk-")),
    (r"\bAIza[A-Za-z0-9_-]{35}", ("aiza",)),
    (r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----(?P<secret>.*?)(?:-----END|\Z)", ("private key-----",)),
    (r"://[^\s/:@\"'<>]{0,256}:(?P<secret>[^\s/\"'<>]{1,512})@", ("://",)),
)
#: Digits in groups that may be the number of a payment card.
_DIGITS = re.compile(r"(?<![\w.+-])[2-6](?:[ -]?\d){12,15}(?![\w+-])(?!\.\d)")
_CARD = re.compile(
    r"4\d{12}(?:\d{3})?|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|6(?:011|5\d\d|4[4-9]\d)\d{12}"
)


class Redaction:
    """What is hidden. ``keys``, ``safe`` and ``patterns`` (regular expressions, as text) come to those that are there; ``defaults=False``
    starts from nothing. A pattern's group ``secret`` is what is hidden of a match, or all of it where there is none.

    ``ValueError`` for a pattern that is none.
    """

    def __init__(
        self,
        keys: Iterable[str] = (),
        *,
        safe: Iterable[str] = (),
        patterns: Iterable[str | re.Pattern[str]] = (),
        callback: Callback | None = None,
        defaults: bool = True,
    ) -> None:
        if callback is not None and not callable(callback):
            raise ValueError(f"callback is a function of a path and a value, not {callback!r}")
        self.keys: frozenset[str] = frozenset(_names("keys", keys)) | (DEFAULT_KEYS if defaults else frozenset())
        self.safe: frozenset[str] = frozenset(_names("safe", safe)) | (DEFAULT_SAFE if defaults else frozenset())
        self.patterns = tuple(_compiled(one) for one in ([patterns] if isinstance(patterns, str) else patterns))
        self.callback = callback
        self.defaults = defaults
        self._joined = frozenset("".join(_words(key)) for key in self.keys)
        shortest = [one for one in self._joined if not any(other in one for other in self._joined - {one})]
        self._signs = _distlog.Signs(_SIGNS if defaults else [], shortest, defaults)
        #: Whether every message is taken apart, since nobody can tell from outside.
        plain = all(len(one) > 1 and one.isascii() for one in shortest)
        self._looks_closely = bool(callback is not None or self.patterns or not plain)
        self.hides = lru_cache(4096)(self._hides)

    def text(self, text: str) -> tuple[str, int]:
        """The text without what shall be hidden, and how often it was."""
        return _Walk(self).text(text)

    def json(self, body: bytes) -> bytes:
        """The same for a record in JSON."""
        if self._is_clean(body):
            return body
        record = self._record(lambda: json.loads(body))
        return body if record is None else json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()

    def pickle(self, body: bytes) -> bytes:
        """The same for a pickled record."""
        if self._is_clean(body):
            return body
        # Written here a moment ago, of builtins.
        record = self._record(lambda: pickle.loads(body))
        return body if record is None else pickle.dumps(record, protocol=4)

    def _hides(self, name: str) -> bool:
        if name.lower() in self.safe:
            return False
        words = _words(name)
        for start in range(len(words)):
            joined = ""
            for word in words[start : start + _MOST_WORDS]:
                joined += word
                if joined in self._joined:
                    return True
        return False

    def _is_clean(self, body: bytes) -> bool:
        """Whether there cannot be anything to hide. May say no for nothing."""
        return not self._looks_closely and not self._signs.are_in(body)

    def _record(self, read: Callable[[], Any]) -> dict[str, Any] | None:
        """The record without what shall be hidden; ``None`` if nothing was."""
        fields: dict[str, Any] = {}
        try:
            fields = read()
            walk = _Walk(self)
            before, fields = fields, walk.fields(fields)
            message = _rendered(before, fields)
            if message is not None:
                fields["message"] = walk.text(message)[0]
            fields = walk.everywhere(fields)
        except Exception as error:
            safe = {name: value for name, value in fields.items() if name in _EXEMPT}
            return {"message": HIDDEN, **safe, "redaction_failed": type(error).__name__}
        if not walk.count:
            return None
        return {**fields, "redacted": walk.count}

    def _parts(self) -> tuple[Any, ...]:
        patterns = tuple((one.pattern, one.flags) for one in self.patterns)
        return self.keys, self.safe, patterns, self.callback, self.defaults

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Redaction) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash((self.keys, self.safe, self.defaults))

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (self.keys, self.safe, self.patterns, self.callback, self.defaults)


class _Walk:
    """One record's way through: what was found, and how often something was hidden."""

    def __init__(self, rules: Redaction) -> None:
        self.rules = rules
        self.count = 0
        #: What is hidden wherever it stands, and what only where it is a whole argument.
        self.found: set[str] = set()
        self.said: set[str] = set()

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {name: value if name in _EXEMPT else self.named((name,), name, value) for name, value in fields.items()}

    def named(self, path: Path, name: str, value: Any) -> Any:
        """A value that has a name."""
        changed = self.asked(path, value)
        if changed is not value:
            return changed
        if value is not None and not isinstance(value, bool) and self.rules.hides(name):
            if value in ("", HIDDEN) or value == [] or value == {}:
                return value
            self.hide(value)
            return HIDDEN
        return self.value(path, value)

    def value(self, path: Path, value: Any) -> Any:
        if isinstance(value, str):
            if path in _IDS:
                return value
            return self.text(value, path)[0]
        if isinstance(value, dict):
            return {name: self.named((*path, str(name)), str(name), one) for name, one in value.items()}
        if isinstance(value, (list, tuple)):
            if (
                len(value) == 2
                and isinstance(value[0], str)
                and isinstance(value[1], str)
                and self.rules.hides(value[0])
            ):
                # A header, as many libraries have them.
                self.hide(value[1])
                return [value[0], HIDDEN]
            items = [self.item((*path, at), one) for at, one in enumerate(value)]
            return tuple(items) if isinstance(value, tuple) else items
        return value

    def item(self, path: Path, value: Any) -> Any:
        changed = self.asked(path, value)
        return changed if changed is not value else self.value(path, value)

    def asked(self, path: Path, value: Any) -> Any:
        """What the callback makes of it. What it fails on is hidden."""
        callback = self.rules.callback
        if callback is None:
            return value
        try:
            answer = callback(path, value)
            if answer is not value and answer != value:
                answer = json.loads(json.dumps(answer, default=str))
                self.count += 1
                self.remember(value)
                return answer
        except Exception:
            self.hide(value)
            return HIDDEN
        return value

    def hide(self, value: Any) -> None:
        self.count += 1
        self.remember(value)

    def remember(self, value: Any) -> None:
        """Keep what is hidden, to find it elsewhere."""
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, (list, tuple)):
            for one in value:
                self.remember(one)
        elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
            self.found.add(str(value))

    def text(self, text: str, path: Path = ()) -> tuple[str, int]:
        """The text without what names and patterns hide, and how often they did."""
        before, rules = self.count, self.rules
        if rules.defaults:
            lower = text.lower()
            for pattern, signs in _COMPILED:
                if any(sign in lower for sign in signs):
                    text = pattern.sub(self._matched, text)
            text = _DIGITS.sub(self._card, text)
        for pattern in rules.patterns:
            text = pattern.sub(self._matched, text)
        if rules.keys and (":" in text or "=" in text):
            text = self._lines(text, path)
        return text, self.count - before

    def _lines(self, text: str, path: Path) -> str:
        if path[:1] not in (("exc_text",), ("stack_info",)):
            return self._names(_HEADER.sub(self._header, text))
        lines = text.split("\n")
        for at, line in enumerate(lines):
            is_code = at > 0 and lines[at - 1].lstrip(" |+-").startswith('File "')
            lines[at] = self._names(line, only_quoted=is_code)
        return "\n".join(lines)

    def _matched(self, match: re.Match[str]) -> str:
        group: str | int = "secret" if "secret" in match.re.groupindex else 0
        secret = match.group(group) or ""
        if not secret or HIDDEN in secret:
            return match.group()
        self.count += 1
        self.found.add(secret)
        start, end = match.start(group) - match.start(), match.end(group) - match.start()
        return match.group()[:start] + HIDDEN + match.group()[end:]

    def _card(self, match: re.Match[str]) -> str:
        return self._matched(match) if _is_card(match.group()) else match.group()

    def _header(self, match: re.Match[str]) -> str:
        name, between, value = match.groups()
        return f"{name}{between}{self._said(value)}" if self.rules.hides(name) else match.group()

    def _names(self, text: str, only_quoted: bool = False) -> str:
        """The text without the values of names. In code only literals are values: the rest is names again."""
        parts, at = [], 0
        name = _NAME.search(text)
        while name is not None:
            end = name.end()
            if self._hides_last(name[1]):
                value = _SAID.match(text, end)
                if value is not None and (not only_quoted or _QUOTED.fullmatch(value[0])):
                    parts += [text[at:end], self._said(value[0])]
                    at = end = value.end()
            name = _NAME.search(text, end)
        return "".join([*parts, text[at:]])

    def _said(self, value: str) -> str:
        quoted = _QUOTED.fullmatch(value)
        before, plain, after = (quoted[1], quoted[3], quoted[4]) if quoted else ("", value, "")
        if not plain or HIDDEN in plain or _PLACEHOLDER.fullmatch(plain):
            return value
        self.count += 1
        self.said.add(plain)
        return f"{before}{HIDDEN}{after}"

    def _hides_last(self, name: str) -> bool:
        return not _TYPE.search(name) and self.rules.hides(name.rpartition(".")[2])

    def everywhere(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Hide what was found in one place in all others."""
        secrets = sorted(
            (one for one in self.found if len(one) >= _LONG_ENOUGH and one != HIDDEN), key=len, reverse=True
        )
        whole = (self.found | self.said) - {HIDDEN, ""}
        if not whole:
            return fields
        anywhere = re.compile("|".join(map(re.escape, secrets))) if secrets else None
        return {
            name: value if name in _EXEMPT else self.without((name,), value, anywhere, whole)
            for name, value in fields.items()
        }

    def without(self, path: Path, value: Any, anywhere: Optional[re.Pattern[str]], whole: set[str]) -> Any:
        if isinstance(value, dict):
            return {name: self.without((*path, name), one, anywhere, whole) for name, one in value.items()}
        if isinstance(value, (list, tuple)):
            items = [self.without((*path, at), one, anywhere, whole) for at, one in enumerate(value)]
            return tuple(items) if isinstance(value, tuple) else items
        if (
            path[0] == "args"
            and isinstance(value, (str, int, float))
            and str(value) in whole
            and not isinstance(value, bool)
        ):
            self.count += 1
            return HIDDEN
        if anywhere is not None and isinstance(value, str) and path not in _IDS:
            text, count = anywhere.subn(HIDDEN, value)
            self.count += count
            return text
        return value


#: Ids of goals, which may look like anything.
_IDS = frozenset([("context", "key"), ("goal", "link")])
_COMPILED = tuple((re.compile(pattern, re.DOTALL), signs) for pattern, signs in _PATTERNS)
_SIGNS = [sign for _, signs in _PATTERNS for sign in signs]


def _rendered(before: dict[str, Any], fields: dict[str, Any]) -> str | None:
    """The message made of the arguments as they are now, where a name hid one: it may be too short to be looked for."""
    args, now, msg = before.get("args"), fields.get("args"), before.get("msg")
    if not isinstance(args, dict) or args == now or not isinstance(msg, str):
        return None
    try:
        return str(msg % now) if msg % args == before.get("message") else None
    except (TypeError, ValueError, KeyError):
        # A number may have become a text.
        return HIDDEN


def redaction(given: Any) -> Redaction | None:
    """What the argument ``redact`` means: ``True`` (the defaults), names that come to them, a mapping of arguments, or a `Redaction`."""
    if given is None or given is False:
        return None
    if given is True:
        return Redaction()
    if isinstance(given, Redaction):
        return given
    if isinstance(given, Mapping):
        # By item: the dicts of `logging.config` look names up only then.
        return Redaction(**{name: given[name] for name in given})
    if isinstance(given, str):
        return Redaction(keys=[name for name in re.split(r"[,\s]+", given) if name])
    if isinstance(given, Iterable):
        return Redaction(keys=given)
    raise ValueError(f"it is True, names of fields, a Redaction or a mapping of its arguments, not {given!r}")


def _names(option: str, names: Iterable[str]) -> list[str]:
    found = [names] if isinstance(names, str) else list(names)
    for name in found:
        if not isinstance(name, str) or not _words(name):
            raise ValueError(f"{option} are names, not {name!r}")
    return [name.lower() for name in found]


def _compiled(pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ValueError(f"patterns are regular expressions, and {pattern!r} is none: {error}") from None


def _words(name: str) -> list[str]:
    """``apiKey``, ``API_KEY`` and ``api-key`` are the words ``api`` and ``key``."""
    return [word.lower() for word in _WORD.findall(name)]


def _is_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    if not _CARD.fullmatch(digits):
        return False
    doubled = (int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(digits)))
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def _remade(keys: Any, safe: Any, patterns: Any, callback: Any, defaults: bool) -> Redaction:
    return Redaction(keys, safe=safe, patterns=patterns, callback=callback, defaults=defaults)

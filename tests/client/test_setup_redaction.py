"""Redaction, seen at the socket: what is hidden is nowhere in the message, and the rest of it is as it would be."""

from __future__ import annotations

import dataclasses
import json
import logging
import logging.config
import pickle
import random
import string
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from typing import Any, Callable

import distlog
import pytest
from distlog import JSONFormatter, PickleFormatter, ZmqHandler, task, to
from distlog.redact import DEFAULT_KEYS, HIDDEN, Redaction, redaction

log = logging.getLogger("app")
SECRET = "hunter2-and-more"


@pytest.fixture
def hiding(collector: Any) -> Iterator[Callable[..., ZmqHandler]]:
    """Makes handlers on the root logger that redact."""
    root = logging.getLogger()
    level, made = root.level, []

    def make(redact: Any = True, formatter: Any = None) -> ZmqHandler:
        handler = ZmqHandler(collector.endpoint, redact=redact)
        if formatter is not None:
            handler.setFormatter(formatter)
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        made.append(handler)
        return handler

    yield make
    root.setLevel(level)
    for handler in made:
        root.removeHandler(handler)
        handler.close()


@dataclasses.dataclass
class Login:
    user: str
    password: str


class Opaque:
    """Shows what it has."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __repr__(self) -> str:
        return f"Opaque(token={self.token!r}, n=1)"


Pair = namedtuple("Pair", "user secret")


def failing(secret: str) -> None:
    """Raises with the secret in the message, a note and a cause."""
    try:
        raise KeyError(f"api_key={secret}")
    except KeyError as cause:
        error = ValueError(f"bad password: {secret}")
        if sys.version_info >= (3, 11):
            error.add_note(f"Authorization: Bearer {secret}")
        raise error from cause


def plant_message() -> None:
    log.warning(f"user=ann password={SECRET} n=1")


def plant_argument() -> None:
    log.warning("user=%s password=%s n=%d", "ann", SECRET, 1)


def plant_mapping_argument() -> None:
    log.warning("user=%(user)s with %(password)s", {"user": "ann", "password": SECRET})


def plant_extra() -> None:
    log.warning("login of %s", SECRET, extra={"user": "ann", "password": SECRET})


def plant_nested() -> None:
    log.warning(
        "x",
        extra={"request": {"user": "ann", "headers": [{"Set-Cookie": SECRET}], "deep": {"a": [{"apiKey": SECRET}]}}},
    )


def plant_pairs() -> None:
    log.warning("x", extra={"user": "ann", "headers": [(b"Authorization", f"Basic {SECRET}".encode())]})


def plant_object() -> None:
    log.warning(
        "x %s", Opaque(SECRET), extra={"user": "ann", "login": Login("ann", SECRET), "pair": Pair("ann", SECRET)}
    )


def plant_exception() -> None:
    try:
        failing(SECRET)
    except ValueError:
        log.exception("login failed", extra={"user": "ann"})


def plant_stack() -> None:
    log.warning("x", extra={"user": "ann"}, stack_info=bool("password='hunter2-and-more'"))


def plant_url() -> None:
    log.warning("connect", extra={"user": "ann", "dsn": f"postgresql://ann:{SECRET}@db.internal:5432/shop"})


def plant_goal() -> None:
    try:
        with task("login with token=%s", SECRET, user="ann", password=SECRET):
            with to("below"):
                raise ValueError(f"secret: {SECRET}")
    except ValueError:
        pass


PLANTED = [one for name, one in sorted(globals().items()) if name.startswith("plant_")]


@pytest.mark.parametrize("formatter", [JSONFormatter, PickleFormatter])
@pytest.mark.parametrize("plant", PLANTED)
def test_planted_secrets_are_nowhere(
    collector: Any, hiding: Any, plant: Callable[[], None], formatter: type[logging.Formatter]
) -> None:
    hiding(True, formatter())
    plant()
    found = collector.wait(4 if plant is plant_goal else 1, settle=0.05)
    for body in (message[1] for message in collector.messages):
        assert SECRET.encode() not in body
    assert all("ann" in json.dumps(r) for r in found)
    assert all(r["redacted"] >= 1 for r in found)


def test_each_secret_would_be_there(collector: Any, handler: ZmqHandler) -> None:
    """The tests above can fail."""
    for plant in PLANTED:
        before = len(collector.messages)
        plant()
        assert SECRET.encode() in b"".join(
            m[1] for m in collector.wait(before + 1, settle=0.05) and collector.messages[before:]
        )


def test_the_rest_stays(collector: Any, hiding: Any) -> None:
    hiding()
    with task("order %s", 42):
        log.warning(
            "user=%s password=%s",
            "ann",
            "x1",
            extra={"n": [1, 2.5, None, True], "author": "bo", "nested": {"token": "t"}},
        )
        log.info("nothing here", extra={"n": 10**30, "f": 1e-7, "u": "ä\u2028\x00"})
    _, record, clean, _ = collector.wait(4, settle=0.05)
    assert record["message"] == f"user=ann password={HIDDEN}"
    assert (record["msg"], record["args"]) == ("user=%s password=%s", ["ann", HIDDEN])
    assert (record["n"], record["author"], record["nested"]) == ([1, 2.5, None, True], "bo", {"token": HIDDEN})
    assert record["redacted"] == 3
    assert record["context"]["key"].startswith("1@")
    assert (record["funcName"], record["name"], record["levelno"]) == ("test_the_rest_stays", "app", 30)
    assert "redacted" not in clean
    assert (clean["n"], clean["f"], clean["u"]) == (10**30, 1e-7, "ä\u2028\x00")


def test_what_the_documentation_says(collector: Any, hiding: Any) -> None:
    hiding()
    log.warning("login of %s with password=%s", "ann", "hunter2", extra={"api_key": "abc-123"})
    (record,) = collector.wait(1)
    assert record["message"] == "login of ann with password=<hidden>"
    assert (record["args"], record["api_key"], record["redacted"]) == (["ann", "<hidden>"], "<hidden>", 3)


def test_the_record_itself_is_not_touched(collector: Any, hiding: Any, caplog: pytest.LogCaptureFixture) -> None:
    hiding()
    fields = {"password": SECRET, "deep": {"token": SECRET}}
    log.warning("password=%s", SECRET, extra=fields)
    collector.wait(1)
    record = caplog.records[0]
    assert (record.getMessage(), record.args, record.password) == (f"password={SECRET}", (SECRET,), SECRET)  # type: ignore[attr-defined]
    assert fields["deep"] == {"token": SECRET} and not hasattr(record, "redacted")


@pytest.mark.parametrize(
    "name",
    [
        *[
            "password",
            "Password",
            "PASSWORD",
            "db_password",
            "dbPassword",
            "DB-PASSWORD",
            "password2",
            "user.password",
            "my password",
        ],
        *["api_key", "apiKey", "APIKey", "apikey", "X-Api-Key", "API_KEY_ID", "auth", "http_auth", "Authorization"],
        *["proxy-authorization", "token", "access_token", "oauth2_token", "csrf", "csrf_token", "JWT", "id_jwt", "ssn"],
        *[
            "set-cookie",
            "Cookie",
            "cookies",
            "client_secret",
            "secretKey",
            "PGPASSWD",
            "private_key",
            "sessionid",
            "credit-card",
        ],
    ],
)
def test_names_that_hide(name: str) -> None:
    assert Redaction().hides(name)
    # The quick look from outside does not overlook it.
    assert b"v-a-l" not in Redaction().json(json.dumps({name: "v-a-l"}).encode())


@pytest.mark.parametrize(
    "name",
    [
        *[
            "author",
            "authors",
            "authority",
            "authored_by",
            "oauthor",
            "compass",
            "passenger",
            "bypass",
            "tokens",
            "max_tokens",
        ],
        *[
            "tokenizer",
            "token_count",
            "secretary",
            "secretion",
            "keyboard",
            "key",
            "monkey",
            "cookiecutter",
            "session",
            "lesson",
        ],
        *["sessions", "assn", "ssnake", "user", "name", "", "1", "_", "jwtx", "card", "credit"],
    ],
)
def test_names_that_do_not(name: str) -> None:
    assert not Redaction().hides(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("password=abc next", "password=<hidden> next"),
        ("password = 'a b c', x", "password = '<hidden>', x"),
        ('{"password": "a\\"b", "n": 1}', '{"password": "<hidden>", "n": 1}'),
        ("{'apiKey': 'abc', 'n': 1}", "{'apiKey': '<hidden>', 'n': 1}"),
        ("{'auth': b'abc'}", "{'auth': b'<hidden>'}"),
        ("KeyError: 'api_key=abc'", "KeyError: 'api_key=<hidden>'"),
        ('note="x: [token=abc, n=1]"', 'note="x: [token=<hidden>, n=1]"'),
        ("a=b=password=abc", "a=b=password=<hidden>"),
        ("token='abc", "token='<hidden>"),
        ("token='abc\nnext", "token='<hidden>\nnext"),
        ('{\\"token\\": \\"abc\\"}', '{\\"token\\": \\"<hidden>\\"}'),
        ("GET /x?token=abc&page=2 HTTP/1.1", "GET /x?token=<hidden>&page=2 HTTP/1.1"),
        ("user[password]=abc&x=1", "user[password]=<hidden>&x=1"),
        ("Authorization: Basic dXNlcg==", "Authorization: <hidden>"),
        ("Authorization: Digest username=x, uri=y\nHost: z", "Authorization: <hidden>\nHost: z"),
        ("Cookie: a=1; b=2\r\nHost: z", "Cookie: <hidden>\r\nHost: z"),
        ("cookies={'a': '1'} n=2", "cookies=<hidden> n=2"),
        ("curl -H 'X: Bearer abcdefgh12345'", "curl -H 'X: Bearer <hidden>'"),
        ("jwt is eyJhbGciOiJI.eyJzdWIiOiIx.abc_-123 ok", "jwt is <hidden> ok"),
        ("AKIAIOSFODNN7EXAMPLE", "<hidden>"),
        ("ghp_" + "a" * 36, "<hidden>"),
        ("xoxb-1234567890-abc", "<hidden>"),
        ("sk_live_1234567890abc", "<hidden>"),
        ("redis://:pass@host/0", "redis://:<hidden>@host/0"),
        ("amqp://user:p@ss@host//", "amqp://user:<hidden>@host//"),
        ("https://host/path", "https://host/path"),
        ("https://user@host/path", "https://user@host/path"),
        ("http://[::1]:8080/a@b", "http://[::1]:8080/a@b"),
        ("card 4111 1111 1111 1111 paid", "card <hidden> paid"),
        ("card 4111-1111-1111-1112 paid", "card 4111-1111-1111-1112 paid"),
        ("378282246310005", "<hidden>"),
        ("order 1763834882000000000", "order 1763834882000000000"),
        ("4111111111111111.5", "4111111111111111.5"),
        ("author=ann title: x", "author=ann title: x"),
        ("password=%s token={} secret=%(x)d", "password=%s token={} secret=%(x)d"),
        ("password=<hidden>", "password=<hidden>"),
        ("password=None token=null", "password=None token=null"),
        ("AuthenticationError: no such user", "AuthenticationError: no such user"),
        ("jwt.exceptions.DecodeError: too short", "jwt.exceptions.DecodeError: too short"),
        ("at 12:30:45 level:INFO", "at 12:30:45 level:INFO"),
    ],
)
def test_texts(text: str, expected: str) -> None:
    assert Redaction().text(text) == (expected, expected.count(HIDDEN) if text != expected else 0)
    record = json.loads(Redaction().json(json.dumps({"message": text}).encode()))
    assert (record["message"], "redacted" in record) == (expected, text != expected)


def said(draw: random.Random, key: str, value: str) -> str:
    """A text that says so, in one of the ways of texts."""
    ways = [
        f"{key}={value}",
        f"{key}: {value}",
        f'"{key}": "{value}"',
        f"?a=1&{key}={value}&b=2",
        f"X({key}={value!r}, n=1)",
    ]
    ways += [
        f"Error: {key}={value}",
        f"a: b: {key}: {value}",
        json.dumps(json.dumps({key: value})),
        f"x[{key}]={value}",
    ]
    return draw.choice(ways)


def nested(draw: random.Random, key: str, value: str, depth: int = 0) -> Any:
    """It, anywhere in some containers."""
    if depth == 4 or draw.random() < 0.3:
        return draw.choice([{key: value}, {key: [value]}, {key: {"deep": value}}])
    inner = nested(draw, key, value, depth + 1)
    return draw.choice([{"a": inner}, [1, inner], (inner, "x")])


@pytest.mark.parametrize("seed", range(20))
def test_any_secret_of_any_name_anywhere(seed: int) -> None:
    draw, rules, letters = random.Random(seed), Redaction(), string.ascii_letters + string.digits + "-_.!$%^*+/=~"
    for _ in range(40):
        words = draw.choice(sorted(DEFAULT_KEYS)).split("_")
        key = draw.choice(
            ["_".join(words), "-".join(words).title(), "".join(word.title() for word in words), "db_" + words[0]]
        )
        key = key if rules.hides(key) else "_".join(words).upper()
        secret = "Z9" + "".join(draw.choices(letters, k=draw.randint(4, 20))) + "q"
        record = logging.LogRecord("app", 20, "app.py", 1, "as %s", (said(draw, key, secret),), None)
        if draw.random() < 0.5:
            record.__dict__.update(extra=nested(draw, key, secret), msg="it is %s", args=(secret,))
        else:
            try:
                raise ValueError(said(draw, key, secret))
            except ValueError:
                record.exc_info = sys.exc_info()
        body: Any = JSONFormatter().format(record)
        assert secret[:6].encode() not in rules.json(body), (key, secret, body)


def test_private_keys() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----"
    assert (
        Redaction().text(f"a {key} b")[0] == f"a -----BEGIN RSA PRIVATE KEY-----{HIDDEN}-----END RSA PRIVATE KEY----- b"
    )
    # Cut off by a limit, it is one nevertheless.
    assert "MIIE" not in Redaction().text(key[:40])[0]


def test_code_in_tracebacks_is_readable(collector: Any, hiding: Any) -> None:
    hiding()
    try:
        token = str(len("x"))
        password = int(token) if not token else None or int("no number")
        assert password
    except ValueError:
        log.exception("failed")
    (record,) = collector.wait(1, settle=0.05)
    assert "password = int(token) if not token" in record["exc_text"]
    assert "redacted" not in record


def test_names_and_patterns_of_ones_own() -> None:
    rules = Redaction(
        ["iban", "birthDate"], patterns=[r"\bDE\d{20}\b", r"pin (?P<secret>\d{4})"], safe=["public_token"]
    )
    assert (
        rules.hides("IBAN") and rules.hides("user_birth_date") and rules.hides("birthdate") and rules.hides("password")
    )
    assert not rules.hides("public_token") and rules.hides("public_token_2")
    assert rules.text("DE12345678901234567890, pin 1234") == (f"{HIDDEN}, pin {HIDDEN}", 2)
    alone = Redaction(["iban"], defaults=False)
    assert not alone.hides("password") and alone.text("Bearer abcdefgh12345 iban=x") == (
        "Bearer abcdefgh12345 iban=<hidden>",
        1,
    )
    assert alone.keys == {"iban"} and rules.keys > DEFAULT_KEYS


class TestCallback:
    def test_decides(self, collector: Any, hiding: Any) -> None:
        asked = []

        def decide(path: tuple[Any, ...], value: Any) -> Any:
            asked.append(path)
            return value[:2] + "…" if path[-1:] == ("customer",) else value

        hiding({"callback": decide})
        log.warning("of %s", "Johnson", extra={"order": {"customer": "Johnson", "items": ["a"]}})
        (record,) = collector.wait(1, settle=0.05)
        assert record["order"] == {"customer": "Jo…", "items": ["a"]}
        # What it hid is hidden in the rest of the record as well.
        assert (record["message"], record["args"], record["redacted"]) == (f"of {HIDDEN}", [HIDDEN], 3)
        assert {("message",), ("args", 0), ("order",), ("order", "customer"), ("order", "items", 0)} <= set(asked)
        assert ("pathname",) not in asked

    def test_that_fails_hides(self, collector: Any, hiding: Any) -> None:
        def fail(path: tuple[Any, ...], value: Any) -> Any:
            if path == ("order",):
                raise RuntimeError("broken")
            return value

        hiding({"callback": fail})
        log.warning("x", extra={"order": {"n": 1}})
        assert collector.wait(1)[0]["order"] == HIDDEN

    def test_that_gives_something_odd(self, collector: Any, hiding: Any) -> None:
        hiding({"callback": lambda path, value: Opaque("t") if path == ("order",) else value})
        log.warning("x", extra={"order": 5})
        assert "Opaque" in collector.wait(1)[0]["order"]


def test_what_cannot_be_redacted_stays_here(collector: Any, hiding: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr("distlog.redact._Walk.everywhere", broken)
    hiding()
    log.warning("password=%s", SECRET, extra={"token": SECRET})
    (record,) = collector.wait(1, settle=0.05)
    assert (record["message"], record["redaction_failed"], record["levelname"]) == (HIDDEN, "RuntimeError", "WARNING")
    assert SECRET.encode() not in collector.messages[0][1] and record["funcName"].startswith("test_what")


@pytest.mark.parametrize(
    "piece",
    [
        "a.",
        "password",
        "://",
        "4 ",
        "41",
        "eyJa.",
        "Bearer ",
        "key=",
        '"',
        "a:",
        "-----BEGIN PRIVATE KEY-----",
        "{",
        "\\",
        "token='",
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (65_536 // len(piece))
    began = time.process_time()
    Redaction().text(text)
    assert time.process_time() - began < 1.0


def test_clean_records_are_sent_as_they_are() -> None:
    """They are never taken apart: that costs ten times as much."""
    record = logging.LogRecord("app", 20, "/srv/app.py", 7, "user %s did %s", ("ann", "login"), None, "work")
    record.thread = 139758737361792
    for formatter, redact in ((JSONFormatter(), Redaction().json), (PickleFormatter(), Redaction().pickle)):
        body: Any = formatter.format(record)
        assert redact(body) is body
        assert redact(body.replace(b"login", b"4111 1111-11111111")) is not body


class TestSetUp:
    def test_configure(self, run: Any, collector: Any) -> None:
        source = "handler.close(); logging.getLogger().handlers.clear(); a = configure(redact=['iban'], endpoint=os.environ['ENDPOINT']);"
        source += "b = configure(redact=['iban'], endpoint=os.environ['ENDPOINT']); assert a is b; log.info('x', extra={'iban': 1, 'password': 2})"
        run(source)
        (record,) = collector.wait(1, settle=0.05)
        assert (record["iban"], record["password"], record["redacted"]) == (HIDDEN, HIDDEN, 2)

    def test_a_handler_that_does_not_redact_is_not_taken_over(self, run: Any, collector: Any) -> None:
        run("configure(redact=True, endpoint=os.environ['ENDPOINT']); log.info('password=abc')")
        assert [r["message"] for r in collector.wait(1, settle=0.05)] == ["password=<hidden>"]

    @pytest.mark.parametrize(
        ("value", "hidden"), [("1", "password"), ("iban, pin", "iban password"), ("0", ""), ("", "")]
    )
    def test_by_the_environment(self, run: Any, collector: Any, value: str, hidden: str) -> None:
        source = "handler.close(); logging.getLogger().handlers.clear(); configure(); log.info('x', extra={'iban': 'a', 'password': 'b'})"
        run(source, DISTLOG_REDACT=value, DISTLOG_ENDPOINT=collector.endpoint)
        (record,) = collector.wait(1, settle=0.05)
        assert {name for name in ("iban", "password") if record[name] == HIDDEN} == set(hidden.split())

    def test_dict_config(self, collector: Any) -> None:
        logger = logging.getLogger("redacted")
        rules = {"keys": ["iban"], "patterns": ["x{3}"], "callback": "ext://test_setup_redaction.shorten"}
        sys.modules.setdefault("test_setup_redaction", sys.modules[__name__])
        settings = {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"z": {"class": "distlog.ZmqHandler", "endpoint": collector.endpoint, "redact": rules}},
            "loggers": {"redacted": {"handlers": ["z"], "level": "INFO"}},
        }
        logging.config.dictConfig(settings)
        logger.info("axxxb", extra={"iban": 1, "long": "abcdef"})
        (record,) = collector.wait(1, settle=0.05)
        assert (record["message"], record["iban"], record["long"]) == (f"a{HIDDEN}b", HIDDEN, "abc")
        logger.handlers.pop().close()

    def test_handlers_and_rules_go_to_other_processes(self, collector: Any) -> None:
        one = ZmqHandler(collector.endpoint, redact={"keys": ["iban"], "patterns": ["x+"]})
        again = pickle.loads(pickle.dumps(one))
        assert again.redaction == one.redaction and again.redaction is not one.redaction
        assert again.redaction.hides("iban") and again.redaction != Redaction()
        for handler in (one, again):
            handler.close()

    def test_forms(self) -> None:
        assert redaction(None) is redaction(False) is None
        assert redaction(True) == Redaction() == redaction("")
        assert redaction("iban, pin") == redaction(["iban", "pin"]) == Redaction(["pin", "iban"])
        assert redaction({"keys": "iban"}) == Redaction(["iban"])

    @pytest.mark.parametrize(
        "given", [7, {"keys": [1]}, {"keys": ["_"]}, {"patterns": ["("]}, {"callback": "no"}, {"odd": 1}]
    )
    def test_wrong_rules(self, given: Any, collector: Any) -> None:
        with pytest.raises((ValueError, TypeError)):
            ZmqHandler(collector.endpoint, redact=given)

    def test_serializers_of_ones_own(self, collector: Any) -> None:
        class Text(distlog.Serializer):
            encoding = "T"

        one = ZmqHandler(collector.endpoint, redact=True)
        with pytest.raises(TypeError, match="redaction reads JSON and pickle"):
            one.setFormatter(Text())
        one.close()


def shorten(path: tuple[Any, ...], value: Any) -> Any:
    """For `dictConfig`."""
    return value[:3] if path == ("long",) else value

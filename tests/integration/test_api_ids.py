"""Every id that is accepted reaches itself, and nothing else, through the clients that people use."""

from __future__ import annotations

import shutil
import subprocess
import unicodedata
from collections.abc import Callable, Iterable
from urllib.parse import quote

import pytest
import requests
from django.core.exceptions import ValidationError

from schedules.models import Schedule
from schedules.validators import RESERVED_IDS, validate_public_id
from tests.integration.api_calls import add

#: What is put where an id stands
Escape = Callable[[str], str]

REFUSED = [
    ".",
    "..",
    "./x",
    "../x",
    "x/.",
    "x/..",
    "x/../y",
    "a/./b",
    "%2e",
    "%2E%2e",
    ".%2e",
    "%252e",
    "x%2F..",
    "x%2f%2e%2e%2fstop",
    ".?x",
    "..#x",
    "..\\x",
    "x\\..",
    "{.}",
    "{.,x}",
    "x/{..}/y",
    ".{,x}",
    "{.}.",
    "{x,%2e}",
    *sorted(RESERVED_IDS),
    "stop?x",
    "stop#1",
    "stopall?",
    "a/start",
    "a/stop?b/c",
    "%73top",
    "sto%70",
    "a%2Fstop",
    "a\\stop",
    "",
    " a",
    "a ",
    "\u00a0a",
    "a\u3000",
    "a\0b",
    "a\tb",
    "a\nb",
    "a\rb",
    "a\x7fb",
    "a\u200bb",
    "a\u202eb",
    "\ufeffa",
    "a\ud800b",
    "x" * 201,
]

ACCEPTED = [
    "...",
    ".a",
    "a.",
    "v1..2",
    "Start",
    "STOP",
    "stop.",
    "starts",
    "stop/1",
    "a/b",
    "a//b/",
    "/a",
    "?",
    "#",
    "%",
    "100%",
    "a?b#c",
    "?x=1&y#z",
    "%2F",
    "%zz",
    "%41",
    "a+b",
    "a b",
    "a  b",
    "a;b=c",
    "a\\b",
    "a:b@c",
    "{a,b}",
    "a.{b}.c",
    "//host/a",
    "http://host/a",
    "[a]{b}<c>\"d\"'e'`f`|g^h~i",
    "$(a)&!*,=",
    "åäö",
    unicodedata.normalize("NFC", "é"),
    unicodedata.normalize("NFD", "é"),
    unicodedata.normalize("NFKC", "ﬁ"),
    "ﬁ",
    "Å",
    "K",
    "日本語",
    "😀",
    "-",
    "--help",
    "x" * 200,
    "å" * 200,
    "😀" * 200,
]


def with_requests(url: str) -> int:
    return requests.put(url, timeout=10).status_code


def with_curl(url: str) -> int:
    told = subprocess.run(
        ["curl", "--silent", "--globoff", "--output", "/dev/null", "--write-out", "%{http_code}", "-X", "PUT", url],
        capture_output=True,
        text=True,
        timeout=10,
    )
    return int(told.stdout)


CLIENTS = [
    with_requests,
    pytest.param(with_curl, marks=pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")),
]


def escaped(public_id: str) -> str:
    return quote(public_id, safe="")


def as_it_stands(public_id: str) -> str:
    return public_id


def list_stopped() -> Iterable[str]:
    return Schedule.objects.filter(enabled=False).values_list("name", flat=True)


@pytest.mark.parametrize("public_id", REFUSED)
def test_an_id_that_would_not_reach_itself_is_refused(public_id):
    with pytest.raises(ValidationError, match="cannot be an id"):
        validate_public_id(public_id)


@pytest.mark.parametrize("call", CLIENTS)
def test_an_accepted_id_reaches_itself_and_nothing_else(transactional_db, live_server, call):
    for public_id in ACCEPTED:
        add(public_id)

    for public_id in ACCEPTED:
        assert call(f"{live_server.url}/v4/schedules/{escaped(public_id)}/stop") == 200, public_id
        assert list(list_stopped()) == [public_id]
        assert call(f"{live_server.url}/v4/schedules/{escaped(public_id)}/start") == 200, public_id
        assert list(list_stopped()) == []


@pytest.mark.parametrize("call", CLIENTS)
def test_an_accepted_id_that_nobody_escaped_stops_nothing_else(transactional_db, live_server, call):
    """A `#` cuts a path off, and what is left must not be the path of another operation."""
    for public_id in ACCEPTED:
        add(public_id)

    for public_id in ACCEPTED:
        call(f"{live_server.url}/v4/schedules/{public_id}/stop")
        assert {*list_stopped()} <= {public_id}, public_id
        Schedule.objects.update(enabled=True)


def test_an_accepted_id_is_found_by_its_parameter(client, db):
    for public_id in ACCEPTED:
        add(public_id)

    for public_id in ACCEPTED:
        assert client.get("/v4/schedules", {"id": public_id}).json()["id"] == public_id

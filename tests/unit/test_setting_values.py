"""Values come through as they stand, from the environment and from files; what cannot is refused in a sentence."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote

import pytest
from django.core.exceptions import ImproperlyConfigured
from kombu import Connection
from redis.connection import parse_url

from butler import environment as settings_from
from butler.setting_names import UnknownName, list_needed, list_unknown, note_setting

ODD = [
    "$ecret123",
    "$q*",
    "${X}",
    "$(id)",
    "$HOME",
    r"back\slash\n",
    "#hash # sharp",
    "'single'",
    '"double"',
    "a b",
    "a=b=c",
    "100%",
    "%(x)s",
    "%20",
    "{x}{{y}}",
    "ünï日本😀",
    "\\$x",
    "a,b;c",
    "`id`",
    "~",
    "True",
    "None",
    "0",
    "(1, 2)",
    "[1]",
]


@pytest.fixture
def environment(monkeypatch):
    """An environment with nothing but what the test puts there."""
    surroundings: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", surroundings)
    return surroundings


def refused(words: str):
    return pytest.raises(ImproperlyConfigured, match=f"^{re.escape(words)}")


@pytest.mark.parametrize("value", ODD)
def test_a_value_of_the_environment_is_what_stands_there(environment, value):
    environment |= {"THING": value, "HOME": "/home", "X": "other", "ecret123": "other"}
    assert settings_from.read_secret("THING") == settings_from.read_text("THING", "default") == value


@pytest.mark.parametrize("value", [*ODD, "two\nlines", "-----BEGIN KEY-----\r\nabc\r\n-----END KEY-----"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_a_value_of_a_file_is_what_stands_there_without_line_ends(environment, tmp_path, value, end):
    (tmp_path / "thing").write_bytes(f"{value}{end}".encode())
    environment["THING_FILE"] = str(tmp_path / "thing")
    assert settings_from.read_secret("THING") == value


@pytest.mark.parametrize("value", ODD)
def test_a_value_of_an_env_file_is_what_stands_there(environment, tmp_path, value):
    quoted = '"{}"'.format(value.replace("\\", "\\\\").replace('"', '\\"'))
    (tmp_path / ".env").write_text(f"QUOTED={quoted}\nSINGLE='{value.replace(chr(39), '')}'\n")
    settings_from.read_files(tmp_path / ".env")
    assert settings_from.read_secret("QUOTED") == value
    assert settings_from.read_secret("SINGLE") == value.replace("'", "")


def test_white_space_around_a_secret_is_a_part_of_it(environment, tmp_path):
    environment["THING"] = "  a secret  "
    assert settings_from.read_secret("THING") == "  a secret  "
    (tmp_path / "key").write_text("  a secret  \n")
    environment.clear()
    environment["THING_FILE"] = str(tmp_path / "key")
    assert settings_from.read_secret("THING") == "  a secret  "


def test_a_byte_order_mark_of_a_file_does_not_count(environment, tmp_path):
    (tmp_path / "thing").write_bytes(b"\xef\xbb\xbfvalue\r\n")
    environment["THING_FILE"] = str(tmp_path / "thing")
    assert settings_from.read_text("THING") == "value"


def test_a_relative_path_of_a_file_starts_at_the_folder_of_manage_py(environment, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    environment["THING_FILE"] = "requirements/base.in"
    assert settings_from.read_secret("THING").startswith("# What the service needs")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "which is empty. Put the value there, or leave out THING_FILE"),
        (b"\n", "which is empty"),
        (b" \r\n", "which is empty"),
        ("value".encode("utf-16"), "which is text in UTF-16. Save it as UTF-8"),
        ("value".encode("utf-16-be"), "which has a NUL character in line 1"),
        (b"a\nJ\xf6rg", "which has bytes in line 2 that are not UTF-8"),
        (b"x" * 65_537, "which is larger than 64 KiB"),
    ],
)
def test_a_file_without_a_value_is_refused(environment, tmp_path, data, words):
    (tmp_path / "thing").write_bytes(data)
    environment["THING_FILE"] = str(tmp_path / "thing")
    for read in (settings_from.read_secret, settings_from.read_text, settings_from.is_given, settings_from.read_list):
        with refused(f"THING_FILE names '{tmp_path}/thing', {words}"):
            read("THING")


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "device", "loop", "unreadable"])
def test_what_is_no_file_is_refused_without_waiting(environment, tmp_path, kind):
    path = tmp_path / "thing"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "device":
            path = Path("/dev/zero")
        case "loop":
            path.symlink_to(path)
        case "unreadable":
            path.write_text("value")
            path.chmod(0)
            if os.access(path, os.R_OK):
                pytest.skip("root may read everything")
    environment["THING_FILE"] = str(path)
    with refused(f"THING_FILE names '{path}', which "):
        settings_from.read_text("THING")


def test_one_setting_is_given_in_one_way(environment, tmp_path):
    environment |= {"THING": "value", "THING_FILE": str(tmp_path / "thing")}
    with refused("THING and THING_FILE are both set, but only one may be"):
        settings_from.read_text("THING")


def test_a_setting_of_the_environment_wins_over_the_file_that_an_env_file_names(environment, tmp_path):
    (tmp_path / ".env").write_text(f"A_FILE={tmp_path}/a\nB=from .env\nC_FILE={tmp_path}/c\n")
    (tmp_path / "b").write_text("from its file")
    environment |= {"A": "from the environment", "B_FILE": str(tmp_path / "b"), "C": ""}
    settings_from.read_files(tmp_path / ".env")
    assert [settings_from.read_text(name, "default") for name in "ABC"] == [
        "from the environment",
        "from its file",
        "default",
    ]


def test_a_line_without_a_value_leaves_the_setting_open(environment, tmp_path):
    (tmp_path / ".env").write_text("A=\nB=''\n")
    (tmp_path / "run.env").write_text("A=later\n")
    settings_from.read_files(tmp_path / ".env", tmp_path / "run.env")
    assert (environment["A"], "B" in environment) == ("later", False)


@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling link"])
def test_an_env_file_that_is_none_stops_the_start(environment, tmp_path, kind):
    path = tmp_path / ".env"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "dangling link":
            path.symlink_to(tmp_path / "nowhere")
    with refused(f"{path} "):
        settings_from.read_files(path)


def test_a_line_that_cannot_be_read_stops_the_start_and_is_named(environment, tmp_path):
    (tmp_path / ".env").write_text("\nset QRS_URL=https://sense:4242\n")
    with refused(f"{tmp_path}/.env, line 2: it must read NAME=value, or begin with # as a comment. Leave out `set`."):
        settings_from.read_files(tmp_path / ".env")
    assert "QRS_URL" not in environment


def test_bytes_that_are_no_utf_8_are_refused(environment):
    environment["THING"] = b"COMPANY\\J\xf6rg".decode(errors="surrogateescape")
    with refused("THING has bytes that are not UTF-8"):
        settings_from.read_text("THING")


@pytest.mark.parametrize("value", ["a\nb", "a\tb", "a\x1b[0m", "a\x7f", "a\x85b"])
def test_an_ordinary_value_is_one_line(environment, value):
    environment["THING"] = value
    with refused(f"THING is {value!r}, but it must be one line without control characters"):
        settings_from.read_text("THING")


def test_of_a_long_value_only_the_beginning_is_shown(environment):
    environment["THING"] = "x" * 100_000
    with pytest.raises(ImproperlyConfigured) as refusal:
        settings_from.read_choice("THING", default="a", allowed=("a",))
    assert str(refusal.value).startswith(f"THING is '{'x' * 200}...', but it must be one of a.")


def test_white_space_alone_is_no_value_where_a_default_would_do_harm(environment):
    assert not settings_from.is_given("THING")
    environment["THING"] = ""
    assert not settings_from.is_given("THING")
    environment["THING"] = "x"
    assert settings_from.is_given("THING")
    environment["THING"] = "  "
    with refused("THING is '  ', but it must be more than white space, or empty for the default"):
        settings_from.is_given("THING")
    with refused("THING is '  '"):
        settings_from.read_secret_key("THING", kept_in=Path("/nowhere"))


@pytest.mark.parametrize("value", ["c++", "R#1", "%20", "å b", "it's", '"x"', "$HOME", "a?b", "a:b", "file:x", "-x"])
def test_a_path_is_what_stands_there(environment, value):
    environment["THING"] = value
    assert settings_from.read_path("THING", default=Path("/")) == settings_from.PROJECT_FOLDER / value
    environment["THING"] = f"/somewhere/{value}"
    assert settings_from.read_path("THING", default=Path("/")) == Path("/somewhere") / value


@pytest.mark.parametrize("value", ["~/butler", "~"])
def test_a_path_is_written_in_full(environment, value):
    environment["THING"] = value
    with refused(f"THING is {value!r}, but it must be a path in full: ~ is not replaced"):
        settings_from.read_path("THING", default=Path("/"))


@pytest.mark.parametrize("default", ["/a\nb", "/\udce5"])
def test_a_default_path_that_nothing_can_print_is_refused_too(environment, default):
    with refused(f"THING is {default!r}, but it must be a path in UTF-8 and without control characters"):
        settings_from.read_path("THING", default=Path(default))


def test_an_empty_secret_key_is_refused(environment, tmp_path):
    (tmp_path / "key").touch(mode=0o600)
    with refused(f"'{tmp_path}/key' is empty, but holds the secret key. Delete it"):
        settings_from.read_secret_key("THING", kept_in=tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("url", "printed"),
    [
        ("postgres://user:a/b@host/db", "postgres://user:***@host/db"),
        ("postgres://user:a@b@host/db", "postgres://user:***@host/db"),
        ("redis://:a#b?c@host/0", "redis://:***@host/0"),
        ("postgres:///db?user=u&password=secret&host=x", "postgres:///db?user=u&password=***&host=x"),
        ("postgres:///db?sslpassword=secret", "postgres:///db?sslpassword=***"),
    ],
)
def test_a_printed_url_has_no_password_however_odd(url, printed):
    assert settings_from.without_password(url) == printed


def test_a_path_that_leads_in_a_circle_is_refused(environment, tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    environment["THING"] = str(tmp_path / "a" / "data")
    with refused(f"THING is '{tmp_path}/a/data', but it must be a path that leads somewhere"):
        settings_from.read_path("THING", default=Path("/"))


@pytest.mark.parametrize("value", ["https://sense\u200b:4242", "https://\u00a0sense", "https://sense \u00a04242"])
def test_a_url_has_no_character_that_nobody_sees(environment, value):
    environment["THING"] = value
    with pytest.raises(ImproperlyConfigured, match=r"^THING is .*must be a URL that begins with https"):
        settings_from.read_url_list("THING", default="", schemes=("https",))


@pytest.mark.parametrize(
    "password", ["p$w", "100%", "p+w", "p:w", "p%3Bw", "p%40%2F%23%3F%25", "{x}%(y)s", "'\"\\", "pä"]
)
def test_a_redis_password_is_the_same_to_celery_and_to_redis(environment, password):
    environment["THING"] = f"redis://us%C3%A9r:{password}@host:6380/3"
    url = settings_from.read_redis_url("THING", default="")
    theirs, ours = Connection(url), parse_url(url)
    assert (theirs.userid, theirs.password) == (ours["username"], ours["password"]) == ("usér", unquote(password))
    assert (theirs.hostname, theirs.port, theirs.virtual_host) == ("host", 6380, "3")


@pytest.mark.parametrize(
    "value", ["redis://:a;b@host/0", "redis://:a/b@host/0", "redis://:a#b@host/0", "redis://:a?b@host", "redis://a b@h"]
)
def test_a_redis_url_with_a_password_that_must_be_encoded_says_so(environment, value):
    environment["THING"] = value
    with pytest.raises(ImproperlyConfigured, match=r"@ as %40, / as %2F, # as %23"):
        settings_from.read_redis_url("THING", default="")


# Names


def test_a_name_that_is_set_no_more_is_not_told(environment, tmp_path):
    note_setting("QRS_URL")
    (tmp_path / ".env").write_text("QRS_ULR=https://x\n")
    settings_from.read_files(tmp_path / ".env")
    assert [unknown.name for unknown in list_unknown()] == ["QRS_ULR"]
    environment.clear()
    assert list_unknown() == []


def test_a_name_that_comes_close_to_a_setting_is_told_with_its_place(environment, tmp_path):
    for name in ("QRS_URL", "REDIS_URL", "BUTLER_PORT"):
        note_setting(name)
    (tmp_path / ".env").write_text("REDIS_ULR=redis://x\nqrs_url=https://x\nCOMPOSE_FILE=x\nREDIS_URL_FILE=/x\n")
    environment |= {"QRS_ULR_FILE": "/x", "BUTLER_WHATEVER_ELSE": "1", "REDIS_URLS": "not ours to judge", "PATH": "/"}
    settings_from.read_files(tmp_path / ".env")
    found = {unknown.name: unknown for unknown in list_unknown()}
    assert found["REDIS_ULR"] == UnknownName("REDIS_ULR", f"{tmp_path}/.env, line 1", "REDIS_URL")
    assert found["qrs_url"] == UnknownName("qrs_url", f"{tmp_path}/.env, line 2", "QRS_URL")
    assert found["QRS_ULR_FILE"] == UnknownName("QRS_ULR_FILE", "the environment", "QRS_URL")
    assert found["BUTLER_WHATEVER_ELSE"] == UnknownName("BUTLER_WHATEVER_ELSE", "the environment", "")
    assert not {"COMPOSE_FILE", "REDIS_URL_FILE", "REDIS_URLS", "PATH"} & found.keys()


def test_what_only_this_terminal_has_is_needed_in_another(environment, tmp_path):
    for name in ("BUTLER_DATA_DIR", "DATABASE_URL", "REDIS_URL", "BUTLER_PORT", "QRS_USER", "QRS_URL"):
        note_setting(name)
    (tmp_path / ".env").write_text("QRS_USER=COMPANY\\\\butler\nQRS_URL=https://of-the-file\nREDIS_URL=redis://x/0\n")
    environment |= {"BUTLER_DATA_DIR": "data2", "DATABASE_URL_FILE": "/x", "BUTLER_PORT": "8081", "REDIS_URL": ""}
    environment |= {"QRS_URL": "https://of-the-terminal", "QRS_ULR": "https://x"}
    settings_from.read_files(tmp_path / ".env")
    assert list_needed() == ["BUTLER_DATA_DIR", "DATABASE_URL_FILE", "QRS_URL"]

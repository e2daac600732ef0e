"""DATABASE_URL: what it becomes, and what is said of one that cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from butler.database_url import read_database
from butler.environment import PROJECT_FOLDER


@pytest.fixture
def read(monkeypatch):
    """Return a function that reads the setting with a value."""
    surroundings: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", surroundings)

    def read(url: str = "", *, default: str = "/data/butler.sqlite3") -> dict[str, object]:
        surroundings["THING"] = url
        return read_database("THING", default=Path(default))

    return read


@pytest.mark.parametrize(
    "folder", ["c++", "R#1", "a?b", "%20", "100%", "a b", "å", "it's", '"x"', "a:b@c", "$HOME", "~"]
)
def test_without_a_url_any_folder_will_do(read, folder):
    found = read(default=f"/{folder}/butler.sqlite3")
    assert found == {"ENGINE": "django.db.backends.sqlite3", "NAME": f"/{folder}/butler.sqlite3"}


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:////var/lib/butler.sqlite3", "/var/lib/butler.sqlite3"),
        ("sqlite:////c++/a b/å.db", "/c++/a b/å.db"),
        ("sqlite:////R%231/%2520%3F/db", "/R#1/%20?/db"),
        ("sqlite:///data/db.sqlite3", f"{PROJECT_FOLDER}/data/db.sqlite3"),
        ("sqlite:///db", f"{PROJECT_FOLDER}/db"),
    ],
)
def test_a_url_of_sqlite_names_a_file(read, url, path):
    assert read(url) == {"ENGINE": "django.db.backends.sqlite3", "NAME": path}


def test_a_relative_file_does_not_depend_on_where_a_process_runs(read, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert read("sqlite:///db")["NAME"] == f"{PROJECT_FOLDER}/db"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite://db.sqlite3",
        "sqlite:////R#1/db",
        "sqlite:////a?b/db",
        "sqlite:/db",
    ],
)
def test_a_url_of_sqlite_that_names_no_file_is_refused_with_the_form(read, url):
    with pytest.raises(ImproperlyConfigured, match=r"must read sqlite:////path/to/file.*# as %23, \? as %3F"):
        read(url)


def test_white_space_alone_is_no_url(read):
    with pytest.raises(ImproperlyConfigured, match="must be more than white space, or empty for the default"):
        read("  ")


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "sqlite:///%3Amemory%3A"])
def test_a_database_in_memory_is_refused(read, url):
    with pytest.raises(ImproperlyConfigured, match="must name a file: each process would have a memory of its own"):
        read(url)


@pytest.mark.parametrize("url", ["sqlite:////100%/db", "postgres://u:100%@h/db", "postgres://u:a%zz@h/db"])
def test_a_percent_sign_that_begins_no_code_is_refused(read, url):
    with pytest.raises(ImproperlyConfigured, match=r"has a % that begins no code of two digits.*% as %25"):
        read(url)


@pytest.mark.parametrize("url", ["sqlite:////a%00b", "sqlite:////a%0Ab", "sqlite:////a%FFb"])
def test_a_code_that_no_path_can_have_is_refused(read, url):
    with pytest.raises(ImproperlyConfigured, match=r"^THING is 'sqlite"):
        read(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgres://butler:secret@db:5433/name",
            {"USER": "butler", "PASSWORD": "secret", "HOST": "db", "PORT": "5433"},
        ),
        ("postgresql://butler@db/name", {"USER": "butler", "PASSWORD": "", "HOST": "db", "PORT": ""}),
        ("postgres://user@%2Frun%2Fpg/name", {"USER": "user", "HOST": "/run/pg"}),
        ("postgres:///name?host=/run/pg&user=me", {"USER": "me", "HOST": "/run/pg"}),
        ("postgres:///name", {"USER": "", "HOST": ""}),
        ("postgres://u:p%40%2F%23%3F%25%3A+%20x@h/name", {"PASSWORD": "p@/#?%:+ x"}),
        ("postgres://u:p#a?b$c:d+e'@h/name", {"PASSWORD": "p#a?b$c:d+e'"}),
        ("postgres://j%C3%B6rg:p%C3%A4@h/name", {"USER": "jörg", "PASSWORD": "pä"}),
        ("postgres://jörg:pä@h/name", {"USER": "jörg", "PASSWORD": "pä"}),
        ("postgres://u@[::1]:5432/name", {"HOST": "::1", "PORT": "5432"}),
        (
            "postgres://u@one:5432,two:5433/name?target_session_attrs=read-write",
            {"HOST": "one,two", "PORT": "5432,5433", "OPTIONS": {"target_session_attrs": "read-write"}},
        ),
        ("postgres://u@one,two/name", {"HOST": "one,two", "PORT": ","}),
        ("postgres://u@h/name?sslmode=verify-full&sslrootcert=/a%20b", None),
        (
            "postgres://u@h/name?options=-c%20statement_timeout%3D5s",
            {"OPTIONS": {"options": "-c statement_timeout=5s"}},
        ),
    ],
)
def test_a_url_of_postgresql_is_read_as_its_own_programs_read_it(read, url, expected):
    found = read(url)
    assert (found["ENGINE"], found["NAME"]) == ("django.db.backends.postgresql", "name")
    if expected is None:
        expected = {"OPTIONS": {"sslmode": "verify-full", "sslrootcert": "/a b"}}
    assert {word: found[word] for word in expected} == expected


def test_the_database_is_the_user_s_where_none_is_named(read):
    assert read("postgres://butler@db")["NAME"] == "butler"
    assert read("postgres://db?service=butler")["NAME"] == ""


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:hunter2@x@h/db",
        "postgres://u:hunter2/x@h/db",
        "postgres://u:12/hunter2@h/db",
        "postgres://u:hunter2@h:port/db",
        "postgres://u:hunter2@h/db?no_such_option=1",
        "postgres://u:hunter2 x@h/db",
        "postgres://u:hunter2@[::1/db",
        "postgres://u:hunter2%FF@h/db",
        "postgres:///db?password=hunter2&port=many",
        "mysql://u:hunter2@h/db",
        "postgres:u:hunter2@h/db",
        "postgres://",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_and_its_password_not_shown(read, url):
    with pytest.raises(ImproperlyConfigured) as refusal:
        read(url)
    assert str(refusal.value).startswith("THING is '")
    assert "docs/configuration.md" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize("url", ["postgres://u:p@x@h/db", "postgres://u:p/x@h/db", "postgres://u:12/x@h/db"])
def test_a_password_that_must_be_encoded_is_told_how(read, url):
    with pytest.raises(ImproperlyConfigured, match="@ as %40, / as %2F"):
        read(url)

"""DATABASE_URL, made into what Django wants to know of a database."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from butler.environment import PROJECT_FOLDER, is_given, read_text, without_password, wrong_value

SCHEMES = ("sqlite", "postgres", "postgresql")

_ENCODING = "special characters written as in every URL (@ as %40, / as %2F, # as %23, ? as %3F, % as %25)"
_SQLITE_FORM = "must read sqlite:////path/to/file, or sqlite:///file from the folder of manage.py"
_POSTGRES_FORM = "must read postgres://user:password@host:5432/database"


class _WrongUrlError(Exception):
    """The URL names no database; the text is the rule that it breaks."""


def read_database(name: str, *, default: Path) -> dict[str, Any]:
    """Return Django's settings for the database that the setting `name` has the URL of.

    Without a value it is SQLite in the file `default`, which no URL is made of: a path may have any character.
    """
    if not is_given(name):
        return _describe_file(default)
    url = read_text(name)
    try:
        return _parse(url)
    except _WrongUrlError as error:
        raise wrong_value(name, without_password(url), str(error)) from None


def _parse(url: str) -> dict[str, Any]:
    scheme = url.partition(":")[0]
    if re.search(r"%(?![0-9A-Fa-f]{2})", url):
        raise _WrongUrlError(f"has a % that begins no code of two digits: it must have {_ENCODING}")
    if scheme == "sqlite":
        return _parse_sqlite(url)
    if scheme in SCHEMES:
        return _parse_postgres(url)
    raise _WrongUrlError(f"must be a URL that begins with {' or '.join(f'{scheme}://...' for scheme in SCHEMES)}")


def _parse_sqlite(url: str) -> dict[str, Any]:
    match = re.fullmatch(r"sqlite:///([^?#]+)", url)
    if match is None:
        raise _WrongUrlError(f"{_SQLITE_FORM}, with {_ENCODING}")
    path = _decode(match[1])
    if path == ":memory:":
        raise _WrongUrlError("must name a file: each process would have a memory of its own")
    return _describe_file(PROJECT_FOLDER / path)


def _decode(text: str) -> str:
    # Not unquote_plus: in a path + is no blank
    try:
        path = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _WrongUrlError("must have its special characters in UTF-8") from None
    if not path.isprintable():
        raise _WrongUrlError("must be a path without control characters")
    return path


def _describe_file(path: Path) -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path)}


def _parse_postgres(url: str) -> dict[str, Any]:
    # Takes some time to load, and SQLite needs none of it
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    # Not urlsplit, which takes a # in a password for the end of the address
    authority, _, path = url.partition("://")[2].partition("?")[0].partition("/")
    if "@" in path or authority.count("@") > 1:
        raise _WrongUrlError(f"{_POSTGRES_FORM}, with {_ENCODING} in user, password and database")
    try:
        # As PostgreSQL's own programs read it: sockets, several hosts and options included
        found = {word: str(value) for word, value in conninfo_to_dict(url).items()}
    except (psycopg.Error, ValueError):
        # What it says of a wrong one may quote the password
        raise _WrongUrlError(
            f"{_POSTGRES_FORM}, with {_ENCODING}, and options as PostgreSQL's programs take them"
        ) from None
    user, port = found.pop("user", ""), found.pop("port", "")
    if not re.fullmatch(r"[0-9,]*", port):
        raise _WrongUrlError(f"{_POSTGRES_FORM} with a number as port, and {_ENCODING}")
    database = found.pop("dbname", "" if "service" in found else user)
    if not database and "service" not in found:
        raise _WrongUrlError(f"{_POSTGRES_FORM}, and has no database")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database,
        "USER": user,
        "PASSWORD": found.pop("password", ""),
        "HOST": found.pop("host", ""),
        "PORT": port,
        "OPTIONS": found,
    }

"""Reading settings from the environment: one check for each kind of value, one sentence for each mistake.

A value is what stands there: nothing in it refers to anything else.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

from butler.env_files import EnvFileError, read_env_file
from butler.setting_names import note_file, note_setting
from butler.text_files import TextFileError, read_text_file

#: Where relative paths start: the folder of manage.py
PROJECT_FOLDER = Path(__file__).resolve().parent.parent
#: The most that a file named by `NAME_FILE` may have
MAX_VALUE_BYTES = 64 * 1024
#: Of a wrong value so many characters are repeated
MAX_SHOWN = 200

SECONDS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?")
#: Of what the names and addresses of hosts are made; nothing that would have to be replaced first
_HOST = re.compile(r"[\w.:%-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def read_files(*paths: Path) -> None:
    """Take what the given `NAME=value` files say, for settings that the environment leaves open.

    An earlier file wins over a later one, and a line without a value says nothing. A file that does not exist is passed
    over.
    """
    for path in paths:
        # A link that leads nowhere is no file that does not exist
        if not os.path.lexists(path):
            continue
        try:
            assignments = read_env_file(path)
        except EnvFileError as error:
            raise ImproperlyConfigured(f"{error} docs/configuration.md describes the file.") from error
        for assignment in assignments:
            note_file(assignment.name, assignment.value, place=f"{path}, line {assignment.line}")
            _take(assignment.name, assignment.value)


def _take(name: str, value: str) -> None:
    other = name.removesuffix("_FILE") if name.endswith("_FILE") else f"{name}_FILE"
    # Whoever sets NAME in the environment means it, also where .env has NAME_FILE
    if value and name not in os.environ and other not in os.environ:
        os.environ[name] = value


def read_secret(name: str) -> str:
    """Return the value of `name` as it is, white space and all; empty when it is not set.

    `NAME_FILE` may name a file that holds it, of which the line ends at its end do not count.
    """
    note_setting(name)
    value, file = os.environ.get(name, ""), os.environ.get(f"{name}_FILE", "")
    if value and file:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set, but only one may be. Take the other away.")
    if file:
        value = _read_value_file(name, file)
    if not _is_utf8(value):
        raise ImproperlyConfigured(f"{name} has bytes that are not UTF-8. Set it in UTF-8.")
    return value


def _read_value_file(name: str, file: str) -> str:
    try:
        value = read_text_file(PROJECT_FOLDER / file, most_bytes=MAX_VALUE_BYTES).rstrip("\r\n")
    except TextFileError as error:
        raise ImproperlyConfigured(f"{name}_FILE names {file!r}, which {error}.") from error
    if not value.strip():
        raise ImproperlyConfigured(
            f"{name}_FILE names {file!r}, which is empty. "
            f"Put the value there, or leave out {name}_FILE for the default."
        )
    return value


def read_text(name: str, default: str = "") -> str:
    """Return the value of `name`, one line, without white space around it; an empty value means the default."""
    value = read_secret(name).strip()
    if _CONTROL.search(value):
        raise wrong_value(name, value, "must be one line without control characters")
    return value or default


def is_given(name: str) -> bool:
    """Return whether `name` has a value; white space alone is neither a value nor none, and refused."""
    value = read_secret(name)
    if value and not value.strip():
        raise wrong_value(name, value, "must be more than white space, or empty for the default")
    return bool(value)


def read_path(name: str, *, default: Path) -> Path:
    """Return the value of `name`, a path, as an absolute one; a relative path starts at the folder of manage.py."""
    value = read_text(name, str(default))
    if value.startswith("~"):
        raise wrong_value(name, value, "must be a path in full: ~ is not replaced")
    try:
        # Also what stands before a relative path, and the default
        path = str((PROJECT_FOLDER / value).resolve())
    except (OSError, RuntimeError) as error:
        raise wrong_value(name, value, f"must be a path that leads somewhere ({error})") from error
    if _CONTROL.search(path) or not _is_utf8(path):
        raise wrong_value(name, path, "must be a path in UTF-8 and without control characters")
    return Path(path)


def read_choice(name: str, *, default: str, allowed: Sequence[str], also: Mapping[str, str] | None = None) -> str:
    """Return the value of `name`, which must be one of `allowed`; `also` maps other words for them."""
    given = read_text(name, default)
    value = (also or {}).get(given, given)
    if value not in allowed:
        raise wrong_value(name, value, f"must be one of {', '.join(allowed)}")
    return value


def read_list(name: str) -> tuple[str, ...]:
    """Return the texts of `name` that have commas or line ends between them, without white space around them.

    A text with a comma stands in double quotes, with its own doubled. None without a value; a value that names nothing
    is refused, for it would not be known whether it means all or nothing.
    """
    value = read_secret(name)
    lines = value.splitlines()
    if _CONTROL.search("".join(lines)):
        raise wrong_value(name, value, "must not have control characters")
    try:
        texts = [text.strip() for row in csv.reader(lines, skipinitialspace=True, strict=True) for text in row]
    except csv.Error as error:
        raise wrong_value(name, value, "must have whole texts between commas, one with quotes in quotes") from error
    if value and not any(texts):
        raise wrong_value(name, value, "must name something, or be empty so that nothing is restricted")
    return tuple(text for text in texts if text)


def read_whole_number(name: str, *, default: int, least: int, most: int) -> int:
    """Return the value of `name`, a whole number from `least` to `most`, both included."""
    value = read_text(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
        raise wrong_value(name, value, f"must be a whole number from {least} to {most}")
    return int(value)


def read_timeouts(name: str, *, default: str) -> tuple[float, float]:
    """Return the value of `name` as seconds to connect and seconds to wait for an answer.

    Either one number for both, or two with a comma between them.
    """
    value = read_text(name, default)
    parts = [part.strip() for part in value.split(",")]
    if len(parts) > 2 or not all(SECONDS.fullmatch(part) for part in parts):
        raise wrong_value(name, value, "must be seconds such as 30, or two numbers such as 5,30 (connect, answer)")
    connect, answer = float(parts[0]), float(parts[-1])
    if connect <= 0 or answer <= 0:
        raise wrong_value(name, value, "must be more than 0 seconds")
    return connect, answer


def read_seconds(name: str, *, default: float) -> float:
    """Return the value of `name`, a number of seconds."""
    value = read_text(name)
    if not value:
        return default
    if not SECONDS.fullmatch(value) or not float(value):
        raise wrong_value(name, value, "must be seconds such as 60, more than 0 and less than 10000")
    return float(value)


def read_url(name: str, *, default: str, schemes: tuple[str, ...]) -> str:
    """Return the value of `name`, a URL of one of the `schemes` with a host; an empty default stays empty."""
    value = read_text(name, default)
    if not value:
        return value
    _check_url(name, value, schemes)
    return value


def read_url_list(name: str, *, default: str, schemes: tuple[str, ...]) -> str:
    """Return the value of `name`, one or more URLs as of `read_url`, with commas and nothing else between them."""
    urls = [url.strip() for url in read_text(name, default).split(",")]
    for url in urls:
        _check_url(name, url, schemes)
    return ",".join(urls)


def read_redis_url(name: str, *, default: str) -> str:
    """Return the value of `name`, the URL of a Redis database: its number may follow the host, and no options."""
    value = read_url(name, default=default, schemes=("redis", "rediss"))
    parts = urlsplit(value)
    if not re.fullmatch(r"/?[0-9]*", parts.path) or parts.query or parts.fragment or ";" in value:
        # Celery and redis-py understand different options, so one that suits both is hard to find; Celery takes what
        # has a ; for several addresses
        raise wrong_value(
            name,
            without_password(value),
            f"may only have a database number after the host, as in redis://host:6379/0{_encoding_rule(value)}",
        )
    return value


def read_alert_urls(name: str) -> list[str]:
    """Return the value of `name`, apprise URLs with commas or white space between them; none for an empty value.

    Only their form is looked at, and what is said of a wrong one does not repeat it: all of it may be a secret.
    """
    text = read_secret(name).strip() if is_given(name) else ""
    urls = [url for url in re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", text) if url]
    for number, url in enumerate(urls, 1):
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", url.rstrip(", ")):
            rule = "must be apprise URLs such as mailto://..., with commas or spaces between them"
            raise wrong_value(name, f"URL {number} of {len(urls)}, not shown here", rule)
    return [url.rstrip(", ") for url in urls]


def read_secret_key(name: str, *, kept_in: Path) -> str:
    """Return the value of `name` as it is, or else the key in the file `kept_in`, made there at the first start.

    The file can be read by its owner only. Processes that start together agree on one key.
    """
    if is_given(name):
        return read_secret(name)
    try:
        key = _read_or_make_key(kept_in)
    except OSError as error:
        raise ImproperlyConfigured(
            f"The data folder {str(kept_in.parent)!r} cannot be used: {error.strerror}. "
            f"Make it a folder that you may write to, or name another one in BUTLER_DATA_DIR."
        ) from error
    if not key:
        raise ImproperlyConfigured(f"{str(kept_in)!r} is empty, but holds the secret key. Delete it, for a new one.")
    return key


def _read_or_make_key(kept_in: Path) -> str:
    if kept_in.is_file():
        return kept_in.read_text().strip()
    kept_in.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = kept_in.with_name(f".{kept_in.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    try:
        draft.write_text(get_random_secret_key())
        # A link either appears whole or fails because another process was first
        os.link(draft, kept_in)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return kept_in.read_text().strip()


def _is_utf8(text: str) -> bool:
    # Python keeps bytes of the environment that are not as lone surrogates
    return not re.search(r"[\ud800-\udfff]", text)


def _check_url(name: str, value: str, schemes: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(value)
        well_formed = parts.scheme in schemes and bool(parts.hostname or parts.path.strip("/"))
        _ = parts.port
    except ValueError:
        well_formed = False
    if not well_formed or " " in value or not value.isprintable():
        expected = " or ".join(f"{scheme}://..." for scheme in schemes)
        raise wrong_value(
            name, without_password(value), f"must be a URL that begins with {expected}{_encoding_rule(value)}"
        )
    if parts.hostname and not _HOST.fullmatch(parts.hostname):
        raise wrong_value(
            name,
            without_password(value),
            "must have the name of a host after ://, of letters, digits, dots, - and _. Nothing in a value is replaced",
        )


def _encoding_rule(url: str) -> str:
    """Return what to say of special characters where they may be what is wrong."""
    if "@" not in url and " " not in url:
        return ""
    codes = "@ as %40, / as %2F, # as %23, ? as %3F, ; as %3B, % as %25"
    return f", with special characters in its parts as in every URL ({codes})"


def without_password(url: str) -> str:
    """Return `url` as it may be printed: with `***` where a password stands, or may stand."""
    # To the last @: a password that should have been encoded may have one, or a slash
    url = re.sub(r"(://[^:@/]*):.*@" if "://" in url else r"().*@", r"\1:***@", url)
    return re.sub(r"([?&](?:ssl)?password=)[^&]*", r"\1***", url)


def wrong_value(name: str, value: str, rule: str) -> ImproperlyConfigured:
    """Return the error that `name` has a value, of which not too much is shown, that breaks a rule."""
    shown = value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}..."
    return ImproperlyConfigured(
        f"{name} is {shown!r}, but it {rule}. "
        f"Change it in the environment or in .env; docs/configuration.md describes it."
    )

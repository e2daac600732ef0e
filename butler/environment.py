"""Reading settings from the environment: one check for each kind of value, one sentence for each mistake."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

#: Values come from the process environment; `NAME_FILE` names a file that holds the value of NAME.
env = environ.FileAwareEnv()

SECONDS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?")


def read_files(*paths: Path) -> None:
    """Take what the given `NAME=value` files say, for names that the environment leaves open.

    An earlier file wins over a later one. A file that does not exist is passed over.
    """
    for path in paths:
        if path.is_file():
            environ.Env.read_env(path, overwrite=False)


def read_text(name: str, default: str = "") -> str:
    """Return the value of `name` without white space around it; an empty value means the default."""
    try:
        return str(env.str(name, default=default)).strip() or default
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE names a file that cannot be read: {error}.") from error


def read_choice(name: str, *, default: str, allowed: Sequence[str], also: Mapping[str, str] | None = None) -> str:
    """Return the value of `name`, which must be one of `allowed`; `also` maps other words for them."""
    given = read_text(name, default)
    value = (also or {}).get(given, given)
    if value not in allowed:
        raise _wrong(name, value, f"must be one of {', '.join(allowed)}")
    return value


def read_list(name: str) -> tuple[str, ...]:
    """Return the texts of `name` that have commas between them, without white space around them; none by default."""
    return tuple(text.strip() for text in read_text(name).split(",") if text.strip())


def read_whole_number(name: str, *, default: int, least: int, most: int) -> int:
    """Return the value of `name`, a whole number from `least` to `most`, both included."""
    value = read_text(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
        raise _wrong(name, value, f"must be a whole number from {least} to {most}")
    return int(value)


def read_timeouts(name: str, *, default: str) -> tuple[float, float]:
    """Return the value of `name` as seconds to connect and seconds to wait for an answer.

    Either one number for both, or two with a comma between them.
    """
    value = read_text(name, default)
    parts = [part.strip() for part in value.split(",")]
    if len(parts) > 2 or not all(SECONDS.fullmatch(part) for part in parts):
        raise _wrong(name, value, "must be seconds such as 30, or two numbers such as 5,30 (connect, answer)")
    connect, answer = float(parts[0]), float(parts[-1])
    if connect <= 0 or answer <= 0:
        raise _wrong(name, value, "must be more than 0 seconds")
    return connect, answer


def read_seconds(name: str, *, default: float) -> float:
    """Return the value of `name`, a number of seconds."""
    value = read_text(name)
    if not value:
        return default
    if not SECONDS.fullmatch(value) or not float(value):
        raise _wrong(name, value, "must be seconds such as 60, more than 0 and less than 10000")
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
    if not re.fullmatch(r"/?[0-9]*", parts.path) or parts.query or parts.fragment:
        # Celery and redis-py understand different options, so one that suits both is hard to find
        raise _wrong(
            name, without_password(value), "may only have a database number after the host, as in redis://host:6379/0"
        )
    return value


def read_alert_urls(name: str) -> list[str]:
    """Return the value of `name`, apprise URLs with commas or white space between them; none for an empty value.

    Only their form is looked at, and what is said of a wrong one does not repeat it: all of it may be a secret.
    """
    urls = [url for url in re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", read_text(name)) if url]
    for number, url in enumerate(urls, 1):
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", url.rstrip(", ")):
            rule = "must be apprise URLs such as mailto://..., with commas or spaces between them"
            raise _wrong(name, f"URL {number} of {len(urls)}, not shown here", rule)
    return [url.rstrip(", ") for url in urls]


def read_secret_key(name: str, *, kept_in: Path) -> str:
    """Return the value of `name`, or else the key in the file `kept_in`, made there at the first start.

    The file can be read by its owner only. Processes that start together agree on one key.
    """
    if key := read_text(name):
        return key
    try:
        return _read_or_make_key(kept_in)
    except OSError as error:
        raise ImproperlyConfigured(
            f"The data folder {str(kept_in.parent)!r} cannot be used: {error.strerror}. "
            f"Make it a folder that you may write to, or name another one in BUTLER_DATA_DIR."
        ) from error


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


def _check_url(name: str, value: str, schemes: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(value)
        well_formed = parts.scheme in schemes and bool(parts.hostname or parts.path.strip("/"))
        _ = parts.port
    except ValueError:
        well_formed = False
    if not well_formed:
        expected = " or ".join(f"{scheme}://..." for scheme in schemes)
        raise _wrong(name, without_password(value), f"must be a URL that begins with {expected}")


def without_password(url: str) -> str:
    """Return `url` as it may be printed: with `***` where a password stands."""
    return re.sub(r"(://[^:@/]*):[^@/]*@", r"\1:***@", url)


def _wrong(name: str, value: str, rule: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"{name} is {value!r}, but it {rule}. "
        f"Change it in the environment or in .env; docs/configuration.md describes it."
    )

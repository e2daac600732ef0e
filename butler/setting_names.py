"""Which settings there are, as the service asks for them, and which names come close to one but are none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

#: Names that begin so are meant for this service, wherever they stand
OWN_PREFIXES = ("BUTLER_", "QRS_")
#: How alike two names must be; a letter too many, or two in the wrong order, are
SIMILARITY = 0.8

_settings: set[str] = set()
_places: dict[str, str] = {}
#: What files say, so that a process in another terminal has it, too
_values: dict[str, str] = {}
#: Without these a command in another terminal works on other data, or with another site
_NEEDED = ("BUTLER_DATA_DIR", "DATABASE_URL", "REDIS_URL", "BUTLER_ALLOWED_", "QRS_")


@dataclass(frozen=True, slots=True)
class UnknownName:
    """A name that has a value and that no setting has; `nearest` is the setting it may mean, or empty."""

    name: str
    place: str
    nearest: str


def note_setting(name: str) -> None:
    """Remember that there is a setting of this name."""
    _settings.add(name)


def note_file(name: str, value: str, *, place: str) -> None:
    """Remember in which line of which file a name stands, and its value there."""
    _places.setdefault(name, place)
    _values.setdefault(name, value)


def list_needed() -> list[str]:
    """Return the settings of this process that a command in another terminal needs, and that no file gives it."""
    return sorted(
        name
        for name, value in os.environ.items()
        if value and name.startswith(_NEEDED) and name.removesuffix("_FILE") in _settings and _values.get(name) != value
    )


def list_unknown() -> list[UnknownName]:
    """Return the names that look like settings and are none, once the settings have been read.

    In the environment only those with a prefix of ours count; it is full of other programs' names.
    """
    return sorted(_find_unknown(), key=lambda unknown: unknown.name)


def _find_unknown() -> Iterator[UnknownName]:
    # What a file sets stands in the environment, too, by now
    for name in os.environ:
        setting = name.removesuffix("_FILE")
        if setting in _settings:
            continue
        nearest = next(iter(get_close_matches(setting.upper(), _settings, n=1, cutoff=SIMILARITY)), "")
        if setting.upper().startswith(OWN_PREFIXES) or (nearest and name in _places):
            yield UnknownName(name, _places.get(name, "the environment"), nearest)

"""Texts from QRS that databases and terminals can take."""

from __future__ import annotations

import json
import math
import re
from typing import Any

# NUL, which PostgreSQL refuses, and halves of surrogate pairs, which are no UTF-8
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
#: Longer numbers are none that QRS means
_MOST_DIGITS = 100
#: How they may stand in JSON; a pair has such escapes too, and so has what only looks like one
_SUSPECT = re.compile(r"\\u(?:0000|d[89a-f])|[\ud800-\udfff]", re.IGNORECASE)


def make_storable(text: str) -> str:
    """Return `text` with U+FFFD for each character that could not be written into a database."""
    return _UNSTORABLE.sub("\ufffd", text)


def load_json(content: bytes) -> Any:
    """Return what JSON stands for, with storable texts. Raises ValueError for what is no JSON."""
    text = _decode(content)
    try:
        document = json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # A number of thousands of digits, which Python does not read; one row must not take the others with it
        document = json.loads(text, parse_int=_read_int)
    return _clean(document) if _SUSPECT.search(text) else document


def _decode(content: bytes) -> str:
    # As json.loads does itself, which lets halves of pairs through
    encoding = json.detect_encoding(content)
    try:
        return content.decode(encoding, "surrogatepass")
    except UnicodeDecodeError:
        return content.decode(encoding, "replace")


def _read_int(digits: str) -> float:
    return int(digits) if len(digits) < _MOST_DIGITS else math.inf


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return make_storable(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return value

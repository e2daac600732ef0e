"""Reading a request's body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class BoundedJSONParser(JSONParser):
    """JSON in UTF-8, as RFC 8259 has it, with each key once.

    For a parser of this family the framework takes the body from Django, which refuses one that has more than
    DATA_UPLOAD_MAX_MEMORY_SIZE bytes.
    """

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the value that the body stands for; raises ParseError."""
        try:
            text = stream.read().decode("utf-8-sig")
            return json.loads(text, object_pairs_hook=_object_of, parse_constant=_refuse_constant)
        except UnicodeDecodeError as error:
            where = f"byte 0x{error.object[error.start]:02x} at position {error.start}"
            raise ParseError(f"The body is not UTF-8: {where}. Send JSON as UTF-8.") from error
        except RecursionError as error:
            raise ParseError("The body is nested too deeply. Send a JSON object of texts and lists.") from error
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {error}. Correct it there and send it again.") from error


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:60]!r} is there twice")
        found[key] = value
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")

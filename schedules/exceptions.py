"""Errors of the API, all in one shape: statusCode, error, message; for a refused body also code and fields."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import HttpResponse, UnreadablePostError
from rest_framework.exceptions import APIException, MethodNotAllowed, UnsupportedMediaType, ValidationError

from schedules.backfill import BackfillError
from schedules.maintenance import MaintenanceError
from schedules.periods import PeriodError
from schedules.services import UnknownScheduleError
from schedules.start_requests import TooManyStartsError
from schedules.task_lookup import CallFailedError

logger = logging.getLogger(__name__)

#: Butler's web server names a refused body so, and clients of Butler look for it.
INVALID_BODY = "FST_ERR_VALIDATION"

#: What a client is asked to wait when the database does not answer, in seconds
RETRY_AFTER = 5

# Python 3.13 has another name for it than 3.11; an answer does not depend on that.
_PHRASES = {413: "Payload Too Large"}


def error_response(status: int, message: str, **more: object) -> HttpResponse:
    """Return the answer to a request that failed; `more` is put behind the three entries of every error."""
    phrase = _PHRASES.get(status) or HTTPStatus(status).phrase
    body = {"statusCode": status, "error": phrase, "message": message, **more}
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    # Half of a surrogate pair, which a client may have sent, has no UTF-8; its escape is JSON's own
    content = text.encode("utf-8", "backslashreplace")
    headers = {"Content-Type": "application/json", "Content-Length": str(len(content))}
    return HttpResponse(content, status=status, headers=headers)


def handle_exception(error: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """Return the answer to a request during which `error` was raised.

    None stands for an error that is nobody's fault but ours: Django logs its traceback and answers 500.
    """
    match error:
        case UnknownScheduleError():
            return error_response(404 if settings.BUTLER_DIALECT == 4 else 400, str(error))
        case PeriodError() | BackfillError() | TooManyStartsError():
            return error_response(400, str(error))
        case MaintenanceError():
            return error_response(409, str(error))
        case CallFailedError():
            return _call_failed(error)
        case OperationalError() | InterfaceError():
            return _database_is_away(error)
        case RequestDataTooBig():
            most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
            return error_response(413, f"The body has more than {most:,} bytes. Send a smaller one.")
        case SuspiciousOperation() | UnreadablePostError():
            return error_response(400, f"The request cannot be read: {error}")
    return _answer_refusal(error, context)


def _answer_refusal(error: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    match error:
        case ValidationError(detail=dict() as fields):
            sentences = [f"{field}: {message}" for field, messages in fields.items() for message in messages]
            return error_response(400, " ".join(sentences), code=INVALID_BODY, fields=fields)
        case MethodNotAllowed():
            return error_response(405, _advise_method(**context))
        case UnsupportedMediaType():
            sent = context["request"].content_type
            said = f"The Content-Type is {sent!r}" if sent else "The request has no Content-Type"
            return error_response(415, f"{said}. Send JSON, with the header Content-Type: application/json.")
        case APIException():
            return error_response(error.status_code, str(error.detail))
    return None


def _call_failed(error: CallFailedError) -> HttpResponse:
    response = error_response(502 if error.is_reached else 503, str(error))
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    return response


def _database_is_away(error: Exception) -> HttpResponse:
    logger.warning("the database does not answer: %s", error)
    response = error_response(503, f"The database is busy or away. Try again in {RETRY_AFTER} seconds.")
    response["Retry-After"] = str(RETRY_AFTER)
    return response


def _advise_method(view: Any, request: Any, **_: object) -> str:
    possible = [method for method in view.allowed_methods if method not in ("HEAD", "OPTIONS")]
    return f"{request.method} is not possible on {request.path}. Use {' or '.join(possible)}."

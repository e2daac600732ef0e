"""What happens to a request before it reaches a view."""

from __future__ import annotations

import logging
from collections.abc import Callable
from io import BytesIO

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from schedules.exceptions import error_response

logger = logging.getLogger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponseBase]

OVERRIDE = "X-HTTP-Method-Override"


class ChunkedBodyMiddleware:
    """Let a body come in chunks.

    Django reads no further than Content-Length, so without that header it sees no body at all. Here the body
    gets one; one byte more than is allowed is enough for Django to refuse it.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # Only a server that sets this flag ends the stream where the body ends
        if "HTTP_TRANSFER_ENCODING" not in request.META or not request.META.get("wsgi.input_terminated"):
            return self.get_response(request)
        try:
            body = request.META["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        except Exception as error:  # each server has errors of its own for a broken chunk
            logger.info("a body that came in chunks broke off: %r", error)
            return error_response(400, f"The chunks of the body are broken: {error}. Send it again.")
        return self.get_response(_with_body(request, body))


class StorableAddressMiddleware:
    """Refuse an address of the admin that has a NUL in it: PostgreSQL refuses to look for one."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith("/admin/"):
            return self.get_response(request)
        texts = [request.path_info, *request.GET, *(value for _, values in request.GET.lists() for value in values)]
        if any("\0" in text for text in texts):
            told = "The address has the character U+0000, which nothing here can have. Leave it out."
            return HttpResponse(told, status=400, content_type="text/plain")
        return self.get_response(request)


class MethodOverrideMiddleware:
    """Let a client that can only GET and POST, such as Qlik's REST connector, say PUT, PATCH and DELETE by a header."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        asked = request.headers.get(OVERRIDE)
        if asked is None or not request.path_info.startswith("/v4/"):
            return self.get_response(request)
        if request.method != "POST" or asked.upper() not in ("PUT", "PATCH", "DELETE"):
            problem = f"{OVERRIDE}: {asked[:60]!r} on {request.method} is not possible"
            return error_response(400, f"{problem}. Send PUT, PATCH or DELETE in it, on POST, or leave it out.")
        request.method = asked.upper()
        return self.get_response(request)


def _with_body(request: HttpRequest, body: bytes) -> WSGIRequest:
    return WSGIRequest(request.META | {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))})

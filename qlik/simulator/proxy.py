"""The Qlik Sense Proxy Service: two virtual proxies on a port of their own, without client certificates.

Each has a prefix. One believes a JSON web token, the other a header; both tell QRS the user by X-Qlik-User and set a
session cookie, by which they know the user from then on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from qlik.simulator.listener import Reply, Request
from qlik.simulator.tokens import TokenError, make_token, read_token

# The oldest are forgotten: a client that never shows its cookie begins a session with each call.
SESSION_LIMIT = 10_000


class NotAuthenticatedError(Exception):
    """The virtual proxy does not know who calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """The two virtual proxies; port 0 takes a free one."""

    port: int = 0
    jwt_prefix: str = "jwt"
    header_prefix: str = "hdr"
    header_name: str = "hdr-usr"


class Proxy:
    """The virtual proxies, seen from outside."""

    def __init__(self, settings: ProxySettings, key: RSAPrivateKey, forward: Callable[[Request], Reply]) -> None:
        """`forward` is QRS; `key` signs the tokens."""
        self._header_name = settings.header_name.lower()
        self._key = key
        self._forward = forward
        self._ways = {settings.jwt_prefix: self._read_bearer, settings.header_prefix: self._read_header}
        self._lock = threading.Lock()
        # By cookie
        self._sessions: dict[tuple[str, str], str] = {}
        self.sessions_begun = 0

    def answer(self, request: Request) -> Reply:
        """Find out who calls, and hand the call to QRS."""
        prefix, _, path = request.path.removeprefix("/").partition("/")
        if prefix not in self._ways:
            return _refuse(HTTPStatus.NOT_FOUND, "No virtual proxy has this prefix.")
        cookie = _read_cookie(request, prefix)
        user = self._sessions.get((prefix, cookie))
        try:
            if user is None:
                user = self._ways[prefix](request)
                cookie = self._begin_session(prefix, user)
        except NotAuthenticatedError as error:
            return _refuse(HTTPStatus.UNAUTHORIZED, str(error))
        reply = self._forward(replace(request, path=f"/{path}", headers=request.headers | {"x-qlik-user": user}))
        words = f"{_name_cookie(prefix)}={cookie}; Path=/; HttpOnly; Secure"
        return replace(reply, headers=(*reply.headers, ("Set-Cookie", words)))

    def make_token(self, *, directory: str, user_id: str, lasts_seconds: float) -> str:
        """Return a token that is believed."""
        return make_token(self._key, directory=directory, user_id=user_id, lasts_seconds=lasts_seconds)

    def _read_bearer(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthenticatedError("The call has no bearer token.")
        try:
            return _name_user(*read_token(self._key.public_key(), token.strip()))
        except TokenError as error:
            raise NotAuthenticatedError(str(error)) from error

    def _read_header(self, request: Request) -> str:
        directory, separator, user_id = request.headers.get(self._header_name, "").partition("\\")
        if not (directory and separator and user_id and user_id.isascii() and directory.isascii()):
            raise NotAuthenticatedError(rf"The header {self._header_name} must read directory\id, in ASCII.")
        return _name_user(directory, user_id)

    def _begin_session(self, prefix: str, user: str) -> str:
        cookie = str(uuid4())
        with self._lock:
            self.sessions_begun += 1
            self._sessions[prefix, cookie] = user
            if len(self._sessions) > SESSION_LIMIT:
                del self._sessions[next(iter(self._sessions))]
        return cookie


def _read_cookie(request: Request, prefix: str) -> str:
    try:
        morsel = SimpleCookie(request.headers.get("cookie", "")).get(_name_cookie(prefix))
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _name_cookie(prefix: str) -> str:
    return f"X-Qlik-Session-{prefix}"


def _name_user(directory: str, user_id: str) -> str:
    return f"UserDirectory={quote(directory, safe='')}; UserId={quote(user_id, safe='')}"


def _refuse(status: int, text: str) -> Reply:
    return Reply(status, text.encode(), "text/plain")

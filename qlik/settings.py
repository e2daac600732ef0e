"""Where QRS is and how to speak to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote, urlsplit

JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
HEADER_NAME = re.compile(r"[A-Za-z0-9_-]+")
OWN_HEADERS = frozenset(
    {"accept", "authorization", "connection", "content-length", "content-type", "cookie", "host", "transfer-encoding"}
    | {"x-qlik-user", "x-qlik-xrfkey"}
)
# Letters of any script, as the names of hosts may have: they are dialled by their codes
HOST = re.compile(r"[\w-]+(?:\.[\w-]+)*\.?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%[\w.-]+)?")
# What RFC 3986 lets stand in a path
PREFIX = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")


class Authentication(StrEnum):
    """How a call says who makes it."""

    # To QRS itself: the certificate that Qlik Sense exports, and X-Qlik-User
    CERTIFICATE = "certificate"
    # To a virtual proxy: a bearer token
    JWT = "jwt"
    # To a virtual proxy that believes a header
    HEADER = "header"


@dataclass(frozen=True, slots=True, kw_only=True)
class QrsSettings:
    """What a client needs to know. A wrong value raises ValueError."""

    # One address or several with commas: the central node first, then those that may take its place. One of a virtual
    # proxy ends in its prefix; a /qrs at the end is left out.
    url: str
    # The files that Qlik Sense exports. A virtual proxy needs at most root.pem: without it the system's authorities
    # vouch for the proxy.
    certificate_folder: Path
    user: str = r"Internal\sa_repository"
    authentication: Authentication = Authentication.CERTIFICATE
    jwt: str = field(default="", repr=False)
    header_name: str = ""
    verify: bool = True
    # The name to expect in the server's certificate, often not the one dialled; None: the one dialled.
    host_name: str | None = None
    # False trusts every server whose certificate root.pem vouches for, whatever its name.
    check_host_name: bool = True
    key_password: str | None = field(default=None, repr=False)
    connect_timeout_seconds: float = 5.0
    # The longest silence of the server, not the longest call.
    read_timeout_seconds: float = 30.0
    # The longest call of one host, from connecting to the last byte of the answer.
    total_timeout_seconds: float = 35.0
    # The most connections to a host open at once; further threads wait for a free one.
    pool_size: int = 16
    # A connection idle for longer is replaced: the server may be closing it at the moment of the next call.
    idle_limit_seconds: float = 45.0
    # While another host answers, one call in this time begins with the first host again.
    return_seconds: float = 60.0
    # How often a call looks whether the certificate files have changed.
    look_seconds: float = 1.0

    def __post_init__(self) -> None:
        for url in self.urls:
            _check_url(url)
        if self.authentication is not Authentication.JWT:
            _check_user(self.user)
        if self.authentication is Authentication.JWT and not JWT.fullmatch(self.jwt):
            raise ValueError("The JWT must be three texts of letters, digits, - and _, with dots between them.")
        if self.authentication is Authentication.HEADER:
            _check_header(self.header_name, user=self.user)
        if self.host_name is not None:
            _check_host_name(self.host_name)

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses, in the order in which they are tried."""
        return tuple(map(_normalize, self.url.split(",")))

    @property
    def shows_certificate(self) -> bool:
        """Whether the client needs client.pem and its key, and root.pem must be there."""
        return self.authentication is Authentication.CERTIFICATE

    @property
    def user_header(self) -> str:
        """The value of X-Qlik-User; Qlik's documentation wants both parts as URL-encoded UTF-8."""
        directory, _, user_id = self.user.partition("\\")
        return f"UserDirectory={quote(directory, safe='')};UserId={quote(user_id, safe='')}"

    @property
    def identity_headers(self) -> Mapping[str, str]:
        """The headers that say who calls."""
        match self.authentication:
            case Authentication.CERTIFICATE:
                return {"X-Qlik-User": self.user_header}
            case Authentication.JWT:
                return {"Authorization": f"Bearer {self.jwt}"}
            case Authentication.HEADER:
                return {self.header_name: self.user}


def _normalize(url: str) -> str:
    """Return an address as calls begin with it: without /qrs, which each call brings along, and slashes at the end."""
    head, separator, tail = url.strip().partition("://")
    host, slash, path = tail.partition("/")
    prefix = re.sub(r"(?:^|/)qrs/*$", "", f"{slash}{path}".rstrip("/"), flags=re.IGNORECASE)
    return f"{head}{separator}{host}{prefix.rstrip('/')}"


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or "@" in url or parts.query or parts.fragment or re.search(r"[?#]$", url):
        raise ValueError(
            f"{_without_user(url)!r} is no address of QRS: it must read https://host:4242, for calls need TLS."
        )
    if not HOST.fullmatch(parts.hostname or ""):
        raise ValueError(
            f"{url!r} is no address of QRS: {parts.hostname!r} is no name of a host, which is made of letters, digits,"
            " - and _, with dots between. Nothing in a setting is replaced, so write the name itself."
        )
    if not PREFIX.fullmatch(parts.path) or "qrs" in parts.path.lower().split("/"):
        raise ValueError(
            f"{url!r} is no address of QRS: behind the host there may only be the prefix of a virtual proxy, made of"
            " letters, digits, - . _ ~ and /, with other characters as codes such as %20."
        )


def _without_user(url: str) -> str:
    # There may be a password
    return re.sub(r"//.*@", "//***@", url)


def _check_user(user: str) -> None:
    directory, _, user_id = user.partition("\\")
    if not (directory and user_id) or not user.isprintable() or ";" in user:
        raise ValueError(
            rf"{user!r} is no QRS user: it must read directory\id, like Internal\sa_repository, without ; and without"
            " characters that cannot be seen."
        )
    if user_id.startswith("\\") or any(part != part.strip() for part in (directory, user_id)):
        raise ValueError(
            rf"{user!r} is no QRS user: it must read directory\id, with one backslash and no blanks around it."
        )


def _check_header(name: str, *, user: str) -> None:
    if not HEADER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a header: it must be letters, digits, - and _.")
    if name.lower() in OWN_HEADERS:
        raise ValueError(f"{name!r} is no name of a header that may tell the user: calls need it for something else.")
    if not user.isascii():
        # Qlik's documentation of virtual proxies: "Header authentication only supports US-ASCII"
        raise ValueError(
            f"{user!r} cannot be told by a header, where Qlik Sense takes ASCII only. Use another user, or a JWT."
        )


def _check_host_name(name: str) -> None:
    if re.fullmatch(r"[A-Za-z0-9._-]+", name):
        return
    try:
        ip_address(name)
    except ValueError:
        raise ValueError(f"{name!r} is no name of a host, as a certificate has it, like sense.example.com.") from None

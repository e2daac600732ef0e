"""Where QRS is and how to speak to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
HEADER_NAME = re.compile(r"[A-Za-z0-9_-]+")


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
    # proxy ends in its prefix.
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
        if self.authentication is Authentication.HEADER and not HEADER_NAME.fullmatch(self.header_name):
            raise ValueError(f"{self.header_name!r} is no name of a header: it must be letters, digits, - and _.")

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses, in the order in which they are tried."""
        return tuple(url.strip().rstrip("/") for url in self.url.split(","))

    @property
    def shows_certificate(self) -> bool:
        """Whether the client needs client.pem and its key, and root.pem must be there."""
        return self.authentication is Authentication.CERTIFICATE

    @property
    def user_header(self) -> str:
        """The value of X-Qlik-User."""
        directory, _, user_id = self.user.partition("\\")
        return f"UserDirectory={directory};UserId={user_id}"

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


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.username or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is no address of QRS: it must read https://host:4242, for calls need TLS.")


def _check_user(user: str) -> None:
    directory, _, user_id = user.partition("\\")
    if not (directory and user_id) or not user.isascii() or not user.isprintable() or ";" in user:
        raise ValueError(rf"{user!r} is no QRS user: it must read directory\id, like Internal\sa_repository.")

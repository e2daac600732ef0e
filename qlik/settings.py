"""Where QRS is and how to speak to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class QrsSettings:
    """What a client needs to know. A wrong value raises ValueError."""

    url: str
    certificate_folder: Path
    user: str = r"Internal\sa_repository"
    verify: bool = True
    # The name to expect in the server's certificate, often not the one dialled; None: the one dialled.
    host_name: str | None = None
    # False trusts every server whose certificate root.pem vouches for, whatever its name.
    check_host_name: bool = True
    key_password: str | None = field(default=None, repr=False)
    connect_timeout_seconds: float = 5.0
    # The longest silence of the server, not the longest call.
    read_timeout_seconds: float = 30.0
    # The most connections open at once; further threads wait for a free one.
    pool_size: int = 16
    # A connection idle for longer is replaced: the server may be closing it at the moment of the next call.
    idle_limit_seconds: float = 45.0

    def __post_init__(self) -> None:
        _check_url(self.url)
        _check_user(self.user)

    @property
    def user_header(self) -> str:
        """The value of X-Qlik-User."""
        directory, _, user_id = self.user.partition("\\")
        return f"UserDirectory={directory};UserId={user_id}"


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

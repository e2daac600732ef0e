"""TCP ports of this machine: which are free, and what to say of one that is not."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection

from butler.errors import StartError

LOOPBACK = "127.0.0.1"

_REASONS = {
    errno.EADDRINUSE: "another program listens there; `ss -ltnp` or `lsof -i :{port}` names it",
    errno.EACCES: "this user may not listen there, ports below 1024 are for root",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


#: Connections that wait while the web server is started again
BACKLOG = 1024


def require_free(host: str, port: int) -> None:
    """Raise StartError, with a port to try instead, when `port` of `host` cannot be listened on."""
    open_port(host, port).close()


def open_port(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `port` of `host`; raises StartError as `require_free` does.

    Who holds it need not accept connections: they wait in it for a process that does.
    """
    try:
        return _open(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port))
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, str(error)).format(port=port)
        other = port + 1 if 1024 <= port < 65535 else 8080
        raise StartError(
            f"The web server cannot have port {port} of {host}: {reason}.\n"
            f"Stop that program, or take another port:  BUTLER_PORT={other} make run"
        ) from error


def choose_free(*, preferred: int | None, besides: Collection[int]) -> int:
    """Return a port of the loopback address that is free now and not in `besides`: `preferred` if that is."""
    if preferred is not None and preferred not in besides:
        try:
            return _listen(LOOPBACK, preferred)
        except OSError:
            pass
    while (port := _listen(LOOPBACK, 0)) in besides:
        pass
    return port


def _listen(host: str, port: int) -> int:
    """Take the port as a server would, give it back, and return its number."""
    with _open(socket.AF_INET, (host, port)) as listener:
        number: int = listener.getsockname()[1]
        return number


def _open(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # As servers do it, so that connections that are still closing do not count
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener

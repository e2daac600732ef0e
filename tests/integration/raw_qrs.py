"""A QRS that answers with whatever bytes a test gives it, also those that no server should send."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from uuid import UUID

from qlik.simulator.certificates import make_server_context


def reply(status: int, body: str = "", *, headers: str = "") -> bytes:
    """Return a whole answer; `headers` are lines that each end with CRLF."""
    content = body.encode()
    return f"HTTP/1.1 {status} Whatever\r\n{headers}Content-Length: {len(content)}\r\n\r\n".encode() + content


def began(session: UUID) -> bytes:
    """Return the answer to a start that began a session."""
    return reply(201, f'{{"value": "{session}"}}')


@contextmanager
def raw_qrs(certificates: Path, answer: Callable[[str], bytes]) -> Iterator[str]:
    """Answer each request by its first line, on connections that are kept; yields the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        context = make_server_context(certificates)
        threading.Thread(target=_accept, args=[listener, context, answer], daemon=True).start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, context: ssl.SSLContext, answer: Callable[[str], bytes]) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=[connection, context, answer], daemon=True).start()


def _serve(connection: socket.socket, context: ssl.SSLContext, answer: Callable[[str], bytes]) -> None:
    with suppress(OSError), closing(connection), context.wrap_socket(connection, server_side=True) as secure:
        head = b""
        while part := secure.recv(65536):
            head += part
            if head.endswith(b"\r\n\r\n"):
                secure.sendall(answer(head.split(b"\r\n")[0].decode()))
                head = b""

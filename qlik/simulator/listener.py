"""HTTP/1.1 with keep-alive, over TLS or not: a thread per connection, and a loop that does little.

It shares the machine with the service under test: http.server would work 0.1 ms longer for each request.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

BACKLOG = 1024
# What HTTP.sys, which is under QRS, takes of the first line, and of it with all headers.
HEAD_LIMIT = 16_384
# So much is read before the answer that it is too long: what is left unread would turn that into a reset.
READ_LIMIT = 65_536
BODY_LIMIT = 16 * 1024 * 1024
HANDSHAKE_TIMEOUT_SECONDS = 10.0
# How long an accept waits before it looks whether the listener is closing.
ACCEPT_TIMEOUT_SECONDS = 0.2


class ListenError(Exception):
    """The port cannot be listened on."""


class BadRequestError(Exception):
    """The bytes are no HTTP request."""

    def __init__(self, status: int = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request; names of headers and of the query's values are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class Ending(Enum):
    """What becomes of the connection."""

    KEEP = auto()
    # Announce the whole body, send half of it and close.
    CUT = auto()
    # Send nothing; the client sees a connection reset.
    RESET = auto()


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send, after how long, and what to do then."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    delay_seconds: float = 0.0
    ending: Ending = Ending.KEEP
    headers: tuple[tuple[str, str], ...] = ()

    def encode(self) -> bytes:
        """Return the bytes of the wire."""
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.status != HTTPStatus.NO_CONTENT:
            lines += [f"Content-Type: {self.content_type}", f"Content-Length: {len(self.body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(slots=True)
class Stream:
    """The requests that arrive on one socket."""

    socket: socket.socket
    buffer: bytes = field(default=b"")

    def read_request(self) -> Request | None:
        """Return the next request, None at the end. Raises BadRequestError, and OSError of the socket."""
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if len(self.buffer) > READ_LIMIT:
                raise BadRequestError
            if not self._fill():
                return None
        _check_length(self.buffer[:end])
        method, target, headers = _parse_head(self.buffer[:end])
        self.buffer = self.buffer[end + 4 :]
        body = self._read_body(headers)
        path, _, query = target.partition("?")
        return Request(method, unquote(path), _parse_query(query), headers, body)

    def _read_body(self, headers: dict[str, str]) -> bytes:
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal() or int(length) > BODY_LIMIT:
            raise BadRequestError
        return self._read_exactly(int(length))

    def _read_exactly(self, length: int) -> bytes:
        while len(self.buffer) < length:
            if not self._fill():
                raise BadRequestError
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return body

    def _fill(self) -> bool:
        data = self.socket.recv(65_536)
        self.buffer += data
        return bool(data)


def _parse_query(query: str) -> dict[str, str]:
    return {name.lower(): value for name, value in parse_qsl(query)}


def _check_length(head: bytes) -> None:
    if len(head.partition(b"\r\n")[0]) > HEAD_LIMIT:
        raise BadRequestError(HTTPStatus.REQUEST_URI_TOO_LONG)
    if len(head) > HEAD_LIMIT:
        raise BadRequestError


def _parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    try:
        method, target, _ = first.split(" ")
    except ValueError as error:
        raise BadRequestError from error
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return method, target, headers


class Listener:
    """Answers requests to a port between `start` and `close`."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        answer: Callable[[Request], Reply],
        context: ssl.SSLContext | None = None,
    ) -> None:
        """With a context it speaks TLS."""
        self._answer = answer
        self._context = context
        self._threads: dict[socket.socket, threading.Thread] = {}
        self.host = host
        self.port = port
        self.connections_accepted = 0

    @property
    def url(self) -> str:
        """The address to call."""
        return f"{'https' if self._context else 'http'}://{self.host}:{self.port}"

    def start(self) -> None:
        """Take the port, or a free one for 0, and answer; again after `close`. Raises ListenError."""
        try:
            self._socket = socket.create_server((self.host, self.port), backlog=BACKLOG)
        except OSError as error:
            # Behind the reason the library repeats the address.
            reason = (error.strerror or str(error)).partition(" (while")[0]
            raise ListenError(
                f"Port {self.port} of {self.host} cannot be listened on ({reason}): choose another one,"
                " or 0 for any that is free."
            ) from error
        self._socket.settimeout(ACCEPT_TIMEOUT_SECONDS)
        self.port = self._socket.getsockname()[1]
        self._closing = threading.Event()
        self._acceptor = threading.Thread(target=self._accept_connections, name=f"listener on {self.port}")
        self._acceptor.start()

    def close(self) -> None:
        """Hang up on everyone and wait until every thread has gone."""
        self._closing.set()
        with contextlib.suppress(OSError):
            # Wakes the acceptor at once where the system knows how; elsewhere it wakes by its time-out.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._socket.close()
        for connection, thread in list(self._threads.items()):
            with contextlib.suppress(OSError):
                # The plain socket's method: TLS's own would pull the session away from under the thread.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            thread.join()

    def _accept_connections(self) -> None:
        while not self._closing.is_set():
            # A time-out is no event, and a client that has already gone is its own affair.
            with contextlib.suppress(OSError):
                self._admit(self._socket.accept()[0])

    def _admit(self, connection: socket.socket) -> None:
        self.connections_accepted += 1
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context:
            connection.settimeout(HANDSHAKE_TIMEOUT_SECONDS)
            # The handshake waits for the client: never in this thread, which everyone waits for.
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        name = f"connection to {self.url}"
        thread = threading.Thread(target=self._serve, args=(connection,), name=name, daemon=True)
        self._threads[connection] = thread
        thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError), connection:
                if isinstance(connection, ssl.SSLSocket):
                    connection.do_handshake()
                connection.settimeout(None)
                self._converse(Stream(connection))
        finally:
            del self._threads[connection]

    def _converse(self, stream: Stream) -> None:
        try:
            while request := stream.read_request():
                reply = self._answer(request)
                if reply.delay_seconds and self._closing.wait(reply.delay_seconds):
                    return
                _send(stream.socket, reply)
                if reply.ending is not Ending.KEEP or request.headers.get("connection", "").lower() == "close":
                    return
        except BadRequestError as error:
            _send(stream.socket, Reply(error.status))


def _send(connection: socket.socket, reply: Reply) -> None:
    match reply.ending:
        case Ending.KEEP:
            connection.sendall(reply.encode())
        case Ending.CUT:
            data = reply.encode()
            connection.sendall(data[: len(data) - len(reply.body) // 2])
        case Ending.RESET:
            # A close without lingering sends RST instead of FIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

"""The simulator's HTTP: requests as they really arrive, and ports that are taken."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from qlik.simulator.listener import BadRequestError, Listener, ListenError, Reply, Request, Stream

START = b"POST /qrs/task/start/many?xrfkey=a%20b HTTP/1.1\r\nHost: sense\r\nContent-Length: 4\r\n\r\n[ 1]"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    client, server = socket.socketpair()
    with client, server:
        yield client, server


def test_a_request_is_read_from_pieces(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    stream = Stream(server)
    for cut in (10, 60, len(START) - 2):
        client.sendall(START[:cut])
        stream.buffer += server.recv(100)
        client.sendall(START[cut:])
        request = stream.read_request()
        assert request == Request(
            "POST",
            "/qrs/task/start/many",
            {"xrfkey": "a b"},
            {"host": "sense", "content-length": "4"},
            b"[ 1]",
        )


def test_two_requests_may_arrive_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    client.sendall(START + b"GET / HTTP/1.1\r\n\r\n")
    client.shutdown(socket.SHUT_WR)
    stream = Stream(server)
    requests = [stream.read_request() for _ in range(3)]
    assert [request and request.path for request in requests] == ["/qrs/task/start/many", "/", None]


@pytest.mark.parametrize(
    "data",
    [
        START[:-1],
        b"x" * 140_000,
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
    ],
)
def test_what_is_no_whole_request_is_refused(pair: tuple[socket.socket, socket.socket], data: bytes) -> None:
    client, server = pair
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    with pytest.raises(BadRequestError):
        Stream(server).read_request()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /?" + b"x" * 16_000, None),
        (b"GET /?" + b"x" * 16_384, 414),
        (b"GET / HTTP/1.1\r\nCookie: " + b"x" * 16_384, 400),
    ],
)
def test_a_head_may_be_as_long_as_windows_takes(
    pair: tuple[socket.socket, socket.socket], head: bytes, status: int | None
) -> None:
    client, server = pair
    client.sendall((head if b"HTTP" in head else head + b" HTTP/1.1") + b"\r\n\r\n")
    if status is None:
        assert Stream(server).read_request()
        return
    with pytest.raises(BadRequestError) as caught:
        Stream(server).read_request()
    assert caught.value.status == status


def test_names_in_the_query_may_be_written_in_any_letter_case(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    client.sendall(b"GET /?Xrfkey=Abc&orderBy=Name HTTP/1.1\r\n\r\n")
    request = Stream(server).read_request()
    assert request
    assert request.query == {"xrfkey": "Abc", "orderby": "Name"}


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError) as caught:
            Listener(host="127.0.0.1", port=port, answer=lambda _: Reply(200)).start()
    assert str(caught.value) == (
        f"Port {port} of 127.0.0.1 cannot be listened on (Address already in use): choose another one,"
        " or 0 for any that is free."
    )


def test_a_client_may_ask_for_the_connection_to_be_closed() -> None:
    listener = Listener(host="127.0.0.1", port=0, answer=lambda _: Reply(204))
    listener.start()
    with closing(listener), socket.create_connection(("127.0.0.1", listener.port), timeout=5) as client:
        client.sendall(b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n")
        with client.makefile("rb") as answer:
            assert answer.read() == b"HTTP/1.1 204 No Content\r\n\r\n"

"""A server that speaks HTTPS and answers as a test tells it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qlik.simulator.certificates import make_server_context
from qlik.simulator.listener import Listener, Reply, Request


@contextmanager
def https_server(
    folder: Path, answer: Callable[[Request], Reply], *, version: ssl.TLSVersion | None = None, port: int = 0
) -> Iterator[str]:
    """Run a server with the certificates of `folder`, which demands one of its clients; yields its address."""
    context = make_server_context(folder)
    if version:
        context.maximum_version = version
    with listening(context, answer, port=port) as listener:
        yield listener.url


@contextmanager
def listening(context: ssl.SSLContext, answer: Callable[[Request], Reply], *, port: int = 0) -> Iterator[Listener]:
    """Run a server with this context."""
    listener = Listener(host="127.0.0.1", port=port, answer=answer, context=context)
    listener.start()
    try:
        yield listener
    finally:
        listener.close()

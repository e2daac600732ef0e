"""The port of the web server stays open while the web server is started again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import pytest

from butler.errors import StartError
from butler.processes.child import Program
from butler.processes.console import Console
from butler.processes.ports import open_port
from butler.processes.programs import service_programs
from butler.processes.supervisor import Stage, Supervisor
from tests.conftest import free_port
from tests.waiting import wait_for

ANSWER_ONCE_EACH = """
import os, socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
while True:
    caller, _ = listener.accept()
    caller.sendall(str(os.getpid()).encode())
    caller.close()
"""


def call(port: int) -> int:
    """Return the number of the process that answers, however long that takes; a refusal is an error."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        return int(connection.recv(100))


def test_who_calls_while_the_server_is_started_again_waits(tmp_path):
    port = free_port()

    async def run() -> tuple[int, int]:
        with (tmp_path / "output").open("wb") as file, open_port("127.0.0.1", port) as listener:
            supervisor = Supervisor(Console(file.fileno()))
            number = listener.fileno()
            command = (sys.executable, "-c", ANSWER_ONCE_EACH, str(number))
            supervisor.start(
                Program(name="web", command=command, folder=Path("/"), environment=os.environ, files=[number])
            )
            loop = asyncio.get_running_loop()
            first = await loop.run_in_executor(None, call, port)
            os.kill(first, signal.SIGKILL)
            is_gone = partial(wait_for, lambda: not Path(f"/proc/{first}").exists(), seconds=5)
            await loop.run_in_executor(None, is_gone)
            second = await loop.run_in_executor(None, call, port)
            await supervisor.stop([Stage(names=["web"], seconds=5)])
            return first, second

    first, second = asyncio.run(run())
    assert first != second


def test_the_web_server_alone_has_the_socket():
    web, *others = service_programs({}, listener=7)

    assert (web.name, list(web.files)) == ("web", [7])
    assert "--bind fd://7" in " ".join(web.command)
    assert not any(other.files for other in others)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_the_port_is_open_until_it_is_closed(host):
    port = free_port()
    with open_port(host, port), pytest.raises(StartError, match="another program listens there"):
        open_port(host, port)

    open_port(host, port).close()

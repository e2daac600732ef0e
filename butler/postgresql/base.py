"""The connection: a transaction that idles is ended by the server.

A process that is frozen, or cut off, in the middle of a transaction must not hold its locks for longer than the lease
of beat lasts. A setting of the session would be lost behind PgBouncer: it refuses the `options` of a connection, and in
its transaction mode each transaction may run on another connection. So each transaction says it for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import MethodType
from typing import Any

from django.db.backends.postgresql import base
from psycopg import Connection, OperationalError, generators
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

#: In the same message as BEGIN, so it costs no further way to the server and back
_GUARD = b"; SET LOCAL idle_in_transaction_session_timeout = '3s'"

_SESSION_GUARD = "-c idle_in_transaction_session_timeout=3s"

Command = Callable[..., Generator[Any, Any, Any]]


#: Where a pooler is that refuses options, by host and port
_poolers: set[tuple[str, str]] = set()


class DatabaseWrapper(base.DatabaseWrapper):
    """Makes connections whose transactions are guarded."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect, and have the driver begin transactions with the guard."""
        connection = self._connect(conn_params)
        # The driver has no hook for how it begins a transaction; tests fail when its inside has changed
        connection._exec_command = MethodType(_guarding(connection._exec_command), connection)
        return connection

    def _connect(self, conn_params: dict[str, Any]) -> Any:
        """Connect with the guard for the whole session, too, where there is one from end to end."""
        address = str(conn_params.get("host")), str(conn_params.get("port"))
        if "options" not in conn_params and address not in _poolers:
            try:
                return super().get_new_connection({**conn_params, "options": _SESSION_GUARD})
            except OperationalError as error:
                if "unsupported startup parameter" not in str(error):
                    raise
                _poolers.add(address)
        return super().get_new_connection(conn_params)


def _guarding(execute: Command) -> Command:
    """Return what does the driver's own commands as `execute` does, with the guard behind BEGIN."""

    def execute_guarded(driver: Connection[Any], command: Any, *args: Any) -> Generator[Any, Any, Any]:
        # A pipeline, such as executemany is one, takes one statement at a time
        if driver._pipeline or not (isinstance(command, bytes) and command.startswith(b"BEGIN")):
            return (yield from execute(command, *args))
        driver.pgconn.send_query(command + _GUARD)
        for result in (yield from generators.execute(driver.pgconn)):
            if result.status != ExecStatus.COMMAND_OK:
                raise error_from_result(result, encoding=driver.info.encoding)
        return None

    return execute_guarded

"""The calls of the Qlik Sense Repository Service.

No call is ever repeated here: whether it may be is in the class of the error (`qlik.errors`), and when is
the caller's decision.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPMethod
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from qlik.errors import OutcomeUnknownError, RefusedError, shorten_text
from qlik.settings import QrsSettings
from qlik.transport import Answer, Transport

NO_SESSION = UUID(int=0)


@dataclass(frozen=True, slots=True)
class About:
    """What QRS says about itself."""

    build_version: str
    build_date: str
    node_type: int


class QrsClient:
    """One QRS. Serves any number of threads of one process; make it after a fork, and once.

    Each call raises the `QrsError` whose class says what may be done next.
    """

    def __init__(self, settings: QrsSettings) -> None:
        """Read the certificate files, without connecting. Raises CertificateError when they are unusable."""
        self._transport = Transport(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept-alive connections."""
        self._transport.close()

    def about(self) -> About:
        """Return the version of QRS: the cheapest check of connection, certificates and user."""
        answer = self._transport.send(HTTPMethod.GET, "/qrs/about")
        try:
            document = _read_object(answer)
            return About(document["buildVersion"], document["buildDate"], document["nodeType"])
        except (ValueError, KeyError) as error:
            raise _unreadable(answer) from error

    def start_task(self, task_id: UUID) -> None:
        """Ask for a start. QRS says only that it received the call, not that the task began."""
        answer = self._transport.send(HTTPMethod.POST, f"/qrs/task/{task_id}/start")
        if answer.content:
            raise _unreadable(answer)

    def start_task_synchronously(self, task_id: UUID) -> UUID:
        """Start a task and return its execution session, which lasts as long as the run.

        Raises RefusedError also when QRS answers that the task did not begin.
        """
        answer = self._transport.send(HTTPMethod.POST, f"/qrs/task/{task_id}/start/synchronous")
        try:
            session_id = UUID(str(_read_object(answer)["value"]))
        except (ValueError, KeyError) as error:
            raise _unreadable(answer) from error
        if session_id == NO_SESSION:
            raise _not_begun(task_id, answer)
        return session_id


def _read_object(answer: Answer) -> dict[str, Any]:
    document = json.loads(answer.content)
    if not isinstance(document, dict):
        raise ValueError("The answer is no JSON object.")
    return document


def _unreadable(answer: Answer) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"QRS took the call, but its answer ({answer.status}) cannot be read: {shorten_text(answer.text)!r}."
        " Ask QRS whether it took effect, and check that the address is that of QRS (port 4242).",
        status=answer.status,
        text=answer.text,
    )


def _not_begun(task_id: UUID, answer: Answer) -> RefusedError:
    return RefusedError(
        f"QRS did not start task {task_id}: the task is disabled, its app is missing, or no scheduler node"
        " can run it. Look at the task in the QMC.",
        status=answer.status,
        text=answer.text,
    )

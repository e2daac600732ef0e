"""What can go wrong with a call to QRS, sorted by what may be done next.

Three classes, whatever the wire did: the task surely did not start, nobody knows, or QRS said no. A caller
needs no other distinction; `status` and `text` are for people and records. No error carries a secret.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus

from qlik.texts import make_storable

TEXT_LENGTH = 300


class Availability(StrEnum):
    """What the end of a call says of QRS itself, whatever it says of the task."""

    WORKS = "works"
    AWAY = "away"
    UNCLEAR = "unclear"


class QrsError(Exception):
    """The call to the Qlik Sense Repository Service failed."""

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        text: str = "",
        retry_after: timedelta | None = None,
    ) -> None:
        """Make the error of one call.

        `status` is the HTTP status, None when no answer came; `text` is what QRS itself wrote; before `retry_after` is
        over it does not want to be asked again.
        """
        super().__init__(message or self.__doc__)
        self.status = status
        self.text = shorten_text(text)
        self.retry_after = retry_after

    @property
    def availability(self) -> Availability:
        """What it says of QRS itself."""
        if self.status is None or self.status in _AWAY:
            return Availability.AWAY
        is_refusal = isinstance(self, RefusedError) and not 300 <= self.status < 400
        return Availability.WORKS if is_refusal and self.status not in _BETWEEN else Availability.UNCLEAR


class NotStartedError(QrsError):
    """The call never took effect, so it may be made again."""


class CertificateError(NotStartedError):
    """The certificate files exported from Qlik Sense cannot be used."""


class OutcomeUnknownError(QrsError):
    """The call was sent and may have taken effect, so QRS must be asked before it is made again."""


class RefusedError(QrsError):
    """QRS refused the call, so making it again would change nothing."""


NEXT_STEPS: dict[int, str] = {
    HTTPStatus.FOUND: "It wants a person to sign in: check the address, and how calls say who makes them.",
    HTTPStatus.BAD_REQUEST: "Check that the task exists.",
    HTTPStatus.UNAUTHORIZED: "Check the user, or the token, that calls are made with.",
    HTTPStatus.FORBIDDEN: "Check the rights of the user that calls are made as.",
    HTTPStatus.NOT_FOUND: "Check that the task exists, and that the address is that of QRS (port 4242).",
    HTTPStatus.REQUEST_TIMEOUT: "It did not get the whole request in time: try again later.",
    HTTPStatus.TOO_EARLY: "It did not take the request so early: try again.",
    HTTPStatus.TOO_MANY_REQUESTS: "It takes no more requests for now: try again later.",
    HTTPStatus.SERVICE_UNAVAILABLE: "QRS is starting or overloaded: try again later.",
}

#: What says that the request was not even looked at
_NOT_TAKEN = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    }
)
#: Other addresses, or a page to sign in: whoever answers does not do what was asked
_ELSEWHERE = frozenset(
    {
        HTTPStatus.MOVED_PERMANENTLY,
        HTTPStatus.FOUND,
        HTTPStatus.TEMPORARY_REDIRECT,
        HTTPStatus.PERMANENT_REDIRECT,
    }
)
#: What servers on the way say when they do not get an answer from QRS, and QRS when it takes nothing
_AWAY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
#: Refusals that are said by servers on the way, who need not have asked QRS
_BETWEEN = frozenset({HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, HTTPStatus.MISDIRECTED_REQUEST})


def error_for_status(*, status: int, text: str, retry_after: timedelta | None = None) -> QrsError:
    """Return the error that an answer with this status stands for; `text` is the body that came with it.

    docs/design.md has the table.
    """
    words = shorten_text(text).rstrip(".") or "no text"
    message = f"QRS answered {status}: {words}. {NEXT_STEPS.get(status, '')}".rstrip()
    kind = _class_for_status(status)
    return kind(message, status=status, text=text, retry_after=retry_after if kind is NotStartedError else None)


def _class_for_status(status: int) -> type[QrsError]:
    if status in _NOT_TAKEN:
        return NotStartedError
    if status in _ELSEWHERE or HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return RefusedError
    # A server error may come after the task was started; success is only an error when it is not QRS's own. Of what
    # no server should answer nothing is known
    return OutcomeUnknownError


def shorten_text(text: str) -> str:
    """Return `text` on one line, cut to what fits in a log line or a table, and storable."""
    line = make_storable(" ".join(text.split()))
    return line if len(line) <= TEXT_LENGTH else f"{line[: TEXT_LENGTH - 1]}…"

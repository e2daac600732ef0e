"""What can go wrong with a call to QRS, sorted by what may be done next.

Three classes, whatever the wire did: the task surely did not start, nobody knows, or QRS said no. A caller
needs no other distinction; `status` and `text` are for people and records. No error carries a secret.
"""

from __future__ import annotations

from http import HTTPStatus

from qlik.texts import make_storable

TEXT_LENGTH = 300


class QrsError(Exception):
    """The call to the Qlik Sense Repository Service failed."""

    def __init__(self, message: str = "", *, status: int | None = None, text: str = "") -> None:
        """`status` is the HTTP status, None when no answer came; `text` is what QRS itself wrote."""
        super().__init__(message or self.__doc__)
        self.status = status
        self.text = shorten_text(text)


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
    HTTPStatus.SERVICE_UNAVAILABLE: "QRS is starting or overloaded: try again later.",
}


def error_for_status(*, status: int, text: str) -> QrsError:
    """Return the error that an answer with this status stands for; `text` is the body that came with it."""
    words = shorten_text(text).rstrip(".") or "no text"
    message = f"QRS answered {status}: {words}. {NEXT_STEPS.get(status, '')}".rstrip()
    return _class_for_status(status)(message, status=status, text=text)


def _class_for_status(status: int) -> type[QrsError]:
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return NotStartedError
    # A server error may come after the task was started; success is only an error when it is not QRS's own.
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status < HTTPStatus.MULTIPLE_CHOICES:
        return OutcomeUnknownError
    return RefusedError


def shorten_text(text: str) -> str:
    """Return `text` on one line, cut to what fits in a log line or a table, and storable."""
    line = make_storable(" ".join(text.split()))
    return line if len(line) <= TEXT_LENGTH else f"{line[: TEXT_LENGTH - 1]}…"

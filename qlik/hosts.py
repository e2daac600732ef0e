"""Several hosts of one site, of which any may answer: the central node, and those that may take its place."""

from __future__ import annotations

import logging
import time
from threading import Lock

from qlik.clocks import ClockReading
from qlik.errors import NotStartedError, QrsError
from qlik.settings import QrsSettings
from qlik.transport import Answer, Call, Transport

logger = logging.getLogger(__name__)


class Hosts:
    """The hosts in their order. Each call begins with the one that answered last.

    The next one is tried only when the call surely had no effect on the one before. From time to time one call, while
    others go where they are answered, finds out whether the first host does again.
    """

    def __init__(self, settings: QrsSettings) -> None:
        """Read the certificate files, without connecting. Raises CertificateError when they are unusable."""
        self._transports = [Transport(settings, url) for url in settings.urls]
        self._return_seconds = settings.return_seconds
        self._lock = Lock()
        self._preferred = 0
        self._return_at = 0.0

    @property
    def clock(self) -> ClockReading:
        """How far the clock of the host that answers is ahead of this one."""
        return self._transports[self._preferred].clock

    def close(self) -> None:
        """Close the kept-alive connections."""
        for transport in self._transports:
            transport.close()

    def send(self, call: Call) -> Answer:
        """Make one call and return its answer if that is a good one; raise a QrsError if not."""
        errors: list[NotStartedError] = []
        for number in self._choose_order():
            try:
                answer = self._transports[number].send(call)
            except NotStartedError as error:
                errors.append(error)
            except QrsError:
                self._prefer(number)
                raise
            else:
                self._prefer(number)
                return answer
        raise errors[0] if len(errors) == 1 else _join(errors)

    def _choose_order(self) -> list[int]:
        preferred = self._preferred
        if preferred and time.monotonic() > self._return_at:
            with self._lock:
                if time.monotonic() > self._return_at:
                    self._return_at = time.monotonic() + self._return_seconds
                    preferred = 0
        return sorted(range(len(self._transports)), key=lambda number: number != preferred)

    def _prefer(self, number: int) -> None:
        """Remember which host answers."""
        if number == self._preferred:
            return
        with self._lock:
            before, self._preferred = self._preferred, number
            self._return_at = time.monotonic() + self._return_seconds
        if before != number:
            logger.warning("QRS is called at %s now, no longer at %s", self._url(number), self._url(before))

    def _url(self, number: int) -> str:
        return self._transports[number].url


def _join(errors: list[NotStartedError]) -> NotStartedError:
    last, waits = errors[-1], [error.retry_after for error in errors if error.retry_after is not None]
    message = " ".join(str(error) for error in errors)
    return NotStartedError(message, status=last.status, text=last.text, retry_after=max(waits, default=None))

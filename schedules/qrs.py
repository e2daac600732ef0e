"""The process's one client of QRS, made from the settings of the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from threading import BoundedSemaphore, Lock

from django.conf import settings

from qlik.client import QrsClient
from qlik.errors import NotStartedError
from qlik.settings import Authentication, QrsSettings

#: The least time that QRS is given to begin what it was asked for, however short the time-outs are
MIN_SETTLE = timedelta(seconds=15)

# A cache alone would make one client for each thread of the first burst
_making = Lock()
#: How long somebody is asked to wait whose request would have taken too many threads, in seconds
BUSY_SECONDS = 5
# Calls beside those of the threads for starts, so that no call waits for a connection: a worker has four messages in
# hand, and half of the web server's threads may ask for what is about to be started
_OTHER_CALLS = 4


def qrs_settings() -> QrsSettings:
    """Return where QRS is and how to speak to it; raises ValueError for a setting that no client can use."""
    connect_seconds, answer_seconds = settings.QRS_TIMEOUT
    return QrsSettings(
        url=settings.QRS_URL,
        certificate_folder=settings.QRS_CERT_DIR,
        key_password=settings.QRS_KEY_PASSWORD or None,
        authentication=Authentication(settings.QRS_AUTH),
        jwt=settings.QRS_JWT,
        header_name=settings.QRS_HEADER_NAME,
        user=settings.QRS_USER,
        verify=settings.QRS_VERIFY != "off",
        check_host_name=settings.QRS_VERIFY == "full",
        host_name=settings.QRS_HOST_NAME or None,
        connect_timeout_seconds=connect_seconds,
        read_timeout_seconds=answer_seconds,
        total_timeout_seconds=settings.QRS_TOTAL_TIMEOUT,
        pool_size=settings.BUTLER_WORKER_CONCURRENCY + _OTHER_CALLS,
    )


def longest_call() -> timedelta:
    """Return how long a call may take when each host in turn uses up its time."""
    return timedelta(seconds=settings.QRS_TOTAL_TIMEOUT * len(settings.QRS_URL.split(",")))


def settle_time() -> timedelta:
    """Return how long after a call without an answer QRS is given to begin what it was asked for."""
    _, answer_seconds = settings.QRS_TIMEOUT
    return max(MIN_SETTLE, timedelta(seconds=2 * answer_seconds))


def qrs_client() -> QrsClient:
    """Return the client, made at the first call so that a forked worker gets its own; it keeps its connections.

    Raises CertificateError, and tries again at the next call, while the certificate files are not usable.
    """
    with _making:
        return _client()


@cache
def _client() -> QrsClient:
    return QrsClient(qrs_settings())


class QrsBusyError(NotStartedError):
    """As many requests as may be wait for Qlik Sense already. Nothing was done; try again in a few seconds."""


class _Places:
    """How many requests of this process may wait for QRS at a time; the threads of the others stay free for edits."""

    def __init__(self, number: int) -> None:
        self._free = BoundedSemaphore(number)

    @contextmanager
    def take(self) -> Iterator[None]:
        if not self._free.acquire(blocking=False):
            raise QrsBusyError
        try:
            yield
        finally:
            self._free.release()


_places = _Places(4)


def share_threads(threads: int) -> None:
    """Let requests that wait for QRS have half of the threads of a web server, at least one."""
    # Once, before the first request
    global _places
    _places = _Places(max(threads // 2, 1))


@contextmanager
def waiting_for_qrs() -> Iterator[None]:
    """Have a place among the requests that wait for QRS; raises QrsBusyError at once where none is free.

    A QRS that hangs would else take every thread, and nobody could even stop a schedule.
    """
    with _places.take():
        yield

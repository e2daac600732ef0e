"""Connections with one host, kept alive, that know whether a failed call may have taken effect.

The exceptions of requests do not tell a time-out in the TLS handshake from one after the request was sent,
nor a reset. The connection knows, so it raises our error itself: urllib3 and requests let it pass.
"""

from __future__ import annotations

import logging
import math
import re
import socket
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.client import HTTPException, RemoteDisconnected
from pathlib import Path
from threading import Lock
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import HTTPError, InsecureRequestWarning

from qlik.errors import CertificateError, NotStartedError
from qlik.settings import QrsSettings
from qlik.tls import HANDSHAKE_ALERTS, list_certificate_files, make_client_context
from qlik.tls_advice import HUNG_UP, advise

logger = logging.getLogger(__name__)

NEXT_STEPS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (socket.gaierror, "Check the host name."),
    (ConnectionRefusedError, "Check that the Repository Service is running and listens on this port."),
    (TimeoutError, "Check the address, and the firewalls on the way."),
    ((ConnectionResetError, BrokenPipeError, RemoteDisconnected), HUNG_UP),
    (Exception, "Check the address and the network."),
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """An answer, when its headers had arrived, and how long after the call began that was."""

    response: requests.Response
    arrived_at: datetime
    elapsed: timedelta


class Connections:
    """A pool of connections, for any number of threads; a new one takes its place when certificate files change."""

    def __init__(self, settings: QrsSettings, url: str) -> None:
        """Read the certificate files, without connecting. Raises CertificateError when they are unusable."""
        self._settings = settings
        self._url = url
        self._timeout = (settings.connect_timeout_seconds, settings.read_timeout_seconds)
        self._watch = _FileWatch(list_certificate_files(settings), seconds=settings.look_seconds)
        self._renewing = Lock()
        self._complaint = ""
        # Without a Session there are no cookies, redirects, proxies, .netrc or REQUESTS_CA_BUNDLE to keep away, and a
        # call costs a third less.
        self._adapter = _PoolAdapter(make_pool(settings, url))
        logging.getLogger("urllib3.connectionpool").addFilter(_hide_xrfkey)
        if not settings.verify:
            logger.warning("The certificate of QRS at %s is not verified: anyone can pose as it.", url)
            urllib3.disable_warnings(InsecureRequestWarning)

    def send(self, prepared: requests.PreparedRequest) -> Exchange:
        """Send a request, once, and return the whole answer.

        Raises NotStartedError when it surely did not arrive, and OSError or HTTPError when nobody knows.
        """
        if self._watch.is_due and self._renewing.acquire(blocking=False):
            try:
                self._renew()
            finally:
                self._renewing.release()
        began = time.monotonic()
        response = self._adapter.send(prepared, timeout=self._timeout)
        exchange = Exchange(response, datetime.now(UTC), timedelta(seconds=time.monotonic() - began))
        # Reads it to the end, which gives the connection back
        _ = response.content
        return exchange

    def close(self) -> None:
        """Close the connections."""
        self._adapter.close()

    def _renew(self) -> None:
        """Make a new pool if the files have changed; while they are unusable the old one serves."""
        stamps = self._watch.look()
        if stamps is None:
            return
        try:
            pool = make_pool(self._settings, self._url)
        except CertificateError as error:
            # They may be half written, so look again, but complain once
            if str(error) != self._complaint:
                logger.warning("The certificate files have changed, but those read before stay in use: %s", error)
            self._complaint = str(error)
            return
        # Not closed: urllib3 does that when nobody uses it any more, so calls that are on their way end well
        self._adapter = _PoolAdapter(pool)
        self._watch.stamps, self._complaint = stamps, ""
        logger.info("The certificate files for QRS at %s have changed and were read again.", self._url)


class _FileWatch:
    """Tells whether files have changed since they were read."""

    def __init__(self, files: tuple[Path, ...], *, seconds: float) -> None:
        self._files = files
        self._seconds = seconds
        self._looked_at = time.monotonic()
        self.stamps = self._read_stamps()

    @property
    def is_due(self) -> bool:
        """Whether it is time to look."""
        return time.monotonic() - self._looked_at > self._seconds

    def look(self) -> list[object] | None:
        """Return what the files are like, to be kept in `stamps` when they have been read; None for no change."""
        self._looked_at = time.monotonic()
        stamps = self._read_stamps()
        return None if stamps == self.stamps else stamps

    def _read_stamps(self) -> list[object]:
        return [_read_stamp(file) for file in self._files]


def _read_stamp(file: Path) -> object:
    try:
        stat = file.stat()
    except OSError:
        return None
    # The time of change, too: it tells when an unreadable file was made readable
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


def make_pool(settings: QrsSettings, url: str) -> urllib3.HTTPSConnectionPool:
    """Return an empty pool. Raises CertificateError."""
    parts = urllib3.util.parse_url(url)
    context = make_client_context(settings)
    context.sslsocket_class = _Socket
    return _Pool(
        parts.host or "",
        parts.port or 443,
        maxsize=settings.pool_size,
        block=True,
        ssl_context=context,
        server_hostname=settings.host_name,
        assert_hostname=None if settings.check_host_name else False,
        idle_limit_seconds=settings.idle_limit_seconds,
        total_seconds=settings.total_timeout_seconds,
    )


class _Socket(ssl.SSLSocket):
    """A TLS socket that gives up at a deadline, also when a byte comes now and then.

    The time-out of a socket begins anew with each byte.
    """

    deadline = math.inf

    def recv_into(self, *args: Any, **options: Any) -> int:
        """Wait for bytes of the answer."""
        self._hurry()
        return super().recv_into(*args, **options)

    def send(self, *args: Any, **options: Any) -> int:
        """Send bytes of the request."""
        self._hurry()
        return super().send(*args, **options)

    def _hurry(self) -> None:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the time for the whole call is over")
        if remaining < (self.gettimeout() or math.inf):
            self.settimeout(remaining)


class _Connection(HTTPSConnection):
    """A connection that knows whether its request can have been taken."""

    def __init__(self, *args: Any, idle_limit_seconds: float, total_seconds: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._idle_limit_seconds = idle_limit_seconds
        self._total_seconds = total_seconds
        self._deadline: float | None = None
        self._used_at = 0.0
        self._send_error: OSError | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the pool may use the connection again."""
        return time.monotonic() - self._used_at < self._idle_limit_seconds and super().is_connected

    def connect(self) -> None:
        """Connect and shake hands; the request is sent only after that."""
        self._deadline = time.monotonic() + self._total_seconds
        try:
            super().connect()
        except (OSError, HTTPError) as error:
            raise self._not_started(error) from error

    def request(self, *args: Any, **options: Any) -> None:
        """Send the request; its time began with the connection, if that was made for it."""
        deadline, self._deadline = self._deadline, None
        if isinstance(self.sock, _Socket):
            self.sock.deadline = deadline or time.monotonic() + self._total_seconds
        super().request(*args, **options)

    def send(self, data: Any) -> None:
        """Send a part of the request, or note that it could not be sent whole.

        What TLS could not send whole, QRS cannot have decrypted; but it may have sent a word why.
        """
        try:
            super().send(data)
        except OSError as error:
            self._send_error = error

    def getresponse(self) -> Any:
        """Wait for the answer."""
        try:
            response = super().getresponse()
        except (OSError, HTTPException) as error:
            if isinstance(error, ssl.SSLError) and error.reason in HANDSHAKE_ALERTS:
                raise self._not_started(error) from error
            if self._send_error:
                raise self._not_started(self._send_error) from error
            raise
        if response.status < HTTPStatus.OK:
            # A word before the answer. What comes after it would be taken for the answer to the next call
            self.close()
            raise HTTPException(f"an answer with the status {response.status} is none")
        self._send_error = None
        self._used_at = time.monotonic()
        return response

    def _not_started(self, error: Exception) -> NotStartedError:
        return NotStartedError(f"No connection to {self.host}:{self.port}: {_explain(error)}")


class _Pool(urllib3.HTTPSConnectionPool):
    """Also hands out no connection that has been idle for too long."""

    ConnectionCls = _Connection


class _PoolAdapter(HTTPAdapter):
    """Sends everything through one pool, whose TLS neither requests nor the environment can change."""

    def __init__(self, pool: urllib3.HTTPSConnectionPool) -> None:
        # total=False raises what happened, not a MaxRetryError that quotes the address with its xrfkey.
        super().__init__(max_retries=urllib3.Retry(total=False))
        self._pool = pool

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> urllib3.HTTPSConnectionPool:
        """Return the one pool."""
        return self._pool

    def cert_verify(self, *args: Any) -> None:
        """Leave the context alone: requests would load its own bundle of public CAs into it."""

    def close(self) -> None:
        """Close the pool."""
        self._pool.close()


def innermost(error: BaseException) -> BaseException:
    """Return what happened first: the system's or OpenSSL's own words, without the layers around them."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error


def _explain(error: BaseException) -> str:
    cause = innermost(error)
    step = _advise(cause)
    return f"{str(getattr(cause, 'strerror', None) or cause).rstrip('.')}. {step}"


def _advise(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLError):
        return advise(cause)
    return next(step for kind, step in NEXT_STEPS if isinstance(cause, kind))


def _hide_xrfkey(record: logging.LogRecord) -> bool:
    record.msg, record.args = re.sub(r"xrfkey=\w+", "xrfkey=...", record.getMessage()), ()
    return True

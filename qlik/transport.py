"""One HTTP exchange with QRS over mutual TLS, and whether it may have taken effect when it fails.

The exceptions of requests do not tell a time-out in the TLS handshake from one after the request was sent,
nor a reset. The connection knows, so it raises our error itself: urllib3 and requests let it pass.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.parse import quote

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import HTTPError, InsecureRequestWarning

from qlik.errors import NotStartedError, OutcomeUnknownError, error_for_status
from qlik.settings import QrsSettings
from qlik.tls import HANDSHAKE_ALERTS, make_client_context

logger = logging.getLogger(__name__)

NEXT_STEPS: tuple[tuple[type[BaseException], str], ...] = (
    (
        ssl.SSLCertVerificationError,
        "Check that root.pem comes from this site; if its certificate names another host, set that name.",
    ),
    (ssl.SSLError, "Check that client.pem was exported by this site and has not expired."),
    (socket.gaierror, "Check the host name."),
    (ConnectionRefusedError, "Check that the Repository Service is running and listens on this port."),
    (TimeoutError, "Check the address, and the firewalls on the way."),
    (Exception, "Check the address and the network."),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer of QRS."""

    status: int
    content: bytes

    @property
    def text(self) -> str:
        """The content for people to read."""
        return self.content.decode(errors="replace")


class Transport:
    """A pool of kept-alive connections to one QRS, for any number of threads of one process."""

    def __init__(self, settings: QrsSettings) -> None:
        """Read the certificate files, without connecting. Raises CertificateError when they are unusable."""
        self._url = settings.url.rstrip("/")
        self._timeout = (settings.connect_timeout_seconds, settings.read_timeout_seconds)
        self._headers = {"X-Qlik-User": settings.user_header, "Accept": "application/json"}
        # Without a Session there are no cookies, redirects, proxies, .netrc or REQUESTS_CA_BUNDLE to keep away, and a
        # call costs a third less.
        self._adapter = _PoolAdapter(_make_pool(settings))
        logging.getLogger("urllib3.connectionpool").addFilter(_hide_xrfkey)
        if not settings.verify:
            logger.warning("The certificate of QRS at %s is not verified: anyone can pose as it.", self._url)
            urllib3.disable_warnings(InsecureRequestWarning)

    def close(self) -> None:
        """Close the kept-alive connections."""
        self._adapter.close()

    def send(
        self, method: HTTPMethod, path: str, *, query: Mapping[str, str] | None = None, body: object = None
    ) -> Answer:
        """Make one call, once, and return its answer if that is a good one; raise a QrsError if not.

        Empty values of `query` are left out; `body` goes as JSON, and None is no body.
        """
        xrfkey = secrets.token_hex(8)
        prepared = self._prepare(method, path, xrfkey, query or {}, body)
        try:
            response = self._adapter.send(prepared, timeout=self._timeout)
            # An error page may quote the address that was asked for.
            content = response.content.replace(xrfkey.encode(), b"...")
        except (OSError, HTTPError) as error:
            raise OutcomeUnknownError(
                f"{method} {self._url}{path} was sent, but no whole answer came: {_innermost(error)}."
                " Ask QRS whether it took effect."
            ) from error
        answer = Answer(response.status_code, content)
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            raise error_for_status(status=answer.status, text=answer.text)
        return answer

    def _prepare(
        self, method: HTTPMethod, path: str, xrfkey: str, query: Mapping[str, str], body: object
    ) -> requests.PreparedRequest:
        # What prepare() would make of these parts, which need none of its checks, in a tenth of the time
        prepared = requests.PreparedRequest()
        prepared.method = method
        words = "".join(f"&{name}={quote(value, safe='')}" for name, value in query.items() if value)
        prepared.url = f"{self._url}{path}?xrfkey={xrfkey}{words}"
        prepared.headers = CaseInsensitiveDict({**self._headers, "X-Qlik-Xrfkey": xrfkey})
        if body is not None:
            prepared.body = json.dumps(body).encode()
            prepared.headers["Content-Type"] = "application/json"
        if method is HTTPMethod.POST:
            prepared.headers["Content-Length"] = str(len(prepared.body or b""))
        return prepared


def _make_pool(settings: QrsSettings) -> _Pool:
    url = urllib3.util.parse_url(settings.url)
    context = make_client_context(
        settings.certificate_folder,
        key_password=settings.key_password,
        verify=settings.verify,
        check_host_name=settings.check_host_name,
    )
    return _Pool(
        url.host or "",
        url.port or 443,
        maxsize=settings.pool_size,
        block=True,
        ssl_context=context,
        server_hostname=settings.host_name,
        assert_hostname=None if settings.check_host_name else False,
        idle_limit_seconds=settings.idle_limit_seconds,
    )


class _Connection(HTTPSConnection):
    """A connection that knows whether its request can have been taken."""

    def __init__(self, *args: Any, idle_limit_seconds: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._idle_limit_seconds = idle_limit_seconds
        self._used_at = 0.0
        self._send_error: OSError | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the pool may use the connection again."""
        return time.monotonic() - self._used_at < self._idle_limit_seconds and super().is_connected

    def connect(self) -> None:
        """Connect and shake hands; the request is sent only after that."""
        try:
            super().connect()
        except (OSError, HTTPError) as error:
            raise self._not_started(error) from error

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

    def __init__(self, pool: _Pool) -> None:
        # total=False raises what happened, not a MaxRetryError that quotes the address with its xrfkey.
        super().__init__(max_retries=urllib3.Retry(total=False))
        self._pool = pool

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> _Pool:
        """Return the one pool."""
        return self._pool

    def cert_verify(self, *args: Any) -> None:
        """Leave the context alone: requests would load its own bundle of public CAs into it."""

    def close(self) -> None:
        """Close the pool."""
        self._pool.close()


def _explain(error: BaseException) -> str:
    cause = _innermost(error)
    step = next(step for kind, step in NEXT_STEPS if isinstance(cause, kind))
    return f"{getattr(cause, 'strerror', None) or cause}. {step}"


def _innermost(error: BaseException) -> BaseException:
    """Return what happened first: the system's or OpenSSL's own words, without the layers around them."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error


def _hide_xrfkey(record: logging.LogRecord) -> bool:
    record.msg, record.args = re.sub(r"xrfkey=\w+", "xrfkey=...", record.getMessage()), ()
    return True

"""One HTTP exchange with one host, and the class of error that it becomes when it fails."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPMethod, HTTPStatus
from threading import Lock
from urllib.parse import quote

import requests
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError

from qlik.clocks import UNREAD, ClockReading, read_clock
from qlik.connections import Connections, Exchange, innermost
from qlik.errors import OutcomeUnknownError, error_for_status
from qlik.retry_after import read_retry_after
from qlik.settings import QrsSettings


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer of QRS."""

    status: int
    content: bytes
    # What an error page may quote of the request
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def text(self) -> str:
        """The content for people to read, with `...` for what they must not."""
        text = self.content.decode(errors="replace")
        for secret in filter(None, self.secrets):
            text = text.replace(secret, "...")
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is asked. Empty values of `query` are left out; `body` goes as JSON, and None is no body."""

    method: HTTPMethod
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: object = None


class Transport:
    """The way to one host, for any number of threads of one process."""

    def __init__(self, settings: QrsSettings, url: str) -> None:
        """Read the certificate files, without connecting. Raises CertificateError when they are unusable."""
        self.url = url
        #: How far the host's clock is ahead of this one, give or take how much, as its last list told
        self.clock_offset, self.clock_uncertainty = timedelta(0), UNREAD
        self._headers = {**settings.identity_headers, "Accept": "application/json"}
        self._jwt = settings.jwt
        self._connections = Connections(settings, url)
        # A virtual proxy begins a session with each call that does not name one, and a user may have only so many
        self._cookies = None if settings.shows_certificate else RequestsCookieJar()
        self._keeping = Lock()

    @property
    def clock(self) -> ClockReading:
        """How far the host's clock is ahead of this one."""
        return ClockReading(self.clock_offset, self.clock_uncertainty)

    def close(self) -> None:
        """Close the kept-alive connections."""
        self._connections.close()

    def send(self, call: Call) -> Answer:
        """Make one call, once, and return its answer if that is a good one; raise a QrsError if not."""
        xrfkey = secrets.token_hex(8)
        try:
            exchange = self._connections.send(self._prepare(call, xrfkey))
        except (OSError, HTTPError) as error:
            raise OutcomeUnknownError(
                f"{call.method} {self.url}{call.path} was sent, but no whole answer came: {innermost(error)}."
                " Ask QRS whether it took effect."
            ) from error
        if call.method is HTTPMethod.GET:
            self._read_clock(exchange)
        response = exchange.response
        cookies = self._keep_cookies(response)
        answer = Answer(response.status_code, response.content, (xrfkey, self._jwt, *cookies))
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            wait = read_retry_after(
                response.headers.get("Retry-After"), date=response.headers.get("Date"), now=datetime.now(UTC)
            )
            raise error_for_status(status=answer.status, text=answer.text, retry_after=wait)
        return answer

    def _prepare(self, call: Call, xrfkey: str) -> requests.PreparedRequest:
        # What prepare() would make of these parts, which need none of its checks, in a tenth of the time
        prepared = requests.PreparedRequest()
        prepared.method = call.method
        words = "".join(f"&{name}={quote(value, safe='')}" for name, value in call.query.items() if value)
        prepared.url = f"{self.url}{call.path}?xrfkey={xrfkey}{words}"
        prepared.headers = CaseInsensitiveDict({**self._headers, "X-Qlik-Xrfkey": xrfkey})
        if call.body is not None:
            prepared.body = json.dumps(call.body).encode()
            prepared.headers["Content-Type"] = "application/json"
        if call.method is HTTPMethod.POST:
            prepared.headers["Content-Length"] = str(len(prepared.body or b""))
        if self._cookies:
            prepared.prepare_cookies(self._cookies)
        return prepared

    def _read_clock(self, exchange: Exchange) -> None:
        date = exchange.response.headers.get("Date")
        if reading := read_clock(date, arrived_at=exchange.arrived_at, elapsed=exchange.elapsed):
            self.clock_offset, self.clock_uncertainty = reading.offset, reading.uncertainty

    def _keep_cookies(self, response: requests.Response) -> list[str]:
        """Take over what the proxy has set, and return the values of all that is kept."""
        if self._cookies is None:
            return []
        with self._keeping:
            self._cookies.update(response.cookies)
            return [cookie.value or "" for cookie in self._cookies]

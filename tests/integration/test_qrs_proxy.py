"""QRS behind a virtual proxy: another port, a prefix, and another way to say who calls."""

from __future__ import annotations

import json
import logging
import ssl
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from qlik.client import QrsClient
from qlik.errors import CertificateError, NotStartedError, OutcomeUnknownError, QrsError, RefusedError
from qlik.settings import Authentication, QrsSettings
from qlik.simulator.documents import ABOUT
from qlik.simulator.listener import Ending, Reply, Request
from tests.integration.https_server import https_server, listening

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJ1c2VySWQiOiJidXRsZXIifQ.c2lnbmF0dXJl"
SESSION = "3f0c1a52-cookie"
VERSION = json.dumps(ABOUT).encode()


class CookieReply(Reply):
    """A reply that begins a session."""

    def encode(self) -> bytes:
        cookie = f"Set-Cookie: X-Qlik-Session-butler={SESSION}; Path=/; HttpOnly; Secure; SameSite=None\r\n"
        first, rest = super().encode().split(b"\r\n", 1)
        return first + b"\r\n" + cookie.encode() + rest


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def folder(authority: trustme.CA, tmp_path: Path) -> Path:
    """Return a folder with nothing but the authority that vouches for the proxy."""
    authority.cert_pem.write_to_path(tmp_path / "root.pem")
    return tmp_path


@pytest.fixture
def settings(folder: Path) -> QrsSettings:
    """Return settings for a proxy whose address is to be filled in."""
    return QrsSettings(
        url="https://nowhere", certificate_folder=folder, authentication=Authentication.JWT, jwt=JWT, user=""
    )


@contextmanager
def proxy(authority: trustme.CA, answer: Callable[[Request], Reply]) -> Iterator[str]:
    """Run a proxy that demands no certificate; yields its address, with a prefix."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with listening(context, answer) as listener:
        yield f"{listener.url}/butler"


@pytest.fixture
def asked() -> list[Request]:
    return []


@pytest.fixture
def url(authority: trustme.CA, asked: list[Request]) -> Iterator[str]:
    """The address of a proxy that lets everyone through."""

    def answer(request: Request) -> Reply:
        asked.append(request)
        return CookieReply(200, VERSION)

    with proxy(authority, answer) as address:
        yield address


def test_a_token_is_sent_to_the_prefix(settings: QrsSettings, url: str, asked: list[Request]) -> None:
    with QrsClient(replace(settings, url=url)) as client:
        assert client.about().build_version == ABOUT["buildVersion"]
    (request,) = asked
    assert request.path == "/butler/qrs/about"
    assert request.headers["authorization"] == f"Bearer {JWT}"
    assert request.headers["x-qlik-xrfkey"] == request.query["xrfkey"]
    assert "x-qlik-user" not in request.headers


def test_a_header_of_ones_own_choice_names_the_user(settings: QrsSettings, url: str, asked: list[Request]) -> None:
    by_header = replace(
        settings, url=url, authentication=Authentication.HEADER, header_name="Hdr-Usr", user=r"COMPANY\butler"
    )
    with QrsClient(by_header) as client:
        client.about()
    (request,) = asked
    assert request.headers["hdr-usr"] == r"COMPANY\butler"
    assert not {"x-qlik-user", "authorization"} & set(request.headers)


def test_the_session_of_the_proxy_is_kept(settings: QrsSettings, url: str, asked: list[Request]) -> None:
    with QrsClient(replace(settings, url=url)) as client:
        for _ in range(3):
            client.about()
    cookies = [request.headers.get("cookie") for request in asked]
    assert cookies == [None, f"X-Qlik-Session-butler={SESSION}", f"X-Qlik-Session-butler={SESSION}"]


def test_threads_share_the_session_of_the_proxy(settings: QrsSettings, url: str, asked: list[Request]) -> None:
    with QrsClient(replace(settings, url=url)) as client, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: client.about(), range(200)))
    assert sum("cookie" not in request.headers for request in asked) <= 8


def test_qrs_itself_gets_no_cookies(certificate_folder: Path) -> None:
    """It knows no sessions; who calls is in the certificate and the header."""
    asked: list[Request] = []

    def answer(request: Request) -> Reply:
        asked.append(request)
        return CookieReply(200, VERSION)

    with (
        https_server(certificate_folder, answer) as url,
        QrsClient(QrsSettings(url=url, certificate_folder=certificate_folder)) as client,
    ):
        client.about()
        client.about()
    assert [request.headers.get("cookie") for request in asked] == [None, None]


# Who vouches for the proxy


def test_without_a_root_the_system_s_authorities_do(
    settings: QrsSettings, url: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = (folder / "root.pem").rename(tmp_path / "system.pem")
    with QrsClient(replace(settings, url=url)) as client, pytest.raises(NotStartedError, match="verify failed"):
        client.about()
    # OpenSSL's own way to say where the system's are
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    with QrsClient(replace(settings, url=url)) as client:
        client.about()


def test_a_root_that_is_there_is_the_only_authority(
    settings: QrsSettings, url: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = (folder / "root.pem").rename(tmp_path / "system.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    trustme.CA().cert_pem.write_to_path(folder / "root.pem")
    with QrsClient(replace(settings, url=url)) as client, pytest.raises(NotStartedError, match="verify failed"):
        client.about()


def test_a_root_that_is_broken_is_told(settings: QrsSettings, url: str, folder: Path) -> None:
    (folder / "root.pem").write_text("nonsense")
    with pytest.raises(CertificateError, match=r"root\.pem must hold the site's root certificate"):
        QrsClient(replace(settings, url=url))


def test_a_root_that_appears_later_is_used(settings: QrsSettings, url: str, folder: Path, tmp_path: Path) -> None:
    root = (folder / "root.pem").rename(tmp_path / "later.pem")
    with QrsClient(replace(settings, url=url, look_seconds=0.0)) as client:
        with pytest.raises(NotStartedError):
            client.about()
        root.rename(folder / "root.pem")
        client.about()


# Refusals


def test_a_page_to_sign_in_is_a_refusal(settings: QrsSettings, authority: trustme.CA) -> None:
    with (
        proxy(authority, lambda _: Reply(302)) as url,
        QrsClient(replace(settings, url=url)) as client,
        pytest.raises(RefusedError, match="It wants a person to sign in: check the address, and how calls say who"),
    ):
        client.about()


def test_a_token_that_is_not_accepted_is_a_refusal(settings: QrsSettings, authority: trustme.CA) -> None:
    with (
        proxy(authority, lambda _: Reply(401)) as url,
        QrsClient(replace(settings, url=url)) as client,
        pytest.raises(RefusedError, match="Check the user, or the token, that calls are made with"),
    ):
        client.about()


# No secrets


def test_neither_errors_nor_logs_tell_the_token_or_the_session(
    settings: QrsSettings, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    endings = [(200, Ending.KEEP), (403, Ending.KEEP), (503, Ending.KEEP), (500, Ending.RESET), (500, Ending.CUT)]
    kinds = [OutcomeUnknownError, RefusedError, NotStartedError, OutcomeUnknownError, OutcomeUnknownError]
    asked: list[Request] = []

    def quote(request: Request) -> Reply:
        asked.append(request)
        if len(asked) == 1:
            return CookieReply(200, VERSION)
        status, ending = endings[len(asked) - 2]
        headers = "; ".join(f"{name}: {value}" for name, value in request.headers.items())
        return CookieReply(status, f"No page for {headers}".encode(), "text/html", ending=ending)

    errors: list[QrsError] = []
    with proxy(authority, quote) as url, QrsClient(replace(settings, url=url)) as client:
        client.about()
        for kind in kinds:
            with pytest.raises(kind) as caught:
                client.about()
            errors.append(caught.value)
    assert all(SESSION in request.headers["cookie"] for request in asked[1:])
    told = caplog.text + "".join("".join(traceback.format_exception(error)) + error.text for error in errors)
    assert "No page for" in told
    for secret in (JWT, SESSION, *(request.query["xrfkey"] for request in asked)):
        assert secret not in told
    assert JWT not in repr(replace(settings, url=url))

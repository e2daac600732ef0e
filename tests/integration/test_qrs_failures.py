"""Every way in which a call to QRS fails, made to happen, and the class of error that it becomes."""

from __future__ import annotations

import logging
import socket
import ssl
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from qlik.client import QrsClient
from qlik.connections import make_pool
from qlik.errors import NotStartedError, OutcomeUnknownError, QrsError, RefusedError
from qlik.settings import QrsSettings
from qlik.simulator.certificates import ensure_certificates
from qlik.simulator.faults import Fault, FaultKind
from qlik.simulator.listener import Ending, Reply, Request
from qlik.simulator.server import Simulator
from tests.integration.https_server import https_server
from tests.integration.plain_qrs import SALES

TASK = UUID(SALES)
CHECK_CLIENT = "Check that client.pem was exported by this site and has not expired."


@pytest.fixture
def settings(simulator: Simulator) -> QrsSettings:
    return QrsSettings(
        url=simulator.url,
        certificate_folder=simulator.certificates,
        connect_timeout_seconds=0.5,
        read_timeout_seconds=0.5,
    )


@pytest.fixture
def foreign_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return certificates of another site."""
    folder = tmp_path_factory.mktemp("foreign")
    ensure_certificates(folder)
    return folder


def fail(settings: QrsSettings, kind: type[QrsError]) -> QrsError:
    """Start a task in vain and return the error, which must be of exactly this class."""
    with QrsClient(settings) as client, pytest.raises(QrsError) as caught:
        client.start_task_synchronously(TASK)
    assert type(caught.value) is kind, caught.value
    return caught.value


def accept_and_hang_up(server: socket.socket, words: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(words)
        connection.recv(65_536)


# Surely not started


def test_a_refused_connection_is_surely_not_started(settings: QrsSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = fail(replace(settings, url=f"https://127.0.0.1:{port}"), NotStartedError)
    assert str(error) == (
        f"No connection to 127.0.0.1:{port}: Connection refused. Check that the Repository Service is running and"
        " listens on this port."
    )
    assert error.status is None


def test_a_name_that_does_not_resolve_is_surely_not_started(settings: QrsSettings) -> None:
    error = fail(replace(settings, url="https://nothing.invalid:4242"), NotStartedError)
    assert str(error).startswith("No connection to nothing.invalid:4242: ")
    assert str(error).endswith("Check the host name.")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full backlog refuses or resets")
def test_a_connection_that_nobody_accepts_is_surely_not_started(settings: QrsSettings) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(address)
        error = fail(replace(settings, url=f"https://127.0.0.1:{address[1]}"), NotStartedError)
        for client in waiting:
            client.close()
    assert "timed out. Check the address, and the firewalls on the way." in str(error)


def test_a_handshake_that_nobody_answers_is_surely_not_started(settings: QrsSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = fail(replace(settings, url=f"https://127.0.0.1:{silent.getsockname()[1]}"), NotStartedError)
    assert "timed out. Check the address, and the firewalls on the way." in str(error)


@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_server_that_speaks_no_tls_is_surely_not_started(settings: QrsSettings, words: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as threads:
        threads.submit(accept_and_hang_up, server, words)
        error = fail(replace(settings, url=f"https://127.0.0.1:{server.getsockname()[1]}"), NotStartedError)
    assert str(error).startswith("No connection to 127.0.0.1")


def test_a_server_of_another_site_is_surely_not_started(settings: QrsSettings, foreign_folder: Path) -> None:
    with https_server(foreign_folder, lambda _: Reply(201)) as url:
        error = fail(replace(settings, url=url), NotStartedError)
    assert "certificate verify failed" in str(error)
    assert "Check that root.pem comes from this site" in str(error)
    assert "another host" not in str(error)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_of_another_site_is_surely_not_started(
    settings: QrsSettings, foreign_folder: Path, version: ssl.TLSVersion
) -> None:
    """In TLS 1.3 the server says so while the request is on its way, or is not: but it never reads that request."""
    asked: list[Request] = []
    (foreign_folder / "root.pem").write_bytes((settings.certificate_folder / "root.pem").read_bytes())

    def answer(request: Request) -> Reply:
        asked.append(request)
        return Reply(500)

    with https_server(settings.certificate_folder, answer, version=version) as url:
        foreign = replace(settings, url=url, certificate_folder=foreign_folder)
        messages = [str(fail(foreign, NotStartedError)) for _ in range(50)]
    assert any("unknown ca" in message for message in messages)
    assert all(message.endswith(CHECK_CLIENT) for message in messages if "unknown ca" in message)
    assert asked == []


def test_a_request_that_could_not_be_sent_whole_is_surely_not_started(settings: QrsSettings) -> None:
    """The server may hang up between the handshake and the request."""
    with https_server(settings.certificate_folder, lambda _: Reply(201)) as url:
        connection = make_pool(settings, url)._new_conn()
        connection.connect()
    connection.request("POST", "/qrs/task/start/many", headers={"X": "x" * 8_000_000})
    with pytest.raises(NotStartedError):
        connection.getresponse()
    connection.close()


def test_503_is_surely_not_started(settings: QrsSettings, simulator: Simulator) -> None:
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503))
    error = fail(settings, NotStartedError)
    assert (error.status, error.text) == (503, "The simulator was told to fail.")


# Outcome unknown


def test_a_reset_after_the_request_leaves_the_outcome_unknown(settings: QrsSettings, simulator: Simulator) -> None:
    simulator.add_fault(Fault(kind=FaultKind.RESET))
    error = fail(settings, OutcomeUnknownError)
    assert f"POST {simulator.url}/qrs/task/{TASK}/start/synchronous was sent, but no whole answer came" in str(error)
    assert str(error).endswith("Ask QRS whether it took effect.")


def test_a_time_out_after_the_request_leaves_the_outcome_unknown(settings: QrsSettings, simulator: Simulator) -> None:
    simulator.add_fault(Fault(kind=FaultKind.HANG, delay_ms=60_000))
    assert "timed out" in str(fail(settings, OutcomeUnknownError))


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.HANG, FaultKind.CUT, FaultKind.HTML, FaultKind.TRUNCATED])
def test_a_call_that_may_have_taken_effect_is_never_repeated(
    settings: QrsSettings, simulator: Simulator, kind: FaultKind
) -> None:
    simulator.add_fault(Fault(kind=kind, delay_ms=2_000, count=1))
    fail(settings, OutcomeUnknownError)
    assert [entry.outcome for entry in simulator.entries()] == ["started"]


def test_a_reset_of_a_kept_connection_leaves_the_outcome_unknown(settings: QrsSettings, simulator: Simulator) -> None:
    with QrsClient(settings) as client:
        client.start_task(TASK)
        simulator.add_fault(Fault(kind=FaultKind.RESET, takes_effect=False))
        with pytest.raises(OutcomeUnknownError):
            client.start_task(TASK)
    assert simulator.count_connections() == 1


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_server_error_leaves_the_outcome_unknown(settings: QrsSettings, simulator: Simulator, status: int) -> None:
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=status))
    error = fail(settings, OutcomeUnknownError)
    assert (error.status, error.text) == (status, "The simulator was told to fail.")


@pytest.mark.parametrize("kind", [FaultKind.HTML, FaultKind.TRUNCATED])
def test_an_answer_that_cannot_be_read_leaves_the_outcome_unknown(
    settings: QrsSettings, simulator: Simulator, kind: FaultKind
) -> None:
    simulator.add_fault(Fault(kind=kind))
    error = fail(settings, OutcomeUnknownError)
    assert error.status in {200, 201}
    assert "QRS took the call, but its answer" in str(error)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{}", b'{"value": null}', b'{"value": 7}', b'{"value": "x"}', b"\xff"]
)
def test_an_answer_without_a_session_leaves_the_outcome_unknown(settings: QrsSettings, body: bytes) -> None:
    with https_server(settings.certificate_folder, lambda _: Reply(201, body)) as url:
        fail(replace(settings, url=url), OutcomeUnknownError)


def test_a_plain_start_answered_by_a_page_leaves_the_outcome_unknown(
    settings: QrsSettings, simulator: Simulator
) -> None:
    simulator.add_fault(Fault(kind=FaultKind.HTML))
    with QrsClient(settings) as client, pytest.raises(OutcomeUnknownError, match="Sign in"):
        client.start_task(TASK)


def test_about_refuses_to_guess(settings: QrsSettings) -> None:
    with (
        https_server(settings.certificate_folder, lambda _: Reply(200, b'{"version": 1}')) as url,
        QrsClient(replace(settings, url=url)) as client,
        pytest.raises(OutcomeUnknownError),
    ):
        client.about()


# Refused


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409])
def test_a_client_error_is_a_refusal(settings: QrsSettings, simulator: Simulator, status: int) -> None:
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=status))
    error = fail(settings, RefusedError)
    assert (error.status, error.text) == (status, "The simulator was told to fail.")


def test_a_user_without_rights_is_refused(settings: QrsSettings) -> None:
    error = fail(replace(settings, user=r"Sales\bob"), RefusedError)
    assert error.status == 403
    assert str(error).endswith("Check the rights of the user that calls are made as.")


def test_a_redirect_is_a_refusal_and_not_followed(settings: QrsSettings) -> None:
    asked: list[str] = []

    def answer(request: Request) -> Reply:
        asked.append(request.method)
        return Reply(302, b"Sign in")

    with https_server(settings.certificate_folder, answer) as url:
        assert fail(replace(settings, url=url), RefusedError).status == 302
    assert asked == ["POST"]


# No secrets


def test_neither_errors_nor_logs_tell_a_secret(settings: QrsSettings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    keys: list[str] = []
    endings = [(200, Ending.KEEP), (403, Ending.KEEP), (503, Ending.KEEP), (500, Ending.RESET), (500, Ending.CUT)]
    kinds = [OutcomeUnknownError, RefusedError, NotStartedError, OutcomeUnknownError, OutcomeUnknownError]

    def quote(request: Request) -> Reply:
        status, ending = endings[len(keys)]
        keys.append(request.query["xrfkey"])
        return Reply(status, f"No page at {request.path}?xrfkey={keys[-1]}".encode(), "text/html", ending=ending)

    secretive = replace(settings, key_password="hunter2", url="https://127.0.0.1:1")
    errors = [fail(secretive, NotStartedError)]
    with https_server(settings.certificate_folder, quote) as url:
        errors += [fail(replace(secretive, url=url), kind) for kind in kinds]
    told = caplog.text + "".join("".join(traceback.format_exception(error)) + error.text for error in errors)
    assert "No page at" in told
    assert all(len(key) == 16 and key not in told for key in keys)
    assert len(set(keys)) == len(endings)
    assert "hunter2" not in told
    assert settings.user_header not in told

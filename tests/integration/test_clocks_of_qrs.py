"""Two clocks: how QRS's is read, what a step of it means, and whose a session is that began about when we called."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from email.utils import formatdate
from pathlib import Path
from uuid import UUID

import pytest

from qlik.client import QrsClient
from qlik.settings import QrsSettings
from qlik.simulator.certificates import ensure_certificates, make_server_context
from qlik.simulator.faults import Fault, FaultKind
from qlik.transport import Transport
from schedules.models import QrsSite, Run
from tests.conftest import TASK_ID
from tests.integration.following_steps import begin_before, change_task, count_starts, follow, follow_in_silence, start

SECOND = timedelta(seconds=1)


@contextmanager
def slow_body(folder: Path, *, seconds: float) -> Iterator[str]:
    """Run a QRS that sends the Date at once and the body of a list so many seconds later; yields its address."""
    ensure_certificates(folder)
    context = make_server_context(folder)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_answer_slowly, args=(listener, context, seconds))
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def _answer_slowly(listener: socket.socket, context: ssl.SSLContext, seconds: float) -> None:
    with closing(context.wrap_socket(listener.accept()[0], server_side=True)) as connection:
        connection.recv(65_536)
        head = f"HTTP/1.1 200 OK\r\nDate: {formatdate(usegmt=True)}\r\nContent-Length: 2\r\n\r\n"
        connection.sendall(head.encode())
        time.sleep(seconds)
        connection.sendall(b"[]")


def test_a_body_that_takes_long_moves_no_clock(certificate_folder):
    with (
        slow_body(certificate_folder, seconds=3) as url,
        QrsClient(QrsSettings(url=url, certificate_folder=certificate_folder)) as client,
    ):
        client.list_sessions()

        assert client.clock.uncertainty < SECOND
        assert abs(client.clock.offset) <= client.clock.uncertainty


@pytest.fixture
def clock(monkeypatch):
    """Return a function that sets how far QRS's clock seems to be ahead: in each answer so much, as in the last one."""

    def arrange(*offsets: float, uncertainty: float = 0.1) -> None:
        readings = list(offsets)

        def read_oddly(transport: Transport, _: object) -> None:
            offset = readings.pop(0) if len(readings) > 1 else readings[0]
            transport.clock_offset, transport.clock_uncertainty = offset * SECOND, uncertainty * SECOND

        monkeypatch.setattr(Transport, "_read_clock", read_oddly)

    return arrange


@pytest.fixture
def in_doubt(run_now, simulator):
    """Return a function that makes a run in doubt whose call had no effect."""
    change_task(simulator, reload_seconds=7200)

    def make() -> Run:
        simulator.add_fault(Fault(kind=FaultKind.RESET, takes_effect=False, count=1))
        run = run_now()
        start(run)
        assert run.state == "unsure"
        return run

    return make


@pytest.mark.django_db
@pytest.mark.usefixtures("qrs_service")
class TestSteps:
    def test_one_odd_reading_is_no_step(self, in_doubt, simulator, clock):
        run = in_doubt()
        follow(run)
        # Of the sessions, of the results, and of the look that is to confirm it
        clock(12, 12, 0)

        follow(run, after=20)
        assert (run.state, run.silent_at) == ("unsure", None), "nor does it prove a silence"
        assert QrsSite.objects.get().clock_offset == timedelta(0)

        (session,) = simulator.site.start([UUID(TASK_ID)])
        follow(run, after=35)
        assert (run.state, run.qrs_session) == ("started", session)

    def test_a_step_that_is_confirmed_ends_what_is_in_doubt(self, in_doubt, clock):
        run = in_doubt()
        follow(run)
        clock(-5)

        follow(run, after=1)

        assert run.state == "unknown"
        assert "A clock was set" in run.message
        assert QrsSite.objects.get().clock_offset == -5 * SECOND

    def test_a_slow_reading_is_no_step(self, in_doubt, clock):
        run = in_doubt()
        follow(run)
        clock(-6, uncertainty=6.5)

        follow(run, after=1)

        assert run.state == "unsure"

    def test_the_drift_of_days_is_no_step(self, in_doubt, clock):
        run = in_doubt()
        follow(run)
        QrsSite.objects.update(followed_at=run.called_at - timedelta(days=1), clock_offset=timedelta(0))
        clock(-5)

        follow(run, after=1)

        assert run.state == "unsure"


@pytest.mark.django_db
@pytest.mark.usefixtures("qrs_service")
class TestForeignStarts:
    """Somebody else starts the task about when our call is lost."""

    @pytest.mark.parametrize("seconds", [1.5, 2, 5, 9])
    def test_a_start_before_our_call_is_not_ours(self, in_doubt, simulator, clock, seconds):
        clock(0)
        begin_before(simulator, seconds)
        run = in_doubt()

        follow_in_silence(run)

        assert (run.state, run.qrs_session) == ("retrying", None)

    def test_one_that_may_be_ours_leaves_the_run_in_doubt(self, in_doubt, simulator, clock):
        clock(0)
        begin_before(simulator, 0.6)
        run = in_doubt()

        follow_in_silence(run)
        assert (run.state, run.qrs_session) == ("unsure", None)

        follow(run, after=2 * 3600)
        assert run.state == "unknown", "each row has an end"
        assert count_starts(simulator) == 1

    def test_behind_a_proxy_whose_clock_it_is_more_is_in_doubt(self, in_doubt, simulator, clock, settings):
        clock(0)
        begin_before(simulator, 5)
        run = in_doubt()
        settings.QRS_AUTH = "jwt"

        follow_in_silence(run)

        assert (run.state, run.qrs_session) == ("unsure", None)

    def test_where_the_clock_is_hardly_known_more_is_in_doubt(self, in_doubt, simulator, clock):
        clock(0, uncertainty=7)
        begin_before(simulator, 5)
        run = in_doubt()

        follow_in_silence(run)

        assert (run.state, run.qrs_session) == ("unsure", None)

    def test_as_early_as_our_own_sessions_seem_to_begin_ours_may_begin(self, in_doubt, simulator, clock, run_now):
        """The node that begins sessions has a clock three seconds behind that of the one that answers."""
        clock(0)
        before = simulator.site._clock
        simulator.site._clock = lambda: before() - 3 * SECOND
        known = run_now()
        start(known)
        simulator.add_fault(Fault(kind=FaultKind.RESET, count=1))
        run = run_now()
        start(run)

        follow_in_silence(known, run)

        assert (known.state, run.state) == ("started", "started")
        assert count_starts(simulator) == 2

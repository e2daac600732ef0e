"""How `manage.py up` tells that a process does what it is for."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.db import OperationalError

from butler.processes import readiness
from butler.processes.readiness import LeaseWatch, answers_http, answers_redis, answers_worker, describe_qrs, in_thread
from schedules.lease import PlannerLease
from schedules.models import Lease
from tests.conftest import free_port


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/good" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web_port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield server.server_port
        server.shutdown()


def test_a_web_server_that_answers_200_is_ready(web_port):
    assert answers_http("127.0.0.1", web_port, "/good")


def test_any_other_answer_is_not_enough(web_port):
    assert not answers_http("127.0.0.1", web_port, "/bad")


def test_a_port_where_nobody_listens_is_not_ready():
    assert not answers_http("127.0.0.1", free_port(), "/")


def test_a_server_that_hangs_up_is_not_ready():
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: server.accept()[0].close()).start()
        assert not answers_http("127.0.0.1", server.getsockname()[1], "/")


def test_redis_is_ready_when_it_answers(redis_server):
    assert answers_redis(redis_server.url)
    assert not answers_redis(f"redis://127.0.0.1:{free_port()}/0")


def test_no_worker_is_ready_before_one_answers(redis_server):
    assert not answers_worker(redis_server.url)


def test_no_worker_is_ready_without_redis():
    assert not answers_worker(f"redis://127.0.0.1:{free_port()}/0")


@pytest.mark.django_db
def test_beat_is_ready_when_it_has_taken_the_lease():
    watch = LeaseWatch()
    assert not watch.is_led()
    PlannerLease().keep()
    assert watch.is_led()


@pytest.mark.django_db
def test_a_lease_of_before_does_not_count_until_it_is_renewed():
    PlannerLease().keep()
    watch = LeaseWatch()
    assert not watch.is_led()
    Lease.objects.update(renewals=99)
    assert watch.is_led()


@pytest.mark.django_db
def test_a_lease_that_was_given_back_does_not_count():
    watch = LeaseWatch()
    lease = PlannerLease()
    lease.keep()
    lease.release()
    assert not watch.is_led()


def test_a_database_that_does_not_answer_is_no_sign_of_a_beat(monkeypatch):
    def fail(*_: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(readiness.Lease.objects, "values_list", fail)
    assert not LeaseWatch().is_led()


def test_a_qrs_that_answers_is_described_by_its_version(simulator, settings):
    settings.QRS_URL, settings.QRS_CERT_DIR = simulator.url, simulator.certificates
    assert describe_qrs().startswith(f"{simulator.url}, version ")


def test_a_qrs_that_does_not_answer_is_described_with_what_to_check(simulator, settings):
    settings.QRS_URL, settings.QRS_CERT_DIR = f"https://127.0.0.1:{free_port()}", simulator.certificates
    text = describe_qrs()
    assert text.startswith("DOES NOT ANSWER, so no task can start: No connection to 127.0.0.1")
    assert text.endswith("QRS_URL and QRS_CERT_DIR say where it is.")


def test_work_in_a_thread_gives_its_result_or_its_error():
    async def work() -> int:
        with pytest.raises(ZeroDivisionError):
            await in_thread(lambda: 1 // 0)
        return await in_thread(lambda: 7)

    assert asyncio.run(work()) == 7


def test_work_that_takes_long_does_not_keep_the_loop_from_ending():
    done = threading.Event()

    async def work() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(in_thread(done.wait), 0.01)

    began = time.monotonic()
    asyncio.run(work())
    assert time.monotonic() - began < 5
    done.set()

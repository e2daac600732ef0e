"""Each status and each malformed answer of QRS: what it means for the run, and what for the circuit breaker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from email.utils import format_datetime
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from schedules import breaker, qrs, tasks
from schedules.models import QrsSite, Run
from schedules.policies import LONGEST_PAUSE
from schedules.qrs import qrs_client
from tests.conftest import TASK_ID
from tests.integration.raw_qrs import began, raw_qrs, reply

pytestmark = pytest.mark.django_db

SESSION = UUID("5c1b1f0e-6d53-4ac7-9d0c-0f8f6e2b8a11")
#: Failures before the call; one more opens the breaker
BEFORE = breaker.MOST_FAILURES - 1
#: What the breaker counts then
WORKS, AWAY, UNCLEAR = 0, BEFORE + 1, BEFORE


@pytest.fixture
def answers(settings, qrs_service) -> Iterator[Callable[[Callable[[str], bytes]], None]]:
    """Return a function that puts a QRS with these answers in the place of the simulator."""
    with ExitStack() as stack:

        def put(answer: Callable[[str], bytes]) -> None:
            settings.QRS_URL = stack.enter_context(raw_qrs(qrs_service.certificates, answer))
            qrs._client.cache_clear()

        yield put
        qrs_client().close()


def start(run: Run) -> Run:
    tasks.start_runs([str(run.pk)])
    run.refresh_from_db()
    return run


def failures() -> int:
    return QrsSite.objects.get().failures


@pytest.mark.parametrize(
    ("status", "state", "counted"),
    [
        (200, "unsure", UNCLEAR),
        (201, "unsure", UNCLEAR),
        (204, "unsure", UNCLEAR),
        (299, "unsure", UNCLEAR),
        (300, "unsure", UNCLEAR),
        (301, "refused", UNCLEAR),
        (302, "refused", UNCLEAR),
        (303, "unsure", UNCLEAR),
        (304, "unsure", UNCLEAR),
        (307, "refused", UNCLEAR),
        (308, "refused", UNCLEAR),
        (399, "unsure", UNCLEAR),
        (400, "refused", WORKS),
        (401, "refused", WORKS),
        (403, "refused", WORKS),
        (404, "refused", WORKS),
        (405, "refused", WORKS),
        (407, "refused", UNCLEAR),
        (408, "retrying", UNCLEAR),
        (409, "refused", WORKS),
        (418, "refused", WORKS),
        (421, "refused", UNCLEAR),
        (423, "refused", WORKS),
        (425, "retrying", UNCLEAR),
        (429, "retrying", UNCLEAR),
        (499, "refused", WORKS),
        (500, "unsure", UNCLEAR),
        (501, "unsure", UNCLEAR),
        (502, "unsure", AWAY),
        (503, "retrying", AWAY),
        (504, "unsure", AWAY),
        (505, "unsure", UNCLEAR),
        (599, "unsure", UNCLEAR),
        (600, "unsure", UNCLEAR),
        (999, "unsure", UNCLEAR),
    ],
)
def test_each_status_has_its_class(run_now, answers, status, state, counted):
    answers(lambda _: reply(status))
    QrsSite.objects.update_or_create(pk=1, defaults={"failures": BEFORE})

    run = start(run_now())

    assert (run.state, failures()) == (state, counted)
    assert str(status) in run.message or "no whole answer" in run.message


@pytest.mark.parametrize(
    ("answer", "counted"),
    [
        (b"", AWAY),
        (b"HTTP/1.1 2", AWAY),
        (b"nonsense\r\n\r\n", AWAY),
        (b"HTTP/1.1 abc Created\r\n\r\n", AWAY),
        (b"HTTP/1.1 20 Created\r\n\r\n", AWAY),
        (b"HTTP/1.1 20100 Created\r\n\r\n", AWAY),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + began(SESSION), AWAY),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", AWAY),
        (b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{}", AWAY),
        (b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", AWAY),
        (b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", AWAY),
        (b"HTTP/1.1 201 Created\r\n" + b"X: y\r\n" * 200 + b"\r\n", AWAY),
        (reply(201, "<html>Sign in</html>"), UNCLEAR),
        (reply(201, '{"value": 5}'), UNCLEAR),
        (reply(201, '{"value": null}'), UNCLEAR),
        (reply(201, "[]"), UNCLEAR),
        (reply(201, "{" * 100_000), UNCLEAR),
        (reply(201, '{"value": "5c1b1f0e"}'), UNCLEAR),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else "",
)
def test_an_answer_that_is_none_leaves_a_doubt(run_now, answers, answer, counted, settings):
    settings.QRS_TIMEOUT = (1.0, 0.5)
    answers(lambda _: answer)
    QrsSite.objects.update_or_create(pk=1, defaults={"failures": BEFORE})

    run = start(run_now())

    assert (run.state, failures()) == ("unsure", counted)


def test_a_word_before_the_answer_does_not_become_the_answer_to_the_next_call(run_now, answers):
    other, replies = uuid4(), iter([b"HTTP/1.1 103 Early Hints\r\n\r\n" + began(SESSION)])
    answers(lambda _: next(replies, began(other)))

    first, second = start(run_now()), start(run_now())

    assert (first.state, first.qrs_session) == ("unsure", None)
    assert (second.state, second.qrs_session) == ("started", other)


def test_a_status_that_says_nothing_of_qrs_leaves_the_breaker_open(run_now, answers):
    answers(lambda _: reply(500))
    values = {"failures": 9, "wait_until": timezone.now() - timedelta(seconds=1)}
    QrsSite.objects.update_or_create(pk=1, defaults=values)

    start(run_now())

    assert failures() == 9
    assert breaker.count_admitted(3, now=timezone.now()) == 0


@pytest.mark.parametrize("status", [502, 504])
def test_servers_on_the_way_that_get_no_answer_open_the_breaker(run_now, answers, status):
    answers(lambda _: reply(status))
    for _ in range(breaker.MOST_FAILURES):
        start(run_now())

    run = start(run_now())

    assert (run.state, run.attempts) == ("retrying", 0)


class TestRetryAfter:
    @pytest.mark.parametrize("status", [408, 425, 429, 503])
    def test_it_is_not_asked_before(self, run_now, answers, status):
        answers(lambda _: reply(status, headers="Retry-After: 40\r\n"))

        run = start(run_now())

        assert run.state == "retrying"
        assert timedelta(seconds=40) <= run.next_try_at - run.answered_at <= timedelta(seconds=44.1)

    def test_a_moment_is_read_by_the_clock_of_qrs(self, run_now, answers):
        there = timezone.now().replace(microsecond=0) + timedelta(days=3)
        dates = f"Date: {format_datetime(there, usegmt=True)}\r\n"
        dates += f"Retry-After: {format_datetime(there + timedelta(seconds=30), usegmt=True)}\r\n"
        answers(lambda _: reply(429, headers=dates))

        run = start(run_now())

        assert timedelta(seconds=30) <= run.next_try_at - run.answered_at <= timedelta(seconds=33.1)

    @pytest.mark.parametrize("wish", ["86400", "9" * 400, "Fri, 31 Dec 2099 00:00:00 GMT"])
    def test_it_is_not_waited_for_longer_than_the_longest_pause(self, run_now, answers, wish):
        answers(lambda _: reply(429, headers=f"Retry-After: {wish}\r\n"))

        run = start(run_now())

        assert LONGEST_PAUSE <= run.next_try_at - run.answered_at <= LONGEST_PAUSE * 1.1

    @pytest.mark.parametrize("wish", ["0", "-5", "soon", "1.5", ""])
    def test_less_than_the_usual_pause_is_that(self, run_now, answers, wish):
        answers(lambda _: reply(429, headers=f"Retry-After: {wish}\r\n"))

        run = start(run_now())

        assert timedelta(seconds=3) < run.next_try_at - run.answered_at < timedelta(seconds=7)

    def test_there_is_one_more_attempt_at_the_deadline(self, run_now, answers):
        answers(lambda _: reply(429, headers="Retry-After: 120\r\n"))

        run = start(run_now(retry_deadline=timedelta(seconds=30)))

        assert run.state == "retrying"
        assert timedelta(seconds=25) < run.next_try_at - run.answered_at <= timedelta(seconds=30)

    def test_past_the_deadline_there_is_none(self, run_now, answers):
        answers(lambda _: reply(429, headers="Retry-After: 120\r\n"))

        assert start(run_now(retry_deadline=timedelta(0))).state == "unreachable"

    def test_a_run_that_must_not_overlap_waits_as_long(self, run_now, answers):
        answers(lambda _: reply(429, headers="Retry-After: 200\r\n"))

        run = start(run_now(overlap="skip"))

        assert (run.state, run.attempts) == ("retrying", 0)
        assert run.next_try_at - run.claimed_at >= timedelta(seconds=200)
        assert "429" in run.message

    def test_who_asked_for_a_start_is_told(self, client, answers):
        answers(lambda line: reply(429, headers="Retry-After: 40\r\n"))

        answer = client.put(f"/v4/reloadtask/{TASK_ID}/start")

        assert (answer.status_code, answer["Retry-After"]) == (503, "40")
        assert "429" in answer.json()["message"]


@pytest.mark.parametrize(("status", "counted"), [(403, UNCLEAR), (500, UNCLEAR), (502, AWAY), (503, AWAY)])
def test_a_question_about_overlap_that_is_refused_is_not_taken_for_an_absence(run_now, answers, status, counted):
    answers(lambda line: reply(status) if "executionsession" in line else began(uuid4()))
    QrsSite.objects.update_or_create(pk=1, defaults={"failures": BEFORE})

    run = start(run_now(overlap="queue"))

    assert (run.state, failures()) == ("retrying", counted)


def test_starts_that_are_asked_for_while_qrs_is_away_do_not_show_that_it_works(client, answers):
    answers(lambda _: reply(503))
    QrsSite.objects.update_or_create(pk=1, defaults={"failures": BEFORE})

    assert client.put(f"/v4/reloadtask/{TASK_ID}/start").status_code == 503

    assert failures() == AWAY

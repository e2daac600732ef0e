"""A worker that follows slowly: what it has learnt is old by the time it writes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.utils import timezone

from qlik.simulator.faults import Fault, FaultKind
from schedules import following, open_runs, session_matching
from schedules.follower_turn import take_turn, turn_length
from schedules.models import QrsSite, Run
from tests.conftest import TASK_ID
from tests.integration.following_steps import change_task, follow, start

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qrs_service")]


@pytest.fixture
def run(run_now, simulator) -> Run:
    """A run in doubt that the next silence of QRS settles."""
    change_task(simulator, reload_seconds=7200)
    simulator.add_fault(Fault(kind=FaultKind.RESET, takes_effect=False, count=1))
    run = run_now()
    start(run)
    follow(run, after=20)
    assert (run.state, run.silent_at is not None) == ("unsure", True)
    return run


@pytest.fixture
def after_the_look(monkeypatch) -> Callable[[Callable[[], object]], None]:
    """Return a function that has something happen, once, between what the follower has seen and what it writes."""

    def arrange(happen: Callable[[], object]) -> None:
        look = following.take_picture

        def look_and_be_slow(*args: object, **values: object) -> object:
            picture = look(*args, **values)
            monkeypatch.setattr(following, "take_picture", look)
            happen()
            return picture

        monkeypatch.setattr(following, "take_picture", look_and_be_slow)

    return arrange


def test_what_another_worker_has_found_since_stays(run, simulator, after_the_look, caplog):
    sessions = []

    def be_overtaken() -> None:
        sessions.extend(simulator.site.start([UUID(TASK_ID)]))
        assert follow(after=36 + turn_length().total_seconds()) == 1

    after_the_look(be_overtaken)
    assert follow(run, after=35) == 0

    assert (run.state, run.qrs_session) == ("started", sessions[0])
    assert "another worker follows" in caplog.text


def test_a_worker_that_was_overtaken_does_not_end_the_turn_of_the_other(run, after_the_look):
    taken = []
    after_the_look(lambda: taken.append(take_turn(now=timezone.now() + timedelta(seconds=36) + turn_length())))

    follow(run, after=35)

    assert run.state == "unsure"
    site = QrsSite.objects.get()
    assert (site.follower_token, site.follower_until is not None) == (taken[0].token, True)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"state": "started", "qrs_session": uuid4()}, id="it is started"),
        pytest.param({"qrs_session": uuid4()}, id="its session is known"),
        pytest.param({"state": "retrying", "next_try_at": timezone.now()}, id="it is tried again"),
        pytest.param({"state": "skipped", "closed_at": timezone.now()}, id="it is closed"),
        pytest.param({"attempts": 2}, id="it is in doubt once more"),
        pytest.param({"called_at": timezone.now() + timedelta(seconds=30)}, id="it was called again"),
        pytest.param({"claimed_at": timezone.now() + timedelta(seconds=30)}, id="its next worker was lost"),
    ],
)
def test_a_run_that_is_another_matter_by_then_is_left_alone(run, after_the_look, values):
    after_the_look(lambda: Run.objects.update(**values))

    assert follow(run, after=35) == 0

    assert {name: getattr(run, name) for name in values} == values
    assert run.state == values.get("state", "unsure")


def test_the_turn_lasts_until_all_is_written(run, monkeypatch):
    write, rivals = open_runs.change_runs, []

    def write_beside_a_rival(*args: object, **values: object) -> int:
        rivals.append(take_turn(now=timezone.now() + timedelta(seconds=36)))
        return write(*args, **values)

    monkeypatch.setattr(open_runs, "change_runs", write_beside_a_rival)
    follow(run, after=35)

    assert (run.state, rivals) == ("retrying", [None])
    assert take_turn(now=timezone.now()) is not None


def test_the_turn_is_as_long_as_the_calls_of_a_look(settings):
    settings.QRS_URL = "https://one:4242,https://two:4242"
    settings.QRS_TOTAL_TIMEOUT = 35.0

    assert turn_length() >= timedelta(seconds=3 * 70)


def test_of_two_workers_that_find_the_turn_free_one_gets_it(simulator, monkeypatch):
    QrsSite.objects.get_or_create(pk=1)
    seen = QrsSite.objects.get_or_create
    first = []

    def read_and_be_overtaken(**values: object) -> object:
        found = seen(**values)
        if not first:
            first.append(None)
            first[0] = take_turn(now=timezone.now())
        return found

    monkeypatch.setattr(QrsSite.objects, "get_or_create", read_and_be_overtaken)
    # The row says that it is free, as it did for the other
    second = take_turn(now=timezone.now())

    assert first[0] is not None
    assert second is None


def test_what_no_database_takes_of_one_run_does_not_stop_the_others(run_now, simulator, monkeypatch, caplog):
    change_task(simulator, reload_seconds=1)
    good, bad = run_now(), run_now()
    start(good, bad)
    simulator.site._clock = lambda now=simulator.site._clock: now() + timedelta(hours=1)
    judge = following.judge

    def judge_oddly(run: open_runs.OpenRun, *args: object, **values: object) -> object:
        change = judge(run, *args, **values)
        return change._replace(reload_attempts=2**70) if run.id == bad.pk else change

    monkeypatch.setattr(following, "judge", judge_oddly)
    follow(good, bad)

    assert (good.state, bad.state) == ("succeeded", "started")
    assert "cannot be written" in caplog.text
    assert connection.is_usable()


def test_what_cannot_be_judged_of_one_run_does_not_stop_the_others(run_now, simulator, monkeypatch, caplog):
    change_task(simulator, reload_seconds=1)
    good, bad = run_now(), run_now()
    start(good, bad)
    simulator.site._clock = lambda now=simulator.site._clock: now() + timedelta(hours=1)
    judge = following.judge

    def judge_one(run: open_runs.OpenRun, *args: object, **values: object) -> object:
        if run.id == bad.pk:
            raise ZeroDivisionError
        return judge(run, *args, **values)

    monkeypatch.setattr(following, "judge", judge_one)
    follow(good, bad)

    assert (good.state, bad.state) == ("succeeded", "started")
    assert "cannot be judged" in caplog.text


@pytest.mark.parametrize(
    ("state", "was_read", "is_calling"),
    [
        ("claimed", False, True),
        # Called again since
        ("claimed", True, True),
        ("unsure", False, True),
        ("unsure", True, False),
        ("queued", False, False),
    ],
)
def test_a_call_that_has_begun_since_the_runs_were_read_is_on_its_way(run_now, state, was_read, is_calling):
    run = run_now()
    Run.objects.filter(pk=run.pk).update(state=state)
    known = [SimpleNamespace(id=run.pk)] if was_read else []

    assert (run.qlik_task_id in session_matching._list_calling(besides=known)) == is_calling

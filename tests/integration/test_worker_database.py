"""A worker whose database goes away for a moment, at each moment: no answer is lost, no run is left behind."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import DataError, OperationalError, connection
from django.utils import timezone

from qlik.simulator.faults import Fault, FaultKind
from schedules import breaker, claims, patience, runs, tasks
from schedules.lease import name_this_process
from schedules.models import QrsSite, Run
from tests.conftest import TASK_ID
from tests.integration.begun import assert_books_agree, list_called
from tests.waiting import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("qrs_service")]

OTHER_TASK_ID = "c9e8b3d4-1f67-4a20-9c5b-d38a06e71f42"
#: More statements or commits than any of the scenes has
MANY = 60


class Trouble:
    """Cuts the connection at one statement or commit, counted from 0, or at none."""

    def __init__(self, *, statement: int = -1, commit: int = -1) -> None:
        self.statements = 0
        self.commits = 0
        self._statement = statement
        self._commit = commit

    @contextmanager
    def strike(self) -> Iterator[None]:
        """Count and cut what this thread does."""
        commit = connection.commit

        def commit_and_cut() -> None:
            commit()
            self.commits += 1
            if self.commits - 1 == self._commit:
                raise OperationalError("the answer to the commit was lost")

        connection.commit = commit_and_cut
        try:
            with connection.execute_wrapper(self._execute):
                yield
        finally:
            del connection.commit

    def _execute(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self.statements += 1
        if self.statements - 1 == self._statement:
            if connection.vendor != "postgresql":
                raise OperationalError("database is locked")
            cut(connection.connection.info.backend_pid)
        return execute(*arguments)


def cut(backend: int) -> None:
    """Have PostgreSQL end a session, past it."""
    parameters = connection.get_connection_params()
    wanted = {name: parameters[name] for name in ("dbname", "host", "port", "user", "password") if name in parameters}
    with psycopg.connect(**wanted, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])


def work(*planned: Run, trouble: Trouble) -> None:
    with trouble.strike():
        tasks.start_runs([str(run.pk) for run in planned])
    for run in planned:
        run.refresh_from_db()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(patience, "PAUSES", (0, 0.01))


class Scene:
    """Some runs that a message brings, and in which states they end."""

    def __init__(self, run_now: Callable[..., Run], simulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run_now = run_now
        self.simulator = simulator
        self.monkeypatch = monkeypatch

    def of_a_usual_message(self) -> tuple[list[Run], list[str]]:
        planned = [self.run_now(), self.run_now(overlap="skip"), self.run_now(qlik_task_id=OTHER_TASK_ID)]
        return planned, ["started"] * 3

    def of_a_site_that_is_back(self) -> tuple[list[Run], list[str]]:
        QrsSite.objects.update_or_create(pk=1, defaults={"failures": 2, "last_error": "away"})
        return self.of_a_usual_message()

    def of_a_task_that_runs_already(self) -> tuple[list[Run], list[str]]:
        self.simulator.site.start([UUID(TASK_ID)])
        return [self.run_now(overlap="skip"), self.run_now(qlik_task_id=OTHER_TASK_ID)], ["skipped", "started"]

    def of_a_site_that_is_waited_for(self) -> tuple[list[Run], list[str]]:
        values = {
            "failures": 9,
            "wait_until": timezone.now() + timedelta(seconds=4),
            "unreachable_since": timezone.now(),
        }
        QrsSite.objects.update_or_create(pk=1, defaults=values)
        return [self.run_now(), self.run_now(overlap="queue")], ["retrying"] * 2

    def of_a_site_that_takes_nothing(self) -> tuple[list[Run], list[str]]:
        self.simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503))
        return [self.run_now(), self.run_now(overlap="skip")], ["retrying"] * 2

    def of_a_worker_that_is_busy(self) -> tuple[list[Run], list[str]]:
        self.monkeypatch.setattr(tasks, "PATIENCE_SECONDS", -1)
        return [self.run_now() for _ in range(2)], ["planned"] * 2


SCENES = [name for name in vars(Scene) if name.startswith("of_")]


@pytest.fixture
def scene(request, run_now, simulator, monkeypatch):
    return getattr(Scene(run_now, simulator, monkeypatch), request.param)


@pytest.mark.parametrize("kind", ["statement", "commit"])
@pytest.mark.parametrize("scene", SCENES, indirect=True)
def test_wherever_the_connection_is_cut_each_run_ends_as_it_would_have(scene, simulator, kind):
    for number in range(MANY):
        Run.objects.all().delete()
        QrsSite.objects.all().delete()
        simulator.faults.clear()
        simulator.journal.clear()
        simulator.site.lose_sessions(keep_results=False)
        planned, states = scene()
        trouble = Trouble(**{kind: number})
        began_at = timezone.now()
        work(*planned, trouble=trouble)

        assert [run.state for run in planned] == states, f"cut at {kind} {number}"
        assert timezone.now() - began_at < timedelta(seconds=5)
        assert len(list_called(simulator)) <= len(planned), f"called twice, cut at {kind} {number}"
        assert_books_agree(simulator)
        if number >= getattr(trouble, f"{kind}s"):
            break
    else:
        raise AssertionError(f"there are more than {MANY} {kind}s")


def test_a_database_that_is_away_for_long_loses_no_answer(run_now, simulator, monkeypatch):
    failures, record = iter([OperationalError("database is locked")] * 50), runs.record_outcomes

    def fail_first(outcomes: list[runs.Outcome]) -> int:
        if error := next(failures, None):
            raise error
        return record(outcomes)

    monkeypatch.setattr(runs, "record_outcomes", fail_first)
    planned = [run_now(), run_now()]

    work(*planned, trouble=Trouble())

    assert {run.state for run in planned} == {"started"}
    assert_books_agree(simulator)


def test_a_database_that_is_away_before_the_claim_leaves_the_runs_to_be_published_again(
    run_now, simulator, monkeypatch
):
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(tasks, "CLAIM_SECONDS", 0.05)
    run = run_now()
    with monkeypatch.context() as patch:
        patch.setattr(claims, "claim_runs", fail)
        work(run, trouble=Trouble())

    assert (run.state, list_called(simulator)) == ("queued", [])


@pytest.mark.parametrize(("failures", "state"), [(1, "started"), (10_000, "queued")])
def test_a_claim_whose_commit_does_not_reach_the_disk_is_not_kept(run_now, simulator, monkeypatch, failures, state):
    left = iter(range(failures))

    def fail_first() -> None:
        if next(left, None) is not None:
            raise OperationalError("the log cannot be written to the disk")

    monkeypatch.setattr(tasks, "CLAIM_SECONDS", 0.05)
    monkeypatch.setattr(claims, "sync_log", fail_first)
    run = run_now()

    work(run, trouble=Trouble())

    assert (run.state, len(list_called(simulator))) == (state, int(state == "started"))


def test_a_doubt_about_qrs_keeps_no_start_waiting_for_long(run_now, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(breaker, "count_admitted", fail)
    monkeypatch.setattr(tasks, "ADMIT_SECONDS", 0.05)
    run = run_now()

    work(run, trouble=Trouble())

    assert run.state == "started"
    assert run.lateness < timedelta(seconds=2)


def test_a_row_that_cannot_be_claimed_does_not_keep_the_others(run_now, monkeypatch, caplog):
    planned, claim = [run_now() for _ in range(5)], claims.claim_runs

    def refuse_one(run_ids: list[UUID], **values: Any) -> list[claims.ClaimedRun]:
        if planned[2].pk in run_ids:
            raise ValueError("a hand has broken it")
        return claim(run_ids, **values)

    monkeypatch.setattr(claims, "claim_runs", refuse_one)

    work(*planned, trouble=Trouble())

    assert [run.state for run in planned] == ["started", "started", "queued", "started", "started"]
    assert f"run {planned[2].pk} cannot be claimed" in caplog.text


def test_an_outcome_that_the_database_refuses_does_not_keep_the_others(run_now, monkeypatch, caplog):
    planned, record = [run_now() for _ in range(3)], runs.record_outcomes

    def refuse_one(outcomes: list[runs.Outcome]) -> int:
        if any(outcome.id == planned[1].pk for outcome in outcomes):
            raise DataError("no such value")
        return record(outcomes)

    monkeypatch.setattr(runs, "record_outcomes", refuse_one)

    work(*planned, trouble=Trouble())

    assert [run.state for run in planned] == ["started", "claimed", "started"]
    assert "the database refuses outcomes" in caplog.text


def test_a_surprise_before_the_call_puts_the_runs_off_and_keeps_none(run_now, simulator, monkeypatch, caplog):
    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr(breaker, "count_admitted", explode)
    run = run_now()

    work(run, trouble=Trouble())

    assert (run.state, list_called(simulator)) == ("retrying", [])
    assert "surprise" in run.message
    assert "ZeroDivisionError" in caplog.text


def test_calls_that_have_no_thread_in_time_are_handed_back_while_the_others_hang(run_now, monkeypatch):
    """As many calls as there are threads hang; the claims of the others are not kept until those end."""
    monkeypatch.setattr(tasks, "PATIENCE_SECONDS", 0.2)
    planned, hanging, start = [run_now() for _ in range(7)], threading.Event(), tasks._start
    states: list[list[str]] = []

    def hang(run: claims.ClaimedRun, patient_until: float) -> runs.Outcome | None:
        hanging.wait(20)
        return start(run, patient_until + 20)

    def watch() -> None:
        try:
            wait_for(lambda: Run.objects.filter(state="planned").count() == 3, seconds=10)
            states.append(sorted(Run.objects.values_list("state", flat=True)))
        finally:
            hanging.set()
            connection.close()

    monkeypatch.setattr(tasks, "_start", hang)
    watching = threading.Thread(target=watch)
    watching.start()
    work(*planned, trouble=Trouble())
    watching.join(20)

    assert states == [["claimed"] * 4 + ["planned"] * 3]
    assert sorted(run.state for run in planned) == ["planned"] * 3 + ["started"] * 4


def test_a_worker_shows_that_it_holds_the_claims_of_calls_that_take_long(run_now, simulator, monkeypatch):
    monkeypatch.setattr(tasks, "RENEW_SECONDS", 0.05)
    simulator.add_fault(Fault(kind=FaultKind.DELAY, delay_ms=600, calls=("start synchronous",)))
    run = run_now()

    work(run, trouble=Trouble())

    assert run.state == "started"
    assert run.claimed_at < run.claim_renewed_at < run.answered_at


def test_a_renewal_that_the_database_does_not_take_breaks_nothing(run_now, simulator, monkeypatch, caplog):
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(tasks, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(claims, "renew_claims", fail)
    simulator.add_fault(Fault(kind=FaultKind.DELAY, delay_ms=400, calls=("start synchronous",)))
    run = run_now()

    work(run, trouble=Trouble())

    assert run.state == "started"
    assert "claims cannot be renewed" in caplog.text


def test_the_sweeper_keeps_the_claims_of_a_process_that_lives_here(run_now):
    run = run_now()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    worker = name_this_process().rpartition("/")[0] + f"/{process.pid}"
    try:
        claims.claim_runs([run.pk], worker=worker, now=timezone.now() - timedelta(hours=1))
        tasks.sweep_runs()
        assert Run.objects.get().state == "claimed"
    finally:
        process.communicate(b"\n")

    tasks.sweep_runs()
    assert Run.objects.get().state == "unsure"

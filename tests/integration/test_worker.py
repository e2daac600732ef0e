"""The worker's task against a simulated Sense site: each way a call can end, once in the ledger."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import uuid
from datetime import timedelta

import pytest
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from qlik.simulator.certificates import ensure_certificates
from qlik.simulator.faults import Fault, FaultKind
from schedules import claims, patience, qrs, runs, services, tasks
from schedules.claims import ClaimedRun
from schedules.lease import name_this_process
from schedules.models import Run, Schedule
from schedules.qrs import qrs_client
from tests.conftest import ORIGIN, TASK_ID

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qrs_service")]

DISABLED_OR_UNKNOWN = "00000000-0000-4000-8000-00000000dead"


def started(run: ClaimedRun) -> runs.Outcome:
    now = timezone.now()
    return runs.Outcome(id=run.id, state=Run.State.STARTED, called_at=now, answered_at=now)


def start(*runs: Run) -> None:
    tasks.start_runs([str(run.pk) for run in runs])
    for run in runs:
        run.refresh_from_db()


def test_a_run_is_started_and_recorded_with_its_session(run_now, simulator):
    run = run_now()

    start(run)

    (entry,) = simulator.entries()
    assert str(entry.task_id) == TASK_ID
    assert (run.state, run.qrs_session, run.attempts) == ("started", entry.session_id, 1)
    assert run.due_at <= run.claimed_at <= run.called_at <= run.answered_at


def test_a_message_that_comes_twice_starts_once(run_now, simulator):
    run = run_now()

    start(run)
    start(run)

    assert len(simulator.entries()) == 1


@pytest.mark.parametrize(
    ("fault", "state", "says"),
    [
        ({"kind": FaultKind.REFUSE, "status": 503}, "retrying", "503"),
        ({"kind": FaultKind.REFUSE, "status": 500}, "unsure", "500"),
        ({"kind": FaultKind.REFUSE, "status": 502}, "unsure", "502"),
        ({"kind": FaultKind.REFUSE, "status": 504}, "unsure", "504"),
        ({"kind": FaultKind.REFUSE, "status": 400}, "refused", "400"),
        ({"kind": FaultKind.REFUSE, "status": 401}, "refused", "401"),
        ({"kind": FaultKind.REFUSE, "status": 403}, "refused", "403"),
        ({"kind": FaultKind.REFUSE, "status": 404}, "refused", "404"),
        ({"kind": FaultKind.ZERO}, "refused", "the task is disabled"),
        ({"kind": FaultKind.RESET}, "unsure", "Ask QRS"),
        ({"kind": FaultKind.HANG, "delay_ms": 3000}, "unsure", "Ask QRS"),
        ({"kind": FaultKind.HTML}, "unsure", "cannot be read"),
        ({"kind": FaultKind.TRUNCATED}, "unsure", "cannot be read"),
        ({"kind": FaultKind.CUT}, "unsure", "Ask QRS"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value),
)
def test_each_way_to_fail_has_its_state_and_message(run_now, simulator, fault, state, says):
    simulator.add_fault(Fault(**fault))
    run = run_now()

    start(run)

    assert run.state == state
    assert says in run.message
    assert run.answered_at >= run.called_at


def test_an_unknown_task_is_refused(run_now):
    run = run_now(qlik_task_id=DISABLED_OR_UNKNOWN)

    start(run)

    assert run.state == "refused"


def test_a_site_that_is_down_is_tried_again_and_the_next_call_works(run_now, simulator, settings):
    settings.QRS_URL = "https://127.0.0.1:1"
    run = run_now()
    start(run)
    assert run.state == "retrying"

    settings.QRS_URL = simulator.url
    qrs._client.cache_clear()
    run = run_now()
    start(run)
    assert run.state == "started"


@pytest.mark.parametrize(
    ("url", "says"),
    [("https://nowhere.invalid:4242", "Check the host name"), ("https://127.0.0.1:1", "Connection refused")],
)
def test_without_a_connection_it_is_tried_again(run_now, settings, url, says):
    settings.QRS_URL = url
    qrs._client.cache_clear()
    run = run_now()

    start(run)

    assert run.state == "retrying"
    assert says in run.message


def test_a_site_with_other_certificates_gets_no_call_and_is_tried_again(run_now, settings, tmp_path, simulator):
    ensure_certificates(tmp_path, names=["127.0.0.1"])
    settings.QRS_CERT_DIR = tmp_path
    qrs._client.cache_clear()
    run = run_now()

    start(run)

    assert (run.state, simulator.entries()) == ("retrying", [])
    assert "root.pem" in run.message


def test_missing_certificates_are_named_and_tried_again(run_now, settings, tmp_path, simulator):
    settings.QRS_CERT_DIR = tmp_path
    first = run_now()
    start(first)
    assert first.state == "retrying"
    assert "client.pem" in first.message

    settings.QRS_CERT_DIR = simulator.certificates
    second = run_now()
    start(second)
    assert second.state == "started", "the client is made again once the files are there"


def test_one_failure_does_not_keep_the_others_of_a_message(run_now, simulator):
    simulator.add_fault(Fault(kind=FaultKind.RESET, count=1))
    planned = [run_now() for _ in range(3)]

    start(*planned)

    assert sorted(run.state for run in planned) == ["started", "started", "unsure"]


def test_a_failure_nobody_thought_of_is_asked_about_and_has_its_traceback(run_now, monkeypatch, caplog, simulator):
    def explode(*args: object) -> None:
        raise ZeroDivisionError("surprise")

    first, second = run_now(), run_now()
    with monkeypatch.context() as patch:
        patch.setattr(type(qrs_client()), "start_task_synchronously", explode)
        start(first, second)

    assert {first.state, second.state} == {"unsure"}
    assert "surprise" in first.message
    assert "ZeroDivisionError" in caplog.text


def test_a_site_that_keeps_waiting_gets_no_pile_of_claims(run_now, simulator, monkeypatch):
    monkeypatch.setattr(tasks, "PATIENCE_SECONDS", -1)
    planned = [run_now() for _ in range(3)]

    start(*planned)

    assert {run.state for run in planned} == {"planned"}, "they are handed back to beat"
    assert simulator.entries() == []


def test_an_answer_of_qrs_outlives_a_database_that_is_away(run_now, monkeypatch, caplog):
    monkeypatch.setattr(patience, "PAUSES", (0,))
    run, record, failures = run_now(), runs.record_outcomes, iter([OperationalError("gone"), InterfaceError("closed")])

    def fail_first(outcomes: list[runs.Outcome]) -> int:
        if error := next(failures, None):
            raise error
        return record(outcomes)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "record_outcomes", fail_first)
        start(run)

    assert run.state == "started"
    assert caplog.text.count("cannot be recorded") == 2


def test_all_threads_of_a_process_share_one_client():
    ready, clients = threading.Barrier(16), []

    def ask() -> None:
        ready.wait()
        clients.append(qrs_client())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(client) for client in clients}) == 1


def test_a_call_that_hangs_does_not_keep_what_is_handed_back(run_now, monkeypatch):
    hanging, handed_back = run_now(), run_now()
    released, was_released = threading.Event(), []
    release = claims.release_claims

    def start_or_not(run: ClaimedRun, patient_until: float) -> runs.Outcome | None:
        if run.id == handed_back.pk:
            return None
        was_released.append(released.wait(5))
        return started(run)

    def note(claimed: list[ClaimedRun]) -> None:
        release(claimed)
        if claimed:
            released.set()

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "_start", start_or_not)
        patch.setattr(claims, "release_claims", note)
        start(hanging, handed_back)

    assert was_released == [True], "it was handed back while the other call still hung"
    assert (hanging.state, handed_back.state) == ("started", "planned")


def test_the_log_tells_schedule_due_time_and_lateness(run_now, caplog):
    caplog.set_level(logging.INFO)
    run = run_now()
    Run.objects.update(due_at=timezone.now() - timedelta(seconds=2))

    start(run)

    (line,) = [record.getMessage() for record in caplog.records if record.name == "schedules.tasks"]
    assert f"started schedule={run.schedule_name} task={TASK_ID} due={run.due_at:%Y-%m-%dT%H:%M:%SZ} late=20" in line
    assert f"session={run.qrs_session}" in line


def test_the_sweeper_brings_stuck_rows_on(run_now, caplog):
    lost_message, lost_worker = run_now(), run_now()
    long_ago = timezone.now() - timedelta(hours=1)
    Run.objects.filter(pk=lost_message.pk).update(state="queued", queued_at=long_ago)
    Run.objects.filter(pk=lost_worker.pk).update(state="claimed", claimed_at=long_ago)

    tasks.sweep_runs()

    assert Run.objects.get(pk=lost_message.pk).state == "planned"
    assert Run.objects.get(pk=lost_worker.pk).state == "unsure"
    assert "1 runs are published again, 1 were lost" in caplog.text


def test_the_sweeper_closes_what_a_killed_worker_of_this_machine_had_claimed(run_now):
    of_the_dead, of_this_one = run_now(), run_now()
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    dead = name_this_process().rpartition("/")[0] + f"/{process.pid}"
    claims.claim_runs([of_the_dead.pk], worker=dead, now=timezone.now())
    claims.claim_runs([of_this_one.pk], worker=name_this_process(), now=timezone.now())

    tasks.sweep_runs()

    assert Run.objects.get(pk=of_the_dead.pk).state == "unsure"
    assert Run.objects.get(pk=of_this_one.pk).state == "claimed", "the sweeper's own process is alive"


def test_a_long_message_is_claimed_in_parts(run_now, monkeypatch, simulator):
    monkeypatch.setattr(tasks, "CLAIM_SIZE", 2)
    planned = [run_now() for _ in range(5)]
    claim, sizes = claims.claim_runs, []

    def note(run_ids, **values):
        sizes.append(len(run_ids))
        return claim(run_ids, **values)

    with monkeypatch.context() as patch:
        patch.setattr(claims, "claim_runs", note)
        start(*planned)

    assert sizes == [2, 2, 1]
    assert {run.state for run in planned} == {"started"}


def test_a_schedule_deleted_meanwhile_does_not_stop_a_manual_run(run_now, simulator):
    run = run_now()
    services.delete_schedules([run.schedule_name], origin=ORIGIN)
    assert not Schedule.objects.exists()

    start(run)

    assert run.state == "started"


@pytest.mark.parametrize("overlap", ["allow", "skip", "queue"])
def test_a_run_whose_task_id_a_hand_has_broken_is_refused_and_keeps_nobody(run_now, simulator, overlap):
    broken, sound = run_now(overlap=overlap), run_now(overlap=overlap)
    Run.objects.filter(pk=broken.pk).update(qlik_task_id="nonsense")

    tasks.start_runs([str(broken.pk), str(sound.pk)])

    for run in (broken, sound):
        run.refresh_from_db()
    assert (broken.state, broken.message) == ("refused", "'nonsense' is not the id of a task. Correct the schedule.")
    assert sound.state == "started"


def test_a_message_for_rows_that_are_gone_is_passed_over(simulator):
    tasks.start_runs([str(uuid.uuid4())])

    assert simulator.entries() == []

"""The two histories in the admin: readable, linked, cheap, and not to be changed by anybody."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from schedules import services
from schedules.changes import Origin
from schedules.models import Run, Schedule, ScheduleChange
from tests.conftest import ORIGIN

pytestmark = pytest.mark.django_db

RUNS = "/admin/schedules/run/"
CHANGES = "/admin/schedules/schedulechange/"
DUE_AT = datetime(2026, 3, 29, 4, 0, tzinfo=UTC)


def add_run(schedule, **values: object) -> Run:
    given = {
        "schedule_name": schedule.name,
        "qlik_task_id": schedule.qlik_task_id,
        "due_at": DUE_AT,
        "planned_at": DUE_AT,
        "reason": Run.Reason.SCHEDULED,
    } | values
    return Run.objects.create(schedule_id=schedule.pk, **given)


def add_started_run(schedule) -> Run:
    return add_run(
        schedule,
        state=Run.State.STARTED,
        queued_at=DUE_AT + timedelta(milliseconds=3),
        claimed_at=DUE_AT + timedelta(milliseconds=9),
        called_at=DUE_AT + timedelta(milliseconds=1012),
        answered_at=DUE_AT + timedelta(milliseconds=1240),
        qrs_session=uuid.UUID("11111111-2222-3333-4444-555555555555"),
        message="Well done",
        worker="worker@sense-1",
    )


def found(client, path: str) -> list[object]:
    response = client.get(path)
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def test_a_line_of_the_ledger_tells_the_whole_story(admin_client, make_schedule):
    schedule = make_schedule(title="Morning load")
    run = add_started_run(schedule)

    page = admin_client.get(RUNS).content.decode()

    for text in (
        "2026-03-29 04:00:00",
        "Morning load",
        f"/admin/schedules/schedule/{schedule.pk}/change/",
        "started",
        "scheduled",
        "1,012 ms",
        "04:00:01.012",
        "04:00:01.240",
        str(run.qrs_session),
        "Well done",
        "worker@sense-1",
    ):
        assert text in page


def test_the_page_of_a_run_shows_every_moment_and_both_clocks(admin_client, make_schedule):
    run = add_started_run(make_schedule(title="Morning load"))

    page = admin_client.get(f"{RUNS}{run.pk}/change/").content.decode()

    assert "2026-03-29 04:00:00.000 UTC" in page
    assert "Sun 29 Mar, 06:00 CEST" in page
    for moment in ("Planned", "Queued", "Claimed", "Called", "Answered"):
        assert moment in page
    assert "2026-03-29 04:00:01.240 UTC" in page
    assert "1,240 ms after due" in page
    assert f"{RUNS}?of={run.schedule_id}" in page


def test_a_run_that_nobody_called_qlik_sense_for_says_so(admin_client, make_schedule):
    run = add_run(make_schedule(), state=Run.State.SKIPPED)

    assert "Qlik Sense was not called." in admin_client.get(f"{RUNS}{run.pk}/change/").content.decode()
    assert admin_client.get(RUNS).status_code == 200


def test_a_run_tells_how_its_reload_went(admin_client, make_schedule):
    run = add_run(
        make_schedule(),
        state=Run.State.FAILED,
        reload_status=8,
        reload_duration=timedelta(hours=2, minutes=5),
        reload_attempts=3,
        node="sense-2",
        reload_details="Loading\nField <not> found",
    )

    listed = admin_client.get(RUNS).content.decode()
    page = admin_client.get(f"{RUNS}{run.pk}/change/").content.decode()

    assert "reload took 2 h 5 min" in listed
    assert "finished fail, after 2 h 5 min" in page
    assert "sense-2" in page
    assert "Field &lt;not&gt; found" in page


def test_runs_outlive_their_schedule_on_the_pages_too(admin_client, make_schedule):
    schedule = make_schedule()
    run = add_started_run(schedule)
    services.delete_schedules([schedule.name], origin=ORIGIN)

    for path in (RUNS, f"{RUNS}{run.pk}/change/", CHANGES, f"{RUNS}?of={schedule.pk}"):
        page = admin_client.get(path).content.decode()
        assert schedule.name in page
        assert "deleted" in page
        assert f"/schedule/{schedule.pk}/change/" not in page


def test_a_zone_broken_by_hand_does_not_break_the_page_of_a_run(admin_client, make_schedule):
    schedule = make_schedule()
    run = add_started_run(schedule)

    for zone in ("Europe/Atlantis", "../etc", "Europe", ""):
        Schedule.objects.filter(pk=schedule.pk).update(timezone=zone)
        assert admin_client.get(f"{RUNS}{run.pk}/change/").status_code == 200


def test_people_find_runs_by_schedule_and_task(admin_client, make_schedule):
    task_id = str(uuid.uuid4())
    run = add_run(make_schedule(title="Morning load", qlik_task_id=task_id))
    gone = make_schedule(title="Gone")
    run_of_gone = add_run(gone)
    services.delete_schedules([gone.name], origin=ORIGIN)

    for term in ("morning", run.schedule_name, task_id, f" {task_id} "):
        assert found(admin_client, f"{RUNS}?q={term}") == [run]
    assert found(admin_client, f"{RUNS}?q={gone.name}") == [run_of_gone]
    assert found(admin_client, f"{RUNS}?q=nothing") == []
    assert len(found(admin_client, f"{RUNS}?q=+")) == 2


def test_people_filter_runs(admin_client, make_schedule):
    schedule, other = make_schedule(), make_schedule()
    run = add_run(schedule, state=Run.State.REFUSED, reason=Run.Reason.MANUAL)
    add_run(other)

    assert found(admin_client, f"{RUNS}?state__exact=refused") == [run]
    assert found(admin_client, f"{RUNS}?reason__exact=manual") == [run]
    assert found(admin_client, f"{RUNS}?of={schedule.pk}") == [run]
    for nonsense in ("x", "-1", "1" * 30, "²"):
        assert len(found(admin_client, f"{RUNS}?of={nonsense}")) == 2


def test_a_schedule_leads_to_its_runs_and_its_changes(admin_client, make_schedule):
    schedule = make_schedule()

    page = admin_client.get(f"/admin/schedules/schedule/{schedule.pk}/change/").content.decode()

    assert f"{RUNS}?of={schedule.pk}" in page
    assert f"{CHANGES}?of={schedule.pk}" in page
    history = admin_client.get(f"/admin/schedules/schedule/{schedule.pk}/history/")
    assert history.url == f"{CHANGES}?of={schedule.pk}"


def test_no_list_of_a_history_counts_or_reads_all_rows(admin_client, make_schedule):
    for number in range(60):
        add_run(make_schedule(title=f"Schedule {number}"), due_at=DUE_AT + timedelta(days=number))

    for path, queries in ((RUNS, 6), (CHANGES, 4)):
        with CaptureQueriesContext(connection) as captured:
            rows = found(admin_client, path)
        sql = [query["sql"] for query in captured.captured_queries]
        assert len(rows) == 50
        assert len(sql) == queries, "session, person, rows, maintenance; for runs the first and the last due instant"
        assert not [text for text in sql if "COUNT(" in text or "DISTINCT" in text]
        assert all(" LIMIT " in text for text in sql if '"schedules_run"' in text or "schedulechange" in text)
        assert len(found(admin_client, f"{path}?p=2")) == 10


def test_the_calendar_leads_to_a_day(admin_client, make_schedule):
    schedule = make_schedule()
    runs = [
        add_run(schedule, due_at=DUE_AT),
        add_run(schedule, due_at=DUE_AT + timedelta(days=1)),
        add_run(schedule, due_at=DUE_AT + timedelta(days=400)),
    ]

    def titles(query: str = "") -> list[str]:
        calendar = admin_client.get(f"{RUNS}?{query}").context["calendar"]
        return [link.title for link in (calendar.back, *calendar.choices) if link]

    month, day = "due_at__year=2026&due_at__month=3", "due_at__year=2026&due_at__month=3&due_at__day=30"
    assert titles() == ["2026", "2027"]
    assert titles("due_at__year=2027")[:3] == ["All", "January 2027", "February 2027"]
    assert titles("due_at__year=2026")[1] == "March 2026"
    assert titles(month) == ["2026", "Sunday 29 March 2026", "Monday 30 March 2026", "Tuesday 31 March 2026"]
    assert titles(day) == ["March 2026", "Monday 30 March 2026"]
    assert found(admin_client, f"{RUNS}?{month}") == [runs[1], runs[0]]
    assert found(admin_client, f"{RUNS}?{day}") == [runs[1]]


def test_the_links_of_the_calendar_keep_the_filters_and_show_what_they_promise(admin_client, make_schedule):
    schedule = make_schedule()
    add_run(schedule, due_at=DUE_AT + timedelta(days=1))
    run = add_run(schedule, state=Run.State.REFUSED)
    add_run(schedule, due_at=DUE_AT + timedelta(days=1, hours=1), state=Run.State.REFUSED)

    (first_day, _) = admin_client.get(f"{RUNS}?state__exact=refused&p=1").context["calendar"].choices

    assert "p=1" not in first_day.link.replace("__", "")
    assert found(admin_client, f"{RUNS}{first_day.link}") == [run]


@pytest.mark.parametrize("query", ["due_at__year=x", "due_at__year=2026&due_at__month=13", "due_at__year=0"])
def test_a_date_that_is_none_is_no_error_of_ours(admin_client, make_schedule, query):
    add_run(make_schedule())

    assert admin_client.get(f"{RUNS}?{query}", follow=True).status_code == 200


def test_a_history_without_a_line_says_what_will_be_there(admin_client):
    assert "No runs yet" in admin_client.get(RUNS).content.decode()
    assert "No changes yet" in admin_client.get(CHANGES).content.decode()
    assert "Add" not in admin_client.get(RUNS).content.decode().partition("No runs yet")[2]


def test_a_change_tells_who_did_what_from_where(admin_client, make_schedule):
    schedule = make_schedule(title="Morning load", tags=["Sales"])
    schedule.timezone, schedule.tags = "Asia/Tokyo", []
    services.edit_schedule(schedule, origin=Origin(ScheduleChange.Source.API, "10.1.2.3"))

    for path in (CHANGES, f"{CHANGES}{ScheduleChange.objects.latest('pk').pk}/change/"):
        page = admin_client.get(path).content.decode()
        for text in (
            "Morning load",
            "edited",
            "10.1.2.3",
            "API",
            "<li>time zone: <del>Europe/Stockholm</del> → <ins>Asia/Tokyo</ins></li>",
            "<li>tags: <del>Sales</del> → <ins>nothing</ins></li>",
        ):
            assert text in page


def test_a_change_of_a_field_that_is_no_more_is_still_readable(admin_client, make_schedule):
    change = ScheduleChange.objects.get(schedule_pk=make_schedule().pk)
    change.diff = {"colour": ["red", "blue"]}
    change.save(update_fields=["diff"])

    assert "<li>colour: <del>red</del> → <ins>blue</ins></li>" in admin_client.get(CHANGES).content.decode()


def test_people_find_changes_by_schedule_and_actor(admin_client, make_schedule):
    schedule = make_schedule(title="Morning load")
    make_schedule(title="Another")
    services.stop_schedules([schedule.name], origin=Origin(ScheduleChange.Source.ADMIN, "anna.lind"))

    assert len(found(admin_client, f"{CHANGES}?q=morning")) == 2
    assert len(found(admin_client, f"{CHANGES}?of={schedule.pk}")) == 2
    for query in ("q=anna", "action__exact=stop", "source__exact=admin"):
        (change,) = found(admin_client, f"{CHANGES}?{query}")
        assert change.actor == "anna.lind"


@pytest.mark.parametrize("history", [RUNS, CHANGES])
def test_nobody_adds_changes_or_deletes_history_not_even_a_superuser(admin_client, make_schedule, history):
    run = add_run(make_schedule())
    row = run if history == RUNS else ScheduleChange.objects.get()
    before = type(row).objects.values().get()

    assert admin_client.get(f"{history}add/").status_code == 403
    assert admin_client.post(f"{history}add/", {}).status_code == 403
    assert admin_client.get(f"{history}{row.pk}/change/").status_code == 200
    assert admin_client.post(f"{history}{row.pk}/change/", {"message": "x", "actor": "x"}).status_code == 403
    assert admin_client.post(f"{history}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    admin_client.post(history, {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert type(row).objects.values().get() == before

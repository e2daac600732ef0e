"""Schedules that aim at all tasks with a tag or a custom property: what they start, by every door."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import RFC_4122, UUID

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from qlik.simulator.tasks import Task
from schedules import services, tasks
from schedules.backfill import BackfillError, backfill
from schedules.entries import read_entries
from schedules.forecast import forecast_load
from schedules.known_tasks import refresh_tasks
from schedules.models import Lease, QlikTask, Run, Schedule, ScheduleChange
from schedules.planner import Planner
from schedules.stopping import stop_reloads
from schedules.targets import TaskIndex
from schedules.task_warnings import count_misdirected, list_warnings
from tests.conftest import ORIGIN, TASK_ID
from tests.integration.api_calls import add, post
from tests.integration.test_api_errors import assert_invalid
from tests.integration.test_api_limits import patch
from tests.integration.test_planner import NOON, lead, loaded, plan, seconds_until_due
from tests.integration.test_schedules_command import schedules

pytestmark = pytest.mark.django_db

A, B, C, D = (str(UUID(int=number)) for number in range(1, 5))
AIM = {"qlik_task_id": "-", "target_tag": "Finance"}


def know(task_id: str, *tags: str, **values: object) -> QlikTask:
    given = {"name": f"Task {task_id[-1]}", "tags": list(tags), "seen_at": timezone.now()} | values
    return QlikTask.objects.create(id=task_id, **given)


@pytest.fixture
def known() -> None:
    """Four tasks: two of finance, one of them disabled; one with a property; one that is gone."""
    know(A, "Finance")
    know(B, "finance", "Night", custom_properties=[["Layer", "Extract"]])
    know(C, "Finance", is_enabled=False)
    know(D, "Finance", gone_at=timezone.now())


@pytest.fixture
def at_noon(make_schedule):
    """Return a function that makes a schedule which was armed just before noon."""

    def make(**values: object) -> Schedule:
        schedule = make_schedule(**values)
        Schedule.objects.update(armed_at=datetime.fromtimestamp(NOON - 1, UTC))
        return schedule

    return make


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"target_tag": "FINANCE"}, (A, B)),
        ({"target_property": "layer = extract"}, (B,)),
        ({"target_tag": "Finance", "target_property": "Layer=Extract"}, (A, B)),
        ({"target_tag": "Night", "qlik_task_id": TASK_ID.upper()}, (TASK_ID, B)),
        ({"target_tag": "Night", "qlik_task_id": B}, (B,)),
        ({"target_tag": "Nobody"}, ()),
        ({"target_property": "Layer=Finance"}, ()),
    ],
)
def test_enabled_tasks_that_have_it_are_meant_each_once(known, values, expected):
    assert TaskIndex().resolve(Schedule(**{"qlik_task_id": "-"} | values)) == expected


class TestPlanning:
    def test_each_task_gets_a_run(self, known, at_noon):
        schedule = at_noon(**AIM)

        planned = plan(loaded(), NOON)

        assert {(run.qlik_task_id, run.schedule_id, run.reason, run.due_at.timestamp()) for run in planned} == {
            (A, schedule.pk, "scheduled", NOON),
            (B, schedule.pk, "scheduled", NOON),
        }

    def test_the_keys_begin_with_the_instant_as_those_of_all_occurrences(self, known, at_noon):
        schedule = at_noon(**AIM)

        keys = [run.pk for run in plan(loaded(), NOON)]

        ordinary = Run.occurrence_key(schedule_pk=schedule.pk, due=int(NOON))
        assert {key.hex[:12] for key in keys} == {ordinary[:12]}
        assert {(key.version, key.variant) for key in keys} == {(8, RFC_4122)}
        assert len({*keys, UUID(ordinary)}) == 3

    def test_an_ordinary_schedule_keeps_its_key(self, at_noon):
        schedule = at_noon()

        (run,) = plan(loaded(), NOON)

        assert run.pk.hex == Run.occurrence_key(schedule_pk=schedule.pk, due=int(NOON))

    def test_a_second_planner_makes_no_other_rows_even_when_the_tasks_are_others_meanwhile(self, known, at_noon):
        at_noon(**AIM)
        plan(loaded(), NOON)
        QlikTask.objects.filter(pk=C).update(is_enabled=True)
        QlikTask.objects.filter(pk=A).update(is_enabled=False)
        Lease.objects.update(planned_through=datetime.fromtimestamp(NOON - 1, UTC))

        planned = plan(loaded(lead("second")), NOON)

        assert [run.qlik_task_id for run in planned] == [C], "B has its run"
        assert Run.objects.count() == 3

    def test_without_a_task_one_row_is_refused_with_the_reason(self, known, at_noon):
        at_noon(qlik_task_id="-", target_tag="Nobody", target_property="Layer=Load", max_runs=1)

        assert plan(loaded(), NOON) == []

        run = Run.objects.get()
        assert (run.state, run.qlik_task_id) == ("refused", "-")
        assert run.message.startswith("No enabled task has the tag 'Nobody' or the custom property 'Layer=Load'")
        assert run.closed_at is not None
        assert Schedule.objects.get().runs_planned == 0

    def test_an_occurrence_counts_once_towards_the_greatest_number(self, known, at_noon):
        at_noon(**AIM, max_runs=2)
        planner = loaded()

        for minute in range(4):
            plan(planner, NOON + 60 * minute)

        assert Run.objects.count() == 4
        assert Schedule.objects.get().runs_planned == 2

    def test_what_is_skipped_has_one_row(self, known, at_noon):
        schedule = at_noon(**AIM)
        services.pause_schedules([schedule.name], until=timezone.now().replace(year=2100), reason="", origin=ORIGIN)

        plan(loaded(), NOON)

        assert [run.state for run in Run.objects.all()] == ["skipped"]

    def test_what_was_missed_is_settled_for_each_task_in_slices(self, known, at_noon, monkeypatch):
        monkeypatch.setattr("schedules.absences.SLICE_SIZE", 5)
        at_noon(**AIM, misfire="all")
        planner = loaded()

        planned = plan(planner, NOON + 600)

        late = {(run.qlik_task_id, run.due_at.timestamp()) for run in planned}
        assert late == {(task_id, NOON + 60 * minute) for task_id in (A, B) for minute in range(11)}

    def test_an_edit_of_the_target_acts_on_the_next_occurrence(self, known, at_noon):
        at_noon(**AIM)
        planner, schedule = loaded(), Schedule.objects.get()
        schedule.target_tag = "Night"
        services.edit_schedule(schedule, origin=ORIGIN)

        assert [run.qlik_task_id for run in plan(planner, NOON)] == [B]

    def test_a_row_broken_by_hand_is_set_aside(self, known, at_noon):
        Schedule.objects.filter(pk=at_noon(**AIM).pk).update(target_tag="")
        sound = at_noon(title="sound")

        assert [run.schedule_id for run in plan(loaded(), NOON)] == [sound.pk]

    def test_tasks_are_read_once_and_only_for_schedules_that_aim(self, known, make_schedule):
        def count_reads() -> int:
            with CaptureQueriesContext(connection) as queries:
                read_entries()
            return sum("qliktask" in query["sql"] for query in queries)

        make_schedule()
        assert count_reads() == 0
        for _ in range(3):
            make_schedule(**AIM)
        assert count_reads() == 1


class TestRefresh:
    def test_beat_learns_which_tasks_are_meant_from_now_on(self, qrs_service, at_noon):
        refresh_tasks()
        schedule = at_noon(qlik_task_id="-", target_tag="Operations")
        at_noon(title="another", qlik_task_id="-", target_tag="Extract", cron_schedule="0 6 * * *")
        planner = loaded()
        new = Task(id=UUID(A), name="A new one", app="x", tags=("operations",))
        qrs_service.site.put_tasks([new], keep_others=True)
        refresh_tasks()

        change = ScheduleChange.objects.first()
        assert (change.schedule_pk, change.action, change.source) == (schedule.pk, "retarget", "qlik")
        assert change.diff == {"tasks": ["Reload License monitor", "A new one, Reload License monitor"]}
        assert ScheduleChange.objects.filter(action="retarget").count() == 1
        assert {run.qlik_task_id for run in plan(planner, NOON)} == {A, "c9e8b3d4-1f67-4a20-9c5b-d38a06e71f42"}

    @pytest.mark.parametrize("change", ["disable", "remove", "tag"])
    def test_every_change_that_matters_is_seen(self, qrs_service, make_schedule, change):
        refresh_tasks()
        make_schedule(qlik_task_id="-", target_tag="Operations")
        task_id = UUID("c9e8b3d4-1f67-4a20-9c5b-d38a06e71f42")
        if change == "remove":
            qrs_service.site.remove_tasks([task_id])
        else:
            qrs_service.site.change_task(task_id, **({"enabled": False} if change == "disable" else {"tags": ()}))

        refresh_tasks()

        assert ScheduleChange.objects.first().diff == {"tasks": ["Reload License monitor", ""]}

    def test_what_does_not_matter_takes_no_lock_and_is_no_change(self, qrs_service, make_schedule):
        refresh_tasks()
        make_schedule(qlik_task_id="-", target_tag="Operations")
        before = ScheduleChange.objects.count()
        qrs_service.site.change_task(UUID(TASK_ID), name="Another name")

        with CaptureQueriesContext(connection) as queries:
            assert refresh_tasks().changed == 1

        assert ScheduleChange.objects.count() == before
        assert not [query for query in queries if "lease" in query["sql"]]


class TestOtherDoors:
    def test_run_now_starts_each_task(self, known, make_schedule):
        aiming, empty = make_schedule(**AIM), make_schedule(qlik_task_id="-", target_tag="Nobody")

        planned = services.run_now([aiming.name, empty.name], origin=ORIGIN)

        assert [(run.qlik_task_id, run.state) for run in planned] == [(A, "planned"), (B, "planned"), ("-", "refused")]

    def test_the_workers_start_them(self, qrs_service, make_schedule):
        refresh_tasks()
        services.run_now([make_schedule(qlik_task_id="-", target_tag="Transform").name], origin=ORIGIN)
        Run.objects.update(state="queued")

        tasks.start_runs([str(run.pk) for run in Run.objects.all()])

        assert set(Run.objects.values_list("state", flat=True)) == {"started"}
        assert sum(entry.call == "start synchronous" for entry in qrs_service.entries()) == 2

    def test_a_backfill_makes_a_run_for_each_task_once(self, known, make_schedule):
        schedule = make_schedule(**AIM)
        period = {
            "from_at": datetime(2024, 3, 4, 6, 0, tzinfo=UTC),
            "until_at": datetime(2024, 3, 4, 6, 1, tzinfo=UTC),
        }

        assert backfill([schedule.name], **period, origin=ORIGIN) == 4
        assert backfill([schedule.name], **period, origin=ORIGIN) == 0
        assert {run.qlik_task_id for run in Run.objects.all()} == {A, B}

    def test_a_second_backfill_makes_the_runs_of_those_tasks_that_were_not_started(self, known, make_schedule):
        schedule = make_schedule(**AIM)
        moment = datetime(2024, 3, 4, 6, 0, tzinfo=UTC)
        period = {"from_at": moment, "until_at": moment, "origin": ORIGIN}
        backfill([schedule.name], **period)
        Run.objects.filter(qlik_task_id=A).update(state="succeeded")
        Run.objects.filter(qlik_task_id=B).update(state="unreachable")

        for again in (False, True):
            assert backfill([schedule.name], **period, again=again) == 1
            assert backfill([schedule.name], **period, again=again) == 0
            Run.objects.filter(state="planned").update(state="refused")
        assert Run.objects.filter(qlik_task_id=B).count() == 3, "the first and two more"
        assert Run.objects.filter(qlik_task_id=A).count() == 1

    def test_a_task_that_was_tagged_since_is_not_made_up_for_where_others_have_run(self, known, make_schedule):
        schedule = make_schedule(**AIM)
        moment = datetime(2024, 3, 4, 6, 0, tzinfo=UTC)
        backfill([schedule.name], from_at=moment, until_at=moment, origin=ORIGIN)
        Run.objects.update(state="succeeded")
        QlikTask.objects.filter(pk=D).update(gone_at=None)

        assert backfill([schedule.name], from_at=moment, until_at=moment, origin=ORIGIN) == 0

    def test_a_backfill_of_nothing_is_refused(self, known, make_schedule):
        schedule = make_schedule(qlik_task_id="-", target_tag="Nobody")
        moment = datetime(2024, 3, 4, 6, 0, tzinfo=UTC)

        with pytest.raises(BackfillError, match="No enabled task has the tag 'Nobody'"):
            backfill([schedule.name], from_at=moment, until_at=moment, origin=ORIGIN)

    def test_the_forecast_counts_each_task(self, known, make_schedule):
        make_schedule(**AIM, cron_schedule="0 * * * *")
        make_schedule(cron_schedule="0 * * * *")
        make_schedule(qlik_task_id="-", target_tag="Nobody")

        forecast = forecast_load(
            from_at=datetime(2030, 1, 1, tzinfo=UTC), until_at=datetime(2030, 1, 1, 0, 30, tzinfo=UTC)
        )

        assert (forecast.starts, forecast.schedules, forecast.broken) == (3, 3, [])
        assert sorted(share.starts for share in forecast.busiest_seconds[0].shares) == [1, 2]

    def test_a_stop_ends_the_reloads_of_all_its_tasks(self, qrs_service, make_schedule):
        refresh_tasks()
        schedule = make_schedule(qlik_task_id="-", target_tag="Transform")
        qrs_service.site.start([UUID(TASK_ID)])

        assert stop_reloads([schedule.name], origin=ORIGIN) == [schedule]
        assert sum(entry.call == "stop" for entry in qrs_service.entries()) == 2


class TestWarnings:
    def test_a_target_that_no_task_meets_is_told_and_counted(self, known, make_schedule):
        sound, empty = make_schedule(**AIM), make_schedule(qlik_task_id="-", target_tag="Nobody")

        assert list(list_warnings([sound, empty])) == [empty.pk]
        assert count_misdirected() == 1

    def test_the_task_beside_a_target_is_looked_at_as_well(self, known, make_schedule):
        schedule = make_schedule(qlik_task_id=TASK_ID, target_tag="Finance")

        assert "no reload task with this id" in list_warnings([schedule])[schedule.pk]


class TestApi:
    WORDS = {"qlikSenseTaskTag": "Finance", "qlikSenseTaskCustomProperty": "Layer=Extract"}

    def test_a_target_is_stored_and_comes_back(self, client):
        answer = post(client, qlikSenseTaskId="-", **self.WORDS)

        assert answer.status_code == 201, answer.content
        assert self.WORDS.items() <= answer.json().items()
        assert answer.json()["qlikSenseTaskId"] == "-"
        stored = Schedule.objects.get()
        assert (stored.target_tag, stored.target_property) == ("Finance", "Layer=Extract")

    def test_it_may_be_edited_and_taken_away(self, client):
        public_id = post(client, **self.WORDS).json()["id"]

        assert "qlikSenseTaskTag" not in patch(client, public_id, qlikSenseTaskTag="").json()
        assert patch(client, public_id, qlikSenseTaskId="-").status_code == 200
        answer = patch(client, public_id, qlikSenseTaskCustomProperty="")
        assert "No task is named (-)" in answer.json()["fields"]["qlikSenseTaskId"][0]

    @pytest.mark.parametrize(
        ("values", "field", "says"),
        [
            ({"qlikSenseTaskId": "-"}, "qlikSenseTaskId", "No task is named"),
            ({"qlikSenseTaskTag": " Finance"}, "qlikSenseTaskTag", "no space at either end"),
            ({"qlikSenseTaskTag": "a\nb"}, "qlikSenseTaskTag", "printable"),
            ({"qlikSenseTaskTag": 5}, "qlikSenseTaskTag", "not a text"),
            ({"qlikSenseTaskTag": "x" * 256}, "qlikSenseTaskTag", "255"),
            ({"qlikSenseTaskCustomProperty": "Finance"}, "qlikSenseTaskCustomProperty", "Name=Value"),
            ({"qlikSenseTaskCustomProperty": "=x"}, "qlikSenseTaskCustomProperty", "Name=Value"),
        ],
    )
    def test_what_cannot_be_aimed_at_is_refused_by_its_word(self, client, values, field, says):
        assert_invalid(post(client, **values), **{field: says})

    def test_services_refuse_it_too(self, make_schedule):
        with pytest.raises(ValidationError, match="No task is named"):
            make_schedule(qlik_task_id="-")


class TestFiles:
    def test_a_target_goes_out_and_in_again_to_the_byte(self, tmp_path):
        add("task-1", **AIM, target_property="Layer=Extract")
        before = schedules("export").out
        assert "    qlikSenseTaskTag: Finance\n    qlikSenseTaskCustomProperty: 'Layer=Extract'\n" in before
        services.delete_schedules(["task-1"], origin=ORIGIN)
        (tmp_path / "all.yaml").write_text(before)

        schedules("import", str(tmp_path / "all.yaml"))

        assert schedules("export").out == before

    def test_a_change_of_it_is_shown_and_carried_out(self, tmp_path):
        add("task-1", **AIM)
        file = tmp_path / "all.yaml"
        file.write_text(schedules("export").out.replace("TaskTag: Finance", "TaskTag: Sales"))

        assert "qlikSenseTaskTag: Finance" in schedules("import", str(file), "--replace").out

        assert Schedule.objects.get().target_tag == "Sales"

    def test_show_names_the_tasks(self, known):
        add("task-1", **AIM)

        assert "all with the tag 'Finance'; 2 tasks: Task 1, Task 2" in " ".join(
            schedules("show", "task-1").out.split()
        )


class TestAdmin:
    FORM = "/admin/schedules/schedule/"

    def values(self, **given: str) -> dict[str, str]:
        return {
            "title": "Finance",
            "qlik_task_id": "",
            "target_tag": "",
            "target_property": "",
            "tags": "",
            "cron_schedule": "0 6 * * *",
            "timezone": "UTC",
            "startup_state": "started",
            "misfire": "once",
            "misfire_grace": "00:01:00",
            "overlap": "allow",
            "retry_deadline": "01:00:00",
        } | given

    def test_a_schedule_without_a_task_aims_at_a_tag(self, admin_client, known):
        answer = admin_client.post(f"{self.FORM}add/", self.values(target_tag="Finance"))

        assert answer.status_code == 302, answer.context["errors"]
        schedule = Schedule.objects.get()
        assert (schedule.qlik_task_id, schedule.target_tag) == ("-", "Finance")
        page = admin_client.get(f"{self.FORM}{schedule.pk}/change/").content.decode()
        assert "Starts all with the tag &#x27;Finance&#x27;; 2 tasks: Task 1, Task 2." in page
        assert '<option value="Layer=Extract">' in page
        assert '<option value="Night">' in page
        assert 'value="-"' not in page
        assert "all with the tag &#x27;Finance&#x27;" in admin_client.get(self.FORM).content.decode()
        changes = ScheduleChange.objects.count()
        admin_client.post(f"{self.FORM}{schedule.pk}/change/", self.values(target_tag="Finance"))
        assert ScheduleChange.objects.count() == changes, "nothing was changed"

    def test_one_that_aims_at_nothing_is_refused(self, admin_client):
        page = admin_client.post(f"{self.FORM}add/", self.values()).content.decode()

        assert page.count("No task is named") == 1
        assert not Schedule.objects.exists()

    def test_the_page_of_a_task_names_the_schedules_that_aim_at_it(self, admin_client, known, make_schedule):
        make_schedule(title="All of finance", **AIM)
        make_schedule(title="Its own", qlik_task_id=A)

        page = admin_client.get(f"/admin/schedules/qliktask/{A}/change/").content.decode()

        assert "All of finance" in page
        assert "Its own" in page

    def test_the_record_of_changes_shows_what_a_refresh_has_done(self, admin_client, qrs_service, make_schedule):
        refresh_tasks()
        make_schedule(**AIM)
        qrs_service.site.change_task(UUID(TASK_ID), tags=("Finance",))
        refresh_tasks()

        page = admin_client.get("/admin/schedules/schedulechange/").content.decode()

        assert "given other tasks" in page
        assert "Qlik Sense" in page


def test_the_heap_goes_on(known, at_noon):
    at_noon(**AIM)
    planner: Planner = loaded()
    plan(planner, NOON)

    assert seconds_until_due(planner, NOON) == 60

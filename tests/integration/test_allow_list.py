"""The allow-list of tasks: by which door they come, those that it does not have are not started."""

from __future__ import annotations

import pytest
from django.utils import timezone

from butler.checks import check_allow_list
from qlik.simulator.faults import Fault, FaultKind
from schedules import claims, runs, services, tasks
from schedules.known_tasks import refresh_tasks
from schedules.models import Run
from tests.conftest import ORIGIN, TASK_ID
from tests.integration.test_api_start_tasks import (
    LEDGER,
    ORDERS,
    SALES,
    UNKNOWN,
    by_id,
    by_property,
    by_tag,
    path,
    start,
    started,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def claim(make_schedule):
    """Return a function that claims a run of a schedule for a task, and returns the run as it is then."""

    def claim_one(task_id: str = TASK_ID) -> Run:
        (run,) = services.run_now([make_schedule(qlik_task_id=task_id).name], origin=ORIGIN)
        runs.take_planned(most=1, now=timezone.now())
        claims.claim_runs([run.pk], worker="w", now=timezone.now())
        run.refresh_from_db()
        return run

    return claim_one


def test_without_a_list_everything_may_start(claim):
    assert claim(UNKNOWN).state == "claimed"


def test_a_run_of_a_task_that_is_not_listed_is_refused_and_names_the_settings(claim, settings):
    settings.BUTLER_ALLOWED_TASKS = (ORDERS["taskId"],)

    run = claim()

    assert run.state == "refused"
    assert run.message.startswith(f"Task {TASK_ID} may not be started: BUTLER_ALLOWED_TASKS, BUTLER_ALLOWED_TAGS and ")
    assert "not known" not in run.message
    assert claim(ORDERS["taskId"].upper()).state == "claimed"


@pytest.mark.parametrize(
    ("setting", "listed"),
    [
        ("BUTLER_ALLOWED_TAGS", ("finance", "SALES")),
        ("BUTLER_ALLOWED_CUSTOM_PROPERTIES", ("department = sales",)),
        ("BUTLER_ALLOWED_CUSTOM_PROPERTIES", ("Department=Nobody", "Department=Sales")),
    ],
)
def test_tags_and_properties_are_those_that_qlik_sense_last_told_of(claim, qrs_service, settings, setting, listed):
    setattr(settings, setting, listed)

    unseen = claim()
    refresh_tasks()

    assert unseen.state == "refused"
    assert "Qlik Sense has not told of it yet" in unseen.message
    assert claim().state == "claimed"
    other = claim("c9e8b3d4-1f67-4a20-9c5b-d38a06e71f42")
    assert (other.state, "Reload License monitor" in other.message) == ("refused", True)


@pytest.mark.parametrize("listed", [("Department",), ("Department=",), ("=Sales",)])
def test_a_property_without_its_value_allows_nothing(claim, qrs_service, settings, listed):
    settings.BUTLER_ALLOWED_CUSTOM_PROPERTIES = listed
    refresh_tasks()

    assert claim().state == "refused"


def test_the_worker_starts_what_is_listed_beside_what_is_not(qrs_service, settings, make_schedule):
    settings.BUTLER_ALLOWED_TASKS = (TASK_ID,)
    names = [make_schedule(qlik_task_id=task_id).name for task_id in (TASK_ID, ORDERS["taskId"], ORDERS["taskId"])]
    planned = services.run_now(names, origin=ORIGIN)
    runs.take_planned(most=3, now=timezone.now())

    tasks.start_runs([str(run.pk) for run in planned])

    assert sorted(Run.objects.values_list("state", flat=True)) == ["refused", "refused", "started"]
    assert started(qrs_service) == [TASK_ID]


@pytest.mark.parametrize(("listed", "queries"), [((), 0), ((TASK_ID,), 0), (("x",), 1)])
def test_a_claim_costs_a_query_more_only_where_tags_decide(
    make_schedule, qrs_service, settings, django_assert_num_queries, listed, queries
):
    refresh_tasks()
    settings.BUTLER_ALLOWED_TASKS, settings.BUTLER_ALLOWED_TAGS = listed, ("Sales",) if listed == ("x",) else ()
    planned = services.run_now([make_schedule().name for _ in range(5)], origin=ORIGIN)
    Run.objects.update(state="queued")

    # Savepoint, rows, rules, maintenance, claim, savepoint
    with django_assert_num_queries(6 + queries):
        assert len(claims.claim_runs([run.pk for run in planned], worker="w", now=timezone.now())) == 5


class TestApi:
    def test_an_id_that_is_not_listed_is_denied_whether_it_is_known_or_not(self, client, qrs_service, settings):
        settings.BUTLER_ALLOWED_TASKS = (TASK_ID,)

        answer = start(client, TASK_ID, by_id(ORDERS["taskId"]), by_id(UNKNOWN), by_id("abc123"))

        assert answer["tasksId"] == {
            "started": [SALES],
            "invalid": [{"taskId": "abc123"}],
            "denied": [{"taskId": ORDERS["taskId"]}, {"taskId": UNKNOWN}],
        }
        assert started(qrs_service) == [TASK_ID]

    def test_a_listed_id_that_is_unknown_is_invalid(self, client, qrs_service, settings):
        settings.BUTLER_ALLOWED_TASKS = (UNKNOWN,)

        assert start(client, UNKNOWN)["tasksId"]["invalid"] == [{"taskId": UNKNOWN}]

    def test_an_id_whose_task_has_a_listed_tag_or_property_starts(self, client, qrs_service, settings):
        settings.BUTLER_ALLOWED_TAGS = ("transform",)
        settings.BUTLER_ALLOWED_CUSTOM_PROPERTIES = ("Layer=Extract",)

        assert start(client, TASK_ID, by_id(ORDERS["taskId"]))["tasksId"]["started"] == [SALES, ORDERS]

    def test_tags_and_properties_that_are_not_listed_are_denied_by_name(self, client, qrs_service, settings):
        settings.BUTLER_ALLOWED_TAGS = ("Transform",)
        settings.BUTLER_ALLOWED_CUSTOM_PROPERTIES = ("Layer=Extract",)
        items = [by_tag("Transform"), by_tag("Finance"), by_property("Layer", "Extract"), by_property("Layer", "x")]

        answer = start(client, "-", *items)

        assert answer["tasksTag"] == [SALES, LEDGER]
        assert answer["tasksTagDenied"] == [{"tag": "Finance"}]
        assert answer["tasksCP"] == [ORDERS]
        assert answer["tasksCPDenied"] == [{"name": "Layer", "value": "x"}]

    def test_what_is_denied_is_not_asked_about_and_leaves_no_run(self, client, qrs_service, settings):
        settings.BUTLER_ALLOWED_TASKS = (ORDERS["taskId"],)
        qrs_service.add_fault(Fault(kind=FaultKind.REFUSE, status=503))

        assert client.put(path(TASK_ID), [], content_type="application/json").status_code == 503
        assert not Run.objects.exists()
        assert start(client, "-", by_tag("Sales"))["tasksTagDenied"] == [{"tag": "Sales"}]

    def test_a_denied_id_is_not_one_that_must_exist(self, client, qrs_service, settings):
        settings.BUTLER_ALLOWED_TASKS = (TASK_ID,)

        answer = start(client, TASK_ID, by_id(UNKNOWN), query="?allTaskIdsMustExist=true")

        assert answer["tasksId"] == {"started": [SALES], "invalid": [], "denied": [{"taskId": UNKNOWN}]}

    def test_a_stop_of_what_is_not_listed_is_denied(self, client, qrs_service, settings):
        settings.BUTLER_ALLOWED_TASKS = (ORDERS["taskId"],)

        answer = client.put(f"/v4/reloadtask/{TASK_ID}/stop")

        assert answer.json()["tasksId"] == {
            "stopped": [],
            "notRunning": [],
            "invalid": [],
            "denied": [{"taskId": TASK_ID}],
        }
        assert [entry.call for entry in qrs_service.entries() if entry.call == "stop"] == []


class TestCheck:
    def test_a_sound_list_passes(self, settings):
        settings.BUTLER_ALLOWED_TASKS = (TASK_ID,)
        settings.BUTLER_ALLOWED_TAGS = ("any thing",)
        settings.BUTLER_ALLOWED_CUSTOM_PROPERTIES = ("Department = Sales = x",)

        assert check_allow_list() == []

    def test_e004_names_each_entry_that_can_never_allow_anything(self, settings):
        settings.BUTLER_ALLOWED_TASKS = (TASK_ID, "abc123")
        settings.BUTLER_ALLOWED_CUSTOM_PROPERTIES = ("Department", "=x", "y=", "a=b")

        found = check_allow_list()

        assert {error.id for error in found} == {"butler.E004"}
        assert [error.msg.partition(",")[0] for error in found] == [
            "BUTLER_ALLOWED_TASKS has 'abc123'",
            "BUTLER_ALLOWED_CUSTOM_PROPERTIES has 'Department'",
            "BUTLER_ALLOWED_CUSTOM_PROPERTIES has '=x'",
            "BUTLER_ALLOWED_CUSTOM_PROPERTIES has 'y='",
        ]

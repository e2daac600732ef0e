"""The tasks of Qlik Sense in the admin: a list to search, and the choice of one in the form of a schedule."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from qlik.simulator.faults import Fault, FaultKind
from schedules.models import QlikTask
from tests.conftest import TASK_ID

pytestmark = pytest.mark.django_db

LIST = "/admin/schedules/qliktask/"
CHOICES = "/admin/schedules/schedule/tasks/"


@pytest.fixture
def tasks() -> None:
    """Three tasks: enabled, disabled and gone."""
    now = timezone.now()
    given = [
        QlikTask(
            id=TASK_ID,
            name="Reload Sales",
            app_name="Sales overview",
            tags=["Sales", "Night"],
            custom_properties=[["Layer", "Extract"]],
            last_status=8,
            last_ended_at=now - timedelta(hours=3),
            previous_name="Turnover",
            seen_at=now,
        ),
        QlikTask(
            id=str(UUID(int=1)), name="Budget", app_name="Budget", is_enabled=False, tags=["Finance"], seen_at=now
        ),
        QlikTask(id=str(UUID(int=2)), name="Old shop", seen_at=now, gone_at=now, last_status=2),
    ]
    QlikTask.objects.bulk_create(given)


@pytest.fixture
def client_with():
    """Return a function that logs a member of staff in who has the given permissions."""

    def log_in(*codenames: str) -> Client:
        user = User.objects.create_user("someone", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client()
        client.force_login(user)
        return client

    return log_in


def names(client: Client, query: str = "") -> list[str]:
    return [task.name for task in client.get(f"{LIST}?{query}").context["cl"].result_list]


def told(response) -> str:
    return str(list(get_messages(response.wsgi_request))[-1])


def test_the_list_tells_what_qlik_sense_told(admin_client, tasks):
    page = admin_client.get(LIST).content.decode()

    expected = ("Reload Sales", "app Sales overview", "formerly Turnover", "Layer=Extract", "finished fail", "3 h ago")
    assert [text for text in expected if text not in page] == []
    assert "app Budget" not in page, "it has the same name"
    assert "As Qlik Sense told " in page


def test_an_empty_list_says_what_to_do(admin_client):
    page = admin_client.get(LIST).content.decode()

    assert "No tasks yet" in page
    assert "has not told of any task yet" in page


def test_people_find_tasks_by_name_app_and_id(admin_client, tasks):
    assert names(admin_client, "q=overview") == ["Reload Sales"]
    assert names(admin_client, "q=budg") == ["Budget"]
    assert names(admin_client, f"q={TASK_ID}") == ["Reload Sales"]


def test_people_filter_by_state_and_tag(admin_client, tasks):
    assert names(admin_client) == ["Budget", "Old shop", "Reload Sales"]
    assert names(admin_client, "state=enabled") == ["Reload Sales"]
    assert names(admin_client, "state=disabled") == ["Budget"]
    assert names(admin_client, "state=gone") == ["Old shop"]
    assert names(admin_client, "tag=Night") == ["Reload Sales"]


def test_a_task_has_a_page_with_its_schedules(admin_client, tasks, make_schedule):
    for number in range(22):
        make_schedule(title=f"Morning {number:02}", qlik_task_id=TASK_ID.upper())

    page = admin_client.get(f"{LIST}{TASK_ID}/change/").content.decode()

    assert "Morning 00" in page
    assert "Morning 21" not in page
    assert "and others" in page
    assert "none" in admin_client.get(f"{LIST}{UUID(int=2)}/change/").content.decode()


def test_nobody_changes_a_task(admin_client, tasks):
    assert admin_client.post(f"{LIST}{TASK_ID}/change/", {"name": "x"}).status_code == 403
    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.post(f"{LIST}{TASK_ID}/delete/").status_code == 403


@pytest.mark.parametrize("count", [3, 200])
def test_the_list_costs_the_same_few_queries(admin_client, django_assert_num_queries, count):
    QlikTask.objects.bulk_create(
        [QlikTask(id=str(UUID(int=n)), name=f"Task {n}", seen_at=timezone.now()) for n in range(1, count + 1)]
    )

    # Session, person, age, tags, two counts, the rows, maintenance
    with django_assert_num_queries(8):
        admin_client.get(LIST)


def test_the_button_reads_the_tasks_again(admin_client, qrs_service):
    response = admin_client.post(f"{LIST}read/")

    assert told(response) == "Qlik Sense has 6 reload tasks: 6 new, 0 changed, 0 gone."
    assert len(names(admin_client)) == 6


def test_the_button_says_why_it_cannot(admin_client, qrs_service):
    qrs_service.add_fault(Fault(kind=FaultKind.REFUSE, status=503))

    assert "503" in told(admin_client.post(f"{LIST}read/"))


def test_the_button_is_for_those_who_may_look(qrs_service, client_with):
    assert client_with("view_run").post(f"{LIST}read/").status_code == 403
    assert qrs_service.entries() == []


class TestChoice:
    def test_tasks_are_proposed_by_name_app_and_id(self, admin_client, tasks):
        for term in ("sales", "OVERVIEW", TASK_ID[:8].upper()):
            page = admin_client.get(CHOICES, {"qlik_task_id": term}).content.decode()
            assert f'<option value="{TASK_ID}" label="Reload Sales · Sales overview"></option>' in page
            assert page.count("<option") == 1

    def test_a_disabled_one_says_so_and_one_that_is_gone_is_not_proposed(self, admin_client, tasks):
        page = admin_client.get(CHOICES).content.decode()

        assert 'label="Budget (disabled)"' in page
        assert "Old shop" not in page

    def test_the_name_of_the_chosen_one_is_told(self, admin_client, tasks):
        page = admin_client.get(CHOICES, {"qlik_task_id": TASK_ID.upper()}).content.decode()
        assert ">Reload Sales, app Sales overview</p>" in page
        page = admin_client.get(CHOICES, {"qlik_task_id": str(UUID(int=2))}).content.decode()
        assert "Old shop, not in Qlik Sense any more" in page

    @pytest.mark.parametrize("term", ["\0", "'; drop", "%", "nobody's"])
    def test_any_text_may_be_typed(self, admin_client, tasks, term):
        assert "<option" not in admin_client.get(CHOICES, {"qlik_task_id": term}).content.decode()

    def test_of_five_thousand_fifty_are_proposed(self, admin_client, django_assert_max_num_queries):
        QlikTask.objects.bulk_create(
            [QlikTask(id=str(UUID(int=n)), name=f"<b>Task {n}", seen_at=timezone.now()) for n in range(1, 5001)]
        )

        with django_assert_max_num_queries(4):
            page = admin_client.get(CHOICES, {"qlik_task_id": "task 4"}).content.decode()

        assert page.count("<option") == 50
        assert "<b>" not in page

    def test_it_is_for_those_who_may_see_schedules(self, client_with, tasks):
        assert client_with("view_run").get(CHOICES).status_code == 403

    def test_the_form_takes_an_id_that_is_not_known(self, admin_client, tasks):
        page = admin_client.get("/admin/schedules/schedule/add/").content.decode()
        assert 'list="qlik-tasks"' in page
        assert f'hx-get="{CHOICES}"' in page

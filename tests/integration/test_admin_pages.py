"""All pages of the admin: they load, with everything they need from here and nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission, User
from django.contrib.staticfiles import finders
from django.test import Client

from schedules import services
from schedules.maintenance import begin_maintenance
from schedules.models import Run
from tests.conftest import ORIGIN

pytestmark = pytest.mark.django_db

SECTIONS = (
    "schedules/schedule",
    "schedules/qliktask",
    "schedules/run",
    "schedules/schedulechange",
    "schedules/maintenance",
    "schedules/alertchannel",
    "schedules/alertmessage",
    "schedules/alertcondition",
    "django_celery_beat/periodictask",
    "django_celery_beat/crontabschedule",
    "django_celery_beat/intervalschedule",
    "django_celery_beat/clockedschedule",
    "django_celery_beat/solarschedule",
    "auth/user",
    "auth/group",
)
HISTORIES = tuple(
    f"/admin/schedules/{name}/" for name in ("run", "schedulechange", "qliktask", "alertmessage", "alertcondition")
)
BANNER = "Maintenance: nothing is started."
_ADDRESS = re.compile(r"""\b(?:src|href|action|hx-get)=["']([^"'#]+)["']""")
_STYLE_ADDRESS = re.compile(r"""url\(["']?([^"')]+)|@import\s+["']([^"']+)""")


@pytest.fixture
def paths(make_schedule) -> list[str]:
    """Every kind of page, with something on it."""
    schedule = make_schedule(tags=["Sales"])
    (run,) = services.run_now([schedule.name], origin=ORIGIN)
    user = User.objects.create_user("someone")
    begun = begin_maintenance(until=None, reason="New disks", origin=ORIGIN)
    lists = [f"/admin/{section}/" for section in SECTIONS]
    forms = [f"{path}add/" for path in lists if not path.startswith(HISTORIES)]
    return [
        *lists,
        *forms,
        "/admin/",
        "/admin/schedules/",
        "/admin/password_change/",
        "/admin/schedules/schedule/forecast/",
        f"/admin/schedules/schedule/{schedule.pk}/change/",
        f"/admin/schedules/schedule/{schedule.pk}/delete/",
        f"/admin/schedules/schedule/{schedule.pk}/pause/",
        f"/admin/schedules/run/{run.pk}/change/",
        f"/admin/schedules/maintenance/{begun.pk}/change/",
        f"/admin/django_celery_beat/crontabschedule/{schedule.crontab_id}/change/",
        f"/admin/auth/user/{user.pk}/change/",
        f"/admin/auth/user/{user.pk}/password/",
        f"/admin/auth/group/{Group.objects.create(name='Qlik').pk}/change/",
    ]


def test_every_page_loads_and_asks_no_other_host_for_anything(admin_client, client, paths):
    addresses = set()
    for visitor, path in [(client, "/admin/login/"), *((admin_client, path) for path in paths)]:
        response = visitor.get(path)
        assert response.status_code == 200, path
        assert (BANNER in response.content.decode()) is (visitor is admin_client), path
        addresses |= set(_ADDRESS.findall(response.content.decode()))

    assert not [address for address in addresses if urlsplit(address).netloc]
    files = {address for address in addresses if address.startswith(settings.STATIC_URL)}
    assert "/static/schedules/admin.css" in files
    assert "/static/schedules/favicon.svg" in files
    for file in files:
        assert finders.find(file.removeprefix(settings.STATIC_URL)), file


def test_the_style_sheets_ask_no_other_host_for_anything():
    for name in ("schedules/admin.css", "unfold/css/styles.css", "unfold/fonts/inter/styles.css"):
        found = _STYLE_ADDRESS.findall(Path(finders.find(name)).read_text())
        assert not [address for pair in found for address in pair if "//" in address and "data:" not in address]


def test_our_files_are_served(client):
    for name in ("admin.css", "favicon.svg"):
        # To read it to its end closes the file
        assert client.get(f"/static/schedules/{name}").getvalue()


def test_the_menu_and_the_first_page_show_what_one_may_see(admin_client):
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_run"))
    client = Client()
    client.force_login(user)

    page = client.get("/admin/").content.decode()
    assert "What was started" in page
    for section in SECTIONS:
        assert (f'href="/admin/{section}/"' in page) is (section == "schedules/run")
    page = admin_client.get("/admin/").content.decode()
    for section in SECTIONS:
        assert page.count(f'href="/admin/{section}/"') >= 2


def test_someone_without_any_permission_is_told_so():
    client = Client()
    client.force_login(User.objects.create_user("nobody", is_staff=True))

    page = client.get("/admin/").content.decode()

    assert "Ask an administrator for permissions." in page
    assert "Housekeeping" not in page


def test_instants_name_their_zone_where_no_page_of_ours_does(admin_client, admin_user):
    page = admin_client.get(f"/admin/auth/user/{admin_user.pk}/change/").content.decode()

    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", page)


def test_people_are_added_with_a_password(admin_client):
    values = {"username": "anna", "usable_password": "true", "password1": "kaZ4!pol", "password2": "kaZ4!pol"}

    admin_client.post("/admin/auth/user/add/", values)

    assert User.objects.get(username="anna").check_password("kaZ4!pol")


def test_every_state_of_a_run_can_be_shown(admin_client, make_schedule):
    schedule = make_schedule()
    states = [*Run.State.values, "from later"]
    for state in states:
        (run,) = services.run_now([schedule.name], origin=ORIGIN)
        Run.objects.filter(pk=run.pk).update(state=state)

    page = admin_client.get("/admin/schedules/run/").content.decode()

    for state in states:
        assert state in page

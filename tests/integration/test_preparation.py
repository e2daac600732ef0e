"""What is done once before the processes start: the database, the states, the first login."""

from __future__ import annotations

import io
import stat

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import OperationalError

from butler import preparation
from butler.preparation import ADMIN_USER, ensure_administrator, prepare_service
from schedules.models import Schedule, ScheduleChange

pytestmark = pytest.mark.django_db


@pytest.fixture
def password_file(settings, tmp_path):
    settings.BUTLER_DATA_DIR = tmp_path
    return tmp_path / "admin-password"


def test_the_first_administrator_gets_a_random_password_kept_for_its_owner_only(password_file):
    login = ensure_administrator(password_file)
    assert User.objects.get().check_password(login.password)
    assert User.objects.get().is_superuser
    assert len(login.password) >= 16
    assert password_file.read_text() == f"{login.password}\n"
    assert stat.S_IMODE(password_file.stat().st_mode) == 0o600


def test_the_password_is_given_again_as_long_as_it_is_valid(password_file):
    assert ensure_administrator(password_file) == ensure_administrator(password_file)
    assert User.objects.count() == 1


def test_a_password_that_was_changed_is_not_given_any_more(password_file):
    ensure_administrator(password_file)
    user = User.objects.get()
    user.set_password("a better one")
    user.save()
    login = ensure_administrator(password_file)
    assert login.password is None
    assert str(login) == "as you set it (python manage.py changepassword NAME)"


def test_a_password_of_a_user_who_may_not_log_in_is_not_given(password_file):
    ensure_administrator(password_file)
    User.objects.update(is_active=False)
    assert ensure_administrator(password_file).password is None


def test_where_there_is_a_user_nobody_is_added(password_file):
    User.objects.create_user("somebody")
    assert ensure_administrator(password_file).password is None
    assert not password_file.exists()
    assert not User.objects.filter(username=ADMIN_USER).exists()


def test_an_empty_password_file_is_no_password(password_file):
    User.objects.create_superuser(ADMIN_USER, password="")
    password_file.write_text("")
    assert ensure_administrator(password_file).password is None


def test_states_stay_as_they_were_by_default(password_file, make_schedule):
    schedule = make_schedule(startup_state="stopped")
    Schedule.objects.update(enabled=True)
    prepare_service()
    schedule.refresh_from_db()
    assert schedule.enabled


def test_startup_states_are_applied_where_the_settings_say_so(password_file, settings, make_schedule):
    settings.BUTLER_START_STATE = "startup"
    stopped, started = make_schedule(startup_state="stopped"), make_schedule(startup_state="started")
    Schedule.objects.filter(pk=stopped.pk).update(enabled=True)
    Schedule.objects.filter(pk=started.pk).update(enabled=False)
    prepare_service()
    assert [Schedule.objects.get(pk=schedule.pk).enabled for schedule in (stopped, started)] == [False, True]
    assert set(ScheduleChange.objects.filter(source="startup").values_list("action", flat=True)) == {"start", "stop"}


def test_the_command_says_who_can_log_in(password_file):
    output = io.StringIO()
    call_command("prepare", stdout=output)
    password = password_file.read_text().strip()
    assert output.getvalue() == (
        f"The database is up to date. Admin login: admin / {password}   (kept in the file admin-password)\n"
    )


def test_a_database_that_does_not_answer_is_an_error_without_its_password(password_file, settings, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("connection refused\n")

    settings.DATABASE_URL = "postgres://butler:secret@db/butler"
    monkeypatch.setattr(preparation, "call_command", fail)
    with pytest.raises(CommandError) as refusal:
        call_command("prepare")
    assert str(refusal.value).startswith(
        "The database postgres://butler:***@db/butler cannot be used: connection refused."
    )


def test_a_data_folder_that_cannot_be_written_is_an_error_that_names_the_file(settings, tmp_path):
    settings.BUTLER_DATA_DIR = tmp_path / "missing"
    with pytest.raises(CommandError, match=r"missing/admin-password cannot be written: No such file or directory\."):
        call_command("prepare")
    assert not User.objects.exists()

"""The form of a schedule in the admin: it knows the rules of the API, and saves through the services."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.forms import SplitDateTimeField
from django.utils import timezone

from schedules import services
from schedules.models import Schedule, ScheduleChange
from tests.conftest import ORIGIN, TASK_ID

pytestmark = pytest.mark.django_db

ADD = "/admin/schedules/schedule/add/"
SOUND = {
    "title": "Every 30 sec",
    "qlik_task_id": TASK_ID,
    "tags": "Sales\r\nabc 123 åäö\r\n\r\n",
    "cron_schedule": "*/30 * * * * *",
    "timezone": "Europe/Stockholm",
    "startup_state": "started",
    "misfire": "once",
    "misfire_grace": "00:01:00",
    "overlap": "allow",
    "retry_deadline": "01:00:00",
}


def change_path(schedule: Schedule) -> str:
    return f"/admin/schedules/schedule/{schedule.pk}/change/"


def values_of(client, schedule: Schedule) -> dict[str, object]:
    """What a browser would send for the unchanged form."""
    form = client.get(change_path(schedule)).context["adminform"].form
    values: dict[str, object] = {}
    for name, field in form.fields.items():
        if isinstance(field, SplitDateTimeField):
            parts = field.widget.decompress(form[name].value())
            values |= {f"{name}_{number}": part or "" for number, part in enumerate(parts)}
        else:
            values[name] = "" if form[name].value() is None else form[name].value()
    return values


def errors_of(response) -> dict[str, list[str]]:
    assert response.status_code == 200
    return dict(response.context["adminform"].form.errors)


def test_a_new_schedule_is_saved_by_the_services(admin_client):
    response = admin_client.post(ADD, SOUND)

    assert response.status_code == 302, errors_of(response)
    schedule = Schedule.objects.get()
    assert (schedule.title, schedule.tags) == ("Every 30 sec", ["Sales", "abc 123 åäö"])
    assert schedule.enabled
    assert schedule.crontab is not None
    assert schedule.created_at is not None
    change = ScheduleChange.objects.get()
    assert (change.action, change.source, change.actor) == ("create", "admin", "admin")


def test_an_edit_is_saved_by_the_services(admin_client, make_schedule):
    schedule = make_schedule(tags=["Sales"])

    response = admin_client.post(
        change_path(schedule), values_of(admin_client, schedule) | {"cron_schedule": "0 7 * * *", "tags": ""}
    )

    assert response.status_code == 302, errors_of(response)
    change = ScheduleChange.objects.latest("pk")
    assert (change.action, change.source, change.actor) == ("edit", "admin", "admin")
    assert change.diff == {"cron_schedule": ["* * * * *", "0 7 * * *"], "tags": [["Sales"], []]}
    schedule.refresh_from_db()
    assert schedule.crontab.hour == "7"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "x" * 1001),
        ("qlik_task_id", "42"),
        ("cron_schedule", "61 * * * *"),
        ("cron_schedule", "* * * *"),
        ("timezone", "stockholm"),
        ("timezone", "localtime"),
        ("timezone", "Factory"),
        ("timezone", "europe/stockholm"),
        ("startup_state", "running"),
        ("misfire", "twice"),
        ("misfire_grace", "-00:00:01"),
    ],
)
def test_a_wrong_value_is_refused_at_its_field_and_nothing_is_saved(admin_client, make_schedule, field, value):
    schedule = make_schedule()

    assert list(errors_of(admin_client.post(ADD, SOUND | {field: value}))) == [field]
    response = admin_client.post(change_path(schedule), values_of(admin_client, schedule) | {field: value})
    assert list(errors_of(response)) == [field]
    assert ScheduleChange.objects.count() == 1


@pytest.mark.parametrize("values", [{"cron_schedule": "0 0 30 2 *"}, {"timezone": "Mars"}, {"qlik_task_id": "x"}])
def test_the_form_says_what_the_services_say(admin_client, make_schedule, values):
    (field,) = values
    with pytest.raises(ValidationError) as refusal:
        make_schedule(**values)

    assert errors_of(admin_client.post(ADD, SOUND | values))[field] == refusal.value.message_dict[field]


def test_fields_that_the_form_does_not_have_cannot_be_smuggled_in(admin_client, make_schedule):
    schedule = make_schedule()
    smuggled = {"name": "mine", "enabled": "", "task": "os.system", "armed_at_0": "2020-01-01", "crontab": "999"}

    admin_client.post(change_path(schedule), values_of(admin_client, schedule) | smuggled | {"title": "New"})

    after = Schedule.objects.get()
    assert after.title == "New"
    for field in ("name", "enabled", "task", "armed_at", "crontab_id"):
        assert getattr(after, field) == getattr(schedule, field)


@pytest.mark.parametrize("tags", [["a, b", " padded ", "two\nlines"], ["", "x"], []])
def test_tags_that_nobody_touched_stay_as_they_are(admin_client, make_schedule, tags):
    schedule = make_schedule(tags=tags)

    admin_client.post(change_path(schedule), values_of(admin_client, schedule) | {"title": "New"})

    after = Schedule.objects.get()
    assert (after.title, after.tags) == ("New", tags)


def test_broken_tags_are_refused_until_someone_repairs_them(admin_client, make_schedule):
    schedule = make_schedule()
    Schedule.objects.filter(pk=schedule.pk).update(tags={"not": "a list"})
    values = values_of(admin_client, schedule)

    assert list(errors_of(admin_client.post(change_path(schedule), values))) == ["tags"]
    assert admin_client.post(change_path(schedule), values | {"tags": "Sales"}).status_code == 302
    assert Schedule.objects.get().tags == ["Sales"]


@pytest.mark.parametrize("word", ["start", "started", "stop", "stopped"])
def test_a_startup_state_keeps_the_word_it_was_given(admin_client, make_schedule, word):
    schedule = make_schedule(startup_state=word)

    response = admin_client.post(change_path(schedule), values_of(admin_client, schedule) | {"title": "New"})

    assert response.status_code == 302, errors_of(response)
    assert Schedule.objects.get().startup_state == word


def test_the_form_of_an_unchanged_schedule_changes_nothing(admin_client, make_schedule):
    schedule = make_schedule(tags=["Sales"])

    assert admin_client.post(change_path(schedule), values_of(admin_client, schedule)).status_code == 302

    assert ScheduleChange.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("title", "  Morning load "),
        ("title", "   "),
        ("title", "Two\nlines"),
        ("title", "Two\r\nlines\n"),
        ("title", "\ttab\u00a0and\u3000wide spaces\u2003"),
        ("cron_schedule", "  0 6 * * *  "),
        ("cron_schedule", "0\t6  * * *\n"),
        ("cron_schedule", "\u00a00 6 * * *"),
    ],
)
def test_a_text_that_nobody_touched_keeps_its_white_space(admin_client, make_schedule, field, text):
    schedule = make_schedule(**{field: text})
    values = values_of(admin_client, schedule)
    # As the inputs of a browser send it
    values[field] = "".join(text.splitlines())

    assert admin_client.post(change_path(schedule), values).status_code == 302
    assert ScheduleChange.objects.count() == 1
    assert admin_client.post(change_path(schedule), values | {"max_runs": "5"}).status_code == 302
    assert getattr(Schedule.objects.get(), field) == text


def test_what_is_typed_is_trimmed(admin_client, make_schedule):
    schedule = make_schedule(title=" Old ")

    values = values_of(admin_client, schedule) | {"title": " New ", "cron_schedule": " 0 7 * * * "}
    assert admin_client.post(change_path(schedule), values).status_code == 302

    after = Schedule.objects.get()
    assert (after.title, after.cron_schedule) == ("New", "0 7 * * *")


def test_white_space_alone_is_no_name(admin_client, make_schedule):
    schedule = make_schedule()
    values = values_of(admin_client, schedule)

    assert list(errors_of(admin_client.post(change_path(schedule), values | {"title": "  "}))) == ["title"]
    assert list(errors_of(admin_client.post(ADD, SOUND | {"title": "  "}))) == ["title"]


def test_what_only_the_services_refuse_is_shown_on_the_page(admin_client, make_schedule):
    schedule = make_schedule()
    values = values_of(admin_client, schedule)
    # A column that the form does not show, broken by hand
    Schedule.objects.filter(pk=schedule.pk).update(priority=999)

    response = admin_client.post(change_path(schedule), values | {"title": "New"}, follow=True)

    assert "Nothing was saved." in response.content.decode()
    assert Schedule.objects.get().title == "Every minute"


def test_a_schedule_that_is_gone_is_told_of(admin_client, make_schedule):
    schedule = make_schedule()
    values = values_of(admin_client, schedule)
    services.delete_schedules([schedule.name], origin=ORIGIN)

    response = admin_client.post(change_path(schedule), values, follow=True)

    assert "Perhaps it was deleted" in response.content.decode()


def test_the_id_is_shown_and_is_no_input(admin_client, make_schedule):
    schedule = make_schedule()

    page = admin_client.get(change_path(schedule)).content.decode()

    assert schedule.name in page
    assert 'name="name"' not in page


def test_the_time_zones_are_proposed(admin_client):
    page = admin_client.get(ADD).content.decode()

    assert 'list="time-zones"' in page
    assert '<option value="Europe/Stockholm">' in page


@time_machine.travel("2026-03-28 12:00:00+00:00", tick=False)
def test_the_page_shows_the_next_five_starts_with_the_offset_of_each(admin_client, make_schedule):
    schedule = make_schedule(cron_schedule="0 6 * * *")

    page = admin_client.get(change_path(schedule)).content.decode()

    assert page.count("<li>Sun 29 Mar, 06:00 CEST") == 1
    assert "UTC+02:00" in page
    assert "Thu 2 Apr, 06:00 CEST" in page
    assert "Fri 3 Apr" not in page


def test_a_preview_follows_what_is_typed(admin_client):
    def preview(**typed: str) -> str:
        return admin_client.get("/admin/schedules/schedule/preview/", typed).content.decode()

    year = timezone.now().year + 1
    assert "06:00" in preview(cron_schedule="0 6 * * 1-5", timezone="Europe/Stockholm")
    assert f"1 Jan {year}, 00:00 UTC" in preview(cron_schedule="@yearly", timezone="UTC")
    assert "UTC+00:00" not in preview(cron_schedule="@yearly", timezone="UTC")
    assert "is not a time zone" in preview(cron_schedule="0 6 * * 1-5", timezone="Mars")
    assert "hour" in preview(cron_schedule="0 25 * * *", timezone="UTC")
    assert "Fill in" in preview(cron_schedule=" ", timezone="UTC")


def test_a_page_with_errors_shows_no_starts_of_other_values(admin_client, make_schedule):
    schedule = make_schedule(cron_schedule="0 6 * * *")

    response = admin_client.post(
        change_path(schedule), values_of(admin_client, schedule) | {"cron_schedule": "wrong", "timezone": "UTC"}
    )

    page = response.content.decode()
    assert "At 06:00" not in page
    assert "Fill in" in page


def test_a_page_with_errors_previews_what_was_typed_and_tells_of_what_is_saved(admin_client, make_schedule):
    schedule = make_schedule(cron_schedule="0 6 * * *", timezone="Africa/Lagos")

    response = admin_client.post(
        change_path(schedule), values_of(admin_client, schedule) | {"timezone": "Asia/Tokyo", "title": ""}
    )

    assert "06:00 JST" in response.content.decode()
    assert "06:00 WAT" in response.context["panel"]["next_start"]


LIMITS = {
    "starts_at_0": "2026-12-01",
    "starts_at_1": "06:00:00",
    "ends_at_0": "2027-01-31",
    "ends_at_1": "18:00:00",
    "max_runs": "10",
    "jitter": "00:10:00",
    "excluded_dates": "2026-12-24\r\n\r\n2026-12-31/2027-01-01",
}


def test_limits_are_typed_in_utc_and_saved(admin_client):
    response = admin_client.post(ADD, SOUND | LIMITS)

    assert response.status_code == 302, errors_of(response)
    schedule = Schedule.objects.get()
    assert schedule.starts_at == datetime(2026, 12, 1, 6, tzinfo=UTC)
    assert schedule.ends_at == datetime(2027, 1, 31, 18, tzinfo=UTC)
    assert (schedule.max_runs, schedule.jitter) == (10, timedelta(minutes=10))
    assert schedule.excluded_dates == ["2026-12-24", "2026-12-31/2027-01-01"]


def test_limits_are_out_of_the_way_until_there_are_some(admin_client, make_schedule):
    without, with_some = make_schedule(), make_schedule(max_runs=3)
    Schedule.objects.filter(pk=with_some.pk).update(runs_planned=2)

    # So are several tasks, which none of them has
    for path, folded in ((ADD, 2), (change_path(without), 2), (change_path(with_some), 1)):
        page = admin_client.get(path).content.decode()
        assert "Limits and exceptions" in page
        assert page.count("<details>") == folded
    assert "So far: 2." in page


def test_limits_that_are_wrong_are_shown_where_they_are(admin_client):
    response = admin_client.post(ADD, SOUND | {"excluded_dates": "24.12."})

    assert "'24.12.' is not a date." in errors_of(response)["excluded_dates"][0]
    assert response.content.decode().count("<details>") == 1


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        (LIMITS | {"ends_at_0": "2026-11-01"}, "ends_at", "is not later than the beginning"),
        ({"max_runs": "0"}, "max_runs", "0 cannot be the greatest number of runs"),
        ({"jitter": "25:00:00"}, "jitter", "Use 0 to 24 hours."),
        ({"starts_at_0": "2026-12-01"}, "starts_at", "Enter a valid time"),
    ],
)
def test_a_limit_that_breaks_a_rule_is_refused_at_its_field(admin_client, values, field, said):
    errors = errors_of(admin_client.post(ADD, SOUND | values))

    assert list(errors) == [field]
    assert said in " ".join(errors[field])


def test_limits_that_nobody_touched_stay_as_they_are(admin_client, make_schedule):
    precise = datetime(2026, 12, 1, 6, 0, 0, 123456, tzinfo=UTC)
    schedule = make_schedule(
        starts_at=precise,
        ends_at=precise + timedelta(days=1),
        jitter=timedelta(seconds=1.5),
        excluded_dates=["2026-12-24"],
    )

    values = values_of(admin_client, schedule)
    assert admin_client.post(change_path(schedule), values | {"title": "New"}).status_code == 302

    assert ScheduleChange.objects.latest("pk").diff == {"title": ["Every minute", "New"]}


@time_machine.travel("2026-11-24 12:00:00+00:00", tick=False)
def test_the_next_starts_keep_within_the_limits(admin_client, make_schedule):
    limits = {"excluded_dates": "2026-11-26\n2026-11-27", "ends_at_0": "2026-11-28", "ends_at_1": "18:00:00"}
    typed = {"cron_schedule": "0 6 * * *", "timezone": "UTC"} | limits

    page = admin_client.get("/admin/schedules/schedule/preview/", typed | {"jitter": "00:10:00"}).content.decode()
    assert [day for day in ("25 Nov", "26 Nov", "27 Nov", "28 Nov", "29 Nov") if day in page] == ["25 Nov", "28 Nov"]
    assert "Jitter puts each of them off by the same part of 0:10:00." in page
    page = admin_client.get("/admin/schedules/schedule/preview/", typed | {"ends_at_0": "2026-11-24"}).content.decode()
    assert "None within the limits." in page
    page = admin_client.get("/admin/schedules/schedule/preview/", typed | {"excluded_dates": "26."}).content.decode()
    assert "26 Nov" in page, "what is not in order yet does not count"

    schedule = make_schedule(cron_schedule="0 6 * * *", timezone="UTC", excluded_dates=["2026-11-25"])
    page = admin_client.get(change_path(schedule)).content.decode()
    assert "25 Nov" not in page.partition("schedule-preview")[2]
    Schedule.objects.filter(pk=schedule.pk).update(excluded_dates="broken")
    assert "25 Nov" in admin_client.get(change_path(schedule)).content.decode()

"""The words of alerts: with name, task, due time and next step, few lines in a storm, and people's own templates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.alert_rules import AlertEvent
from schedules.alert_texts import (
    LONGEST_BODY,
    LONGEST_TITLE,
    PLACEHOLDERS,
    TemplateError,
    ToldMatter,
    check_template,
    compose,
    describe_duration,
    describe_moment,
    fill,
    render,
)
from tests.conftest import TASK_ID

SIX = datetime(2026, 11, 24, 5, tzinfo=UTC)


def matter(name: str = "Morning load", **values: object) -> ToldMatter:
    given = {
        "schedule_id": "abc-1",
        "task_id": TASK_ID,
        "zone": "Europe/Stockholm",
        "due_at": SIX,
        "what": "Qlik Sense refused to start the task. 404: unknown.",
        "advice": "Look in the QMC.",
        "since_at": SIX,
        "count": 1,
    }
    return ToldMatter(name=name, **(given | values))


def test_one_matter_has_all_that_one_needs():
    text = compose(AlertEvent.START_FAILED, [matter()], is_recovery=False)

    assert text.title == "Start failed: Morning load"
    assert text.body.splitlines() == [
        "Qlik Sense refused to start the task. 404: unknown.",
        "Schedule: Morning load (abc-1)",
        f"Qlik task: {TASK_ID}",
        "Due: Tue 24 Nov 2026, 06:00 CET (05:00 UTC)",
        "",
        "What to do: Look in the QMC.",
    ]


def test_what_goes_on_says_so():
    text = compose(AlertEvent.RELOAD_FAILED, [matter(count=12, is_repeat=True)], is_recovery=False)

    assert text.title == "Reloads still fail: Morning load"
    assert "How often: 12 times since Tue 24 Nov 2026, 06:00 CET (05:00 UTC)" in text.body


def test_the_end_says_how_long_and_how_often():
    ended = matter(count=5, ended_at=SIX + timedelta(minutes=25))

    text = compose(AlertEvent.RELOAD_FAILED, [ended], is_recovery=True)

    assert text.title == "Reloads well again: Morning load"
    assert text.body.splitlines()[0] == "Well again after 25 minutes; 5 reloads had failed."


def test_what_ended_before_it_was_told_says_both():
    text = compose(AlertEvent.LATE, [matter(ended_at=SIX + timedelta(minutes=1))], is_recovery=False)

    assert text.title == "Started late: Morning load"
    assert "Well again since Tue 24 Nov 2026, 06:01 CET (05:01 UTC)." in text.body


def test_many_share_a_list_and_the_advice():
    matters = [matter(f"Load {number}", count=number + 1) for number in range(500)]

    text = compose(AlertEvent.START_FAILED, matters, is_recovery=False)

    lines = text.body.splitlines()
    assert text.title == "Start failed: 500 schedules"
    assert len(lines) == 23
    assert lines[1] == (
        "- Load 1, due Tue 24 Nov 2026, 06:00 CET (05:00 UTC), 2 times: "
        "Qlik Sense refused to start the task. 404: unknown."
    )
    assert lines[20] == "- and 480 more; the admin lists all of them under Alert conditions."
    assert lines[22] == "What to do: Look in the QMC."


def test_the_site_has_its_own_words():
    site = matter("Qlik Sense", schedule_id="", task_id="", due_at=None, zone="UTC", what="No call has reached QRS.")

    text = compose(AlertEvent.QRS_UNREACHABLE, [site], is_recovery=False)
    assert text == ("Qlik Sense is out of reach", "No call has reached QRS.\n\nWhat to do: Look in the QMC.")

    back = compose(
        AlertEvent.QRS_UNREACHABLE,
        [matter("Qlik Sense", schedule_id="", task_id="", due_at=None, ended_at=SIX + timedelta(hours=2))],
        is_recovery=True,
    )
    assert back == ("Qlik Sense is back", "Well again after 2 hours.")


def test_templates_go_around_it():
    matters = [matter(count=3)]
    text = compose(AlertEvent.START_FAILED, matters, is_recovery=False)
    title, body = "[Sense] {status}:\n{title}", "{{{names}}} {number} {count}x {task_id}\n{text}\n{advice}"

    told = render(text, AlertEvent.START_FAILED, matters, is_recovery=False, title=title, body=body)

    assert told.title == "[Sense] problem: Start failed: Morning load"
    assert told.body == f"{{Morning load}} 1 3x {TASK_ID}\n{text.body}\nLook in the QMC."


def test_what_one_alone_has_is_empty_for_several():
    matters = [matter(), matter("Evening load")]
    text = compose(AlertEvent.START_FAILED, matters, is_recovery=False)
    body = "{names}|{schedule_id}|{task_id}|{due}|{what}|{number}"

    told = render(text, AlertEvent.START_FAILED, matters, is_recovery=False, title="", body=body)

    assert told == ("Start failed: 2 schedules", "Morning load, Evening load|||||2")


def test_every_placeholder_can_be_used():
    template = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    text = compose(AlertEvent.SLOW, [matter()], is_recovery=True)

    check_template(template)
    assert render(text, AlertEvent.SLOW, [matter()], is_recovery=True, title="", body=template).body


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{schedul}", "{schedul} is no placeholder. Possible are {title}, {text}, "),
        ("{}", "{} is no placeholder."),
        ("{0}", "{0} is no placeholder."),
        ("{title.__class__}", "{title.__class__} is no placeholder."),
        ("{title[0]}", "{title[0]} is no placeholder."),
        ("{title!r}", "{title} is no placeholder."),
        ("{title:>40}", "{title} is no placeholder."),
        ("{title", "A brace has no counterpart"),
        ("title}", "A brace has no counterpart"),
    ],
)
def test_a_template_that_cannot_work_is_refused(template, said):
    with pytest.raises(TemplateError, match=r"brace|placeholder") as caught:
        check_template(template)
    assert str(caught.value).startswith(said)


@given(st.text(max_size=60))
def test_a_template_that_passes_the_check_can_be_filled(template):
    try:
        check_template(template)
    except TemplateError:
        return
    assert fill(template, dict.fromkeys(PLACEHOLDERS, "x")) is not None


@given(st.text(max_size=3000), st.text(max_size=3000), st.integers(1, 30))
def test_no_message_is_longer_than_services_take(name, what, number):
    matters = [matter(name, what=what)] * number
    text = compose(AlertEvent.RELOAD_FAILED, matters, is_recovery=False)

    told = render(text, AlertEvent.RELOAD_FAILED, matters, is_recovery=False, title="", body="{text}{names}{what}")

    assert len(told.title) <= LONGEST_TITLE
    assert "\n" not in told.title
    assert len(told.body) <= LONGEST_BODY


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59.4, "59 seconds"),
        (60, "1 minute"),
        (1500, "25 minutes"),
        (3600, "1 hour"),
        (3900, "1 hour 5 minutes"),
        (90_000, "1 day 1 hour"),
        (86_460, "1 day"),
        (-5, "0 seconds"),
    ],
)
def test_spans_as_people_say_them(seconds, words):
    assert describe_duration(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("Europe/Stockholm", "Tue 24 Nov 2026, 06:00 CET (05:00 UTC)"),
        ("UTC", "Tue 24 Nov 2026, 05:00 UTC"),
        ("America/Sao_Paulo", "Tue 24 Nov 2026, 02:00 UTC-03 (05:00 UTC)"),
        ("no such zone", "Tue 24 Nov 2026, 05:00 UTC"),
    ],
)
def test_moments_by_the_clock_of_the_schedule(zone, words):
    assert describe_moment(SIX, zone) == words


def test_a_moment_beyond_the_calendar_of_its_zone_is_told_in_utc():
    assert describe_moment(datetime.max.replace(tzinfo=UTC), "Asia/Tokyo") == "Fri 31 Dec 9999, 23:59:59 UTC"

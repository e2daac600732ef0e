"""`manage.py schedules alerts`, and the settings for those without the admin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.utils import timezone

from butler import environment
from butler.checks import check_alert_urls
from schedules.models import AlertChannel, AlertMessage
from tests.integration.alert_service import SECRET, AlertService, alert_service
from tests.integration.test_schedules_command import schedules

pytestmark = pytest.mark.django_db


@pytest.fixture
def service() -> Iterator[AlertService]:
    with alert_service() as service:
        yield service


def test_it_lists_who_is_told_of_what_without_the_secret(service, settings, make_schedule):
    settings.BUTLER_ALERT_URLS = [service.url]
    service.channel("BI team", events=["missed", "late"], tags=["Sales"]).schedules.set([make_schedule()])
    service.channel("Off", is_enabled=False)
    given = {"channel_name": "environment", "event": "late", "title": "T", "created_at": timezone.now()}
    AlertMessage.objects.create(channel_key="env:1", failed_at=timezone.now(), error="No route.", **given)

    assert schedules("alerts").out.splitlines() == [
        "enabled   BI team  json://***",
        "          late, missed of the tags Sales and 1 schedule",
        "disabled  Off  json://***",
        "          everything",
        "enabled   environment  json://***",
        "          everything",
        "          1 not sent: No route.",
    ]


def test_it_says_when_nobody_is_told():
    assert schedules("alerts").out == (
        "Nobody is told. Add a channel in the admin, under Alert channels, or set\nBUTLER_ALERT_URLS.\n"
    )


def test_it_sends_a_test(service, settings):
    settings.BUTLER_ALERT_URLS = [service.url]

    outcome = schedules("alerts", "--test", "environment")

    assert outcome.out.startswith("The test was sent to 'environment': the service took it after 0.")
    assert service.titles == ["Butler: this is a test"]


def test_a_test_that_fails_says_why_and_ends_with_an_error(service):
    service.channel()
    service.status = 401

    outcome = schedules("alerts", "--test", "BI team")

    assert "The test was not sent to 'BI team'." in outcome.refusal
    assert SECRET not in outcome.refusal


def test_an_unknown_name_is_an_error():
    outcome = schedules("alerts", "--test", "nobody")

    assert "There is no alert channel 'nobody'." in outcome.refusal


@pytest.mark.parametrize(
    ("value", "urls"),
    [
        ("", []),
        ("json://a/b", ["json://a/b"]),
        ("mailto://u:p@h?to=a@b.c,d@e.f, json://a/b", ["mailto://u:p@h?to=a@b.c,d@e.f", "json://a/b"]),
        ("slack://A/B/C\n  json://a/b,", ["slack://A/B/C", "json://a/b"]),
    ],
)
def test_urls_are_read_from_the_environment(monkeypatch, value, urls):
    monkeypatch.setenv("BUTLER_ALERT_URLS", value)

    assert environment.read_alert_urls("BUTLER_ALERT_URLS") == urls


@pytest.mark.parametrize("value", [SECRET, f"json://a/b {SECRET}", f"{SECRET} json://a/b"])
def test_what_is_no_url_stops_the_start_without_repeating_it(monkeypatch, value):
    monkeypatch.setenv("BUTLER_ALERT_URLS", value)

    with pytest.raises(ImproperlyConfigured, match=r"BUTLER_ALERT_URLS is 'URL \d of \d, not shown here'") as caught:
        environment.read_alert_urls("BUTLER_ALERT_URLS")
    assert SECRET not in str(caught.value)


def test_a_url_that_apprise_cannot_use_is_an_error_of_the_checks(settings):
    settings.BUTLER_ALERT_URLS = ["json://127.0.0.1/x", f"nosuch://{SECRET}"]

    (error,) = check_alert_urls()

    assert error.id == "butler.E005"
    assert error.msg.startswith("BUTLER_ALERT_URLS, URL 2 of 2: apprise does not know nosuch://")
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"url": "nosuch://x"}, "apprise does not know"),
        ({"events": ["nothing"]}, "is not a list of events. Possible are qrs-unreachable,"),
        ({"events": "late"}, "is not a list of events."),
        ({"tags": [1]}, "is not a list of texts."),
    ],
)
def test_the_table_has_the_same_rules(values, said):
    channel = AlertChannel(**({"name": "BI team", "url": "json://127.0.0.1/x"} | values))

    with pytest.raises(ValidationError) as caught:
        channel.full_clean()
    assert said in str(caught.value)

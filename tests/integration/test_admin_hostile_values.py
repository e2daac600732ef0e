"""No address of the admin ends in an error of the server, whatever stands in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.forms import SplitDateTimeField
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from schedules import services
from schedules.maintenance import begin_maintenance
from schedules.validators import validate_tags
from tests.conftest import ORIGIN

# An error of PostgreSQL would end the transaction around a test
pytestmark = pytest.mark.django_db(transaction=connection.vendor == "postgresql")

VALUES = ("\0", "9" * 19, "-" + "9" * 400, "²", "0000-00-00", "10000-01-01 00:00:00")
#: Of each kind of lookup that a list may take, and some that it may not
LOOKUPS = ("{}__exact", "{}__in", "{}__isnull", "{}__gte", "{}__year", "{}__day")
OWN_NAMES = ("q", "o", "p", "e", "_popup", "_to_field", "_facets", "_changelist_filters", "of", "state", "tag")


@pytest.fixture
def staff(admin_user: User, make_schedule) -> Client:
    """A client that gets an answer where the server has an error, with a row in most of the lists."""
    schedule = make_schedule(tags=["Sales"])
    services.run_now([schedule.name], origin=ORIGIN)
    begin_maintenance(until=None, reason="", origin=ORIGIN)
    client = Client(raise_request_exception=False)
    client.force_login(admin_user)
    return client


def list_models() -> list[type[models.Model]]:
    # To read the addresses registers the pages
    assert get_resolver().url_patterns
    return [*admin.site._registry]


def list_url(model: type[models.Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def list_query_names(model: type[models.Model]) -> Iterator[str]:
    """Yield the names that a list may be asked with: the admin's own, those of its filters and of its columns."""
    yield from OWN_NAMES
    options = admin.site._registry[model]
    filters = [found[0] if isinstance(found, tuple) else found for found in options.list_filter]
    names = {name for name in filters if isinstance(name, str)} | {options.date_hierarchy or "pk"}
    for name in sorted(names):
        yield from (lookup.format(name) for lookup in LOOKUPS)


def find_views(patterns: Sequence[URLPattern | URLResolver], prefix: str = "/") -> Iterator[str]:
    """Yield the route of every view of the admin: a format whose arguments are in angle brackets."""
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from find_views(pattern.url_patterns, route)
        elif route.startswith("/admin/"):
            yield route


def fails(client: Client, method: str, url: str, data: dict[str, object] | None = None) -> list[str]:
    """Return the call where it ended in an error of the server."""
    status = getattr(client, method)(url, data).status_code
    return [f"{status} {method} {url[:200]} {str(data)[:200]}"] if status >= 500 else []


@pytest.mark.parametrize("model", list_models(), ids=lambda model: model._meta.label_lower)
def test_no_filter_search_order_or_page_of_a_list_is_an_error_of_the_server(staff, model):
    found = []
    for name in list_query_names(model):
        for value in VALUES:
            query = urlencode({name: value}, errors="surrogatepass")
            found += fails(staff, "get", f"{list_url(model)}?{query}")

    assert found == []


def list_routes() -> list[str]:
    routes = [re.sub(r"^\^|\$$|\\", "", route) for route in find_views(get_resolver().url_patterns)]
    return sorted({route for route in routes if "(" not in route})


@pytest.mark.parametrize("value", VALUES)
def test_no_address_with_a_hostile_argument_is_an_error_of_the_server(staff, value):
    found = []
    for route in list_routes():
        if "<" in route:
            url = re.sub("<[^>]+>", lambda _: quote(value, safe=""), route)
            found += fails(staff, "get", url)
            found += fails(staff, "post", url)

    assert found == []


@pytest.mark.parametrize("value", VALUES)
def test_no_page_with_a_hostile_query_is_an_error_of_the_server(staff, value):
    names = ["from", "until", "per", "q", "term", "page", "next", "app_label", "model_name", "field_name"]
    fields = ["schedules", "groups", "tags", "starts_at", "jitter", "max_runs", "cron_schedule", "timezone"]
    found = []
    for route in list_routes():
        if "<" not in route:
            for asked in (names, fields):
                found += fails(staff, "get", f"{route}?{urlencode(dict.fromkeys(asked, value))}")

    assert found == []


@pytest.mark.parametrize("value", VALUES)
def test_no_autocompletion_is_an_error_of_the_server(staff, value):
    sound = {"app_label": "schedules", "model_name": "alertchannel", "field_name": "schedules"}
    assert staff.get("/admin/autocomplete/", sound).status_code == 200

    found = []
    for name in ("term", "page", *sound):
        found += fails(staff, "get", "/admin/autocomplete/", sound | {name: value})

    assert found == []


@pytest.mark.parametrize("model", list_models(), ids=lambda model: model._meta.label_lower)
def test_no_action_on_a_hostile_selection_is_an_error_of_the_server(staff, model):
    options = admin.site._registry[model]
    actions = [name for _, name, _ in options._get_base_actions()]
    found = []
    for action in actions:
        for value in VALUES:
            data = {"action": action, ACTION_CHECKBOX_NAME: value, "index": value, "select_across": value}
            found += fails(staff, "post", list_url(model), data)
            found += fails(staff, "post", list_url(model), data | {"index": "0", "select_across": "0"})

    assert found == []


@pytest.mark.parametrize("model", list_models(), ids=lambda model: model._meta.label_lower)
def test_no_form_with_hostile_values_is_an_error_of_the_server(staff, model):
    url = f"{list_url(model)}add/"
    context = staff.get(url).context
    fields = list(context["adminform"].form.fields) if context and "adminform" in context else []
    names = [*fields, *(f"{field}_{part}" for field in fields for part in (0, 1))]
    found = []
    for value in VALUES:
        found += fails(staff, "post", url, dict.fromkeys(names, value))

    assert found == []


@pytest.mark.parametrize("model", list_models(), ids=lambda model: model._meta.label_lower)
def test_no_hostile_value_in_an_otherwise_sound_form_is_an_error_of_the_server(staff, model):
    row = model._default_manager.first()
    url = f"{list_url(model)}{quote(str(row.pk))}/change/" if row else f"{list_url(model)}add/"
    context = staff.get(url).context
    sound = read_values(context) if context and "adminform" in context else {}
    found = []
    for name in sound:
        for value in (f"a\0{'9' * 400}", "9" * 400, "-1"):
            found += fails(staff, "post", url, sound | {name: value})

    assert found == []


def read_values(context: Mapping[str, Any]) -> dict[str, object]:
    """Return what a browser sends of a form that nobody has touched; lists of other rows in it are sent empty."""
    values: dict[str, object] = {}
    for bound in context["adminform"].form:
        value = bound.value()
        parts = bound.field.widget.decompress(value) if isinstance(bound.field, SplitDateTimeField) else None
        named = (
            {bound.html_name: value} if parts is None else {f"{bound.html_name}_{n}": p for n, p in enumerate(parts)}
        )
        values |= {name: "" if part is None else part for name, part in named.items()}
    for inline in context["inline_admin_formsets"]:
        prefix = inline.formset.prefix
        values |= {f"{prefix}-TOTAL_FORMS": 0, f"{prefix}-INITIAL_FORMS": 0}
    return values


@pytest.mark.parametrize("tag", ["a\0b", "\ud83d"])
def test_a_tag_that_cannot_be_stored_is_refused(tag):
    with pytest.raises(ValidationError, match="cannot be stored"):
        validate_tags(["Sales", tag])


def test_a_value_that_cannot_be_used_leads_back_to_the_whole_list(staff):
    answer = staff.get(f"/admin/schedules/run/?due_at__gte={'9' * 400}", follow=True)

    assert answer.status_code == 200

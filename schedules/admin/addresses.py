"""Addresses of the admin with values that no row can have: they lead back to the list, as Django's own refusals do.

Django checks what a filter is, but some values only fail in the database: a number that is too large for its column, a
year that no calendar has, a NUL on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.http.response import HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin

if TYPE_CHECKING:
    RowsField = forms.ModelMultipleChoiceField[Model]
else:
    RowsField = forms.ModelMultipleChoiceField

#: What Python, SQLite and PostgreSQL say of a value that they cannot take
UNUSABLE = (ValueError, OverflowError, DataError)

_TOLD = "The address has a value that cannot be used here, so nothing is chosen."


class KeysField(RowsField):
    """Rows by their keys; Django's own field lets errors through for keys that no row can have."""

    def clean(self, value: Any) -> Any:
        """Return the rows; raises ValidationError."""
        try:
            return super().clean(value)
        except UNUSABLE as error:
            raise ValidationError("One of these cannot be chosen. Choose from the list.", code="list") from error

    def prepare_value(self, value: Any) -> Any:
        """Return the keys to be shown as chosen: the page looks for their rows."""
        prepared = super().prepare_value(value)
        if not isinstance(prepared, list) or self.queryset is None:
            return prepared
        return [key for key in prepared if is_possible_key(self.queryset.model, key)]


class AddressedAdmin(ModelAdmin):
    """The base of all pages."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Show the list, all of it where the address asks for what cannot be."""
        return answer_soundly(request, lambda: super(AddressedAdmin, self).changelist_view(request, extra_context))

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Show the form, an empty one where the address would fill it with what cannot be."""
        return answer_soundly(request, lambda: super(AddressedAdmin, self).changeform_view(request, *args, **kwargs))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Fill a form with what the address has for its fields, but for values that a field cannot have."""
        form = self.get_form(request)()
        asked: dict[str, Any] = super().get_changeform_initial_data(request)
        return {name: value for name, value in asked.items() if name in form.fields and _fits(form.fields[name], value)}

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Refuse keys that no row can have as those that none has."""
        return super().formfield_for_manytomany(db_field, request, **{"form_class": KeysField} | kwargs)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return None, as for a row that is gone, for a key that none can have."""
        try:
            return super().get_object(request, object_id, from_field)
        except UNUSABLE:
            return None

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        """Do what was chosen with the rows that were ticked; with none of them where a key is impossible."""
        if not all(is_possible_key(self.model, key) for key in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            messages.error(request, "What was ticked is not in the list. Nothing was changed.")
            return redirect(request.path)
        response: HttpResponseBase | None = super().response_action(request, queryset)
        return response


def is_possible_key(model: type[Model], key: Any) -> bool:
    """Return whether a row of this kind could have this primary key."""
    try:
        value = model._meta.pk.to_python(key)
    except (ValidationError, *UNUSABLE):
        return False
    return "\0" not in value if isinstance(value, str) else not isinstance(value, int) or abs(value) < 2**63


def _fits(field: forms.Field, value: Any) -> bool:
    try:
        field.clean(value)
    except (ValidationError, *UNUSABLE):
        return False
    return True


def answer_soundly(request: HttpRequest, show: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """Return the page; where a value in its query cannot be used, the way to the page without the query."""
    if request.method != "GET" or not request.GET:
        return show()
    try:
        response = show()
        # Lists ask the database when they are rendered
        return response.render() if isinstance(response, TemplateResponse) else response
    except UNUSABLE:
        messages.error(request, _TOLD)
        return HttpResponseRedirect(request.path)

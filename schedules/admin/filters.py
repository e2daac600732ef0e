"""Filters of the lists."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BooleanField, Func, QuerySet, Value
from django.db.models.sql.compiler import SQLCompiler
from django.http import HttpRequest
from django.utils import timezone

from schedules.models import UNSCHEDULED, Run, Schedule


class StateFilter(admin.SimpleListFilter):
    """Started, stopped or paused."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the states; a paused schedule is started or stopped as well."""
        return [("started", "Started"), ("stopped", "Stopped"), ("paused", "Paused")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> QuerySet[Schedule]:
        """Keep the schedules in the chosen state."""
        if self.value() == "paused":
            return queryset.filter(paused_until__gte=timezone.now())
        return queryset.filter(enabled=self.value() == "started") if self.value() else queryset


class HasText(Func):
    """Whether a JSON list has a text as an element, on both databases; Django's own lookup lacks SQLite."""

    function = "jsonb_exists"
    output_field = BooleanField()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        """Ask SQLite's table of the list's elements."""
        template = "EXISTS (SELECT 1 FROM json_each(%(expressions)s))"
        return self.as_sql(compiler, connection, template=template, arg_joiner=") WHERE value IN (", **context)


class TagFilter(admin.SimpleListFilter):
    """One of the tags in use."""

    title = "tag"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the tags of all schedules in alphabetical order."""
        lists = Schedule.objects.exclude(tags=[]).order_by().values_list("tags", flat=True)
        tags = {tag for tags in lists if isinstance(tags, list) for tag in tags if isinstance(tag, str)}
        return [(tag, tag) for tag in sorted(tags, key=str.casefold)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> QuerySet[Schedule]:
        """Keep the schedules with the chosen tag."""
        tag = self.value()
        return queryset.filter(HasText("tags", Value(tag))) if tag is not None else queryset


class OneScheduleFilter(admin.SimpleListFilter):
    """The history of one schedule. It is hidden until a link to such a history sets it."""

    title = "schedule"
    parameter_name = "of"
    column = "schedule_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the chosen schedule alone."""
        pk = request.GET.get(self.parameter_name, "")
        if not pk.isascii() or not pk.isdecimal() or len(pk) > 18:
            return []
        schedule = Schedule.objects.filter(pk=pk).first()
        return [(pk, schedule.title if schedule else f"deleted (number {pk})")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep what belongs to the chosen schedule."""
        return queryset.filter(**{self.column: self.value()}) if self.value() in dict(self.lookup_choices) else queryset


class OneScheduleChangesFilter(OneScheduleFilter):
    """The changes of one schedule."""

    column = "schedule_pk"


class ReasonFilter(admin.ChoicesFieldListFilter):
    """Why runs were planned."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        """Keep the runs with the chosen reason."""
        if self.lookup_val not in (None, Run.Reason.SCHEDULED):
            # SQLite uses the index of the few that were not scheduled when the query has its condition
            queryset = queryset.filter(UNSCHEDULED)
        return super().queryset(request, queryset)

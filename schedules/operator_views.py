"""The API beyond Butler's: backfill, forecast and health, for whoever looks after the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from schedules.backfill import Occurrence, Preview, backfill, cancel_backfill, preview_backfill
from schedules.changes import Origin
from schedules.forecast import Forecast, Peak, Per, forecast_load
from schedules.models import ScheduleChange
from schedules.periods import PeriodError, format_moment, parse_moment
from schedules.renderers import WillingNegotiation
from schedules.vitals import Vitals, read_vitals

#: Of the occurrences of a preview so many are listed
OCCURRENCES_SHOWN = 1_000

_PERIOD = ("from", "until")


class OperatorView(APIView):
    """Answers JSON, as the API of schedules does, and OPTIONS without a body."""

    content_negotiation_class = WillingNegotiation

    def options(self, request: HttpRequest, *args: object, **kwargs: object) -> Response:
        """Answer with the methods that are possible, in the Allow header that every answer has."""
        return Response(status=204)


class BackfillView(OperatorView):
    """What a schedule has not run in a time gone by, and what was asked to make up for it."""

    def get(self, request: Request, public_id: str) -> Response:
        """Answer with the occurrences of the time, and what the ledger has for each."""
        period = _read_period(request.query_params)
        return Response(_describe_preview(*preview_backfill([public_id], **period)))

    def post(self, request: Request, public_id: str) -> Response:
        """Plan the runs that are missing."""
        values = _read_backfill(request.data)
        return Response({"planned": backfill([public_id], **values, origin=origin_of(request))})

    def delete(self, request: Request, public_id: str) -> Response:
        """Cancel the runs that have not started, of a time or all of them."""
        done = cancel_backfill([public_id], **_read_open_period(request.query_params), origin=origin_of(request))
        return Response({"cancelled": done.cancelled, "inHand": done.in_hand})


class ForecastView(OperatorView):
    """The load to come."""

    def get(self, request: Request) -> Response:
        """Answer with counts and peaks."""
        asked = request.query_params
        period = {f"{name}_at": parse_moment(asked[name], name=name) for name in _PERIOD if name in asked}
        return Response(_describe_forecast(forecast_load(**period, per=_read_per(asked.get("per", "minute")))))


class HealthView(OperatorView):
    """How the service is."""

    def get(self, request: Request) -> Response:
        """Answer with the vitals, and what is wrong with them."""
        return Response(_describe_vitals(read_vitals()))


def origin_of(request: Request) -> Origin:
    """Return who is behind a request of the API, as far as known."""
    return Origin(ScheduleChange.Source.API, request.META.get("REMOTE_ADDR", ""))


def _read_period(asked: Mapping[str, str]) -> dict[str, datetime]:
    for name in _PERIOD:
        if name not in asked:
            raise ParseError(f"The parameter {name} is missing. Give from and until, such as 2026-03-29T06:00:00Z.")
    return {f"{name}_at": parse_moment(asked[name], name=name) for name in _PERIOD}


def _read_open_period(asked: Mapping[str, str]) -> dict[str, datetime]:
    """Return from and until as far as they are given; what is mistyped is refused, for it would widen what is meant."""
    for name in asked:
        if name not in _PERIOD:
            raise ParseError(f"There is no parameter {name[:60]!r}. Give from and until, one of them, or none for all.")
    return {f"{name}_at": parse_moment(asked[name], name=name) for name in _PERIOD if name in asked}


def _read_per(text: str) -> Per:
    try:
        return Per(text)
    except ValueError as error:
        raise ParseError(f"per: {text[:60]!r} is not possible. Give one of {', '.join(Per)}.") from error


def _read_backfill(body: object) -> dict[str, Any]:
    """Return the arguments that a body stands for; raises ParseError and ValidationError."""
    if not isinstance(body, Mapping):
        raise ParseError("The body is not a JSON object. Send one with from, until and, if you like, again.")
    problems = {
        str(key): ["This is not a field of a backfill. Leave it out; the fields are from, until, again."]
        for key in body
        if key not in (*_PERIOD, "again")
    }
    values: dict[str, Any] = {"again": body.get("again", False)}
    if not isinstance(values["again"], bool):
        problems["again"] = ["This is neither true nor false. Send one of them, or leave it out."]
    for name in _PERIOD:
        try:
            values[f"{name}_at"] = _read_moment(body, name)
        except PeriodError as error:
            problems[name] = [str(error).removeprefix(f"{name}: ")]
    if problems:
        raise ValidationError(problems)
    return values


def _read_moment(body: Mapping[str, object], name: str) -> datetime:
    if name not in body:
        raise PeriodError("This field is missing. Send a time such as 2026-03-29T06:00:00Z.")
    if not isinstance(body[name], str):
        raise PeriodError("This is not a text. Send a time such as 2026-03-29T06:00:00Z.")
    return parse_moment(str(body[name]), name=name)


def _describe_preview(preview: Preview) -> dict[str, Any]:
    return {
        "id": preview.schedule.name,
        "due": len(preview.occurrences),
        "states": preview.count_states(),
        "toStart": preview.count_runs(),
        "occurrences": [_describe_occurrence(found) for found in preview.occurrences[:OCCURRENCES_SHOWN]],
    }


def _describe_occurrence(found: Occurrence) -> dict[str, Any]:
    return {
        "dueAt": format_moment(found.due_at),
        "state": found.state or "missing",
        "reason": found.reason or None,
        "toStart": found.is_wanted(again=False),
    }


def _describe_forecast(forecast: Forecast) -> dict[str, Any]:
    return {
        "from": format_moment(forecast.from_at),
        "until": format_moment(forecast.until_at),
        "per": forecast.per,
        "schedules": forecast.schedules,
        "broken": forecast.broken,
        "starts": forecast.starts,
        "busiestSeconds": _describe_peaks(forecast.busiest_seconds),
        "busiestMinutes": _describe_peaks(forecast.busiest_minutes),
        "counts": forecast.counts,
    }


def _describe_peaks(peaks: Sequence[Peak]) -> list[dict[str, Any]]:
    return [
        {
            "at": format_moment(peak.at),
            "starts": peak.starts,
            "schedules": peak.schedules,
            "greatest": [{"id": s.name, "name": s.title, "starts": s.starts} for s in peak.shares],
        }
        for peak in peaks
    ]


def _describe_vitals(vitals: Vitals) -> dict[str, Any]:
    leader, waiting, maintenance = vitals.leader, vitals.longest_waiting, vitals.maintenance
    return {
        "status": vitals.status,
        "reasons": vitals.problems,
        "warnings": vitals.warnings,
        "leader": {
            "holder": leader.holder,
            "token": leader.token,
            "renewals": leader.renewals,
            "renewedAt": _instant(leader.renewed_at),
            "ageSeconds": None if leader.age is None else leader.age.total_seconds(),
            "timeZoneData": leader.zone_data or None,
        },
        "plannedThrough": _instant(vitals.planned_through),
        "startedSchedules": vitals.started_schedules,
        "queueLength": vitals.queue_length,
        "openRuns": vitals.open_runs,
        "longestWaiting": waiting
        and {"dueAt": format_moment(waiting.due_at), "waitSeconds": waiting.wait.total_seconds()},
        "absences": [{"from": format_moment(a.from_at), "until": format_moment(a.until_at)} for a in vitals.absences],
        "maintenance": maintenance
        and {
            "from": format_moment(maintenance.began_at),
            "until": _instant(maintenance.ended_at),
            "reason": maintenance.reason,
        },
        "certificates": [{"file": str(c.file), "expiresAt": format_moment(c.expires_at)} for c in vitals.certificates],
        "timeZoneData": {name: getattr(vitals.zone_data, name) or None for name in ("used", "package", "system")},
    }


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else format_moment(moment)

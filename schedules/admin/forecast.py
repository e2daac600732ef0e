"""The page that shows the load to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_GET

from schedules.admin.addresses import AddressedAdmin
from schedules.forecast import Forecast, Peak, Per, forecast_load
from schedules.load import find_heights
from schedules.periods import PeriodError, parse_moment

_MOST_COLUMNS = 96
_NAMES_SHOWN = 6
_FORMAT = "%Y-%m-%d %H:%M"


@dataclass(frozen=True, slots=True)
class Column:
    """A bar of the chart: its top and its height in hundredths of the highest, and what it says."""

    top: str
    height: str
    words: str


class ForecastPage(AddressedAdmin):
    """Adds the page to the admin of schedules."""

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the page."""
        view = self.admin_site.admin_view(require_GET(self.forecast_view))
        return [path("forecast/", view, name="schedules_schedule_forecast"), *super().get_urls()]

    def forecast_view(self, request: HttpRequest) -> HttpResponse:
        """Show the load of the time that was asked for, of the day to come where none was."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        asked = {name: request.GET.get(name, "").strip() for name in ("from", "until", "per")}
        context = self.admin_site.each_context(request) | {
            "title": "Load forecast",
            "choices": [per.value for per in Per],
            "asked": asked,
        }
        try:
            context |= _describe(_ask(asked))
        except PeriodError as error:
            context["problem"] = str(error)
        return TemplateResponse(request, "schedules/forecast.html", context)


def _ask(asked: dict[str, str]) -> Forecast:
    period = {f"{name}_at": parse_moment(asked[name], name=name) for name in ("from", "until") if asked[name]}
    return forecast_load(**period, per=Per(asked["per"]) if asked["per"] in list(Per) else Per.MINUTE)


def _describe(forecast: Forecast) -> dict[str, Any]:
    size, heights = find_heights(forecast.counts, most=_MOST_COLUMNS)
    step = timedelta(seconds=size * forecast.per.seconds)
    middle = forecast.from_at + step * (len(heights) // 2)
    return {
        "forecast": forecast,
        "asked": {
            "from": f"{forecast.from_at:{_FORMAT}}",
            "until": f"{forecast.until_at:{_FORMAT}}",
            "per": forecast.per.value,
        },
        "size": size,
        "highest": f"{max(heights, default=0):,}",
        "starts": f"{forecast.starts:,}",
        "schedules": f"{forecast.schedules:,}",
        "columns": _draw(heights, from_at=forecast.from_at, step=step),
        "ticks": [f"{at:{_FORMAT}}" for at in (forecast.from_at, middle, forecast.until_at)],
        "peaks": [
            ("Busiest minutes", [_row_of(peak) for peak in forecast.busiest_minutes]),
            ("Busiest seconds", [_row_of(peak) for peak in forecast.busiest_seconds]),
        ],
    }


def _draw(heights: Sequence[int], *, from_at: datetime, step: timedelta) -> list[Column]:
    highest = max(heights, default=0) or 1
    return [
        Column(
            top=f"{100 - 100 * height / highest:.2f}",
            height=f"{100 * height / highest:.2f}",
            words=f"{from_at + number * step:%Y-%m-%d %H:%M:%S} UTC: {height:,}",
        )
        for number, height in enumerate(heights)
    ]


def _row_of(peak: Peak) -> dict[str, str]:
    names = [share.title or share.name for share in peak.shares[:_NAMES_SHOWN]]
    more = peak.schedules - len(names)
    return {
        "at": f"{peak.at:%Y-%m-%d %H:%M:%S}",
        "starts": f"{peak.starts:,}",
        "schedules": f"{peak.schedules:,}",
        "names": ", ".join(names) + (f" and {more:,} more" if more else ""),
    }

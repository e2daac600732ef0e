"""Maintenance of the whole site: a time in which nothing is started, whatever the schedules say.

Schedules keep their states, so afterwards everyone goes on as before.
"""

from __future__ import annotations

from datetime import UTC, datetime

from schedules import runs
from schedules.changes import Origin, record_site_change
from schedules.editing import editing
from schedules.models import Maintenance
from schedules.policies import maintenance_message
from schedules.validators import validate_closure


class MaintenanceError(Exception):
    """The site is in maintenance, and what was asked for has to wait for its end."""

    def __init__(self, maintenance: Maintenance, *, refused: str) -> None:
        super().__init__(f"{describe_maintenance(maintenance)} {refused}")


def begin_maintenance(*, until: datetime | None, reason: str, origin: Origin) -> Maintenance:
    """Start nothing from now on up to `until`, or until somebody ends it for None.

    Runs that wait for a worker are skipped. Raises MaintenanceError when the site is in maintenance already, and
    ValidationError for an `until` that has passed.
    """
    with editing() as now:
        if there := Maintenance.current_at(now):
            raise MaintenanceError(there, refused="End it before you begin another one.")
        validate_closure(until=until, reason=reason, now=now)
        begun = Maintenance.objects.create(began_at=now, ended_at=until, reason=reason, actor=origin.actor[:200])
        runs.skip_all_unclaimed(message=maintenance_message(reason))
        diff = {"began_at": [None, _plain(now)], "ended_at": [None, _plain(until)], "reason": [None, reason or None]}
        changed = {field: values for field, values in diff.items() if values[1]}
        record_site_change(diff=changed, origin=origin, at=now)
    return begun


def end_maintenance(*, origin: Origin) -> Maintenance | None:
    """End the maintenance that the site is in, and return it; None when it is in none, and then nothing is done."""
    with editing() as now:
        ending = Maintenance.current_at(now)
        if ending is not None:
            diff = {"ended_at": [_plain(ending.ended_at), _plain(now)]}
            ending.ended_at = now
            ending.save(update_fields=["ended_at"])
            record_site_change(diff=diff, origin=origin, at=now)
    return ending


def refuse_during_maintenance(now: datetime) -> None:
    """Raise MaintenanceError when the site is in maintenance at `now`."""
    if there := Maintenance.current_at(now):
        raise MaintenanceError(there, refused="Nothing is started until it ends; end it, or wait.")


def describe_maintenance(maintenance: Maintenance) -> str:
    """Return a sentence that says since when, until when, and why."""
    return f"The site is in maintenance {describe_time(maintenance)}."


def describe_time(maintenance: Maintenance) -> str:
    """Return since when, until when, and why, as the end of a sentence or of a row."""
    until = f" until {_in_utc(maintenance.ended_at)}" if maintenance.ended_at else ""
    reason = f": {maintenance.reason}" if maintenance.reason else ""
    return f"since {_in_utc(maintenance.began_at)}{until}{reason}"


def _in_utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _plain(moment: datetime | None) -> str | None:
    return None if moment is None else str(moment)

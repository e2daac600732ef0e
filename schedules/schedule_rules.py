"""The rules of a schedule that decide about one of its runs when a worker has it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DatabaseError
from django.db.models import Max, QuerySet

from schedules.models import Run, Schedule, ScheduleChange
from schedules.policies import Retry, could_be_tried_from

logger = logging.getLogger(__name__)

# Plain values, for making the model costs a worker more than anything else here
_RULE_COLUMNS = (
    "pk",
    "enabled",
    "misfire",
    "misfire_grace",
    "paused_until",
    "pause_reason",
    "overlap",
    "retry_deadline",
    "max_attempts",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """What of a schedule decides about a run that has come to a worker."""

    enabled: bool
    misfire: str
    # None where a hand has broken them
    grace: timedelta | None
    paused_until: datetime | None
    pause_reason: str
    overlap: str
    retry_deadline: timedelta | None
    max_attempts: int | None


def read_rules(schedule_pks: Collection[int]) -> Mapping[int, Rule]:
    """Return the schedules' rules by their keys; one that a hand has broken is left out."""
    if not schedule_pks:
        return {}
    try:
        rows = Schedule.objects.filter(pk__in=schedule_pks).order_by().values_list(*_RULE_COLUMNS)
        return {pk: Rule(*values) for pk, *values in rows}
    except DatabaseError:
        raise
    except Exception:
        # SQLite keeps any text in any column, and the reading of it fails for the whole query
        if len(schedule_pks) == 1:
            logger.exception("the row of schedule %s cannot be read; its runs are skipped", *schedule_pks)
            return {}
        return {pk: rule for alone in schedule_pks for pk, rule in read_rules([alone]).items()}


def may_go_on(rule: Rule | None, *, now: datetime) -> bool:
    """Return whether a schedule is neither stopped nor paused, nor gone."""
    return rule is not None and rule.enabled and not (rule.paused_until and rule.paused_until > now)


def find_closures(schedule_pks: Collection[int]) -> Mapping[int, datetime]:
    """Return when somebody last stopped, paused or deleted each of the schedules; of none that nobody did."""
    if not schedule_pks:
        return {}
    rows = list_closures().filter(schedule_pk__in=schedule_pks)
    return dict(rows.values_list("schedule_pk").annotate(Max("changed_at")))


def list_closures() -> QuerySet[ScheduleChange]:
    """Return the stops, pauses and deletions of schedules, in no order."""
    actions = (ScheduleChange.Action.STOP, ScheduleChange.Action.PAUSE, ScheduleChange.Action.DELETE)
    return ScheduleChange.objects.filter(action__in=actions).order_by()


def read_retry(run_id: uuid.UUID, *, now: datetime) -> Retry:
    """Return how long a run is tried again, by the rule of its schedule as it is now."""
    found = Run.objects.filter(pk=run_id).values_list("schedule_id", "due_at", "planned_at", "tried_from").first()
    if found is None:
        return Retry(until=now)
    schedule_pk, due_at, planned_at, tried_from = found
    rule = read_rules([schedule_pk]).get(schedule_pk) if schedule_pk else None
    moment = could_be_tried_from(due_at=due_at, planned_at=planned_at, tried_from=tried_from, now=now)
    return make_retry(rule, tried_from=moment)


def make_retry(rule: Rule | None, *, tried_from: datetime) -> Retry:
    if rule is None or rule.retry_deadline is None:
        # Without a schedule somebody waits for the answer, and may ask again
        return Retry(until=tried_from)
    return Retry(until=tried_from + rule.retry_deadline, max_attempts=rule.max_attempts)

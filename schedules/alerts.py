"""Alerts: what is the matter is noted once, and told to those who want to hear of it.

A look reads what came to its end since the last one, with an overlap, for a row may become visible later than its
moment says. What counts is noted by run, so reading it twice does no harm. All that a look writes is one transaction
behind a fence: of two at the same time one writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from schedules import alert_queue
from schedules.alert_channels import Channel, list_channels
from schedules.alert_findings import (
    find_certificates,
    find_in_closed,
    find_outage,
    find_overdue,
    find_slow,
)
from schedules.alert_rules import (
    PACE_WINDOW,
    AlertEvent,
    Finding,
    Item,
    Key,
    Kind,
    Matter,
    Telling,
    Told,
    choose_tellings,
    fold_findings,
    is_settled,
)
from schedules.alert_texts import ToldMatter
from schedules.models import (
    AlertCondition,
    AlertMessage,
    AlertSighting,
    AlertTelling,
    AlertWatch,
    Schedule,
)

#: A row may become visible so much later than its moment says: a slow commit, another machine's clock
OVERLAP = timedelta(minutes=2)
#: What changes slowly, or takes longer to find, is looked at so often
SLOW_LOOK = timedelta(minutes=1)
#: A run counts once; after this nobody reads it again
SIGHTINGS_KEPT = timedelta(days=1)
#: Messages and conditions that are over are kept so long
HISTORY_KEPT = timedelta(days=90)

_PART = 500


@dataclass(frozen=True, slots=True)
class _Look:
    """What a look has found, and how far it has seen."""

    findings: Sequence[Finding]
    seen_through: datetime
    slow_look_at: datetime | None


def look() -> int:
    """Note what is the matter and what is well again, write the messages about it, and return how many.

    Without a channel nothing is looked for; what happens until there is one is not told.
    """
    now = timezone.now()
    channels = [channel for channel in list_channels() if channel.is_enabled]
    if not channels:
        AlertWatch.objects.filter(seen_through__isnull=False).update(seen_through=None)
        return 0
    watch, _ = AlertWatch.objects.get_or_create(pk=1)
    found = _find(watch, now=now)
    with transaction.atomic():
        if not _move_on(watch, found):
            return 0
        _note(found.findings, now=now)
        return _tell(channels, now=now)


def _find(watch: AlertWatch, *, now: datetime) -> _Look:
    is_slow_look = watch.slow_look_at is None or not timedelta(0) <= now - watch.slow_look_at < SLOW_LOOK
    seen_through = min(watch.seen_through or now, now)
    findings = [*find_outage(now=now), *find_overdue(now=now)]
    if is_slow_look:
        findings += [*find_slow(now=now), *find_certificates(now=now)]
    # A clock that is ahead must not hide what others close meanwhile
    since = seen_through - OVERLAP if watch.seen_through else now
    closed = list(find_in_closed(since=since, until=now + OVERLAP))
    seen_through = min(max((finding.at for finding in closed), default=seen_through), now)
    return _Look([*findings, *closed], max(seen_through, since), now if is_slow_look else watch.slow_look_at)


def _move_on(watch: AlertWatch, found: _Look) -> bool:
    """Note how far was seen; return False where somebody else did it at the same time."""
    mine = AlertWatch.objects.filter(pk=watch.pk, looks=watch.looks)
    changed = mine.update(looks=F("looks") + 1, seen_through=found.seen_through, slow_look_at=found.slow_look_at)
    return bool(changed)


# What is noted


def _note(findings: Sequence[Finding], *, now: datetime) -> None:
    fresh = _leave_out_seen(findings)
    is_open = AlertCondition.objects.filter(is_settled=False, ended_at__isnull=True)
    rows = {(AlertEvent(row.event), row.subject): row for row in is_open}
    open_matters = {key: Matter(row.since_at, row.last_at, row.count) for key, row in rows.items()}
    changed = fold_findings(open_matters, fresh)
    new = [_new_row(key, matter, last) for key, matter in changed.items() if key not in rows and (last := matter.last)]
    AlertCondition.objects.bulk_create(new, batch_size=_PART)
    for key, matter in changed.items():
        if key in rows:
            _change_row(rows[key], matter)
    _remember(fresh, now=now)


def _leave_out_seen(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings without the bad ones of runs that have counted before, or come twice among them."""
    run_ids = list({finding.run_id for finding in findings if finding.is_bad and finding.run_id})
    seen: set[tuple[UUID | None, str]] = set()
    for start in range(0, len(run_ids), _PART):
        part = AlertSighting.objects.filter(run_id__in=run_ids[start : start + _PART])
        seen.update(part.values_list("run_id", "event"))
    fresh = []
    for finding in findings:
        sighting = finding.run_id, finding.event.value
        if finding.is_bad and finding.run_id:
            if sighting in seen:
                continue
            seen.add(sighting)
        fresh.append(finding)
    return fresh


def _remember(findings: Iterable[Finding], *, now: datetime) -> None:
    sightings = [
        AlertSighting(run_id=finding.run_id, event=finding.event, seen_at=now)
        for finding in findings
        if finding.is_bad and finding.run_id
    ]
    if sightings:
        AlertSighting.objects.bulk_create(sightings, batch_size=_PART)
        AlertSighting.objects.filter(seen_at__lt=now - SIGHTINGS_KEPT).delete()


def _new_row(key: Key, matter: Matter, last: Finding) -> AlertCondition:
    event, subject_key = key
    subject = last.subject
    return AlertCondition(
        event=event,
        subject=subject_key,
        name=subject.name[:1000],
        schedule_pk=subject.schedule_pk,
        schedule_name=subject.schedule_id,
        qlik_task_id=subject.task_id,
        zone=subject.zone,
        since_at=matter.since_at,
        **_values_of(matter),
    )


def _change_row(row: AlertCondition, matter: Matter) -> None:
    values = _values_of(matter) | {"since_at": matter.since_at}
    for column, value in values.items():
        setattr(row, column, value)
    row.save(update_fields=[*values])


def _values_of(matter: Matter) -> dict[str, object]:
    values: dict[str, object] = {"last_at": matter.last_at, "count": matter.count, "ended_at": matter.ended_at}
    if last := matter.last:
        values |= {
            "run_id": last.run_id,
            "state": last.state,
            "due_at": last.due_at,
            "what": last.what,
            "advice": last.advice,
        }
    return values


# What is told


@dataclass(frozen=True, slots=True)
class _State:
    """What there is to tell, and what has been told."""

    conditions: Mapping[int, AlertCondition]
    tags: Mapping[int, Sequence[str]]
    told: dict[tuple[int, str], Told]
    sent: Mapping[str, Mapping[Kind, Sequence[datetime]]]
    unsent: Mapping[str, frozenset[Kind]]

    def items_of(self, channel: Channel) -> list[Item]:
        """Return what the channel is to hear of."""
        return [self._item(row, channel) for row in self.conditions.values() if self._is_wanted(row, channel)]

    def _item(self, row: AlertCondition, channel: Channel) -> Item:
        told = self.told.get((row.pk, channel.key))
        return Item(row.pk, AlertEvent(row.event), row.count, row.ended_at is not None, row.state, told)

    def _is_wanted(self, row: AlertCondition, channel: Channel) -> bool:
        tags = self.tags.get(row.schedule_pk, ()) if row.schedule_pk is not None else ()
        return channel.wants(AlertEvent(row.event), schedule_pk=row.schedule_pk, tags=tags)


def _tell(channels: Iterable[Channel], *, now: datetime) -> int:
    """Write the messages that are due to the channels; settle what everyone knows."""
    state = _read_state(now=now)
    if state is None:
        return 0
    left: set[int] = set()
    messages = 0
    for channel in channels:
        messages += _tell_channel(channel, state, now=now)
        items = state.items_of(channel)
        left.update(item.id for item in items if not is_settled(item, tells_recovery=channel.tells_recovery))
    over = [pk for pk, row in state.conditions.items() if row.ended_at and pk not in left]
    AlertCondition.objects.filter(pk__in=over).update(is_settled=True)
    if messages:
        _forget(now=now)
    return messages


def _tell_channel(channel: Channel, state: _State, *, now: datetime) -> int:
    tellings = choose_tellings(
        state.items_of(channel),
        now=now,
        quiet=channel.quiet,
        tells_recovery=channel.tells_recovery,
        sent=state.sent.get(channel.key, {}),
        unsent=state.unsent.get(channel.key, frozenset()),
    )
    for telling in tellings:
        _write_message(channel, telling, state, now=now)
        _note_told(channel, telling, state, now=now)
    return len(tellings)


def _write_message(channel: Channel, telling: Telling, state: _State, *, now: datetime) -> None:
    rows = (state.conditions[pk] for pk in telling.ids)
    matters = [_matter_of(row, is_repeat=(row.pk, channel.key) in state.told) for row in rows]
    text = channel.write(telling.event, matters, is_recovery=telling.is_recovery)
    AlertMessage.objects.create(
        channel_key=channel.key,
        channel_name=channel.name,
        event=telling.event,
        is_recovery=telling.is_recovery,
        title=text.title,
        body=text.body,
        created_at=now,
        next_try_at=now,
    )


def _note_told(channel: Channel, telling: Telling, state: _State, *, now: datetime) -> None:
    rows = [state.conditions[pk] for pk in telling.ids]
    state.told.update({(row.pk, channel.key): Told(now, row.count, is_done=bool(row.ended_at)) for row in rows})
    AlertTelling.objects.bulk_create(
        [
            AlertTelling(
                condition=row, channel_key=channel.key, told_at=now, told_count=row.count, is_done=bool(row.ended_at)
            )
            for row in rows
        ],
        batch_size=_PART,
        update_conflicts=True,
        unique_fields=["condition", "channel_key"],
        update_fields=["told_at", "told_count", "is_done"],
    )


def _read_state(*, now: datetime) -> _State | None:
    """Return the state; None where there is nothing to tell, which is nearly always."""
    conditions = {row.pk: row for row in AlertCondition.objects.filter(is_settled=False).order_by("pk")}
    if not conditions:
        return None
    return _State(
        conditions=conditions,
        tags=_read_tags(conditions.values()),
        told=_read_told(),
        sent=alert_queue.list_sent(since=now - PACE_WINDOW),
        unsent=alert_queue.list_unsent(),
    )


def _read_tags(conditions: Iterable[AlertCondition]) -> Mapping[int, Sequence[str]]:
    """Return the tags of the schedules, by their keys; those of one that is gone, or broken by hand, are none."""
    keys = list({row.schedule_pk for row in conditions if row.schedule_pk is not None})
    tags: dict[int, Sequence[str]] = {}
    for start in range(0, len(keys), _PART):
        rows = Schedule.objects.filter(pk__in=keys[start : start + _PART]).order_by().values_list("pk", "tags")
        tags.update((pk, list(map(str, found)) if isinstance(found, list) else []) for pk, found in rows)
    return tags


def _read_told() -> dict[tuple[int, str], Told]:
    rows = AlertTelling.objects.filter(condition__is_settled=False)
    columns = rows.values_list("condition_id", "channel_key", "told_at", "told_count", "is_done")
    return {(pk, key): Told(at, count, is_done) for pk, key, at, count, is_done in columns}


def _matter_of(row: AlertCondition, *, is_repeat: bool) -> ToldMatter:
    return ToldMatter(
        name=row.name,
        schedule_id=row.schedule_name,
        task_id=row.qlik_task_id,
        zone=row.zone,
        due_at=row.due_at,
        what=row.what,
        advice=row.advice,
        since_at=row.since_at,
        count=row.count,
        ended_at=row.ended_at,
        is_repeat=is_repeat,
    )


def _forget(*, now: datetime) -> None:
    """Delete what is over for so long that nobody asks for it."""
    AlertMessage.objects.filter(created_at__lt=now - HISTORY_KEPT).delete()
    AlertCondition.objects.filter(is_settled=True, ended_at__lt=now - HISTORY_KEPT).delete()

"""Alerts: what is the matter is noted once, and told to those who want to hear of it.

A look reads what came to its end since the last one, with an overlap, for a row may become visible later than its
moment says. What counts is noted by run, so reading it twice does no harm. A look reads all it needs, decides, and then
writes in one short transaction behind a fence: of two at the same time one writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce
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
    Kind,
    Matter,
    Telling,
    Told,
    choose_tellings,
    fold_findings,
    is_settled,
)
from schedules.alert_texts import ToldMatter
from schedules.known_tasks import find_tasks
from schedules.models import (
    AlertCondition,
    AlertMessage,
    AlertSighting,
    AlertTelling,
    AlertWatch,
    QlikTask,
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
#: What of a condition changes while it is open
_CHANGING = ("since_at", "last_at", "count", "ended_at", "is_settled", "run_id", "state", "due_at", "what", "advice")


@dataclass(frozen=True, slots=True)
class _Found:
    """What a look has found, and how far it has seen."""

    findings: Sequence[Finding]
    seen_through: datetime
    slow_look_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Known:
    """Who has been told what, before this look."""

    tags: Mapping[int, Sequence[str]]
    told: Mapping[tuple[int, str], Told]
    sent: Mapping[str, Mapping[Kind, Sequence[datetime]]]
    unsent: Mapping[str, frozenset[Kind]]

    def items_of(self, channel: Channel, rows: Sequence[AlertCondition]) -> Iterator[Item]:
        """Yield what the channel is to hear of; the ids are the places in `rows`, for a new one has no key yet."""
        for place, row in enumerate(rows):
            event = AlertEvent(row.event)
            tags = self.tags.get(row.schedule_pk, ()) if row.schedule_pk is not None else ()
            if channel.wants(event, schedule_pk=row.schedule_pk, tags=tags):
                told = self.told.get((row.pk, channel.key))
                yield Item(place, event, row.count, row.ended_at is not None, row.state, told)

    def is_gone(self, row: AlertCondition) -> bool:
        """Return whether its schedule was deleted, so that it can never be well again."""
        return row.schedule_pk is not None and row.schedule_pk not in self.tags

    def is_settled(self, item: Item, rows: Sequence[AlertCondition], channel: Channel) -> bool:
        """Return whether the channel has nothing left to hear of it; the end of what is gone is no news."""
        if not item.has_ended and self.is_gone(rows[item.id]):
            return item.told is not None
        return is_settled(item, tells_recovery=channel.tells_recovery)


@dataclass(frozen=True, slots=True)
class _Note:
    """A message to be, and the conditions that it tells of."""

    message: AlertMessage
    rows: Sequence[AlertCondition]


def look() -> int:
    """Note what is the matter and what is well again, write the messages about it, and return how many.

    Without a channel nothing is looked for; what happens until there is one is not told.
    """
    now = timezone.now()
    channels = [channel for channel in list_channels() if channel.is_enabled]
    watch = AlertWatch.objects.filter(pk=1).first() or AlertWatch(pk=1)
    if not channels:
        if watch.seen_through is not None:
            AlertWatch.objects.update(seen_through=None)
        return 0
    found = _find(watch, now=now)
    fresh = _leave_out_seen(found.findings)
    rows = list(AlertCondition.objects.filter(is_settled=False).order_by("pk"))
    changed = _fold_into(rows, fresh)
    notes = _settle(channels, rows, now=now)
    # All that is read is read before: other writers, beat first of all, wait while this lasts
    with transaction.atomic():
        if not _move_on(watch, found):
            return 0
        _write(rows, changed, fresh, notes, now=now)
    return len(notes)


def _find(watch: AlertWatch, *, now: datetime) -> _Found:
    is_slow_look = watch.slow_look_at is None or not timedelta(0) <= now - watch.slow_look_at < SLOW_LOOK
    findings = [*find_outage(now=now), *find_overdue(now=now)]
    if is_slow_look:
        findings += [*find_slow(now=now), *find_certificates(now=now)]
    seen_through = min(watch.seen_through or now, now)
    since = seen_through - OVERLAP if watch.seen_through else now
    closed = list(find_in_closed(since=since, until=now + OVERLAP))
    # A clock that is ahead must not hide what others close meanwhile
    latest = min(max((finding.at for finding in closed), default=seen_through), now)
    slow_look_at = now if is_slow_look else watch.slow_look_at
    return _Found([*findings, *closed], max(seen_through, latest), slow_look_at)


def _leave_out_seen(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings without the bad ones of runs that have counted before, or come twice among them."""
    run_ids = list({finding.run_id for finding in findings if finding.is_bad and finding.run_id})
    seen: set[tuple[UUID | None, str]] = set()
    for start in range(0, len(run_ids), _PART):
        part = AlertSighting.objects.filter(run_id__in=run_ids[start : start + _PART])
        seen.update(part.values_list("run_id", "event"))
    fresh = []
    for finding in findings:
        if finding.is_bad and finding.run_id:
            if (finding.run_id, finding.event.value) in seen:
                continue
            seen.add((finding.run_id, finding.event.value))
        fresh.append(finding)
    return fresh


# What is the matter


def _fold_into(rows: list[AlertCondition], findings: Iterable[Finding]) -> list[AlertCondition]:
    """Bring the conditions up to date, add new ones, and return those that were there and have changed."""
    by_key = {(AlertEvent(row.event), row.subject): row for row in rows if row.ended_at is None}
    matters = {key: Matter(row.since_at, row.last_at, row.count) for key, row in by_key.items()}
    changed = []
    for key, matter in fold_findings(matters, findings).items():
        if row := by_key.get(key):
            changed.append(row)
        elif matter.last:
            row = _begin(matter.last)
            rows.append(row)
        if row:
            _bring_up_to_date(row, matter)
    return changed


def _begin(first: Finding) -> AlertCondition:
    subject = first.subject
    return AlertCondition(
        event=first.event,
        subject=subject.key,
        name=subject.name[:1000],
        schedule_pk=subject.schedule_pk,
        schedule_name=subject.schedule_id,
        qlik_task_id=subject.task_id,
        zone=subject.zone,
    )


def _bring_up_to_date(row: AlertCondition, matter: Matter) -> None:
    row.since_at, row.last_at, row.count = matter.since_at, matter.last_at, matter.count
    row.ended_at = matter.ended_at
    if last := matter.last:
        row.run_id, row.state, row.due_at = last.run_id, last.state, last.due_at
        row.what, row.advice = last.what, last.advice


# Who is told


def _settle(channels: Iterable[Channel], rows: Sequence[AlertCondition], *, now: datetime) -> list[_Note]:
    """Return the messages that are due to the channels, and mark as settled what everyone knows then."""
    if not rows:
        return []
    known = _read_known(rows, now=now)
    notes: list[_Note] = []
    left: set[int] = set()
    for channel in channels:
        items = list(known.items_of(channel, rows))
        tellings = _choose(channel, items, known, now=now)
        notes += [_note(channel, telling, rows, known, now=now) for telling in tellings]
        told = {place for telling in tellings for place in telling.ids}
        left.update(item.id for item in items if item.id not in told and not known.is_settled(item, rows, channel))
    for place, row in enumerate(rows):
        row.is_settled = place not in left and (row.ended_at is not None or known.is_gone(row))
        if row.is_settled:
            row.ended_at = row.ended_at or now
    return notes


def _choose(channel: Channel, items: Iterable[Item], known: _Known, *, now: datetime) -> list[Telling]:
    return choose_tellings(
        items,
        now=now,
        quiet=channel.quiet,
        tells_recovery=channel.tells_recovery,
        sent=known.sent.get(channel.key, {}),
        unsent=known.unsent.get(channel.key, frozenset()),
    )


def _note(channel: Channel, telling: Telling, rows: Sequence[AlertCondition], known: _Known, *, now: datetime) -> _Note:
    about = [rows[place] for place in telling.ids]
    tasks = find_tasks({row.qlik_task_id for row in about})
    matters = [
        _matter_of(row, tasks.get(row.qlik_task_id.lower()), is_repeat=(row.pk, channel.key) in known.told)
        for row in about
    ]
    text = channel.write(telling.event, matters, is_recovery=telling.is_recovery)
    message = AlertMessage(
        channel_key=channel.key,
        channel_name=channel.name,
        event=telling.event,
        is_recovery=telling.is_recovery,
        title=text.title,
        body=text.body,
        created_at=now,
        next_try_at=now,
    )
    return _Note(message, about)


def _read_known(rows: Iterable[AlertCondition], *, now: datetime) -> _Known:
    told = AlertTelling.objects.filter(condition__is_settled=False)
    columns = told.values_list("condition_id", "channel_key", "told_at", "told_count", "is_done")
    return _Known(
        tags=_read_tags({row.schedule_pk for row in rows if row.schedule_pk is not None}),
        told={(pk, key): Told(at, count, is_done) for pk, key, at, count, is_done in columns},
        sent=alert_queue.list_sent(since=now - PACE_WINDOW),
        unsent=alert_queue.list_unsent(),
    )


def _read_tags(schedule_pks: Iterable[int]) -> Mapping[int, Sequence[str]]:
    """Return the tags of the schedules, by their keys; those of one that is gone, or broken by hand, are none."""
    keys = list(schedule_pks)
    tags: dict[int, Sequence[str]] = {}
    for start in range(0, len(keys), _PART):
        rows = Schedule.objects.filter(pk__in=keys[start : start + _PART]).order_by().values_list("pk", "tags")
        tags.update((pk, list(map(str, found)) if isinstance(found, list) else []) for pk, found in rows)
    return tags


def _matter_of(row: AlertCondition, task: QlikTask | None, *, is_repeat: bool) -> ToldMatter:
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
        task_name=task.name if task else "",
    )


# What is written


def _move_on(watch: AlertWatch, found: _Found) -> bool:
    """Note how far was seen; return False where somebody else did it at the same time."""
    if watch._state.adding:
        AlertWatch.objects.get_or_create(pk=watch.pk)
    mine = AlertWatch.objects.filter(pk=watch.pk, looks=watch.looks)
    changed = mine.update(looks=F("looks") + 1, seen_through=found.seen_through, slow_look_at=found.slow_look_at)
    return bool(changed)


def _write(
    rows: Sequence[AlertCondition],
    changed: Sequence[AlertCondition],
    findings: Iterable[Finding],
    notes: Sequence[_Note],
    *,
    now: datetime,
) -> None:
    settled = [row.pk for row in rows if row.is_settled and row.pk]
    AlertCondition.objects.bulk_create([row for row in rows if not row.pk], batch_size=_PART)
    AlertCondition.objects.bulk_update(changed, _CHANGING, batch_size=_PART)
    if settled:
        AlertCondition.objects.filter(pk__in=settled).update(is_settled=True, ended_at=Coalesce("ended_at", now))
    _remember(findings, now=now)
    if notes:
        AlertMessage.objects.bulk_create([note.message for note in notes])
        _note_tellings(notes, now=now)
        _forget(now=now)


def _note_tellings(notes: Iterable[_Note], *, now: datetime) -> None:
    tellings = [
        AlertTelling(
            condition_id=row.pk,
            channel_key=note.message.channel_key,
            told_at=now,
            told_count=row.count,
            is_done=row.ended_at is not None,
        )
        for note in notes
        for row in note.rows
    ]
    AlertTelling.objects.bulk_create(
        tellings,
        batch_size=_PART,
        update_conflicts=True,
        unique_fields=["condition", "channel_key"],
        update_fields=["told_at", "told_count", "is_done"],
    )


def _remember(findings: Iterable[Finding], *, now: datetime) -> None:
    sightings = [
        AlertSighting(run_id=finding.run_id, event=finding.event, seen_at=now)
        for finding in findings
        if finding.is_bad and finding.run_id
    ]
    if sightings:
        AlertSighting.objects.bulk_create(sightings, batch_size=_PART)
        AlertSighting.objects.filter(seen_at__lt=now - SIGHTINGS_KEPT).delete()


def _forget(*, now: datetime) -> None:
    """Delete what is over for so long that nobody asks for it."""
    AlertMessage.objects.filter(created_at__lt=now - HISTORY_KEPT).delete()
    AlertCondition.objects.filter(is_settled=True, ended_at__lt=now - HISTORY_KEPT).delete()

"""`manage.py schedules`: schedules in and out of files, started, stopped, paused; and what looks after the site."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shutil import copymode
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone

from schedules import services
from schedules.alert_channels import UnknownChannelError
from schedules.backfill import BackfillError
from schedules.imports import Change, ImportPlan, carry_out, plan_import
from schedules.instants import parse_instant
from schedules.maintenance import (
    MaintenanceError,
    begin_maintenance,
    describe_maintenance,
    end_maintenance,
)
from schedules.management import alerts, backfill, details, forecast, qlik_tasks, vitals
from schedules.management.terminal import cut as _cut
from schedules.management.terminal import find_origin as _origin
from schedules.management.terminal import refusal as _refusal
from schedules.management.terminal import wrap as _wrapped
from schedules.management.terminal import write_utf8
from schedules.models import Maintenance, Schedule
from schedules.periods import PeriodError
from schedules.policies import pause_message
from schedules.serializers import ScheduleSerializer
from schedules.services import UnknownScheduleError
from schedules.task_warnings import list_warnings
from schedules.yaml_io import Entry, ScheduleFileError, months_as_numbers, read_entries, write_entries

#: So many schedules, or things that are wrong with a file, are shown; a dry run shows all.
MOST_SHOWN = 20
#: Of the schedules with months as numbers so many are named
MONTHS_SHOWN = 10


class Command(BaseCommand):
    help = "Import, export, list, start, stop, pause and backfill schedules; look after the site."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the subcommands."""
        actions = parser.add_subparsers(dest="action", required=True, title="what to do")
        importing = actions.add_parser("import", help="create the schedules of a YAML file")
        importing.add_argument("file", help="a file in Butler's format, as `export` writes it")
        importing.add_argument("--dry-run", action="store_true", help="show what would change, and write nothing")
        importing.add_argument("--replace", action="store_true", help="change schedules that exist with other values")
        importing.add_argument(
            "--months", choices=["0-11", "1-12"], help="how its months count; in Butler's files 0-11"
        )
        exporting = actions.add_parser("export", help="write all schedules as YAML")
        exporting.add_argument("file", nargs="?", help="where to; to the terminal when it is left out")
        actions.add_parser("list", help="show all schedules")
        for action in ("start", "stop", "pause", "resume"):
            changing = actions.add_parser(action, help=f"{action} schedules")
            changing.add_argument("ids", nargs="*", metavar="ID", help="as `list` shows it")
            changing.add_argument("--all", action="store_true", dest="every", help=f"{action} all schedules")
            if action == "pause":
                _add_closure(changing, is_required=True)
        maintaining = actions.add_parser("maintenance", help="start nothing on the whole site for some time")
        steps = maintaining.add_subparsers(dest="step", required=True, title="what to do")
        _add_closure(steps.add_parser("begin", help="start nothing from now on"), is_required=False)
        steps.add_parser("end", help="go on as before")
        steps.add_parser("show", help="show whether the site is in maintenance")
        for module in (details, backfill, forecast, qlik_tasks, vitals, alerts):
            module.add_parser(actions)

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        """Do what the subcommand says; what is refused ends as a CommandError, hence with exit code 1."""
        try:
            getattr(self, f"_{action}")(**_read_texts(options))
        except ScheduleFileError as error:
            raise CommandError("\n".join(["Nothing was written.", *_wrapped_some(error.problems)])) from error
        except (UnknownScheduleError, MaintenanceError) as error:
            raise _refusal(f"{error} Nothing was changed.") from error
        except (PeriodError, BackfillError, UnknownChannelError) as error:
            raise _refusal(str(error)) from error
        except ValidationError as error:
            told = [f"--{name}: {message}" for name, told in error.message_dict.items() for message in told]
            raise _refusal(" ".join([*told, "Nothing was changed."])) from error
        except DatabaseError as error:
            raise _refusal(f"The database cannot be used: {error}. `make run` sets it up.") from error

    def _import(self, file: str, *, dry_run: bool, replace: bool, months: str | None, **_: Any) -> None:
        entries = read_entries(_read(file), first_month=0 if months == "0-11" else 1)
        if months is None:
            self._warn_of_months(entries)
        plan = plan_import(entries)
        self._show_plan(plan, most=None if dry_run else MOST_SHOWN)
        if plan.changed and not replace:
            known = f"{len(plan.changed)} of the schedules exist with other values: those marked ~."
            raise _refusal(f"{known} --replace changes them. Nothing was written.")
        if not dry_run:
            carry_out(plan, origin=_origin())
        outcome = "A dry run, nothing was written" if dry_run else "Imported"
        counts = f"{len(plan.new)} new, {len(plan.changed)} changed, {len(plan.unchanged)} unchanged"
        self.stdout.write(f"{outcome}: {counts}.")

    def _export(self, file: str | None, **_: Any) -> None:
        schedules = ScheduleSerializer(Schedule.objects.all(), many=True).data
        text = write_entries(schedules)
        if file is None:
            write_utf8(self.stdout, text)
            return
        try:
            _write_whole(Path(file), text)
        except OSError as error:
            raise _refusal(f"{file} cannot be written: {error.strerror}.") from error
        self.stdout.write(_wrapped(f"Exported {len(schedules)} schedules to {file}."))

    def _list(self, **_: Any) -> None:
        self._show_schedules(Schedule.objects.all())

    def _start(self, ids: Sequence[str], *, every: bool, **_: Any) -> None:
        self._show_schedules(services.start_schedules(_chosen(ids, every=every), origin=_origin()))

    def _stop(self, ids: Sequence[str], *, every: bool, **_: Any) -> None:
        self._show_schedules(services.stop_schedules(_chosen(ids, every=every), origin=_origin()))

    def _pause(self, ids: Sequence[str], *, every: bool, until: str, reason: str, **_: Any) -> None:
        chosen, moment = _chosen(ids, every=every), _read_moment(until)
        self._show_schedules(services.pause_schedules(chosen, until=moment, reason=reason, origin=_origin()))

    def _resume(self, ids: Sequence[str], *, every: bool, **_: Any) -> None:
        self._show_schedules(services.resume_schedules(_chosen(ids, every=every), origin=_origin()))

    def _maintenance(self, *, step: str, **options: Any) -> None:
        getattr(self, f"_{step}_maintenance")(**options)

    def _begin_maintenance(self, *, until: str | None, reason: str, **_: Any) -> None:
        end = None if until is None else _read_moment(until)
        begun = begin_maintenance(until=end, reason=reason, origin=_origin())
        self.stdout.write(_wrapped(f"{describe_maintenance(begun)} `schedules maintenance end` ends it."))

    def _end_maintenance(self, **_: Any) -> None:
        ended = end_maintenance(origin=_origin())
        self.stdout.write("The maintenance has ended." if ended else "The site was not in maintenance.")

    def _show_maintenance(self, **_: Any) -> None:
        there = Maintenance.current_at(timezone.now())
        self.stdout.write(_wrapped(describe_maintenance(there)) if there else "The site is not in maintenance.")

    def _backfill(self, **options: Any) -> None:
        backfill.run(self, **options)

    def _forecast(self, **options: Any) -> None:
        forecast.run(self, **options)

    def _status(self, **options: Any) -> None:
        vitals.run(self, **options)

    def _show(self, **options: Any) -> None:
        details.run(self, **options)

    def _tasks(self, **options: Any) -> None:
        qlik_tasks.run(self, **options)

    def _alerts(self, **options: Any) -> None:
        alerts.run(self, **options)

    def _show_schedules(self, schedules: Iterable[Schedule]) -> None:
        now = timezone.now()
        shown = list(schedules)
        warnings = list_warnings(shown)
        lines = [line for schedule in shown for line in _lines_of(schedule, warnings.get(schedule.pk, ""), now=now)]
        self.stdout.write("\n".join(lines) if lines else "There are no schedules.")

    def _show_plan(self, plan: ImportPlan, *, most: int | None) -> None:
        blocks = [self.style.SUCCESS(_marked("+", schedule)) for schedule in plan.new]
        blocks += [self.style.WARNING(_marked_change(change)) for change in plan.changed]
        blocks += [_marked("=", schedule) for schedule in plan.unchanged]
        for block in blocks[:most]:
            self.stdout.write(block)
        if most is not None and len(blocks) > most:
            self.stdout.write(f"... and {len(blocks) - most:,} more")

    def _warn_of_months(self, entries: Iterable[Entry]) -> None:
        with_numbers = [entry for entry in entries if months_as_numbers(str(entry.values.get("cronSchedule", "")))]
        if not with_numbers:
            return
        lines = [_cut(f"  {entry.place}: {entry.values['cronSchedule']}") for entry in with_numbers[:MONTHS_SHOWN]]
        if more := len(with_numbers) - MONTHS_SHOWN:
            lines += [f"  ... and {more:,} more"] if more > 0 else []
        head = "Months count from 1 here, 3 is March; in Butler's own files from 0, 3 is April. With months as numbers:"
        foot = "--months 0-11 takes them as Butler does, --months 1-12 as they are, without this warning."
        self.stderr.write("\n".join([_wrapped(head), *lines, _wrapped(foot)]), self.style.WARNING)


def _add_closure(parser: ArgumentParser, *, is_required: bool) -> None:
    moment = "a moment such as 2026-12-01T06:00, which is UTC, or with an offset, 2026-12-01T07:00+01:00"
    parser.add_argument("--until", metavar="MOMENT", required=is_required, help=moment)
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for those who look at it")


def _read_moment(text: str) -> datetime:
    """Return the instant that a person has typed; without an offset it is meant in UTC."""
    try:
        return parse_instant(text, naive_is_utc=True)
    except ValueError as error:
        ways = "Write 2026-12-01T06:00 for UTC, or with an offset, 2026-12-01T07:00+01:00."
        raise _refusal(f"--until: {text!r} is no moment. {ways} Nothing was changed.") from error


def _read_texts(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments in UTF-8, whatever the locale; only the name of a file may have other bytes."""
    return {name: value if name == "file" else _read_text(value) for name, value in options.items()}


def _read_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_read_text(item) for item in value]
    try:
        return os.fsencode(value).decode() if isinstance(value, str) and not value.isascii() else value
    except UnicodeError as error:
        raise _refusal(f"The argument {value!r} is not UTF-8. Type it in UTF-8. Nothing was changed.") from error


def _read(file: str) -> str:
    try:
        return Path(file).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise _refusal(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        where = f"byte 0x{error.object[error.start]:02x} at position {error.start}"
        raise _refusal(f"{file} is not UTF-8: {where}. Save it as UTF-8. Nothing was written.") from error


def _write_whole(path: Path, text: str) -> None:
    """Write a file; one that was there stays as it was where that fails. Raises OSError."""
    if not _is_own_file(path):
        path.write_text(text, encoding="utf-8", newline="\n")
        return
    draft = path.with_name(f".butler.{os.getpid()}.yaml")
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        copymode(path, draft)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _is_own_file(path: Path) -> bool:
    """Return whether another file may take the place of this one: no link, no device, and nobody else's."""
    if path.is_symlink() or not path.is_file() or not os.access(path, os.W_OK):
        return False
    return path.stat().st_uid == os.geteuid() and os.access(path.parent, os.W_OK)


def _chosen(ids: Sequence[str], *, every: bool) -> Sequence[str] | None:
    """Return the ids given, None for all schedules."""
    if every is bool(ids):
        raise CommandError("Give the ids of the schedules, or --all for all of them.")
    return ids or None


def _lines_of(schedule: Schedule, warning: str, *, now: datetime) -> list[str]:
    state = "started" if schedule.enabled else "stopped"
    first = f"{state}  {schedule.name}  {schedule.cron_schedule}  {schedule.timezone}"
    lines = [_wrapped(first, indent=9), _cut(f"         {schedule.title}")]
    if schedule.paused_until is not None and schedule.is_paused(at=now):
        pause = pause_message(schedule.paused_until.astimezone(UTC), schedule.pause_reason)
        lines.append(_wrapped(f"{'':9}{pause}", indent=9))
    if warning:
        lines.append(_wrapped(f"{'':9}Warning: {warning}", indent=9))
    return lines


def _marked(mark: str, schedule: Schedule) -> str:
    return _cut(f"{mark} {schedule.name}  {schedule.title}")


def _marked_change(change: Change) -> str:
    lines = [_marked("~", change.before)]
    for word, (old, new) in change.values.items():
        lines += [_cut(f"    {word}: {_text_of(old)}"), _cut(f"    {'->':>{len(word) + 1}} {_text_of(new)}")]
    return "\n".join(lines)


def _text_of(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value or "none")


def _wrapped_some(sentences: Sequence[str]) -> list[str]:
    lines = [_wrapped(sentence, indent=2) for sentence in sentences[:MOST_SHOWN]]
    more = len(sentences) - MOST_SHOWN
    return [*lines, f"... and {more:,} more"] if more > 0 else lines

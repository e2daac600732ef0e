"""`manage.py schedules backfill`: show what did not run in a time gone by, and run it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import BaseCommand

from schedules.backfill import Preview, backfill, preview_backfill
from schedules.management.terminal import cut, find_origin, wrap
from schedules.periods import parse_moment


def add_parser(actions: Any) -> None:
    """Declare the subcommand."""
    parser = actions.add_parser("backfill", help="run what did not run in a time gone by")
    parser.add_argument("ids", nargs="+", metavar="ID", help="as `list` shows it")
    parser.add_argument("--from", required=True, dest="from_text", metavar="ISO", help="such as 2026-03-29T06:00:00Z")
    parser.add_argument("--until", required=True, dest="until_text", metavar="ISO", help="not later than now")
    parser.add_argument("--again", action="store_true", help="also run again what has run")
    parser.add_argument("--yes", action="store_true", help="do it; without it, nothing is written")


def run(
    command: BaseCommand, *, ids: Sequence[str], from_text: str, until_text: str, again: bool, yes: bool, **_: Any
) -> None:
    """Print what there is to run, and with `yes` plan it."""
    period = {
        "from_at": parse_moment(from_text, name="--from"),
        "until_at": parse_moment(until_text, name="--until"),
    }
    previews = preview_backfill(ids, **period)
    for preview in previews:
        command.stdout.write("\n".join(_lines_of(preview, again=again)))
    if yes:
        planned = backfill(ids, **period, again=again, origin=find_origin())
        command.stdout.write(f"Planned: {_count_runs(planned)}{', to be started at once' if planned else ''}.")
    else:
        wanted = sum(preview.count_runs(again=again) for preview in previews)
        command.stdout.write(f"{_count_runs(wanted)} would start. Nothing was written; --yes starts them.")


def _lines_of(preview: Preview, *, again: bool) -> Iterator[str]:
    yield cut(f"{preview.schedule.name}  {preview.schedule.title}")
    if not preview.occurrences:
        yield "    not due in this time"
        return
    first, last = preview.occurrences[0].due_at, preview.occurrences[-1].due_at
    yield f"    due {len(preview.occurrences):,} times, {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC"
    states = ", ".join(f"{number:,} {state}" for state, number in preview.count_states().items())
    yield wrap(f"    in the ledger: {states}", indent=8)
    yield f"    would start: {preview.count_runs(again=again):,}"


def _count_runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number:,} runs"

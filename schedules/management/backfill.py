"""`manage.py schedules backfill`: show what did not run in a time gone by, run it, and take that back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand

from schedules.backfill import Preview, backfill, cancel_backfill, count_waiting, preview_backfill
from schedules.management.terminal import cut, find_origin, refusal, wrap
from schedules.periods import parse_moment


def add_parser(actions: Any) -> None:
    """Declare the subcommand."""
    parser = actions.add_parser("backfill", help="run what did not run in a time gone by")
    parser.add_argument("ids", nargs="+", metavar="ID", help="as `list` shows it")
    parser.add_argument("--from", dest="from_text", metavar="ISO", help="such as 2026-03-29T06:00:00Z")
    parser.add_argument("--until", dest="until_text", metavar="ISO", help="not later than now")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--again", action="store_true", help="also run again what has run")
    what.add_argument(
        "--cancel",
        action="store_true",
        help="cancel what has not started; of all times, or those of --from and --until",
    )
    parser.add_argument("--yes", action="store_true", help="do it; without it, nothing is written")


def run(
    command: BaseCommand,
    *,
    ids: Sequence[str],
    from_text: str | None,
    until_text: str | None,
    again: bool,
    cancel: bool,
    yes: bool,
    **_: Any,
) -> None:
    """Print what there is to run or to cancel, and with `yes` do it."""
    texts = {"from": from_text, "until": until_text}
    period = {f"{name}_at": parse_moment(text, name=f"--{name}") for name, text in texts.items() if text is not None}
    if cancel:
        _cancel(command, ids, period, yes=yes)
    elif len(period) < len(texts):
        raise refusal("Give --from and --until, such as 2026-03-29T06:00:00Z. Only --cancel does without them.")
    else:
        _backfill(command, ids, period, again=again, yes=yes)


def _cancel(command: BaseCommand, ids: Sequence[str], period: Mapping[str, datetime], *, yes: bool) -> None:
    if not yes:
        waiting = _count_runs(count_waiting(ids, **period))
        command.stdout.write(f"{waiting} would be cancelled. Nothing was written; --yes cancels.")
        return
    done = cancel_backfill(ids, **period, origin=find_origin())
    in_hand = f" {_count_runs(done.in_hand)} cannot be taken back any more." if done.in_hand else ""
    command.stdout.write(wrap(f"Cancelled: {_count_runs(done.cancelled)}.{in_hand}"))


def _backfill(
    command: BaseCommand, ids: Sequence[str], period: Mapping[str, datetime], *, again: bool, yes: bool
) -> None:
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

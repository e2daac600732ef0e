"""Which modules are put to the test, and which test files are to notice what is changed in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

_CRON = (
    "cron_syntax cron_moments cron_days cron_daylight_saving cron_wall_clock cron_projection cron_oracle "
    "cron_second_opinions cron_fuzz"
)
_PLANNING = "planner closures clock_steps clock_leaps long_passes absences edits_forget absence_slices targets"
_FOLLOWING = "following calls_in_doubt following_races clocks_of_qrs odd_answers overlap turns retry_deadlines"
_CALLS = "worker retries what_qrs_began overlap turns"

#: The names of modules and, without what all have in common, of test files: first those that know the module best
_NAMES: Mapping[str, str] = {
    "cron_words": f"cron_words {_CRON}",
    "cron_fields": _CRON,
    "cron": _CRON,
    "wall_clock": f"{_CRON} timetable load",
    "timetable": "timetable load forecast",
    "policies": "policies retries ledger pauses absences maintenance retry_deadlines closing",
    "doubted_clock": "doubted_clock beat_reads beat",
    "targets": "targets known_tasks",
    "changes": "services planner pauses maintenance targets edits_forget mass_edits",
    "editing": "services long_passes lease wake_up_calls beat service mass_edits",
    "services": "services pauses edits_forget mass_edits edits_wait backfill_cancel planner schedules_command",
    "schedule_rows": "mass_edits services edits_forget pauses",
    "bulk_rows": "mass_edits services",
    "imports": "import_words schedules_command edits_forget mass_edits edits_wait",
    "asking": "run_now services targets",
    "maintenance": "maintenance ledger edits_wait",
    "backfill": "backfill backfill_marks backfill_cancel targets edits_wait",
    "lease": "lease long_passes publisher beat_reads beat",
    "planner": f"{_PLANNING} long_graces lease beat_reads beat",
    "passes": f"passes long_graces {_PLANNING} beat_reads",
    "entries": f"{_PLANNING} maintenance pauses",
    "absences": "absences absence_slices clock_steps targets clock_leaps long_graces",
    "set_backs": "clock_leaps clock_steps lock_order_races",
    "beat": "beat_turns beat publisher long_passes checkpoint beat_reads",
    "publisher": "publisher beat",
    "runs": f"ledger claim_borders late_outcomes long_passes services lock_order {_CALLS} publisher retry_deadlines",
    "bulk": "ledger following lock_order worker late_outcomes start_slices lock_order_races",
    "closing": "closing overlap turns",
    "claims": f"ledger claim_borders {_CALLS} allow_list late_outcomes retry_deadlines start_slices lock_order",
    "schedule_rules": "claim_borders ledger retries retry_deadlines overlap turns what_qrs_began worker",
    "turns": "overlap turns what_qrs_began closing",
    "breaker": "breaker_borders retries what_qrs_began worker vitals wake_up_calls lock_order_races",
    "starting": f"{_CALLS} status_classes retry_after retry_deadlines start_slices api_start_tasks",
    "recording": "start_slices worker late_outcomes worker_database",
    "patience": "patience worker_database worker",
    "tasks": f"{_CALLS} late_outcomes worker_database start_slices known_tasks following wake_up_calls",
    "following": f"{_FOLLOWING} wake_up_calls lock_order_races",
    "open_runs": _FOLLOWING,
    "qrs_picture": _FOLLOWING,
    "session_matching": f"session_matching {_FOLLOWING}",
    "verdicts": f"verdicts {_FOLLOWING}",
    "follower_turn": "following_races following",
    "request_calls": "start_slices api_start_tasks status_classes",
    "start_requests": "api_start_tasks allow_list start_slices what_qrs_began busy_requests status_classes",
    "stopping": "api_stop_tasks targets busy_requests lock_order_races",
}
_WITH_LOCKS = (
    "absences asking backfill breaker bulk bulk_rows changes claims closing editing follower_turn following lease "
    "maintenance open_runs passes planner publisher recording request_calls runs schedule_rows services set_backs "
    "start_requests starting stopping tasks turns"
)

#: The paths of modules, in the order in which a run goes through them
MODULES: Sequence[str] = [f"schedules/{name}.py" for name in _NAMES]

#: Stands beside the modules for every lock, order of locks and transaction of all of them: each is tried
LOCKS = "locks"
#: The tests that hold locks and transactions against each other
LOCK_TESTS = "edits_wait lock_order ledger turns lease"

#: Where it may matter which database it is, for locks of rows and statements of their own. A mutant of a lock, an order
#: or a transaction that outlives the tests on SQLite meets them on PostgreSQL
WITH_LOCKS = frozenset(f"schedules/{name}.py" for name in _WITH_LOCKS.split())


def list_tests(module: str) -> list[str]:
    """Return the paths of a module's test files."""
    return name_tests(_NAMES[Path(module).stem])


def name_tests(names: str) -> list[str]:
    """Return the paths of test files."""
    folders = {path.name: path.parent.name for path in Path(__file__).parents[1].glob("*/test_*.py")}
    files = [f"test_{name}.py" for name in names.split()]
    return [f"tests/{folders[file]}/{file}" for file in files]

"""`python -m tests.mutants`: try mutants, print a table, and write docs/mutants/README.md."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from queue import SimpleQueue
from random import SystemRandom

from tests.chaos.postgres import NoPostgresError, PostgresServer
from tests.mutants import page
from tests.mutants.choice import LOCKS, MODULES, WITH_LOCKS
from tests.mutants.finding import choose, find_mutants
from tests.mutants.mutant import Mutant
from tests.mutants.workshop import Copy, TestsFailError, Verdict, Workshop

DEFAULT_NUMBER = 250


def main(arguments: Sequence[str] | None = None) -> int:
    """Try what is asked for; returns 1 where a mutant was left that has no reason."""
    options = read_options(arguments)
    # So that whoever stops it leaves nothing running
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    chosen = choose_mutants(options)
    if options.list:
        print(*(mutant.name for mutants in chosen.values() for mutant in mutants), sep="\n")
        return 0
    print(f"seed {options.seed}, {sum(map(len, chosen.values()))} mutants", flush=True)
    with serve_postgres(options, chosen) as urls, Workshop(options.jobs, postgres_urls=urls) as workshop:
        results = try_modules(chosen, workshop.copies, options)
    print("", *page.format_table(results), sep="\n")
    reasons = page.read_reasons()
    for name in reasons.keys() - {mutant.name for module in MODULES for mutant in find_mutants(module)}:
        print(f"a reason for a mutant that there is no more: {name}")
    unexplained = page.list_unexplained(results, reasons)
    for name in unexplained:
        print(f"left without a reason: {name}")
    return int(bool(unexplained))


def try_modules(
    chosen: Mapping[str, Sequence[Mutant]], copies: Sequence[Copy], options: argparse.Namespace
) -> page.Results:
    """Try the mutants module by module, keep what is found of each, and return all of it.

    Nothing is found where a test that has noticed one fails on the code as it is, too.
    """
    results: page.Results = {}
    reasons = page.read_reasons()
    for module, mutants in chosen.items():
        # What is known to be left need not be tried again
        found = [Verdict(mutant, "") for mutant in mutants if mutant.name in reasons]
        found += try_all([mutant for mutant in mutants if mutant.name not in reasons], copies)
        try:
            copies[0].confirm(found)
        except TestsFailError as error:
            print(f"What was found of {module} counts for nothing: {error}", flush=True)
            continue
        began = f"{datetime.now(UTC):%Y-%m-%d}"
        results[module] = page.summarize(found, seed=options.seed, began=began)
        if options.keep and options.left:
            page.strike_out(found, order=[*MODULES, LOCKS])
        elif options.keep and not options.match:
            # A choice of names says nothing of the module
            page.keep(results, order=[*MODULES, LOCKS])
    return results


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--number", type=int, default=DEFAULT_NUMBER, help="how many mutants (%(default)s)")
    parser.add_argument("--all", action="store_true", help="every mutant there is")
    parser.add_argument("--only", default="", help="modules, such as planner,lease")
    parser.add_argument("--left", action="store_true", help="those that were left before")
    parser.add_argument("--match", default="", help="those whose name has this text")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10_000), help="choose the same ones again")
    parser.add_argument("--jobs", type=int, default=2, help="how many are tried at a time (%(default)s)")
    parser.add_argument("--sqlite", action="store_true", help="do without PostgreSQL")
    parser.add_argument("--dry", dest="keep", action="store_false", help="leave docs/mutants as it is")
    parser.add_argument("--list", action="store_true", help="only name the mutants")
    return parser.parse_args(arguments)


def choose_mutants(options: argparse.Namespace) -> dict[str, list[Mutant]]:
    """Return the mutants that are asked for, by their modules: of some modules those that a run in full would try."""
    wanted = [name if name == LOCKS else f"schedules/{name}.py" for name in options.only.split(",") if name]
    if unknown := [name for name in wanted if name not in (*MODULES, LOCKS)]:
        raise SystemExit(f"{', '.join(unknown)}: not among the modules of tests/mutants/choice.py")
    found = {module: find_mutants(module) for module in MODULES}
    if options.left:
        left = {name for part in page.read_results().values() for name in part["left"]}
        chosen = {module: [mutant for mutant in mutants if mutant.name in left] for module, mutants in found.items()}
    elif options.all or options.match:
        chosen = {
            module: [mutant for mutant in mutants if options.match in mutant.name] for module, mutants in found.items()
        }
    else:
        locks = [mutant for mutants in found.values() for mutant in mutants if mutant.is_of_lock]
        chosen = choose(found, number=options.number - len(locks), seed=options.seed) | {LOCKS: locks}
    return {name: chosen[name] for name in wanted or chosen if chosen.get(name)}


@contextmanager
def serve_postgres(options: argparse.Namespace, chosen: Mapping[str, Sequence[Mutant]]) -> Iterator[list[str]]:
    """Give the addresses of a database on PostgreSQL for each job; none where none is needed, or there is no server."""
    if options.sqlite or not any(mutant.module in WITH_LOCKS for mutants in chosen.values() for mutant in mutants):
        yield []
        return
    try:
        server = PostgresServer()
    except NoPostgresError as error:
        print(f"On SQLite alone: {error}")
        yield []
        return
    try:
        yield [server.make_database().url for _ in range(options.jobs)]
    finally:
        server.close()


def try_all(mutants: Sequence[Mutant], copies: Sequence[Copy]) -> Iterator[Verdict]:
    """Try the mutants side by side, tell what comes of each, and yield the verdicts."""
    free: SimpleQueue[Copy] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def try_one(mutant: Mutant) -> Verdict:
        copy, began = free.get(), time.monotonic()
        try:
            verdict = copy.try_mutant(mutant)
        finally:
            free.put(copy)
        print(f"{time.monotonic() - began:5.0f} s {verdict.killer or 'LEFT'}  {mutant.name}", flush=True)
        return verdict

    jobs = ThreadPoolExecutor(len(copies))
    try:
        yield from jobs.map(try_one, mutants)
    finally:
        jobs.shutdown(wait=False, cancel_futures=True)
        for copy in copies:
            copy.close()


if __name__ == "__main__":
    sys.exit(main())

"""`python -m qlik.simulator`: a simulated Sense site to play with, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from qlik.simulator.api import Behaviour
from qlik.simulator.certificates import ForeignCertificatesError
from qlik.simulator.demo import DEMO_TASKS
from qlik.simulator.listener import ListenError
from qlik.simulator.proxy import ProxySettings
from qlik.simulator.server import Simulator, SimulatorSettings
from qlik.simulator.tasks import SLOTS
from qlik.simulator.values import ControlError, read_tasks


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop; returns the exit code."""
    options = make_parser().parse_args(arguments)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        with Simulator(read_settings(options)) as simulator:
            print(
                f"QRS simulator ready: qrs={simulator.url} controls={simulator.control_url}"
                f" certificates={simulator.certificates}"
                + (f" proxy={simulator.proxy_url}" if simulator.proxy else ""),
                flush=True,
            )
            stopping.wait()
    except (ListenError, ForeignCertificatesError, ControlError, OSError) as error:
        print(f"The QRS simulator cannot start. {error}", file=sys.stderr)
        return 1
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m qlik.simulator", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address of the QRS port")
    add("--name", action="append", default=[], help="further name for the server's certificate")
    add("--port", type=read_port, default=4242, help="QRS port, 0 for a free one")
    add("--control-port", type=read_port, default=4243, help="control port on 127.0.0.1, 0 for a free one")
    add("--proxy-port", type=read_port, help="port of the virtual proxies, 0 for a free one; none: there are none")
    add("--jwt-prefix", default="jwt", help="prefix of the virtual proxy that believes a JSON web token")
    add("--header-prefix", default="hdr", help="prefix of the virtual proxy that believes a header")
    add("--header-name", default="hdr-usr", help=r"that header, whose value is directory\id")
    add("--user", action="append", default=[], help=r"directory\id that may do what the service accounts may")
    add("--certificates", type=Path, required=True, help="folder of client.pem and so on, made when missing")
    add("--speed", type=float, default=1.0, help="how many times faster than real time reloads go")
    add("--slots", type=int, default=SLOTS, help="reloads at once; others are queued")
    add("--tasks", type=Path, help="JSON file with the tasks of the site, instead of some demo tasks")
    add("--journal", type=Path, help="file to append the journal to, one JSON object a line")
    add("--journal-size", type=int, default=100_000, help="entries to keep in memory")
    add("--runs", type=Path, help="file to append the runs that are over to, one JSON object a line")
    add("--unknown-task", type=int, choices=(400, 404), default=404, help="status for an unknown task id")
    add("--synchronous-start", type=int, choices=(200, 201), default=201, help="status of that call")
    add("--running-task", choices=("second", "ignore"), default="second", help="what its next start does")
    return parser


def read_port(text: str) -> int:
    """Return a port number; for argparse, which turns ValueError into a message."""
    port = int(text)
    if not 0 <= port <= 65_535:
        raise ValueError(text)
    return port


def read_settings(options: argparse.Namespace) -> SimulatorSettings:
    """Return the settings that the command line stands for. Raises ControlError for a wrong file of tasks."""
    return SimulatorSettings(
        certificates=options.certificates,
        host=options.host,
        names=options.name,
        port=options.port,
        control_port=options.control_port,
        speed=options.speed,
        slots=options.slots,
        tasks=read_tasks(options.tasks.read_bytes()) if options.tasks else DEMO_TASKS,
        second_sessions=options.running_task == "second",
        behaviour=Behaviour(unknown_task_status=options.unknown_task, synchronous_status=options.synchronous_start),
        users=options.user,
        proxy=read_proxy(options),
        journal_size=options.journal_size,
        journal_file=options.journal,
        run_file=options.runs,
    )


def read_proxy(options: argparse.Namespace) -> ProxySettings | None:
    """Return the settings of the proxy, None for no proxy."""
    if options.proxy_port is None:
        return None
    return ProxySettings(
        port=options.proxy_port,
        jwt_prefix=options.jwt_prefix,
        header_prefix=options.header_prefix,
        header_name=options.header_name,
    )


if __name__ == "__main__":
    sys.exit(main())

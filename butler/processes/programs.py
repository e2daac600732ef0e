"""The programs of the service, each by the command that its ecosystem knows."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from django.conf import settings

from butler.processes.child import Program

_CELERY = ("-m", "celery", "--quiet", "--skip-checks", "-A", "butler")


def python_environment(servers: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with the settings in `servers`, for Python programs."""
    environment = {**os.environ, **servers, "PYTHONUNBUFFERED": "1"}
    for name in servers:
        # A setting may be given in one way only
        environment.pop(f"{name}_FILE", None)
    # It would make every start compile everything again
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def service_programs(servers: Mapping[str, str], *, listener: int) -> list[Program]:
    """Return web server, beat and workers, which use the given servers.

    `listener` is the number of the open socket that the web server accepts connections from.
    """
    # Celery warns against root because of pickled messages, which the worker does not accept
    not_about_root = ("-W", "ignore:You're running the worker with superuser privileges")
    worker = (*not_about_root, *_CELERY, "worker", "--without-mingle", "--without-gossip", "--hostname")
    web = _python("web", "-m", "gunicorn", "--bind", f"fd://{listener}", "butler.wsgi", servers=servers)
    # Gunicorn takes its folder from here, and blanks off its end
    folder = {"PWD": f"{web.folder}/."}
    return [
        replace(web, files=[listener], environment={**web.environment, **folder}),
        _python("beat", *_CELERY, "beat", "--pidfile=", servers=servers),
        *(_python(name, *worker, f"{node}@%h", servers=servers) for name, node in worker_nodes().items()),
    ]


def worker_nodes() -> dict[str, str]:
    """Return the names of the worker processes, with their names among Celery's workers of this machine."""
    further = range(2, settings.BUTLER_WORKERS + 1)
    return {"worker": "butler"} | {f"worker-{number}": f"butler-{number}" for number in further}


def simulator_program(*, port: int, control_port: int, certificates: Path) -> Program:
    """Return the simulated QRS, which makes its certificates where it finds none."""
    ports = ("--port", str(port), "--control-port", str(control_port))
    return _python("simulator", "-m", "qlik.simulator", *ports, "--certificates", str(certificates), servers={})


def _python(name: str, *arguments: str, servers: Mapping[str, str]) -> Program:
    return Program(
        name=name,
        command=(sys.executable, *arguments),
        folder=settings.BASE_DIR,
        environment=python_environment(servers),
    )

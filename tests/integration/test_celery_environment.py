"""REDIS_URL says where Redis is, whatever else is in the environment: each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = "redis://127.0.0.1:7001/3"
FOREIGN = "redis://elsewhere.example:6379/9"

URLS = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND")
OTHERS = ("CELERY_BROKER", "CELERY_CONFIG_MODULE", "CELERY_LOADER", "CELERY_WORKER_QUEUES", "BROKER_URL")

SHOW = """
import django; django.setup()
from butler import celery_app as app
from butler.processes.readiness import Celery
other = Celery(broker="redis://127.0.0.1:7002/0", set_as_current=False)
for connection in (app.connection_for_read(), app.connection_for_write(), other.connection()):
    print(connection.hostname, connection.port, connection.virtual_host)
print(app.conf.result_backend, type(app.loader).__name__)
"""

EXPECTED = ["127.0.0.1 7001 3", "127.0.0.1 7001 3", "127.0.0.1 7002 0", "None AppLoader"]


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "butler.settings", "REDIS_URL": OURS, **variables}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("name", [*URLS, *OTHERS])
def test_a_variable_of_celery_does_not_overrule_redis_url(name):
    shown = run("-c", SHOW, **{name: FOREIGN})

    assert shown.stdout.splitlines() == EXPECTED, shown.stderr


def test_a_variable_of_celery_in_the_env_file_does_not_either(tmp_path):
    file = tmp_path / "run.env"
    file.write_text("".join(f"{name}={FOREIGN}\n" for name in URLS))

    shown = run("-c", SHOW, BUTLER_DATA_DIR=str(tmp_path))

    assert shown.stdout.splitlines() == EXPECTED, shown.stderr


@pytest.mark.parametrize("name", ["CELERY_BROKER_URL", "CELERY_BROKER", "BROKER_URL"])
def test_the_command_line_of_celery_takes_nothing_from_them(name):
    told = run("-m", "celery", "-A", "butler", "inspect", "ping", "--timeout", "0.1", **{name: FOREIGN})

    assert "elsewhere" not in told.stdout + told.stderr
    assert "7001" in told.stdout + told.stderr


def test_a_check_names_the_variables_that_have_no_effect():
    told = run("manage.py", "check", CELERY_BROKER_URL=FOREIGN, CELERY_BROKER_READ_URL=FOREIGN)

    assert "CELERY_BROKER_READ_URL, CELERY_BROKER_URL in the environment" in " ".join(told.stderr.split())
    assert "butler.W003" in told.stderr

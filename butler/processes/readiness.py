"""Whether the processes do what they are for, as far as somebody outside can tell."""

from __future__ import annotations

import http.client
import socket
from asyncio import wrap_future
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from http import HTTPStatus
from threading import Thread
from typing import TypeVar

import redis
from celery import Celery
from django.conf import settings
from django.db import DatabaseError, connections
from kombu.exceptions import OperationalError

from butler.environment import without_password
from butler.errors import StartError
from butler.processes.programs import worker_nodes
from qlik.client import QrsClient
from qlik.errors import QrsError
from schedules.models import Lease
from schedules.qrs import qrs_settings
from schedules.redis_names import read_names

#: A QRS that takes longer than this to answer must not hold up the start
QRS_PATIENCE_SECONDS = 4.0

Result = TypeVar("Result")


async def in_thread(work: Callable[[], Result]) -> Result:
    """Do blocking work beside the event loop, in a thread that does not keep the process from ending."""
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)
        finally:
            # Connections belong to threads, and this one ends
            connections.close_all()

    Thread(target=run, daemon=True).start()
    return await wrap_future(future)


def answers_http(host: str, port: int, path: str) -> bool:
    """Return whether a web server answers GET `path` with 200."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def answers_redis(url: str) -> bool:
    """Return whether a Redis answers at `url`."""
    try:
        _ping_redis(url)
    except redis.RedisError:
        return False
    return True


def require_redis(url: str) -> None:
    """Raise StartError when no Redis answers at `url`."""
    try:
        _ping_redis(url)
    except (redis.RedisError, ValueError) as error:
        raise StartError(
            f"Redis does not answer at {without_password(url)}: {error}\n"
            "Start it or correct REDIS_URL. Without REDIS_URL, `make run` starts a Redis of its own."
        ) from error


def answers_worker(redis_url: str) -> bool:
    """Return whether a worker of this machine answers a ping over Redis; others may follow."""
    nodes = [f"{node}@{socket.gethostname()}" for node in worker_nodes().values()]
    # The service's own Celery application knows the Redis of its settings only
    with Celery(broker=redis_url, set_as_current=False) as app:
        app.conf.update(read_names().celery)
        app.conf.broker_use_ssl = getattr(settings, "CELERY_BROKER_USE_SSL", False)
        # Without these it goes on trying for 6 seconds
        app.conf.broker_transport_options = {"max_retries": 1, "interval_start": 0, "interval_step": 0}
        try:
            replies = app.control.broadcast("ping", reply=True, destination=nodes, limit=1, timeout=0.3)
        except OperationalError:
            return False
    return bool(replies)


class LeaseWatch:
    """Tells whether a beat has led since this watch was made."""

    def __init__(self) -> None:
        self._before = _read_lease()

    def is_led(self) -> bool:
        """Return whether some beat holds the lease and has taken or renewed it."""
        lease = _read_lease()
        return lease is not None and lease[0] != "" and lease != self._before


def describe_qrs() -> str:
    """Return where QRS is and what it says about itself, or why it does not answer."""
    impatient = replace(
        qrs_settings(),
        connect_timeout_seconds=QRS_PATIENCE_SECONDS / 2,
        read_timeout_seconds=QRS_PATIENCE_SECONDS / 2,
    )
    try:
        with QrsClient(impatient) as client:
            return f"{settings.QRS_URL}, version {client.about().build_version}"
    except QrsError as error:
        return f"DOES NOT ANSWER, so no task can start: {error} QRS_URL and QRS_CERT_DIR say where it is."


def _ping_redis(url: str) -> None:
    with redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2) as client:
        client.ping()


def _read_lease() -> tuple[str, int, int] | None:
    try:
        return Lease.objects.values_list("holder", "token", "renewals").first()
    except DatabaseError:
        return None

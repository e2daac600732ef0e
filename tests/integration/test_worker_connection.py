"""A worker comes back soon after Redis does."""

from __future__ import annotations

import logging
import threading

import pytest
from celery.signals import celeryd_init

from butler.celery import app
from butler.consumer import PromptConsumer
from tests.waiting import wait_for


def test_it_tries_each_second_however_long_redis_is_away(redis_server, caplog):
    consumer = PromptConsumer.__new__(PromptConsumer)
    consumer.app, consumer.first_connection_attempt, consumer.broker_connection_retry_attempt = app, False, 0
    redis_server.stop()
    with caplog.at_level(logging.ERROR), app.connection_for_read() as connection:
        connecting = threading.Thread(target=consumer.ensure_connected, args=[connection])
        connecting.start()
        try:
            wait_for(lambda: len(caplog.records) == 3, seconds=10)
        finally:
            redis_server.start()
            connecting.join(5)

        assert connection.connected
        assert all("again in 1.00 second" in record.getMessage() for record in caplog.records)


def test_it_ends_when_its_tasks_cannot_be_imported(monkeypatch):
    def fail(**_):
        raise ImportError("nothing there")

    monkeypatch.setattr(app, "autodiscover_tasks", fail)
    with pytest.raises(SystemExit, match="nothing there"):
        celeryd_init.send(sender="worker@here")

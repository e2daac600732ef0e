"""The process's one client of QRS, made from the settings of the service."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from threading import Lock

from django.conf import settings

from qlik.client import QrsClient
from qlik.settings import Authentication, QrsSettings

# A cache alone would make one client for each thread of the first burst
_making = Lock()
# Calls beside those of the threads for starts, so that no call waits for a connection: a worker has four messages in
# hand, and half of the web server's threads may ask for what is about to be started
_OTHER_CALLS = 4


def qrs_settings() -> QrsSettings:
    """Return where QRS is and how to speak to it; raises ValueError for a setting that no client can use."""
    connect_seconds, answer_seconds = settings.QRS_TIMEOUT
    return QrsSettings(
        url=settings.QRS_URL,
        certificate_folder=settings.QRS_CERT_DIR,
        key_password=settings.QRS_KEY_PASSWORD or None,
        authentication=Authentication(settings.QRS_AUTH),
        jwt=settings.QRS_JWT,
        header_name=settings.QRS_HEADER_NAME,
        user=settings.QRS_USER,
        verify=settings.QRS_VERIFY != "off",
        check_host_name=settings.QRS_VERIFY == "full",
        host_name=settings.QRS_HOST_NAME or None,
        connect_timeout_seconds=connect_seconds,
        read_timeout_seconds=answer_seconds,
        total_timeout_seconds=settings.QRS_TOTAL_TIMEOUT,
        pool_size=settings.BUTLER_WORKER_CONCURRENCY + _OTHER_CALLS,
    )


def longest_call() -> timedelta:
    """Return how long a call may take when each host in turn uses up its time."""
    return timedelta(seconds=settings.QRS_TOTAL_TIMEOUT * len(settings.QRS_URL.split(",")))


def qrs_client() -> QrsClient:
    """Return the client, made at the first call so that a forked worker gets its own; it keeps its connections.

    Raises CertificateError, and tries again at the next call, while the certificate files are not usable.
    """
    with _making:
        return _client()


@cache
def _client() -> QrsClient:
    return QrsClient(qrs_settings())

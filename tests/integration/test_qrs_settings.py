"""The settings of the service reach the client."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from qlik.settings import Authentication
from schedules.qrs import longest_call, qrs_settings


def test_each_setting_has_its_place(settings):
    settings.QRS_URL = "https://one:4242,https://two:4242"
    settings.QRS_CERT_DIR = Path("/certificates")
    settings.QRS_USER = r"COMPANY\butler"
    settings.QRS_VERIFY = "chain"
    settings.QRS_HOST_NAME = "sense.example.com"
    settings.QRS_KEY_PASSWORD = "open sesame"
    settings.QRS_TIMEOUT, settings.QRS_TOTAL_TIMEOUT = (1.0, 2.0), 9.0
    settings.QRS_AUTH, settings.QRS_HEADER_NAME = "header", "hdr-usr"

    made = qrs_settings()

    assert made.urls == ("https://one:4242", "https://two:4242")
    assert (made.certificate_folder, made.user) == (Path("/certificates"), r"COMPANY\butler")
    assert (made.verify, made.check_host_name, made.host_name) == (True, False, "sense.example.com")
    assert (made.authentication, made.header_name) == (Authentication.HEADER, "hdr-usr")
    assert made.key_password == "open sesame"
    assert (made.connect_timeout_seconds, made.read_timeout_seconds, made.total_timeout_seconds) == (1, 2, 9)


def test_what_is_not_set_is_none(settings):
    made = qrs_settings()

    assert (made.host_name, made.key_password, made.jwt) == (None, None, "")
    assert made.authentication is Authentication.CERTIFICATE
    assert made.total_timeout_seconds == 7


def test_a_token_reaches_the_client(settings):
    settings.QRS_AUTH, settings.QRS_JWT = "jwt", "a.b.c"

    assert qrs_settings().identity_headers == {"Authorization": "Bearer a.b.c"}


@pytest.mark.parametrize(("urls", "seconds"), [("https://one", 9), ("https://one,https://two", 18)])
def test_each_host_may_use_up_its_time(settings, urls, seconds):
    settings.QRS_URL, settings.QRS_TOTAL_TIMEOUT = urls, 9.0

    assert longest_call() == timedelta(seconds=seconds)

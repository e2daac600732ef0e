"""System checks of the settings, each by its id."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from django.core.management import CommandError, call_command

from butler.address import join_address
from butler.checks import check_host, check_qrs
from qlik.simulator.certificates import ensure_certificates

ROOT = Path(__file__).parents[2]


@pytest.fixture
def real_qrs(settings, tmp_path):
    """Settings that name a QRS with its certificates."""
    ensure_certificates(tmp_path)
    settings.QRS_IS_GIVEN = True
    settings.QRS_URL = "https://sense.example.com:4242"
    settings.QRS_CERT_DIR = tmp_path
    return settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_a_loopback_address_passes(settings, host):
    settings.BUTLER_HOST = host
    assert check_host() == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.10", "fe80::1", "butler.example.com", "127.0.0.1.nip.io"])
def test_e001_refuses_every_other_address_with_the_reason(settings, host):
    settings.BUTLER_HOST = host
    [error] = check_host()
    assert error.id == "butler.E001"
    assert error.msg.startswith(f"BUTLER_HOST is {host!r}")
    assert "open to everyone" in error.msg
    assert "docs/configuration.md" in error.hint


def test_e001_stops_every_command(settings):
    settings.BUTLER_HOST = "0.0.0.0"
    with pytest.raises(CommandError, match=r"butler\.E001"):
        call_command("check")


def test_a_simulated_qrs_needs_no_certificates(settings):
    settings.QRS_IS_GIVEN = False
    settings.QRS_CERT_DIR = Path("/nowhere")
    assert check_qrs() == []


def test_a_real_qrs_with_certificates_passes(real_qrs):
    assert check_qrs() == []


@pytest.mark.parametrize("name", ["client.pem", "client_key.pem", "root.pem"])
def test_e002_names_a_missing_certificate_file(real_qrs, name):
    (real_qrs.QRS_CERT_DIR / name).unlink()
    [error] = check_qrs()
    assert error.id == "butler.E002"
    assert str(real_qrs.QRS_CERT_DIR / name) in error.msg
    assert "client.pem, client_key.pem and root.pem" in error.hint


def test_e002_names_a_user_that_qrs_does_not_know_how_to_read(real_qrs):
    real_qrs.QRS_USER = "nobody"
    [error] = check_qrs()
    assert error.id == "butler.E002"
    assert "'nobody'" in error.msg


def test_e002_names_a_key_whose_password_is_not_known_without_telling_it(real_qrs):
    file = real_qrs.QRS_CERT_DIR / "client_key.pem"
    key = load_pem_private_key(file.read_bytes(), None)
    encryption = BestAvailableEncryption(b"open sesame")
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    real_qrs.QRS_KEY_PASSWORD = "open barley"
    [error] = check_qrs()
    assert error.id == "butler.E002"
    assert "needs the right one" in error.msg
    assert "barley" not in str(error)
    real_qrs.QRS_KEY_PASSWORD = "open sesame"
    assert check_qrs() == []


def test_a_proxy_needs_no_certificates(real_qrs):
    for name in ("client.pem", "client_key.pem", "root.pem"):
        (real_qrs.QRS_CERT_DIR / name).unlink()
    real_qrs.QRS_AUTH, real_qrs.QRS_JWT = "jwt", "a.b.c"
    assert check_qrs() == []
    real_qrs.QRS_AUTH, real_qrs.QRS_HEADER_NAME = "header", "hdr-usr"
    assert check_qrs() == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"QRS_AUTH": "jwt"}, "QRS_AUTH is jwt, but: The JWT must be three texts"),
        ({"QRS_AUTH": "jwt", "QRS_JWT": "hunter2"}, "QRS_AUTH is jwt, but: The JWT must be three texts"),
        ({"QRS_AUTH": "header"}, "QRS_AUTH is header, but: '' is no name of a header"),
        (
            {"QRS_AUTH": "header", "QRS_HEADER_NAME": "a", "QRS_USER": "x"},
            "QRS_AUTH is header, but: 'x' is no QRS user",
        ),
    ],
)
def test_e003_names_what_the_way_in_needs(real_qrs, values, message):
    for name, value in values.items():
        setattr(real_qrs, name, value)
    [error] = check_qrs()
    assert error.id == "butler.E003"
    assert error.msg.startswith(message)
    assert "hunter2" not in str(error)
    assert "QRS_AUTH=jwt needs QRS_JWT or QRS_JWT_FILE" in error.hint


def test_w001_warns_when_nobody_checks_who_answers(real_qrs):
    real_qrs.QRS_VERIFY = "off"
    [warning] = check_qrs()
    assert warning.id == "butler.W001"
    assert "QRS_VERIFY=chain" in warning.hint


def test_what_only_a_running_service_needs_does_not_stop_other_commands(real_qrs):
    real_qrs.QRS_CERT_DIR = Path("/nowhere")
    call_command("check")
    with pytest.raises(CommandError, match=r"butler\.E002"):
        call_command("check", deploy=True, tags=["qrs"])


def check_gunicorn(tmp_path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gunicorn", "--check-config", *arguments, "butler.wsgi"],
        cwd=ROOT,
        env={"BUTLER_DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "butler.settings", **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_gunicorn_alone_refuses_such_an_address_too(tmp_path):
    answer = check_gunicorn(tmp_path, BUTLER_HOST="0.0.0.0")
    assert answer.returncode == 1
    assert answer.stderr.startswith("butler: BUTLER_HOST is '0.0.0.0'")
    assert "Traceback" not in answer.stderr


def test_gunicorn_alone_names_a_wrong_setting(tmp_path):
    answer = check_gunicorn(tmp_path, BUTLER_PORT="many")
    assert answer.returncode == 1
    assert answer.stderr.startswith("butler: BUTLER_PORT is 'many'")
    assert "Traceback" not in answer.stderr


def test_an_address_typed_for_gunicorn_is_the_typers_own_decision(tmp_path):
    assert check_gunicorn(tmp_path, "--bind", "0.0.0.0:8080").returncode == 0


def test_addresses_of_ipv6_stand_in_brackets():
    assert [join_address("127.0.0.1", 1), join_address("::1", 2)] == ["127.0.0.1:1", "[::1]:2"]

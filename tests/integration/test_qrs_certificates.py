"""The certificate files, and what is checked of the server's certificate."""

from __future__ import annotations

import logging
import shutil
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from qlik.client import QrsClient
from qlik.errors import CertificateError, NotStartedError
from qlik.expiry import list_expiries
from qlik.settings import Authentication, QrsSettings
from qlik.simulator.documents import ABOUT
from qlik.simulator.listener import Listener, Reply
from qlik.simulator.server import Simulator

NAMED = "sense.example.com"


@pytest.fixture
def folder(certificate_folder: Path, simulator: Simulator, tmp_path: Path) -> Path:
    """Return a copy of the certificates, to be spoilt."""
    return Path(shutil.copytree(certificate_folder, tmp_path / "export"))


@pytest.fixture
def settings(simulator: Simulator, folder: Path) -> QrsSettings:
    return QrsSettings(url=simulator.url, certificate_folder=folder)


def refuse(settings: QrsSettings) -> str:
    with pytest.raises(CertificateError) as caught:
        QrsClient(settings)
    assert "Export the certificates again in the QMC" in str(caught.value)
    return str(caught.value)


# The files


@pytest.mark.parametrize("name", ["client.pem", "client_key.pem", "root.pem"])
def test_a_missing_file_is_named(settings: QrsSettings, folder: Path, name: str) -> None:
    (folder / name).unlink()
    message = refuse(settings)
    assert message.startswith(f"{folder / name} cannot be read (No such file or directory): it must be there")


@pytest.mark.parametrize("name", ["client.pem", "client_key.pem", "root.pem"])
def test_an_unreadable_file_is_named(settings: QrsSettings, folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()
    assert refuse(settings).startswith(f"{folder / name} cannot be read (Is a directory)")


@pytest.mark.parametrize("name", ["client.pem", "client_key.pem", "root.pem"])
@pytest.mark.parametrize("content", ["", "nonsense"])
def test_a_file_that_is_no_certificate_is_named(settings: QrsSettings, folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    message = refuse(settings)
    assert str(folder / name) in message
    assert "PEM format" in message


def test_a_key_of_another_certificate_is_told_from_a_broken_one(settings: QrsSettings, folder: Path) -> None:
    shutil.copy(folder / "server_key.pem", folder / "client_key.pem")
    assert refuse(settings).startswith(f"{folder}/client_key.pem is not the key of {folder}/client.pem: both must come")


def test_a_key_with_a_pass_phrase_is_opened_by_it(settings: QrsSettings, folder: Path) -> None:
    file = folder / "client_key.pem"
    key = load_pem_private_key(file.read_bytes(), None)
    encryption = BestAvailableEncryption(b"open sesame")
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    with QrsClient(replace(settings, key_password="open sesame")) as client:
        client.about()
    for wrong in (None, "open barley"):
        assert "a pass phrase needs the right one" in refuse(replace(settings, key_password=wrong))


def test_without_verification_the_root_is_not_needed(settings: QrsSettings, folder: Path) -> None:
    (folder / "root.pem").unlink()
    with QrsClient(replace(settings, verify=False)) as client:
        client.about()


# The server's certificate


def serve(folder: Path, certificate: trustme.LeafCert, authority: trustme.CA) -> Listener:
    """Return a server, named only by the certificate, that answers `about`."""
    client = authority.issue_cert(common_name="client")
    client.private_key_pem.write_to_path(folder / "client_key.pem")
    client.cert_chain_pems[0].write_to_path(folder / "client.pem")
    authority.cert_pem.write_to_path(folder / "root.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    body = f'{{"buildVersion": "1", "buildDate": "{ABOUT["buildDate"]}", "nodeType": 1}}'.encode()
    return Listener(host="127.0.0.1", port=0, answer=lambda _: Reply(200, body), context=context)


@pytest.fixture(params=["subject alternative name", "common name"])
def named_elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QrsSettings]:
    """A server dialled as 127.0.0.1 whose certificate names another host, in the new way or the old."""
    authority = trustme.CA()
    if request.param == "common name":
        certificate = authority.issue_cert(common_name=NAMED)
    else:
        certificate = authority.issue_cert(NAMED)
    listener = serve(tmp_path, certificate, authority)
    listener.start()
    yield QrsSettings(url=listener.url, certificate_folder=tmp_path)
    listener.close()


def test_a_certificate_that_names_another_host_is_not_trusted(named_elsewhere: QrsSettings) -> None:
    with (
        QrsClient(named_elsewhere) as client,
        pytest.raises(NotStartedError, match="names another host, set that name"),
    ):
        client.about()


def test_a_certificate_that_names_another_host_is_trusted_by_that_name(named_elsewhere: QrsSettings) -> None:
    with QrsClient(replace(named_elsewhere, host_name=NAMED)) as client:
        client.about()


def test_another_name_than_the_certificate_s_is_not_trusted(named_elsewhere: QrsSettings) -> None:
    with QrsClient(replace(named_elsewhere, host_name="evil.example.com")) as client, pytest.raises(NotStartedError):
        client.about()


def test_the_name_need_not_be_checked_but_the_site_is(named_elsewhere: QrsSettings, settings: QrsSettings) -> None:
    with QrsClient(replace(named_elsewhere, check_host_name=False)) as client:
        client.about()
    with (
        QrsClient(replace(settings, url=named_elsewhere.url, check_host_name=False)) as client,
        pytest.raises(NotStartedError, match="certificate verify failed"),
    ):
        client.about()


def test_verification_off_is_one_warning(named_elsewhere: QrsSettings, caplog: pytest.LogCaptureFixture) -> None:
    with QrsClient(replace(named_elsewhere, verify=False)) as client:
        for _ in range(3):
            client.about()
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.getMessage() == (
        f"The certificate of QRS at {named_elsewhere.url} is not verified: anyone can pose as it."
    )


def test_no_authority_but_the_site_s_own_is_trusted(settings: QrsSettings) -> None:
    with QrsClient(settings) as client:
        client.about()
        context = client._hosts._transports[0]._connections._adapter._pool.conn_kw["ssl_context"]
    assert context.cert_store_stats()["x509_ca"] == 1


# Until when they are good


@pytest.fixture
def dated(tmp_path: Path) -> QrsSettings:
    """Certificates of which the client's is good until the end of March, and the root until the year 3000."""
    authority = trustme.CA()
    client = authority.issue_cert(common_name="client", not_after=datetime(2026, 3, 31, 22, tzinfo=UTC))
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    authority.cert_pem.write_to_path(tmp_path / "root.pem")
    return QrsSettings(url="https://nowhere", certificate_folder=tmp_path)


def test_it_tells_until_when_each_certificate_is_good(dated: QrsSettings) -> None:
    client, root = list_expiries(dated)
    assert (client.file.name, client.expires_at) == ("client.pem", datetime(2026, 3, 31, 22, tzinfo=UTC))
    assert (root.file.name, root.expires_at.year) == ("root.pem", 3000)
    assert client.expires_at.utcoffset() == root.expires_at.utcoffset() == timedelta()


def test_of_several_certificates_the_first_is_the_client_s(dated: QrsSettings) -> None:
    file = dated.certificate_folder / "client.pem"
    file.write_bytes(file.read_bytes() + (dated.certificate_folder / "root.pem").read_bytes())
    assert list_expiries(dated)[0].expires_at.year == 2026


def test_of_several_roots_one_that_is_good_is_enough(dated: QrsSettings) -> None:
    folder = dated.certificate_folder
    (folder / "root.pem").write_bytes((folder / "client.pem").read_bytes() + (folder / "root.pem").read_bytes())
    assert list_expiries(dated)[1].expires_at.year == 3000


def test_with_a_proxy_there_is_at_most_a_root(dated: QrsSettings) -> None:
    by_proxy = replace(dated, authentication=Authentication.JWT, jwt="a.b.c")
    assert [expiry.file.name for expiry in list_expiries(by_proxy)] == ["root.pem"]
    (dated.certificate_folder / "root.pem").unlink()
    assert list_expiries(by_proxy) == []


def test_a_root_that_nobody_asks_has_no_date_that_matters(dated: QrsSettings) -> None:
    assert [expiry.file.name for expiry in list_expiries(replace(dated, verify=False))] == ["client.pem"]


@pytest.mark.parametrize("name", ["client.pem", "root.pem"])
def test_a_date_that_cannot_be_read_is_told(dated: QrsSettings, name: str) -> None:
    file = dated.certificate_folder / name
    for spoil in (lambda: file.write_text("nonsense"), file.unlink):
        spoil()
        with pytest.raises(CertificateError, match=f"{name} holds no certificate in PEM format"):
            list_expiries(dated)

"""The certificates that the simulator makes."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from qlik.simulator.certificates import ForeignCertificatesError, ensure_certificates, make_server_context


def read_all(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def names_of(file: Path) -> set[str]:
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def test_they_lie_as_qlik_exports_them_and_the_keys_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    ensure_certificates(folder)
    modes = {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}
    assert modes.keys() == {"client.pem", "client_key.pem", "root.pem", "server.pem", "server_key.pem"}
    assert modes["client_key.pem"] == modes["server_key.pem"] == 0o600


def test_the_server_s_bears_every_name_it_may_be_called_by(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, names=["sense.example.com", "10.0.0.7"])
    assert names_of(tmp_path / "server.pem") == {"127.0.0.1", "localhost", "sense.example.com", "10.0.0.7"}


def test_they_are_used_again(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, names=["sense.example.com"])
    before = read_all(tmp_path)
    ensure_certificates(tmp_path)
    assert read_all(tmp_path) == before


def test_they_are_made_anew_for_another_name(tmp_path: Path) -> None:
    ensure_certificates(tmp_path)
    ensure_certificates(tmp_path, names=["sense.example.com"])
    assert "sense.example.com" in names_of(tmp_path / "server.pem")


@pytest.mark.parametrize("file", ["client.pem", "client_key.pem", "root.pem", "server.pem"])
@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_they_are_made_anew_when_one_is_missing_or_broken(tmp_path: Path, file: str, content: bytes | None) -> None:
    ensure_certificates(tmp_path)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_bytes(content)
    ensure_certificates(tmp_path)
    assert make_server_context(tmp_path).verify_mode is ssl.CERT_REQUIRED
    assert b"-----BEGIN" in (tmp_path / file).read_bytes()


def test_they_are_made_anew_when_they_do_not_belong_together(tmp_path: Path) -> None:
    ensure_certificates(tmp_path)
    trustme.CA().cert_pem.write_to_path(tmp_path / "root.pem")
    before = read_all(tmp_path)
    ensure_certificates(tmp_path)
    assert all(content != before[name] for name, content in read_all(tmp_path).items())


def test_they_are_made_anew_when_they_are_about_to_end(tmp_path: Path) -> None:
    ensure_certificates(tmp_path)
    authority = trustme.CA()
    ends_at = datetime.now(UTC) + timedelta(hours=1)
    ending = authority.issue_cert("127.0.0.1", "localhost", not_after=ends_at)
    authority.cert_pem.write_to_path(tmp_path / "root.pem")
    for role in ("client", "server"):
        ending.cert_chain_pems[0].write_to_path(tmp_path / f"{role}.pem")
        ending.private_key_pem.write_to_path(tmp_path / f"{role}_key.pem")
    ensure_certificates(tmp_path)
    certificate = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes())
    assert certificate.not_valid_after_utc > ends_at + timedelta(days=1)


def test_those_of_a_real_site_are_never_overwritten(tmp_path: Path) -> None:
    ensure_certificates(tmp_path)
    (tmp_path / "server.pem").unlink()
    (tmp_path / "server_key.pem").unlink()
    before = read_all(tmp_path)
    with pytest.raises(ForeignCertificatesError, match="name another folder"):
        ensure_certificates(tmp_path)
    assert read_all(tmp_path) == before

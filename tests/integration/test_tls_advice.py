"""What people are told to do when the handshake fails, with certificates that are really wrong in each way."""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from qlik.client import QrsClient
from qlik.errors import CertificateError, NotStartedError
from qlik.settings import Authentication, QrsSettings
from qlik.simulator.documents import ABOUT
from qlik.simulator.listener import Reply
from qlik.tls import HANDSHAKE_ALERTS
from qlik.tls_advice import REASON_ADVICE
from tests.integration.certificate_maker import Pair, make_pair, make_root, sign_with_sha1
from tests.integration.https_server import listening

BODY = f'{{"buildVersion": "1", "buildDate": "{ABOUT["buildDate"]}", "nodeType": 1}}'.encode()
WRONG_ROOT = "Check that root.pem comes from this site"
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="the library does not sign with SHA-1")


@pytest.fixture(scope="module")
def root() -> Pair:
    return make_root()


@pytest.fixture(scope="module")
def server(root: Pair) -> Pair:
    return make_pair("server", by=root)


@pytest.fixture(scope="module")
def client(root: Pair) -> Pair:
    return make_pair("client", by=root)


@pytest.fixture
def folder(root: Pair, client: Pair, tmp_path: Path) -> Path:
    """Return a folder with the certificates that are exported, all good."""
    folder = tmp_path / "export"
    folder.mkdir()
    export(folder, root=root, client=client)
    return folder


def export(folder: Path, *, root: Pair | None = None, client: Pair | None = None) -> None:
    if root:
        (folder / "root.pem").write_bytes(root.pem)
    if client:
        (folder / "client.pem").write_bytes(client.pem)
        (folder / "client_key.pem").write_bytes(client.key_pem())


def call(
    folder: Path, server: Pair, *, trust: Pair | None = None, spoil: Callable[[ssl.SSLContext], None] | None = None
) -> None:
    """Ask a server with this certificate, which takes the clients of `trust` only, for its version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # As an old server does, which OpenSSL would not let us be otherwise
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    (folder.parent / "server.pem").write_bytes(server.pem + server.key_pem())
    context.load_cert_chain(folder.parent / "server.pem")
    if trust:
        context.load_verify_locations(cadata=trust.pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    if spoil:
        spoil(context)
    with listening(context, lambda _: Reply(200, BODY)) as listener:
        settings = QrsSettings(url=listener.url, certificate_folder=folder, connect_timeout_seconds=2)
        with QrsClient(settings) as caller:
            caller.about()


def advice_for(folder: Path, server: Pair, **options: object) -> str:
    with pytest.raises(NotStartedError) as caught:
        call(folder, server, **options)
    return str(caught.value)


def test_with_nothing_wrong_there_is_nothing_to_say(folder: Path, server: Pair, root: Pair) -> None:
    call(folder, server, trust=root)


# The server's certificate


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"usage": [ExtendedKeyUsageOID.CLIENT_AUTH]}, "extended key usage lacks server authentication"),
        ({"bits": 1024}, "key of the server's certificate is too short"),
        ({"days": (-9, -1)}, "has expired. This machine's clock says 2"),
        ({"days": (1, 9)}, "is good only later. This machine's clock says 2"),
        ({"address": "127.0.0.9"}, "names another host, set that name (QRS_HOST_NAME), or accept any of this site"),
    ],
    ids=["extended key usage", "1024 bits", "expired", "not yet valid", "another host"],
)
def test_what_is_wrong_with_the_servers_certificate_is_told(
    folder: Path, root: Pair, values: dict[str, object], words: str
) -> None:
    advice = advice_for(folder, make_pair("server", by=root, **values))
    assert words in advice
    assert WRONG_ROOT not in advice


@needs_openssl
def test_a_certificate_signed_with_sha_1_is_told(folder: Path, root: Pair, server: Pair, tmp_path: Path) -> None:
    advice = advice_for(folder, sign_with_sha1(server, by=root, folder=tmp_path))
    assert "is signed with SHA-1 or MD5" in advice
    assert WRONG_ROOT not in advice


def test_a_certificate_that_signed_itself_is_told(folder: Path) -> None:
    assert "The server signed its certificate itself" in advice_for(folder, make_pair("server"))


def test_a_certificate_of_another_site_is_told(folder: Path) -> None:
    advice = advice_for(folder, make_pair("server", by=make_root("another root")))
    assert WRONG_ROOT in advice
    assert "another host" not in advice


def test_a_root_that_was_made_anew_is_told(folder: Path) -> None:
    advice = advice_for(folder, make_pair("server", by=make_root()))
    assert "has the name of who signed the server's certificate, but another key" in advice


def test_a_root_with_a_short_key_is_told(folder: Path, client: Pair) -> None:
    short = make_root(bits=1024)
    export(folder, root=short)
    advice = advice_for(folder, make_pair("server", by=short))
    assert "The key of the root that signed the server's certificate is too short" in advice


def test_a_root_that_has_expired_is_told(folder: Path) -> None:
    old = make_root(days=(-9, -1))
    export(folder, root=old)
    assert "The server's certificate, or root.pem, has expired" in advice_for(folder, make_pair("server", by=old))


def test_a_root_that_is_no_authority_is_told(folder: Path, server: Pair) -> None:
    alone = make_pair("alone")
    export(folder, root=alone)
    assert "so it is not the site's root" in advice_for(folder, make_pair("another", by=alone))
    export(folder, root=server)
    assert "so it is no root" in advice_for(folder, make_pair("another", by=server))


# The client's certificate, as the server sees it


def as_tls_1_2(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2


def as_tls_1_3(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize("spoil", [as_tls_1_2, as_tls_1_3])
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"days": (-9, -1)}, "The server holds client.pem for expired"),
        ({"usage": [ExtendedKeyUsageOID.SERVER_AUTH]}, "may not be made for clients (extended key usage)"),
        ({"by": make_root("another root")}, "The server does not trust who signed client.pem"),
    ],
    ids=["expired", "extended key usage", "another site"],
)
def test_what_the_server_says_of_the_clients_certificate_is_told(
    folder: Path,
    root: Pair,
    server: Pair,
    values: dict[str, object],
    words: str,
    spoil: Callable[[ssl.SSLContext], None],
) -> None:
    export(folder, client=make_pair("client", **({"by": root} | values)))
    # In TLS 1.3 the word and the hanging up race each other
    advices = [advice_for(folder, server, trust=root, spoil=spoil) for _ in range(20)]
    assert any(words in advice for advice in advices)
    assert all(words in advice or "The other side hung up" in advice for advice in advices)
    assert not any(WRONG_ROOT in advice for advice in advices)


def test_a_server_that_wants_a_certificate_where_none_is_shown_is_told(folder: Path, root: Pair, server: Pair) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (folder.parent / "server.pem").write_bytes(server.pem + server.key_pem())
    context.load_cert_chain(folder.parent / "server.pem")
    context.load_verify_locations(cadata=root.pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    by_token = QrsSettings(
        url="https://nowhere", certificate_folder=folder, authentication=Authentication.JWT, jwt="a.b.c"
    )
    with listening(context, lambda _: Reply(200, BODY)) as listener:
        advices = []
        for _ in range(20):
            with QrsClient(replace(by_token, url=listener.url)) as caller, pytest.raises(NotStartedError) as caught:
                caller.about()
            advices.append(str(caught.value))
    assert any("is called with QRS_AUTH=certificate" in advice for advice in advices)


# The client's own files


def refusal_of(folder: Path, **values: object) -> str:
    with pytest.raises(CertificateError) as caught:
        QrsClient(QrsSettings(url="https://nowhere", certificate_folder=folder, **values))
    assert "Export the certificates again in the QMC" in str(caught.value)
    return str(caught.value)


def test_a_client_key_that_is_too_short_is_told(folder: Path, root: Pair) -> None:
    export(folder, client=make_pair("client", by=root, bits=1024))
    assert f"The key of {folder}/client.pem is too short for OpenSSL, which wants 2048 bits" in refusal_of(folder)


@needs_openssl
def test_a_client_certificate_signed_with_sha_1_is_told(folder: Path, root: Pair, client: Pair, tmp_path: Path) -> None:
    export(folder, client=sign_with_sha1(client, by=root, folder=tmp_path))
    assert f"{folder}/client.pem is signed with SHA-1 or MD5" in refusal_of(folder)


def test_a_key_with_a_pass_phrase_says_whether_one_is_set(folder: Path, client: Pair) -> None:
    (folder / "client_key.pem").write_bytes(client.key_pem("$ecret"))
    assert f"{folder}/client_key.pem has a pass phrase, and none is set" in refusal_of(folder)
    wrong = refusal_of(folder, key_password="hunter2")
    assert f"{folder}/client_key.pem has a pass phrase, and the one that is set does not open it" in wrong
    assert "QRS_KEY_PASSWORD" in wrong
    assert "hunter2" not in wrong
    QrsClient(QrsSettings(url="https://nowhere", certificate_folder=folder, key_password="$ecret")).close()


def test_a_pass_phrase_that_no_key_can_have_is_told(folder: Path, client: Pair) -> None:
    (folder / "client_key.pem").write_bytes(client.key_pem("$ecret"))
    assert "The pass phrase of" in refusal_of(folder, key_password="x" * 2000)


# Something else than certificates


def test_a_server_that_is_too_old_is_told(folder: Path, server: Pair) -> None:
    def spoil(context: ssl.SSLContext) -> None:
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1

    assert "The server offers no TLS that is new enough" in advice_for(folder, server, spoil=spoil)


def test_ciphers_that_nobody_shares_are_told(folder: Path, server: Pair) -> None:
    def spoil(context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("AES128-SHA:@SECLEVEL=0")

    assert "has no cipher in common with this machine" in advice_for(folder, server, spoil=spoil)


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "What answers there does not speak TLS"),
        (b"", "The other side hung up before it had the request"),
    ],
)
def test_what_does_not_speak_tls_is_told(folder: Path, words: bytes, advice: str) -> None:
    def hang_up(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1024)
            connection.sendall(words)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
        threads.submit(hang_up, listener)
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        settings = QrsSettings(url=url, certificate_folder=folder)
        with QrsClient(settings) as caller, pytest.raises(NotStartedError) as caught:
            caller.about()
    assert advice in str(caught.value)


def test_every_word_of_a_server_has_its_advice() -> None:
    assert set(HANDSHAKE_ALERTS) - set(REASON_ADVICE) == set()

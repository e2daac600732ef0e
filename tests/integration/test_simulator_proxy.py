"""The simulator's virtual proxies, seen with plain requests that show no certificate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from qlik.simulator.listener import Reply, Request
from qlik.simulator.proxy import SESSION_LIMIT, Proxy, ProxySettings
from qlik.simulator.server import Simulator, SimulatorSettings
from qlik.simulator.tokens import ensure_token_key, make_token
from tests.integration.plain_qrs import SALES, XRFKEY, ControlPort

HEADER_USER = {"hdr-usr": r"Internal\sa_repository"}


@pytest.fixture
def simulator(certificate_folder: Path) -> Iterator[Simulator]:
    settings = SimulatorSettings(certificates=certificate_folder, proxy=ProxySettings(), users=[r"Lab\Åsa Öst"])
    with Simulator(settings) as running:
        yield running


@pytest.fixture
def controls(simulator: Simulator) -> ControlPort:
    return ControlPort(simulator.control_url)


class PlainProxy:
    """Calls through a virtual proxy: no certificate, no user."""

    def __init__(self, simulator: Simulator) -> None:
        self.url = simulator.proxy_url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(simulator.certificates / "root.pem")
        self.session.headers["X-Qlik-Xrfkey"] = XRFKEY
        self.session.params = {"xrfkey": XRFKEY}

    def get(self, path: str, headers: dict[str, str] | None = None) -> requests.Response:
        return self.session.get(f"{self.url}/{path}", headers=headers, timeout=5)

    def post(self, path: str, headers: dict[str, str] | None = None) -> requests.Response:
        return self.session.post(f"{self.url}/{path}", headers=headers, timeout=5)


@pytest.fixture
def proxy(simulator: Simulator) -> Iterator[PlainProxy]:
    plain = PlainProxy(simulator)
    with plain.session:
        yield plain


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# Who calls


def test_a_token_vouches_for_its_user(proxy: PlainProxy, controls: ControlPort) -> None:
    token = controls.call("GET", "/token")["token"]
    answer = proxy.post(f"jwt/qrs/task/{SALES}/start/synchronous", bearer(token))
    assert answer.status_code == 201
    (session,) = proxy.get("jwt/qrs/executionsession/full", bearer(token)).json()
    assert session["id"] == answer.json()["value"]
    assert [entry["call"] for entry in controls.call("GET", "/journal")["entries"]] == ["start synchronous", "sessions"]


def test_a_header_vouches_for_its_user(proxy: PlainProxy) -> None:
    assert proxy.post(f"hdr/qrs/task/{SALES}/start", HEADER_USER).status_code == 204


@pytest.mark.parametrize("prefix", ["jwt", "hdr"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Qlik-User": "UserDirectory=Internal;UserId=sa_repository"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"hdr-usr": "sa_repository"},
        {"Cookie": "X-Qlik-Session-jwt=made-up; X-Qlik-Session-hdr=made-up"},
        {"Cookie": "[]"},
        {"Cookie": "a@b=1"},
    ],
)
def test_nobody_else_gets_in(proxy: PlainProxy, controls: ControlPort, prefix: str, headers: dict[str, str]) -> None:
    assert proxy.get(f"{prefix}/qrs/about", headers).status_code == 401
    assert controls.call("GET", "/journal")["entries"] == []


def test_each_prefix_believes_in_its_own_way_alone(proxy: PlainProxy, controls: ControlPort) -> None:
    token = controls.call("GET", "/token")["token"]
    assert proxy.get("jwt/qrs/about", HEADER_USER).status_code == 401
    assert proxy.get("hdr/qrs/about", bearer(token)).status_code == 401


def test_a_token_is_believed_only_in_its_time(proxy: PlainProxy, controls: ControlPort) -> None:
    token = controls.call("GET", "/token?seconds=1")["token"]
    assert controls.refuse("GET", "/token?seconds=long")
    assert proxy.get("jwt/qrs/about", bearer(token)).status_code == 200
    proxy.session.cookies.clear()
    time.sleep(1.1)
    answer = proxy.get("jwt/qrs/about", bearer(token))
    assert (answer.status_code, answer.text) == (401, "The token is not valid now.")


def test_a_token_signed_by_somebody_else_is_not_believed(proxy: PlainProxy, certificate_folder: Path) -> None:
    user = {"directory": "Internal", "user_id": "sa_repository", "lasts_seconds": 60}
    own = make_token(ensure_token_key(certificate_folder), **user)
    assert proxy.get("jwt/qrs/about", bearer(own)).status_code == 200
    proxy.session.cookies.clear()
    other = make_token(generate_private_key(public_exponent=65_537, key_size=2048), **user)
    mixed = own.rpartition(".")[0] + "." + other.rpartition(".")[2]
    for token in (other, mixed):
        answer = proxy.get("jwt/qrs/about", bearer(token))
        assert (answer.status_code, answer.text) == (401, "The token is signed by somebody else.")


def test_the_user_of_a_token_has_his_own_rights(proxy: PlainProxy, controls: ControlPort) -> None:
    for user, status in ((r"Sales\bob", 403), (r"Lab\Åsa Öst", 200), (r"LAB\åsa öst", 200)):
        proxy.session.cookies.clear()
        token = requests.get(f"{controls.url}/token", params={"user": user}, timeout=5).json()["token"]
        assert proxy.get("jwt/qrs/about", bearer(token)).status_code == 200
        assert proxy.get("jwt/qrs/task/full", bearer(token)).status_code == status


# The order of checks: prefix, user, and then QRS's own


def test_the_prefix_is_looked_at_first(proxy: PlainProxy) -> None:
    for path in ("qrs/about", "other/qrs/about", "jwts/qrs/about", ""):
        assert proxy.get(path, HEADER_USER).status_code == 404


def test_the_user_is_looked_at_before_the_xrfkey(proxy: PlainProxy) -> None:
    proxy.session.params = {}
    assert proxy.get("hdr/qrs/about").status_code == 401
    answer = proxy.get("hdr/qrs/about", HEADER_USER)
    assert (answer.status_code, answer.text) == (403, "XSRF prevention check failed. Possible XSRF discovered.")


def test_the_route_is_looked_at_before_the_rights(proxy: PlainProxy) -> None:
    stranger = {"hdr-usr": r"Sales\bob"}
    assert proxy.get("hdr/qrs/nothing", stranger).status_code == 404
    assert proxy.get("hdr/qrs/task/full", stranger).status_code == 403


# The session of the proxy


def test_the_cookie_is_enough_from_the_second_call_on(proxy: PlainProxy, controls: ControlPort) -> None:
    assert list(proxy.get("hdr/qrs/about", HEADER_USER).cookies) != []
    for _ in range(3):
        assert proxy.get("hdr/qrs/task/full").status_code == 200
    assert proxy.get("jwt/qrs/task/full").status_code == 401
    assert controls.call("GET", "/health")["proxy_sessions"] == 1


def test_a_client_without_cookies_begins_a_session_with_each_call(proxy: PlainProxy, controls: ControlPort) -> None:
    for _ in range(3):
        proxy.session.cookies.clear()
        proxy.get("hdr/qrs/about", HEADER_USER)
    assert controls.call("GET", "/health")["proxy_sessions"] == 3


def test_only_so_many_sessions_are_remembered() -> None:
    key = generate_private_key(public_exponent=65_537, key_size=2048)
    proxy = Proxy(ProxySettings(), key, lambda _: Reply(200))
    asked = [proxy.answer(Request("GET", "/hdr/", {}, HEADER_USER, b"")) for _ in range(SESSION_LIMIT + 1)]
    cookies = [{"cookie": dict(reply.headers)["Set-Cookie"].partition(";")[0]} for reply in asked]
    statuses = [proxy.answer(Request("GET", "/hdr/", {}, cookie, b"")).status for cookie in cookies]
    assert statuses == [401] + [200] * SESSION_LIMIT


# The rest


def test_qrs_itself_wants_its_certificate_all_the_same(simulator: Simulator, proxy: PlainProxy) -> None:
    proxy.url = simulator.url
    with pytest.raises(requests.ConnectionError):
        proxy.get("qrs/about", HEADER_USER)
    with pytest.raises(requests.ConnectionError):
        proxy.get("hdr/qrs/about", HEADER_USER)


def test_faults_and_outages_are_the_same_through_the_proxy(proxy: PlainProxy, controls: ControlPort) -> None:
    controls.call("POST", "/faults", json={"kind": "refuse", "status": 502, "count": 1})
    assert proxy.get("hdr/qrs/about", HEADER_USER).status_code == 502
    controls.call("POST", "/outage")
    with pytest.raises(requests.ConnectionError, match="Connection refused"):
        proxy.get("hdr/qrs/about", HEADER_USER)
    controls.call("DELETE", "/outage")
    assert proxy.get("hdr/qrs/about", HEADER_USER).status_code == 200


def test_the_key_of_the_tokens_is_private_and_used_again(tmp_path: Path) -> None:
    first = ensure_token_key(tmp_path)
    assert (tmp_path / "jwt_key.pem").stat().st_mode & 0o777 == 0o600
    assert ensure_token_key(tmp_path).private_numbers() == first.private_numbers()
    (tmp_path / "jwt_key.pem").write_text("nonsense")
    assert ensure_token_key(tmp_path).private_numbers() != first.private_numbers()

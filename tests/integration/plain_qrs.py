"""QRS called with plain requests, as a stranger to our client would."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

XRFKEY = "abcdefghijklmnop"
USER = "UserDirectory=Internal;UserId=sa_repository"

SALES = "0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b"
ORDERS = "3c1f7a52-9d0e-4b86-8a57-1e2d64c0b9f1"
DISABLED = "e5d2c7a8-6b94-4e31-a0f7-2c81b95d3e60"
FAILING = "f81b4e0c-37a5-4d92-8e16-5a9c0d2b7f38"
UNKNOWN = "11111111-2222-3333-4444-555555555555"
NO_SESSION = "00000000-0000-0000-0000-000000000000"


class PlainQrs:
    """A session with certificates, key and user."""

    def __init__(self, url: str, certificates: Path) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.cert = (str(certificates / "client.pem"), str(certificates / "client_key.pem"))
        self.session.verify = str(certificates / "root.pem")
        self.session.headers.update({"X-Qlik-Xrfkey": XRFKEY, "X-Qlik-User": USER})
        self.session.params = {"xrfkey": XRFKEY}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.close()

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(f"{self.url}/qrs/{path}", timeout=5, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.session.post(f"{self.url}/qrs/{path}", timeout=5, **options)

    def begin(self, task_id: str = SALES) -> str:
        """Start a task and return its session."""
        return str(self.post(f"task/{task_id}/start/synchronous").json()["value"])


class ControlPort:
    """The simulator's second port."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Return what a good call answers."""
        answer = requests.request(method, f"{self.url}{path}", timeout=5, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refuse(self, method: str, path: str, **options: Any) -> str:
        """Return what is said against a bad call."""
        answer = requests.request(method, f"{self.url}{path}", timeout=5, **options)
        assert answer.status_code in {400, 404}
        return str(answer.json()["error"])

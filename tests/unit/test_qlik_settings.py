"""What the client accepts as address and user of QRS."""

from __future__ import annotations

from pathlib import Path

import pytest

from qlik.settings import QrsSettings


def make_settings(**values: object) -> QrsSettings:
    given = {"url": "https://sense.example.com:4242", "certificate_folder": Path("certificates")}
    return QrsSettings(**(given | values))


def test_the_user_becomes_the_header_that_qrs_wants() -> None:
    assert make_settings().user_header == "UserDirectory=Internal;UserId=sa_repository"


@pytest.mark.parametrize(
    "url",
    ["https://sense:4242", "https://sense:4242/", "https://10.0.0.7", "https://[::1]:4242", "https://sense/prefix"],
)
def test_it_takes_an_https_address(url: str) -> None:
    assert make_settings(url=url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://sense:4242",
        "sense:4242",
        "",
        "https://",
        "https://:4242",
        "https://sense:port",
        "https://sense:99999",
        "https://sense:0",
        "https://me:secret@sense",
        "https://sense?x=1",
        "https://sense#x",
        "https://[::1",
    ],
)
def test_it_refuses_an_address_without_tls_or_host(url: str) -> None:
    with pytest.raises(ValueError, match="is no address of QRS: it must read https://host:4242"):
        make_settings(url=url)


@pytest.mark.parametrize(
    "user", ["", "sa_repository", "\\sa_repository", "Internal\\", "Internal\\x;UserId=y", "I\\x\r\nA: b", "I\\å"]
)
def test_it_refuses_a_user_that_is_not_a_directory_and_an_id(user: str) -> None:
    with pytest.raises(ValueError, match="is no QRS user: it must read directory"):
        make_settings(user=user)


def test_the_pass_phrase_is_not_shown() -> None:
    assert "hunter2" not in repr(make_settings(key_password="hunter2"))

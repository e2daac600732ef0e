"""What the client accepts as address and user of QRS."""

from __future__ import annotations

from pathlib import Path

import pytest

from qlik.settings import Authentication, QrsSettings

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJ1c2VySWQiOiJidXRsZXIifQ.c2ln_-bmF0dXJl"


def make_settings(**values: object) -> QrsSettings:
    given = {"url": "https://sense.example.com:4242", "certificate_folder": Path("certificates")}
    return QrsSettings(**(given | values))


def test_the_user_becomes_the_header_that_qrs_wants() -> None:
    assert make_settings().user_header == "UserDirectory=Internal;UserId=sa_repository"


@pytest.mark.parametrize(
    ("user", "header"),
    [
        (r"COMPANY\jörg", "UserDirectory=COMPANY;UserId=j%C3%B6rg"),
        (r"FÖRETAG\åsa", "UserDirectory=F%C3%96RETAG;UserId=%C3%A5sa"),
        (r"COMPANY\a=b", "UserDirectory=COMPANY;UserId=a%3Db"),
        (r"COMPANY\a%41b", "UserDirectory=COMPANY;UserId=a%2541b"),
        (r"MY COMPANY\a+b@c/d", "UserDirectory=MY%20COMPANY;UserId=a%2Bb%40c%2Fd"),
        (r"COMPANY\a\b", "UserDirectory=COMPANY;UserId=a%5Cb"),
        (r"my.company\a-b_c~d", "UserDirectory=my.company;UserId=a-b_c~d"),
    ],
)
def test_both_parts_of_the_user_are_url_encoded_utf_8(user: str, header: str) -> None:
    assert make_settings(user=user).user_header == header


@pytest.mark.parametrize(
    "url",
    ["https://sense:4242", "https://sense:4242/", "https://10.0.0.7", "https://[::1]:4242", "https://sense/prefix"],
)
def test_it_takes_an_https_address(url: str) -> None:
    assert make_settings(url=url).url == url


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://sense:4242/qrs", "https://sense:4242"),
        ("https://sense:4242/qrs/", "https://sense:4242"),
        ("https://sense:4242/QRS", "https://sense:4242"),
        ("https://sense:4242//qrs//", "https://sense:4242"),
        ("https://sense/butler/qrs", "https://sense/butler"),
        ("https://sense/butler/qrs/", "https://sense/butler"),
        ("https://sense/a/b/", "https://sense/a/b"),
        ("https://sense/my-qrs", "https://sense/my-qrs"),
        ("https://qrs", "https://qrs"),
        ("https://qrs/qrs", "https://qrs"),
        ("https://sense/b%C3%BCtler", "https://sense/b%C3%BCtler"),
    ],
)
def test_an_address_may_end_in_the_path_of_qrs(url: str, base: str) -> None:
    assert make_settings(url=url).urls == (base,)


@pytest.mark.parametrize(
    "url", ["https://sense:4242/qrs/about", "https://sense/a b", "https://sense/bütler", "https://sense/100%/x"]
)
def test_behind_the_host_there_is_at_most_a_prefix(url: str) -> None:
    with pytest.raises(ValueError, match="behind the host there may only be the prefix of a virtual proxy"):
        make_settings(url=url)


@pytest.mark.parametrize("url", ["https://me:hunter2@sense", "https://:hunter2@sense", "https://hunter2@sense/qrs"])
def test_an_address_with_a_password_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="is no address of QRS") as caught:
        make_settings(url=url)
    assert "hunter2" not in str(caught.value)


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
        "https://sense?",
        "https://sense:4242/#",
        "https://sense:4242/qrs?xrfkey=1",
        "https://[::1",
    ],
)
def test_it_refuses_an_address_without_tls_or_host(url: str) -> None:
    with pytest.raises(ValueError, match="is no address of QRS: it must read https://host:4242"):
        make_settings(url=url)


@pytest.mark.parametrize(
    "host",
    [
        "$SENSE",
        "${SENSE_HOST}",
        "%SENSE%",
        "<central-node>",
        "one;two",
        "sense\\x",
        "a..b",
        ".sense",
        "sen*se",
        "{{x}}",
    ],
)
def test_it_refuses_what_cannot_be_the_name_of_a_host(host: str) -> None:
    with pytest.raises(ValueError, match="is no name of a host"):
        make_settings(url=f"https://{host}:4242")


@pytest.mark.parametrize(
    "host", ["sense", "SENSE.example.com.", "my_sense-1", "10.0.0.7", "[::1]", "[fe80::1%eth0]", "jörg.example", "日本"]
)
def test_it_takes_every_name_that_a_host_may_have(host: str) -> None:
    assert make_settings(url=f"https://{host}:4242/qrs").urls == (f"https://{host}:4242",)


def test_several_addresses_stand_in_their_order() -> None:
    urls = make_settings(url="https://one:4242/ , https://two:4242,https://three/prefix/").urls
    assert urls == ("https://one:4242", "https://two:4242", "https://three/prefix")


@pytest.mark.parametrize("url", ["https://one:4242,", ",https://one:4242", "https://one:4242,http://two:4242"])
def test_each_of_several_addresses_must_be_one(url: str) -> None:
    with pytest.raises(ValueError, match="is no address of QRS"):
        make_settings(url=url)


@pytest.mark.parametrize(
    "user",
    [
        "",
        "sa_repository",
        "\\sa_repository",
        "Internal\\",
        "Internal\\x;UserId=y",
        "I\\x\r\nA: b",
        "I\\x\0y",
        "I\\x\x85y",
        "I\\\udce5",
    ],
)
def test_it_refuses_a_user_that_is_not_a_directory_and_an_id(user: str) -> None:
    with pytest.raises(ValueError, match="is no QRS user: it must read directory"):
        make_settings(user=user)


@pytest.mark.parametrize("user", [r"COMPANY\\butler", r"COMPANY \butler", r"COMPANY\ butler", " C\\b", "C\\b\u00a0"])
def test_it_refuses_a_user_with_a_backslash_or_a_blank_too_many(user: str) -> None:
    with pytest.raises(ValueError, match="is no QRS user: it must read directory"):
        make_settings(user=user)


@pytest.mark.parametrize("name", ["sense.example.com", "SENSE01", "10.0.0.7", "::1", "a_b"])
def test_a_host_name_is_one(name: str) -> None:
    assert make_settings(host_name=name).host_name == name


@pytest.mark.parametrize(
    "name", ["https://sense", "sense:4242", "sense/qrs", "a b", "sénse", "a\nb", "*.example.com", ""]
)
def test_it_refuses_a_host_name_that_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a host, as a certificate has it"):
        make_settings(host_name=name)


def test_the_pass_phrase_is_not_shown() -> None:
    assert "hunter2" not in repr(make_settings(key_password="hunter2"))


def test_each_way_in_has_its_header() -> None:
    assert make_settings().identity_headers == {"X-Qlik-User": "UserDirectory=Internal;UserId=sa_repository"}
    by_token = make_settings(authentication=Authentication.JWT, jwt=JWT)
    assert by_token.identity_headers == {"Authorization": f"Bearer {JWT}"}
    by_header = make_settings(authentication=Authentication.HEADER, header_name="hdr-usr")
    assert by_header.identity_headers == {"hdr-usr": r"Internal\sa_repository"}


def test_a_token_needs_no_user() -> None:
    make_settings(authentication=Authentication.JWT, jwt=JWT, user="")


@pytest.mark.parametrize("jwt", ["", "secret", "a.b", "a.b.c.d", "a.b.c\n", "a.b.c\r\nX: y", "a.b.ö", "Bearer a.b.c"])
def test_it_refuses_a_token_that_is_none_without_telling_it(jwt: str) -> None:
    with pytest.raises(ValueError, match="The JWT must be three texts") as caught:
        make_settings(authentication=Authentication.JWT, jwt=jwt)
    assert jwt == "" or jwt not in str(caught.value)


@pytest.mark.parametrize("name", ["", "hdr usr", "hdr:usr", "hdr\nusr", "hdr-usr\n", "hdr-üser"])
def test_it_refuses_a_header_that_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a header"):
        make_settings(authentication=Authentication.HEADER, header_name=name)


@pytest.mark.parametrize("name", ["Host", "content-length", "X-Qlik-Xrfkey", "Authorization", "Cookie"])
def test_it_refuses_a_header_that_calls_need_themselves(name: str) -> None:
    with pytest.raises(ValueError, match="calls need it for something else"):
        make_settings(authentication=Authentication.HEADER, header_name=name)


def test_a_header_tells_a_user_in_ascii_only() -> None:
    with pytest.raises(ValueError, match="cannot be told by a header, where Qlik Sense takes ASCII only"):
        make_settings(authentication=Authentication.HEADER, header_name="hdr-usr", user=r"COMPANY\jörg")


def test_a_header_needs_a_user() -> None:
    with pytest.raises(ValueError, match="is no QRS user"):
        make_settings(authentication=Authentication.HEADER, header_name="hdr-usr", user="")


def test_the_token_is_not_shown() -> None:
    assert JWT not in repr(make_settings(authentication=Authentication.JWT, jwt=JWT))

"""Settings from the environment: what is taken, and what is refused in which words."""

from __future__ import annotations

import re
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.exceptions import ImproperlyConfigured

from butler import environment as settings_from


@pytest.fixture
def given(monkeypatch):
    """Return a function that sets the setting THING."""
    monkeypatch.delenv("THING", raising=False)
    return lambda value: monkeypatch.setenv("THING", value)


def refused(words: str):
    return pytest.raises(ImproperlyConfigured, match=f"^THING is {re.escape(words)}")


def test_an_empty_value_means_the_default(given):
    assert settings_from.read_text("THING", "default") == "default"
    given("  ")
    assert settings_from.read_text("THING", "default") == "default"


def test_white_space_around_a_value_does_not_count(given):
    given(" value ")
    assert settings_from.read_text("THING") == "value"


def test_a_value_may_stand_in_a_file(monkeypatch, tmp_path):
    # A name of its own: what was read from a file is remembered
    (tmp_path / "secret").write_text("from the file\n")
    monkeypatch.setenv("SECRET_THING_FILE", str(tmp_path / "secret"))
    assert settings_from.read_text("SECRET_THING") == "from the file"


def test_the_environment_wins_over_files_and_the_earlier_file_over_the_later(monkeypatch, tmp_path):
    for name in ("BUTLER_A", "BUTLER_B", "BUTLER_C"):
        # Set once so that the fixture takes back what the files set
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("BUTLER_A", "environment")
    (tmp_path / "first").write_text("BUTLER_A=first\nBUTLER_B=first\n")
    (tmp_path / "second").write_text("BUTLER_B=second\nBUTLER_C=second\n")
    settings_from.read_files(tmp_path / "missing", tmp_path / "first", tmp_path / "second")
    assert [settings_from.read_text(f"BUTLER_{name}") for name in "ABC"] == ["environment", "first", "second"]


def test_a_choice_is_one_of_those_allowed(given):
    assert settings_from.read_choice("THING", default="4", allowed=("4", "16")) == "4"
    given("16")
    assert settings_from.read_choice("THING", default="4", allowed=("4", "16")) == "16"
    given("5")
    with refused("'5', but it must be one of 4, 16. Change it in the environment or in .env; docs/configuration.md"):
        settings_from.read_choice("THING", default="4", allowed=("4", "16"))


def test_other_words_for_a_choice_are_taken(given):
    given("true")
    assert settings_from.read_choice("THING", default="off", allowed=("full", "off"), also={"true": "full"}) == "full"


@pytest.mark.parametrize("value", ["1", "65535", "08080"])
def test_a_whole_number_within_its_bounds_is_taken(given, value):
    given(value)
    assert settings_from.read_whole_number("THING", default=8080, least=1, most=65535) == int(value)


@pytest.mark.parametrize("value", ["0", "65536", "-1", "1.5", "1_000", "0x50", "٣", "many", "9999999999"])
def test_any_other_number_is_refused(given, value):
    given(value)
    with refused(f"{value!r}, but it must be a whole number from 1 to 65535"):
        settings_from.read_whole_number("THING", default=8080, least=1, most=65535)


@pytest.mark.parametrize(
    ("value", "timeouts"),
    [("30", (30.0, 30.0)), ("5,30", (5.0, 30.0)), (" 0.5 , 2 ", (0.5, 2.0)), ("", (5.0, 30.0))],
)
def test_timeouts_are_one_number_or_two(given, value, timeouts):
    given(value)
    assert settings_from.read_timeouts("THING", default="5,30") == timeouts


@pytest.mark.parametrize("value", ["5,30,60", "5;30", "five", "5,", "-5", "1e3", "nan", "inf"])
def test_timeouts_that_are_no_numbers_are_refused(given, value):
    given(value)
    with refused(f"{value!r}, but it must be seconds such as 30, or two numbers such as 5,30"):
        settings_from.read_timeouts("THING", default="5,30")


@pytest.mark.parametrize("value", ["0", "0,30", "5,0.0"])
def test_timeouts_of_nothing_are_refused(given, value):
    given(value)
    with refused(f"{value!r}, but it must be more than 0 seconds"):
        settings_from.read_timeouts("THING", default="5,30")


@pytest.mark.parametrize(("value", "seconds"), [("60", 60.0), (" 0.5 ", 0.5), ("9999.999", 9999.999), ("", 7.5)])
def test_seconds_are_a_number(given, value, seconds):
    given(value)
    assert settings_from.read_seconds("THING", default=7.5) == seconds


@pytest.mark.parametrize("value", ["0", "0.000", "-5", "five", "1e3", "nan", "inf", "10000", "5,30", "5s"])
def test_seconds_that_are_no_number_are_refused(given, value):
    given(value)
    with refused(f"{value!r}, but it must be seconds such as 60, more than 0 and less than 10000"):
        settings_from.read_seconds("THING", default=7.5)


@pytest.mark.parametrize(
    ("value", "urls"),
    [
        ("https://one:4242", "https://one:4242"),
        ("https://one:4242, https://two/prefix ,https://three", "https://one:4242,https://two/prefix,https://three"),
        ("", "https://default"),
    ],
)
def test_a_list_of_urls_has_commas_between_them(given, value, urls):
    given(value)
    assert settings_from.read_url_list("THING", default="https://default", schemes=("https",)) == urls


@pytest.mark.parametrize("wrong", ["http://two", "", "two:4242"])
def test_each_url_of_a_list_is_checked(given, wrong):
    given(f"https://one:4242,{wrong}")
    with refused(f"{wrong!r}, but it must be a URL that begins with https://..."):
        settings_from.read_url_list("THING", default="", schemes=("https",))


@pytest.mark.parametrize(
    "value", ["redis://127.0.0.1:6379/0", "rediss://:secret@redis.example.com/1", "redis://[::1]:6379", ""]
)
def test_a_url_of_an_allowed_kind_is_taken(given, value):
    given(value)
    assert settings_from.read_url("THING", default="", schemes=("redis", "rediss")) == value


@pytest.mark.parametrize(
    "value", ["127.0.0.1:6379", "http://127.0.0.1", "redis://", "redis://host:port", "redis://[::1"]
)
def test_any_other_url_is_refused(given, value):
    given(value)
    with refused(f"{value!r}, but it must be a URL that begins with redis://... or rediss://..."):
        settings_from.read_url("THING", default="", schemes=("redis", "rediss"))


@pytest.mark.parametrize(
    "value", ["redis://127.0.0.1", "redis://127.0.0.1:6379/", "rediss://:secret@[::1]:6379/15", ""]
)
def test_a_redis_url_names_a_database_by_its_number(given, value):
    given(value)
    assert settings_from.read_redis_url("THING", default="") == value


@pytest.mark.parametrize("host", ["$REDIS_HOST", "${REDIS_HOST}", "<redis>", "red*is", "one;two"])
def test_a_url_with_a_host_that_cannot_be_one_is_refused(given, host):
    value = f"redis://{host}:6379/0"
    given(value)
    with refused(f"{value!r}, but it must have the name of a host after ://"):
        settings_from.read_url("THING", default="", schemes=("redis",))


@pytest.mark.parametrize("value", ["redis://host/name", "redis://host/0/1", "redis://host/0?db=1", "redis://host/0#1"])
def test_a_redis_url_has_no_options(given, value):
    given(value)
    with refused(f"{value!r}, but it may only have a database number after the host"):
        settings_from.read_redis_url("THING", default="")


def test_a_path_is_enough_for_a_url_of_a_file(given):
    given("sqlite:////tmp/butler.sqlite3")
    assert settings_from.read_url("THING", default="", schemes=("sqlite",)) == "sqlite:////tmp/butler.sqlite3"


def test_a_refused_url_does_not_show_its_password(given):
    given("http://user:secret@example.com")
    with refused("'http://user:***@example.com'"):
        settings_from.read_url("THING", default="", schemes=("redis",))


@pytest.mark.parametrize(
    ("url", "printed"),
    [
        ("redis://:secret@host/0", "redis://:***@host/0"),
        ("postgres://user:secret@host:5432/db", "postgres://user:***@host:5432/db"),
        ("https://host:4242", "https://host:4242"),
    ],
)
def test_a_printed_url_has_no_password(url, printed):
    assert settings_from.without_password(url) == printed


def test_a_given_secret_key_is_taken_and_kept_nowhere(given, tmp_path):
    given("given")
    assert settings_from.read_secret_key("THING", kept_in=tmp_path / "key") == "given"
    assert list(tmp_path.iterdir()) == []


def test_a_secret_key_is_made_once_and_kept_for_its_owner_only(given, tmp_path):
    kept_in = tmp_path / "data" / "key"
    key = settings_from.read_secret_key("THING", kept_in=kept_in)
    assert len(key) >= 50
    assert settings_from.read_secret_key("THING", kept_in=kept_in) == key
    assert stat.S_IMODE(kept_in.stat().st_mode) == 0o600
    assert list(kept_in.parent.iterdir()) == [kept_in]


def test_a_secret_key_that_cannot_be_kept_is_refused_with_the_reason(given, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ImproperlyConfigured, match=r"/file/data' cannot be used: Not a directory\. .*BUTLER_DATA_DIR"):
        settings_from.read_secret_key("THING", kept_in=tmp_path / "file" / "data" / "key")


def test_starts_at_the_same_time_agree_on_one_secret_key(given, tmp_path, monkeypatch):
    numbers = iter(range(100))
    monkeypatch.setattr(settings_from.os, "getpid", lambda: next(numbers))
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: settings_from.read_secret_key("THING", kept_in=tmp_path / "key"), range(8)))
    assert len(set(keys)) == 1


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (" a , b c ,, d=e ,", ("a", "b c", "d=e")),
        ("", ()),
        ("$Finance", ("$Finance",)),
        ("a\nb\r\n\nc,d\n", ("a", "b", "c", "d")),
        ('"Finance, daily", x', ("Finance, daily", "x")),
        ('"Place=""Rome"", Italy"', ('Place="Rome", Italy',)),
        ('5" disk', ('5" disk',)),
    ],
)
def test_a_list_has_commas_between_its_texts_and_no_empty_ones(given, value, texts):
    given(value)

    assert settings_from.read_list("THING") == texts


@pytest.mark.parametrize("value", [" ", ",", " , ", "\n", ", ,\n,", '""', '"", " "', "\t"])
def test_a_list_that_names_nothing_is_refused(given, value):
    given(value)

    with pytest.raises(ImproperlyConfigured, match=r"^THING is .*, but it must (name something|not have control)"):
        settings_from.read_list("THING")


@pytest.mark.parametrize("value", ['"a', '"a"b', 'x,"a', "a\0b", "a\x1bb"])
def test_a_list_that_is_torn_is_refused(given, value, monkeypatch):
    # An environment has no NUL
    monkeypatch.setattr(settings_from.os, "environ", {"THING": value})

    with pytest.raises(ImproperlyConfigured, match=r"^THING is .*, but it must (have whole texts|not have control)"):
        settings_from.read_list("THING")

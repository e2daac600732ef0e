"""What the supervisor makes of the bytes of its children, and the text for people."""

from __future__ import annotations

from butler.processes.lines import LONGEST_LINE, LineCutter
from butler.processes.welcome import welcome


def cut(*chunks: bytes) -> list[str]:
    """Return all the lines that come of the chunks."""
    cutter = LineCutter()
    lines = [line for chunk in chunks for line in cutter.feed(chunk)]
    return lines + cutter.finish()


def test_lines_come_whole_however_the_bytes_are_cut():
    text = "one\ntvå åäö\n\nthree".encode()
    for size in range(1, len(text) + 1):
        assert cut(*(text[i : i + size] for i in range(0, len(text), size))) == ["one", "två åäö", "", "three"]


def test_a_line_is_handed_over_as_soon_as_it_ends():
    assert LineCutter().feed(b"one\ntwo\nthr") == ["one", "two"]


def test_windows_line_ends_are_line_ends():
    assert cut(b"one\r\ntwo\r\n") == ["one", "two"]


def test_invalid_utf_8_becomes_a_mark():
    assert cut(b"before\n\xff\xfe after\n") == ["before", "\ufffd\ufffd after"]


def test_a_long_line_is_not_lost():
    assert cut(b"x" * 500_000, b"x" * 500_000 + b"\n") == ["x" * 1_000_000]


def test_an_endless_line_comes_in_parts():
    cutter = LineCutter()
    assert cutter.feed(b"x" * (LONGEST_LINE + 1)) == ["x" * (LONGEST_LINE + 1)]
    assert cutter.finish() == []


def test_the_welcome_wraps_at_eighty_columns_but_leaves_addresses_whole():
    address = f"https://{'x' * 90}.example.com"
    text = welcome(seconds=1.26, address="127.0.0.1:8080", facts={"API": "word " * 40, "Qlik Sense": address})
    assert text.startswith("\nButler is ready after 1.3 s.\n\n  API         word word")
    assert f"  Qlik Sense  {address}\n" in text
    assert "curl http://127.0.0.1:8080/v4/schedules\n" in text
    assert max(len(line) for line in text.splitlines() if address not in line) <= 80


def test_the_welcome_names_what_a_second_terminal_has_to_set():
    def first_line(*needed: str) -> str:
        text = welcome(seconds=1, address="127.0.0.1:8080", facts={"API": "x"}, needed=needed)
        return " ".join(text.split("\n\n")[2].split())

    assert first_line() == "Next, in a second terminal:"
    assert first_line("DATABASE_URL", "QRS_URL") == "Next, in a second terminal with the same DATABASE_URL, QRS_URL:"

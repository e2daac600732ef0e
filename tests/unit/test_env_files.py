"""Lines of .env: every one is read, a comment, or an error with its number."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from butler.env_files import EnvFileError, format_assignment, parse_env_text, read_env_file


def parse(text: str) -> dict[str, str]:
    return {assignment.name: assignment.value for assignment in parse_env_text(text)}


def refused(words: str):
    return pytest.raises(EnvFileError, match=re.escape(words))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("X=y", "y"),
        ("X = y", "y"),
        ("  X=y", "y"),
        ("\tX\t=\ty\t", "y"),
        ("export X=y", "y"),
        ("  export  X = y", "y"),
        ("X=", ""),
        ("X=''", ""),
        ('X=""', ""),
        ("X=a=b==", "a=b=="),
        ("X=$ecret", "$ecret"),
        ("X=${OTHER}", "${OTHER}"),
        ("X=$(id)", "$(id)"),
        ("X='$q*'", "$q*"),
        ('X="$q*"', "$q*"),
        ("X=100%", "100%"),
        ("X=%(a)s{b}{{c}}", "%(a)s{b}{{c}}"),
        ("X=a#b", "a#b"),
        ("X='a #b'", "a #b"),
        ('X="#b"', "#b"),
        ("X='a'  # why", "a"),
        ('X="a"\t# why', "a"),
        ("X=it's", "it's"),
        ('X=5" disk', '5" disk'),
        ("X='  blanks  '", "  blanks  "),
        ('X="  blanks  "', "  blanks  "),
        (r"X=COMPANY\butler", r"COMPANY\butler"),
        (r'X="COMPANY\butler"', r"COMPANY\butler"),
        (r"X='COMPANY\butler'", r"COMPANY\butler"),
        (r'X="COMPANY\\butler"', r"COMPANY\butler"),
        (r"X='COMPANY\\butler'", r"COMPANY\\butler"),
        (r"X=COMPANY\\butler", r"COMPANY\\butler"),
        (r'X="say \"hello\""', 'say "hello"'),
        (r'X="\n\t\r\$\`"', r"\n\t\r\$\`"),
        (r'X="ends in \\"', "ends in \\"),
        ("X=Jörg Åström 日本 😀", "Jörg Åström 日本 😀"),
        ("X=a\u2028b\x85c", "a\u2028b\x85c"),
    ],
)
def test_a_value_is_what_stands_there(line, value):
    assert parse(line) == {"X": value}


@pytest.mark.parametrize("line", ["", "   ", "\t", "#", "# X=y", "  # X=y", "#X=y"])
def test_empty_lines_and_comments_say_nothing(line):
    assert parse(line) == {}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_end_as_on_any_system(end):
    assert parse(end.join(["A=1", "", "# no", "B='2'", "C=3", ""])) == {"A": "1", "B": "2", "C": "3"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("set X=hunter2", "Leave out `set`"),
        ("SET X=hunter2", "Leave out `set`"),
        ("X: hunter2", "= in place of the colon"),
        ("X : hunter2", "= in place of the colon"),
        ("hunter2", "It has no ="),
        ("export X", "It has no ="),
        ("X-Y=hunter2", "letters, digits and _"),
        ("1X=hunter2", "letters, digits and _"),
        ("=hunter2", "letters, digits and _"),
        ("X Y=hunter2", "letters, digits and _"),
        ("\u00a0X=hunter2", "letters, digits and _"),
        ("\u200bX=hunter2", "letters, digits and _"),
        ("\u201cX\u201d=hunter2", "letters, digits and _"),
        ("// X=hunter2", "letters, digits and _"),
        ("[X]", "It has no ="),
        ("X='hunter2", "end, on this line, with the quote"),
        ('X="hunter2', "end, on this line, with the quote"),
        ("X='hunter2'x", "end, on this line, with the quote"),
        ("X='it's hunter2'", "a value with one needs double quotes"),
        ('X="hunter2"x"', r"\" and a \ before it \\"),
        ('X="C:\\hunter2\\"', r"\" and a \ before it \\"),
        ("X='hunter2'# no blank", "end, on this line, with the quote"),
        ("X=hunter2 # or a comment", "Put the value in quotes"),
        ("X=#hunter2", "Put the value in quotes"),
        ("X=hunter2\x00", "control character"),
        ("X=hunter2\x1b[0m", "control character"),
        ("X=hunter2\rY=2", "control character"),
    ],
)
def test_a_line_that_cannot_be_read_is_an_error_with_its_number_and_without_its_value(line, words):
    with refused("line 3: ") as caught:
        parse(f"A=1\n\n{line}\nB=2\n")
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_value_never_goes_on_in_the_next_line():
    with refused("line 1: the value must end, on this line"):
        parse("A='one\nB='two'\n")


def test_a_name_stands_in_one_line():
    with refused("line 4: QRS_URL stands in line 1 already"):
        parse("QRS_URL=https://one\n\nA=1\nexport QRS_URL=https://one\n")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_what_is_written_is_read_again(value):
    assert parse(format_assignment("X", value)) == {"X": value}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("X=ö\n".encode("utf-16"), "is text in UTF-16. Save it as UTF-8"),
        ("X=y\n".encode("utf-16-le"), "has a NUL character in line 1"),
        (b"A=1\nX=J\xf6rg\n", "has bytes in line 2 that are not UTF-8"),
        (b"X=" + b"y" * 1024 * 1024, "is larger than 1024 KiB"),
    ],
)
def test_a_file_that_is_no_utf_8_text_is_an_error_that_says_so(tmp_path, data, words):
    (tmp_path / ".env").write_bytes(data)
    with refused(f"{tmp_path}/.env {words}"):
        read_env_file(tmp_path / ".env")


def test_a_byte_order_mark_of_utf_8_does_not_count(tmp_path):
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfX=y\r\n")
    [assignment] = read_env_file(tmp_path / ".env")
    assert (assignment.name, assignment.value, assignment.line) == ("X", "y", 1)


def test_an_error_names_the_file_too(tmp_path):
    (tmp_path / ".env").write_text("A=1\nset X=y\n")
    with refused(f"{tmp_path}/.env, line 2: it must read NAME=value"):
        read_env_file(tmp_path / ".env")

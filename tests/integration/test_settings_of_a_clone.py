"""Settings as processes see them, from the environment, from .env and from files, in a clone of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from butler.env_files import format_assignment
from tests.clone import Clone


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return Clone(tmp_path_factory.mktemp("clone"))


@pytest.fixture
def clone(shared):
    yield shared
    (shared.folder / ".env").unlink(missing_ok=True)


HARSH = {
    "QRS_KEY_PASSWORD": " $ecret123 # 'a' \"b\" \\n ",
    "SECRET_KEY": "$q*{x}%(y)s=ü",
    "QRS_USER": "$COMPANY\\butler",
    "BUTLER_ALLOWED_TAGS": "$Finance",
    "BUTLER_ALLOWED_CUSTOM_PROPERTIES": "Place=$HOME, It's = 5 #1",
    "QRS_CERT_DIR": "/certificates of $me/c++ #1 %20",
}


@pytest.mark.parametrize("way", ["environment", ".env", "_FILE"])
def test_odd_values_come_through_every_way(clone, tmp_path, way):
    given = {}
    if way == "environment":
        given = HARSH
    elif way == ".env":
        clone.write_env("".join(format_assignment(name, value) for name, value in HARSH.items()))
    else:
        for name, value in HARSH.items():
            (tmp_path / name).write_text(f"{value}\n")
            given[f"{name}_FILE"] = str(tmp_path / name)
    assert clone.read(*HARSH, **given) == HARSH | {
        "BUTLER_ALLOWED_TAGS": "('$Finance',)",
        "BUTLER_ALLOWED_CUSTOM_PROPERTIES": "('Place=$HOME', \"It's = 5 #1\")",
    }


@pytest.mark.parametrize("value", ["$SENSE_URL", "${SENSE_URL}", "sense:4242", " ", ",", "https://$HOST:$PORT"])
@pytest.mark.parametrize("way", ["environment", ".env", "_FILE"])
def test_an_address_of_qrs_that_is_none_starts_no_simulator(clone, tmp_path, value, way):
    given = {}
    if way == "environment":
        given = {"QRS_URL": value}
    elif way == ".env":
        clone.write_env(f"QRS_URL='{value}'\n")
    else:
        (tmp_path / "url").write_text(value)
        given = {"QRS_URL_FILE": str(tmp_path / "url")}
    answer = clone.manage("check", **given)
    assert answer.returncode == 1
    assert answer.stderr.startswith("butler: QRS_URL")
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("set QRS_URL=https://sense:4242", ".env, line 2: it must read NAME=value"),
        ("QRS_URL: https://sense:4242", ".env, line 2: it must read NAME=value"),
        ("QRS_ULR=https://sense:4242", "(butler.E006) QRS_ULR in {folder}/.env, line 2 is no setting"),
        ("QRS_HOST=sense", "HINT: Call it QRS_URL, which is not set, or take it away."),
        ("qrs_server=sense", "(butler.E006) qrs_server in {folder}/.env, line 2 is no setting"),
        ("BUTLER_ALLOW=Finance", "HINT: Call it BUTLER_ALLOWED_TASKS, which is not set, or take it away."),
        ("BUTLER_ALLOWED_TAG=Finance", "HINT: Call it BUTLER_ALLOWED_TAGS, which is not set, or take it away."),
        ("BUTLER_ALLOWED_TAGS=' , '", "BUTLER_ALLOWED_TAGS is ' , ', but it must name something"),
    ],
)
def test_what_cannot_be_read_stops_the_start(clone, line, words):
    clone.write_env(f"# Settings\n{line}\n")
    answer = clone.manage("check")
    assert answer.returncode == 1
    assert words.format(folder=clone.folder) in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    "text",
    ["\ufeffQRS_URL=https://sense:4242", "QRS_URL = https://sense:4242", "  QRS_URL=https://sense:4242\r\n"],
)
def test_what_can_be_read_is(clone, text):
    clone.write_env(text)
    assert clone.read("QRS_URL", "QRS_IS_GIVEN") == {"QRS_URL": "https://sense:4242", "QRS_IS_GIVEN": "True"}


@pytest.mark.parametrize("name", [".env.txt", ".ENV", "env.txt"])
def test_a_file_that_was_meant_to_be_the_one_stops_the_start(clone, name):
    path = clone.folder / name
    path.write_text("QRS_URL=https://sense:4242\n")
    try:
        answer = clone.manage("check")
        assert (answer.returncode, f"(butler.E007) {path} is not read" in answer.stderr) == (1, True)
        clone.write_env("# here it is\n")
        assert clone.manage("check").returncode == 0
    finally:
        path.unlink()


def test_names_that_are_no_settings_are_warned_of(clone):
    clone.write_env("BUTLER_PROT=8081\nREDIS_ULR=redis://x\nCOMPOSE_PROJECT_NAME=x\n")
    answer = clone.manage("check", BUTLER_OTHER="1", QRS_URL="https://sense:4242", QRS_URL2="https://spare")
    assert answer.returncode == 0
    assert answer.stderr.count("butler.W002") == 4
    assert f"BUTLER_PROT in {clone.folder}/.env, line 1 is no setting, so it does nothing." in answer.stderr
    assert "Do you mean BUTLER_PORT?" in answer.stderr
    assert "BUTLER_OTHER in the environment is no setting" in answer.stderr


@pytest.mark.parametrize(
    "command", ["celery --skip-checks -A butler beat", "celery -A butler worker", "gunicorn butler.wsgi"]
)
def test_processes_started_alone_end_with_the_sentence(clone, command):
    clone.write_env("QRS_URL: https://sense:4242\n")
    program, *arguments = command.split()
    answer = clone.run(sys.executable, "-m", program, *arguments)
    assert answer.returncode != 0
    assert answer.stderr.startswith(f"butler: {clone.folder}/.env, line 1: it must read NAME=value")
    assert "Traceback" not in answer.stderr


ODD_FOLDERS = [
    "c++",
    "R#1",
    "R#2",
    "R?1",
    "%20",
    "100%",
    "a b",
    "å日😀",
    "it's",
    '"x"',
    "a:b@c",
    "$HOME",
    "file:x",
    "-x",
]


def use_database(clone: Clone, *, cwd: Path | None = None, **settings: str) -> tuple[int, str]:
    """Make a table in the clone's database; return the exit code and what went wrong."""
    code = "from django.db import connection; connection.cursor().execute('CREATE TABLE used (it)')"
    manage = str(clone.folder / "manage.py")
    answer = clone.run(sys.executable, manage, "shell", "-v0", "-c", code, cwd=cwd, **settings)
    return answer.returncode, answer.stderr


@pytest.fixture(scope="module")
def odd_clones(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    return [Clone(folder / name) for name in ODD_FOLDERS[:3]]


def test_each_clone_has_a_database_of_its_own_in_its_own_folder(odd_clones):
    for clone in odd_clones:
        assert use_database(clone) == (0, "")
    for clone in odd_clones:
        assert (clone.folder / "data/butler.sqlite3").stat().st_size > 0
        others = {path.name for path in clone.folder.parent.rglob("*.sqlite3")}
        assert others == {"butler.sqlite3"}
    assert sorted(path.name for path in odd_clones[0].folder.parent.iterdir()) == sorted(ODD_FOLDERS[:3])


@pytest.mark.parametrize("name", ODD_FOLDERS)
def test_a_data_folder_may_have_any_name(clone, tmp_path, name):
    assert use_database(clone, BUTLER_DATA_DIR=str(tmp_path / name)) == (0, "")
    assert (tmp_path / name / "butler.sqlite3").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a\nb", "a\x1bb", "a\udce5b"], ids=ascii)
def test_a_data_folder_that_nothing_can_print_is_refused(clone, tmp_path, name):
    answer = clone.manage("check", BUTLER_DATA_DIR=str(tmp_path / name))
    assert answer.returncode == 1
    assert answer.stderr.startswith("butler: BUTLER_DATA_DIR ")
    assert "Traceback" not in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_where_a_process_runs_does_not_matter(clone, tmp_path):
    clone.write_env("DATABASE_URL=sqlite:///own.sqlite3\nBUTLER_DATA_DIR=own data\n")
    assert use_database(clone, cwd=tmp_path) == (0, "")
    assert list(tmp_path.iterdir()) == []
    assert (clone.folder / "own.sqlite3").is_file()
    assert (clone.folder / "own data/secret-key").is_file()

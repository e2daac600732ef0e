"""The folder that one service has for itself, and the ports that it remembers there."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess

import pytest

from butler.environment import read_files
from butler.errors import DataFolderError, StartError
from butler.private_files import write_private
from butler.processes.data_folder import DataFolder
from butler.processes.ports import choose_free, require_free
from tests.conftest import free_port


@pytest.fixture
def folder(tmp_path):
    return DataFolder(tmp_path / "data", run_file=tmp_path / "data" / "run.env")


def test_a_claim_makes_the_folder_for_its_owner_only(folder):
    with folder.claim(address="http://127.0.0.1:8080"):
        pass
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_a_second_claim_is_refused_with_the_name_of_the_first(folder):
    with (
        folder.claim(address="http://127.0.0.1:8080"),
        pytest.raises(StartError) as refusal,
        folder.claim(address="http://127.0.0.1:8081"),
    ):
        pass
    first, second = str(refusal.value).splitlines()
    assert first.endswith(f"{folder.path}: http://127.0.0.1:8080, process {os.getpid()}.")
    assert "BUTLER_DATA_DIR=data2 BUTLER_PORT=8081 make run" in second


def test_a_claim_ends_with_the_last_process_that_holds_it(folder):
    with folder.claim(address="") as lock:
        heir = subprocess.Popen(["sleep", "1000"], pass_fds=[lock])
    with pytest.raises(StartError), folder.claim(address=""):
        pass
    heir.kill()
    heir.wait()
    with folder.claim(address=""):
        pass


def test_a_folder_that_cannot_be_made_is_an_error_with_the_reason(tmp_path):
    (tmp_path / "file").touch()
    folder = DataFolder(tmp_path / "file" / "data", run_file=tmp_path / "run.env")
    with pytest.raises(DataFolderError, match=r"file/data cannot be written: Not a directory\.\n.*BUTLER_DATA_DIR="):
        folder.claim(address="").__enter__()


def test_a_lock_that_cannot_be_written_is_an_error_with_the_reason(folder):
    folder.path.mkdir()
    (folder.path / "lock").symlink_to("/dev/full")
    with pytest.raises(DataFolderError, match="data/lock cannot be written: "), folder.claim(address=""):
        pass


def test_a_subfolder_that_cannot_be_made_is_an_error_with_the_reason(folder):
    with pytest.raises(DataFolderError, match="data/redis cannot be written: No such file or directory"):
        folder.subfolder("redis")


def test_a_full_disk_is_an_error_with_the_reason(tmp_path):
    (tmp_path / f".ports.json.{os.getpid()}").symlink_to("/dev/full")
    with pytest.raises(DataFolderError, match=r"ports\.json cannot be written: No space left on device"):
        write_private(tmp_path / "ports.json", "{}")


def test_ports_are_free_different_and_the_same_next_time(folder):
    folder.path.mkdir()
    ports = folder.choose_ports(["redis", "qrs", "controls"], besides=8080)
    assert len({*ports.values(), 8080}) == 4
    assert folder.choose_ports(["redis", "qrs", "controls"], besides=8080) == ports


def test_a_port_that_was_taken_meanwhile_is_replaced(folder):
    folder.path.mkdir()
    before = folder.choose_ports(["redis", "qrs"], besides=8080)
    with socket.create_server(("127.0.0.1", before["redis"])):
        after = folder.choose_ports(["redis", "qrs"], besides=8080)
    assert after["redis"] != before["redis"]
    assert after["qrs"] == before["qrs"]


def test_a_remembered_port_gives_way_to_the_web_servers(folder):
    folder.path.mkdir()
    port = folder.choose_ports(["redis"], besides=8080)["redis"]
    assert folder.choose_ports(["redis"], besides=port)["redis"] != port


@pytest.mark.parametrize("text", ["", "[]", '{"redis": "many"}', '{"redis": null}', "{"])
def test_a_damaged_memory_of_ports_counts_as_none(folder, text):
    folder.path.mkdir()
    (folder.path / "ports.json").write_text(text)
    ports = folder.choose_ports(["redis"], besides=8080)
    assert json.loads((folder.path / "ports.json").read_text()) == ports


def test_what_is_published_is_read_as_settings_are(folder, monkeypatch):
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setenv("QRS_CERT_DIR", "")
    monkeypatch.delenv("QRS_CERT_DIR")
    folder.path.mkdir()
    folder.publish({"REDIS_URL": "redis://127.0.0.1:1/0", "QRS_CERT_DIR": "/a folder/it's #1"})
    read_files(folder.path / "run.env")
    assert (os.environ["REDIS_URL"], os.environ["QRS_CERT_DIR"]) == ("redis://127.0.0.1:1/0", "/a folder/it's #1")
    folder.withdraw()
    folder.withdraw()
    assert not (folder.path / "run.env").exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_free_port_passes(host):
    require_free(host, free_port())


def test_a_port_in_use_is_named_with_another_to_try():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StartError) as refusal:
            require_free("127.0.0.1", port)
    assert str(refusal.value) == (
        f"The web server cannot have port {port} of 127.0.0.1: another program listens there; "
        f"`ss -ltnp` or `lsof -i :{port}` names it.\n"
        f"Stop that program, or take another port:  BUTLER_PORT={port + 1} make run"
    )


def test_an_address_of_another_machine_is_named():
    with pytest.raises(StartError, match="this machine has no such address"):
        require_free("192.0.2.1", 8080)


def test_a_port_that_is_not_wanted_is_never_chosen(monkeypatch):
    offered = iter([1001, 1002, 1003])
    monkeypatch.setattr("butler.processes.ports._listen", lambda host, port: next(offered))
    assert choose_free(preferred=None, besides={1001, 1002}) == 1003

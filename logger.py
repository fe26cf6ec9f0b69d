"""The log: one file per run and the console, in the chosen language, with every secret struck out.

Stages log constant English templates; the formatters here translate them, and leave the record as it was. One event
is one line, whatever its text holds. A log that cannot be written never ends a run.
"""

from __future__ import annotations

import base64
import contextlib
import html
import json
import logging
import os
import re
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote, quote_plus

from exceptions import EtlError, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import tzinfo

    from config import LogSettings
    from messages import Messages

log = logging.getLogger(__name__)

CONSOLE_EVENTS = 5
"""So many records of single events (`extra={"per_event": True}`) are shown on the console; the file gets all."""

_FILE_NAME = re.compile(r"etl_(\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2})(?:_(\d{1,3}))?\.log", re.ASCII)
_MOST_FILES_A_SECOND = 999
_LIBRARIES = ("urllib3", "requests", "google", "gspread", "asyncio", "mail.log", "charset_normalizer")
_CHATTERING = ("PIL",)  # Pillow tells at DEBUG of every piece of a picture
_LEVELS = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warning",
    logging.ERROR: "error",
    logging.CRITICAL: "critical",
}
_STRUCK_OUT = "***"
_SHORT = 4
# Line breaks of every kind, terminal escapes, and what turns the direction of writing or hides.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]")
_CREDENTIALS = (
    (re.compile(r"((?:client_key|password)(?:=|%3D))[^&\s\"'<>]+", re.IGNORECASE), rf"\g<1>{_STRUCK_OUT}"),
    (re.compile(r"(://[^/\s:@]*:)[^/\s]+@"), rf"\g<1>{_STRUCK_OUT}@"),
    (re.compile(r"(authorization\W{1,4}(?:bearer|basic)\s+)[^\s\"'<>]+", re.IGNORECASE), rf"\g<1>{_STRUCK_OUT}"),
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        _STRUCK_OUT,
    ),
)


def one_line(text: str) -> str:
    """Return a text as a single line that no terminal takes for a command: control characters are written out."""
    return _CONTROL.sub(lambda match: _written_out(match[0]), text)


def redactor(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return a function that strikes secrets out of a text, however they are spelled there.

    Known are the forms that libraries put into their messages: as it is, URL-quoted, base64, escaped as in JSON,
    Python or HTML. Credentials in URLs and headers are struck out even where the secret is not known. A secret of
    less than four characters is struck out only where it stands as a word of its own.
    """
    whole_words: set[str] = set()
    anywhere: set[str] = set()
    for secret in secrets:
        if secret.strip():
            (whole_words if len(secret) < _SHORT else anywhere).update(_forms(secret))
    forms = sorted(anywhere | whole_words, key=len, reverse=True)
    pattern = re.compile("|".join(_pattern(form, whole=form not in anywhere) for form in forms) or r"(?!)")

    def redact(text: str) -> str:
        if any(form in text for form in forms):
            text = pattern.sub(_STRUCK_OUT, text)
        for credential, replacement in _CREDENTIALS:
            text = credential.sub(replacement, text)
        return text

    return redact


@contextlib.contextmanager
def logging_to(
    settings: LogSettings,
    messages: Messages,
    *,
    secrets: Sequence[str],
    write_line: Callable[[str], None] | None,
    now: datetime,
) -> Iterator[Path | None]:
    """Send what is logged to a new file and to the console, until the block ends.

    Args:
        settings: the folder, how many files are kept, and the least level.
        messages: the language of the log.
        secrets: texts that stand nowhere in it.
        write_line: writes one line for people; None where there is no console.
        now: the local time, aware; it names the file, and its zone is that of the times in the log.

    Yields:
        The path of the file; None where none could be written, then the console tells why.
    """
    words = _Words(messages, redactor(secrets), now.tzinfo)
    failure: Exception | None = None
    path: Path | None = None
    handlers: list[logging.Handler] = [logging.NullHandler()]
    try:
        path, stream = _new_file(settings.path, now)
        handlers.append(_FileHandler(path, stream, words))
    except (OSError, ValueError) as error:
        failure = error
    level = logging.getLevelNamesMapping()[settings.level]
    if write_line:
        handlers.append(_ConsoleHandler(write_line, words, path, details=level == logging.DEBUG))
    with _installed(handlers, level):
        if path:
            _remove_old_files(path, settings.keep)
        if failure:
            log.warning("no log file can be written in %s: %s", settings.path, _cause(failure))
        yield path


class _Words:
    """Turns a record into the words of one language, without secrets and control characters."""

    def __init__(self, messages: Messages, redact: Callable[[str], str], zone: tzinfo | None) -> None:
        self.messages = messages
        self.redact = redact
        self._zone = zone

    def safe(self, text: str) -> str:
        return one_line(self.redact(text))

    def moment(self, record: logging.LogRecord) -> datetime:
        return datetime.fromtimestamp(record.created, UTC).astimezone(self._zone)

    def level(self, record: logging.LogRecord) -> str:
        known = [level for level in _LEVELS if level <= record.levelno]
        return self.messages.text(_LEVELS[max(known, default=logging.DEBUG)])

    def text(self, record: logging.LogRecord) -> str:
        """Return the translated message; where its arguments do not fit, the template and they stand side by side."""
        if isinstance(record.msg, EtlError | Fault):
            return self.safe(str(self._localised(record.msg)))
        template = record.msg if isinstance(record.msg, str) else str(record.msg)
        translated = self.messages.translated(template)
        if not record.args:
            return self.safe(translated)
        arguments: object
        if isinstance(record.args, dict):
            arguments = {name: self._localised(value) for name, value in record.args.items()}
        else:
            arguments = tuple(self._localised(value) for value in record.args)
        for candidate in (translated, template):
            with contextlib.suppress(TypeError, ValueError, KeyError):
                return self.safe(candidate % arguments)
        return self.safe(f"{template} {arguments!r}")

    def details(self, record: logging.LogRecord) -> list[str]:
        """Return the lines of traceback and stack, indented: no text from outside can pass for a line of the log."""
        details = ""
        if record.exc_info and record.exc_info[0]:
            details = "".join(traceback.format_exception(*record.exc_info))
        if record.stack_info:
            details += record.stack_info
        lines = self.redact(details).rstrip().split("\n") if details else []
        return [f"    {one_line(line)}" for line in lines]

    def _localised(self, value: object) -> object:
        match value:
            case EtlError():
                return self.messages.error(value)
            case Fault():
                return self.messages.fault(value)
            case timedelta():
                return self.messages.duration(value)
            case _:
                return value


class _FileHandler(logging.Handler):
    """Writes each record at once, unbuffered, so that a kill loses nothing and a full disk leaves nothing behind."""

    def __init__(self, path: Path, stream: BinaryIO, words: _Words) -> None:
        super().__init__()
        self._path = path
        self._stream = stream
        self._words = words
        self._failed = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            rest = memoryview((self._formatted(record) + "\n").encode("utf-8", "backslashreplace"))
            while rest:
                rest = rest[self._stream.write(rest) :]
        except OSError as error:
            if not self._failed:
                self._failed = True
                log.warning("the log file %s can no longer be written: %s", self._path, _cause(error))
        except Exception:  # noqa: BLE001  (an argument's own __str__ may raise anything; a log line ends no run)
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (the name is logging's)
        """Pass over a record that cannot be written."""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.close()
        super().close()

    def _formatted(self, record: logging.LogRecord) -> str:
        moment = self._words.moment(record).isoformat(sep=" ", timespec="milliseconds")
        line = f"{moment} {self._words.level(record):<8} {record.name}: {self._words.text(record)}"
        return "\n".join([line, *self._words.details(record)])


class _ConsoleHandler(logging.Handler):
    """Writes short lines for people; of single events only the first, tracebacks only for who is debugging."""

    def __init__(
        self, write_line: Callable[[str], None], words: _Words, path: Path | None, *, details: bool = False
    ) -> None:
        super().__init__()
        self._write_line = write_line
        self._words = words
        self._path = path
        self._details = details
        self._events = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self._text(record)
            if text is not None:
                self._write_line(f"{self._words.moment(record):%H:%M:%S}  {text}")
                for line in self._words.details(record) if self._details else ():
                    self._write_line(line)
        except Exception:  # noqa: BLE001  (the console belongs to the caller; a log line ends no run)
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (the name is logging's)
        """Pass over a record that cannot be shown."""

    def _text(self, record: logging.LogRecord) -> str | None:
        if getattr(record, "per_event", False):
            self._events += 1
            if self._events == CONSOLE_EVENTS + 1:
                return self._further()
            if self._events > CONSOLE_EVENTS:
                return None
        text = self._words.text(record)
        if record.levelno >= logging.WARNING:
            text = f"{self._words.level(record)}: {text}"
        return text + self._exception(record)

    def _further(self) -> str:
        messages = self._words.messages
        if self._path is None:
            return messages.text("further events of this kind are not shown")
        return self._words.safe(
            messages.text("further events of this kind are in the log file %(file)s", file=str(self._path))
        )

    def _exception(self, record: logging.LogRecord) -> str:
        """Name the exception and where its details are: the file, or at least the line of code."""
        if not record.exc_info or not record.exc_info[0]:
            return ""
        name = record.exc_info[0].__name__
        if self._path:
            where = self._words.messages.text("details: %(file)s", file=str(self._path))
        else:
            frames = traceback.extract_tb(record.exc_info[2])
            where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        return self._words.safe(f" ({name}; {where})" if where else f" ({name})")


def _written_out(character: str) -> str:
    match character:
        case "\n":
            return r"\n"
        case "\r":
            return r"\r"
        case "\t":
            return r"\t"
        case _:
            code = ord(character)
            return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _forms(secret: str) -> set[str]:
    """Return a secret as libraries may spell it."""
    data = secret.encode("utf-8", "surrogatepass")
    quoted = {quote(data, safe=safe) for safe in ("", "/", "!#$%&'()*+,/:;=?@[]~")} | {quote_plus(data)}
    quoted |= {quote(form, safe="") for form in quoted}
    quoted |= {re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in quoted}
    escaped = {
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(secret)[1:-1].replace("/", "\\/"),
        repr(secret)[1:-1],
        repr(data)[2:-1],
        html.escape(secret),
    }
    return {secret} | quoted | escaped | _base64_forms(data)


def _base64_forms(data: bytes) -> set[str]:
    """Return the base64 of a secret, by itself and within a longer text (`user:password`), at each alignment."""
    forms = set()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(data).decode()
        forms |= {whole, whole.rstrip("=")}
        for offset in range(3):
            # Characters that hold bits of the neighbours differ from text to text.
            first, last = -(-offset * 8 // 6), (offset + len(data)) * 8 // 6
            core = encode(b"\0" * offset + data).decode()[first:last]
            if len(core) >= _SHORT:
                forms.add(core)
    return forms


def _pattern(form: str, *, whole: bool) -> str:
    return rf"(?<!\w){re.escape(form)}(?!\w)" if whole else re.escape(form)


def _cause(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _new_file(folder: Path, now: datetime) -> tuple[Path, BinaryIO]:
    """Create the file of this run: never one that is there already, readable by nobody else."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stem = f"etl_{now:%Y-%m-%d_%H-%M-%S}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    for number in range(1, _MOST_FILES_A_SECOND + 1):
        path = folder / (f"{stem}.log" if number == 1 else f"{stem}_{number}.log")
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileExistsError:
            continue
        _lock(descriptor)
        return path, os.fdopen(descriptor, "wb", buffering=0)
    raise FileExistsError(None, "too many files of one second")


def _remove_old_files(own: Path, keep: int) -> None:
    """Remove the oldest of our files beyond those to keep, but none that another run is still writing."""
    try:
        with os.scandir(own.parent) as entries:
            found = [(match, entry) for entry in entries if (match := _FILE_NAME.fullmatch(entry.name))]
            ours = [(m[1], int(m[2] or 1), entry.name) for m, entry in found if entry.is_file(follow_symlinks=False)]
    except OSError:
        return
    others = sorted(item for item in ours if item[2] != own.name)
    for _, _, name in others[: max(len(others) + 1 - keep, 0)]:
        path = own.parent / name
        with contextlib.suppress(OSError):
            if not _is_being_written(path):
                path.unlink()


def _lock(descriptor: int) -> bool:
    """Mark a file as being written for as long as it is open; return whether nobody else had marked it."""
    try:
        import fcntl
    except ImportError:  # Windows: an open file cannot be removed anyway
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _is_being_written(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _installed(handlers: Sequence[logging.Handler], level: int) -> Iterator[None]:
    """Hang handlers on the root logger; afterwards leave all loggers as they were."""
    root = logging.getLogger()
    before = {logger: logger.level for logger in [root, *map(logging.getLogger, _LIBRARIES + _CHATTERING)]}
    root.setLevel(level)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(level if level == logging.DEBUG else max(level, logging.WARNING))
    for name in _CHATTERING:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for handler in handlers:
        handler.setLevel(level)
        root.addHandler(handler)
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
        for logger, old in before.items():
            logger.setLevel(old)

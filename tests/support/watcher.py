"""Looks at the database from outside while the program is at work, and says what a reader sees."""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import psycopg2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection as Connection  # noqa: N812  (a class, whatever its name)

_NAME: Final = "test"
_POLL: Final = 0.02
_TABLES: Final = (
    """
    SELECT user_id, created_at, oauth_consumer_key, lis_result_sourcedid, lis_outcome_service_url, is_correct,
           attempt_type, defects
    FROM lms_activities
    ORDER BY created_at, user_id COLLATE "C", attempt_type COLLATE "C", lis_result_sourcedid COLLATE "C"
    """,
    'SELECT process_date, reason, raw FROM lms_activities_rejected ORDER BY process_date, reason, raw COLLATE "C"',
)
"""Everything of the two tables but which run brought a row, and when."""

_SEEN: Final = """
    SELECT
        (SELECT array[count(*), count(*) FILTER (WHERE oauth_consumer_key = 'A'),
                      count(*) FILTER (WHERE oauth_consumer_key = 'B')] FROM lms_activities),
        (SELECT count(*) FROM lms_activities_rejected),
        (SELECT count(*) FROM etl_runs WHERE received IS NOT NULL)
"""
_AT_WORK: Final = """
    SELECT count(*) FILTER (WHERE backend_xid IS NOT NULL), count(*)
    FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'learning-events-etl'
"""


class Phase(StrEnum):
    """Where a run stands."""

    BEFORE = "before"
    IN = "in"
    AFTER = "after"


@dataclass(frozen=True)
class Seen:
    """What a reader sees at one moment: rows, rows of version A and of version B, rejected events, committed loads."""

    rows: int = 0
    of_a: int = 0
    of_b: int = 0
    rejected: int = 0
    loads: int = 0

    @property
    def content(self) -> tuple[int, ...]:
        """The events alone."""
        return (self.rows, self.of_a, self.of_b, self.rejected)


@dataclass
class Expected:
    """What a reader may see from now on: the content before a load and after it, and how many loads there were."""

    old: Seen
    new: Seen
    _has_changed: bool = False

    def is_mixed(self, seen: Seen) -> bool:
        """Tell whether this is neither of both, does not agree with the ledger, or is a step back."""
        loaded, had_changed = seen.loads > self.old.loads, self._has_changed
        self._has_changed = loaded
        return seen.content != (self.new if loaded else self.old).content or (had_changed and not loaded)


def outside(url: str) -> Connection:
    """Return a connection of a reader; its statements commit by themselves."""
    connection = psycopg2.connect(url, application_name=_NAME)
    connection.autocommit = True
    return connection


def digest(connection: Connection) -> str:
    """Return a digest of the bytes of both tables, runs and moments of loading apart."""
    hashed = hashlib.sha256()

    class Sink:
        """Takes what COPY gives."""

        def write(self, data: str | bytes) -> int:
            """Take a piece."""
            hashed.update(data.encode() if isinstance(data, str) else data)
            return len(data)

    with connection.cursor() as cursor:
        for statement in _TABLES:
            cursor.copy_expert(f"COPY ({statement}) TO STDOUT", Sink())
            hashed.update(b"\0")
    return hashed.hexdigest()


def look(connection: Connection) -> Seen:
    """Return what a reader sees now."""
    with connection.cursor() as cursor:
        cursor.execute(_SEEN)
        ((rows, of_a, of_b), rejected, loads) = cursor.fetchone() or ((0, 0, 0), 0, 0)
    return Seen(rows, of_a, of_b, rejected, loads)


def is_loading(connection: Connection) -> bool:
    """Tell whether the program has a transaction open that has written something."""
    with connection.cursor() as cursor:
        cursor.execute(_AT_WORK)
        return bool((cursor.fetchone() or (0,))[0])


def rows(connection: Connection, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Return the rows of a statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


class Watcher:
    """A reader that polls all the while, in a thread of its own; it also notes when phases of a run begin."""

    def __init__(self, url: str) -> None:
        self._connection = outside(url)
        self._lock = threading.Lock()
        self._expected: Expected | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._failure: BaseException | None = None
        self.polls = 0
        self.mixed: list[Seen] = []
        self.loading_since: float | None = None
        self.loaded_since: float | None = None

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)
        self._connection.close()
        if self._failure:
            raise self._failure

    @contextmanager
    def expecting(self, old: Seen, new: Seen) -> Iterator[None]:
        """Hold what is seen during the block against what was there and what is to come; look away afterwards."""
        self._expect(Expected(old, new))
        try:
            yield
        finally:
            self._expect(None)

    def _expect(self, expected: Expected | None) -> None:
        with self._lock:
            self._expected = expected
            self.begin_run()

    def begin_run(self) -> None:
        """Forget when the phases of the run before began."""
        self.loading_since = self.loaded_since = None

    def _watch(self) -> None:
        try:
            self._poll()
        except BaseException as error:  # noqa: BLE001  (raised at the end of the block)
            self._failure = error

    def _poll(self) -> None:
        loads = 0
        while not self._over.wait(_POLL):
            with self._lock:
                if self._expected is None:
                    continue
                seen = look(self._connection)
                self.polls += 1
                if self._expected.is_mixed(seen):
                    self.mixed.append(seen)
                now = time.monotonic()
                if self.loading_since is None and is_loading(self._connection):
                    self.loading_since = now
                if seen.loads > loads and self.loaded_since is None:
                    self.loaded_since = now
                loads = seen.loads


def closing_outside(url: str) -> closing[Connection]:
    """Return a reader's connection that is closed at the end of a block."""
    return closing(outside(url))

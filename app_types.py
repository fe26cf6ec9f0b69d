"""The words the rooms speak with: records that travel between the stages, and nothing else of ours."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exceptions import EtlError


class Language(StrEnum):
    """A language that people are spoken to in; the value is its ISO 639-1 code."""

    RUSSIAN = "ru"
    ENGLISH = "en"


class Mode(StrEnum):
    """How much of a day a run covers: all of it, or (test) its first hour.

    The ledger knows two further kinds, which ask nothing of the source: a day's quarantine validated again, and the
    adoption of an earlier script's table.
    """

    FULL = "full"
    TEST = "test"
    REPLAY = "replay"
    ADOPTION = "adoption"


class RunStatus(StrEnum):
    """What the ledger knows of a run."""

    RUNNING = "running"
    OK = "ok"
    PARTIAL = "partial"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class SheetOutcome(StrEnum):
    """What became of the Google Sheet in a run."""

    UPDATED = "updated"
    SKIPPED = "skipped"
    UNCHANGED = "unchanged"
    FAILED = "failed"


class MailOutcome(StrEnum):
    """What became of the letter in a run."""

    SENT = "sent"
    SKIPPED = "skipped"
    UNCHANGED = "unchanged"
    FAILED = "failed"


class AttemptType(StrEnum):
    """What the student did: tried the code, or sent it for grading."""

    RUN = "run"
    SUBMIT = "submit"


class Defect(StrEnum):
    """A flaw that an event is loaded with; the values stand in `lms_activities.defects`."""

    PASSBACK_MISSING = "passback_missing"
    CONSUMER_KEY_MISSING = "oauth_consumer_key_missing"
    SOURCEDID_MISSING = "lis_result_sourcedid_missing"
    SERVICE_URL_MISSING = "lis_outcome_service_url_missing"
    USER_ID_MISMATCH = "user_id_mismatch"
    CORRECTNESS_MISMATCH = "correctness_mismatch"


class Reason(StrEnum):
    """Why an event is rejected; the values stand in `lms_activities_rejected.reason`."""

    NOT_AN_OBJECT = "not_an_object"
    DUPLICATE_NAME = "duplicate_name"
    USER_ID_MISSING = "user_id_missing"
    USER_ID_LENGTH = "user_id_length"
    USER_ID_CHARACTERS = "user_id_characters"
    CREATED_AT_UNREADABLE = "created_at_unreadable"
    OUTSIDE_WINDOW = "outside_window"
    ATTEMPT_TYPE_UNKNOWN = "attempt_type_unknown"
    IS_CORRECT_UNKNOWN = "is_correct_unknown"
    PASSBACK_UNREADABLE = "passback_unreadable"
    PASSBACK_TOO_LONG = "passback_too_long"
    FIELD_TOO_LONG = "field_too_long"
    TEXT_NOT_STORABLE = "text_not_storable"


class Secret:
    """A value that no `repr`, log line or traceback shows.

    The text is to be had by `reveal()` alone, at the edge that needs it.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret text itself."""
        return self._text

    def __repr__(self) -> str:
        return "<secret>"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, half-open: `start` belongs to it, `end` does not. Both are aware, in UTC."""

    start: datetime
    end: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    @property
    def empty(self) -> bool:
        """Whether no moment lies in the window."""
        return self.start >= self.end


@dataclass(frozen=True, slots=True)
class Day:
    """What one run covers: a calendar day of the operator's zone, or its first hour.

    `window` is the part of the day that is asked for, in UTC: all of it (23 to 25 hours), its first hour
    in test mode, or the part that has passed when the day is not over. `complete` tells that it is all.
    """

    date: date
    zone: ZoneInfo
    mode: Mode
    window: Window
    complete: bool


class Event(msgspec.Struct, frozen=True, gc=False):
    """One valid learning event. `created_at` is aware, in UTC; `is_correct` is None for a run as a rule."""

    user_id: str
    created_at: datetime
    attempt_type: AttemptType
    is_correct: bool | None
    oauth_consumer_key: str | None
    lis_result_sourcedid: str | None
    lis_outcome_service_url: str | None
    defects: tuple[Defect, ...] = ()


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """An event that is not loaded; `raw` is its JSON text in ASCII, as the source spelled it."""

    reason: Reason
    raw: str


@dataclass(frozen=True, slots=True)
class Batch:
    """The answer to one window, validated: its events as rows, ready to be copied, and what is to be told of it.

    Events exactly at the excluded end of the window belong to the next one and are neither in here nor counted.

    Attributes:
        window: what was asked for.
        received: how many events of the window the source sent.
        run_id: the run that the rows name.
        blocks: the valid events, each key once, in blocks of whole rows as `source.rows` writes them.
        repeated: how many valid events had the key of a later one.
        defective: how many of the valid events have defects.
        noted: events worth a line in the log, each with its place in the answer: all rejected ones in order, those
            with defects, and all others too if that was asked for.
    """

    window: Window
    received: int
    run_id: int = 0
    blocks: Sequence[bytes] = ()
    repeated: int = 0
    defective: int = 0
    noted: Sequence[tuple[int, Event | Rejected]] = ()

    @property
    def rejected(self) -> list[Rejected]:
        """The events that are not loaded, in the order of the answer."""
        return [item for _, item in self.noted if isinstance(item, Rejected)]


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the events of one run: received = loaded + updated + already_present + rejected."""

    received: int
    loaded: int
    updated: int
    already_present: int
    rejected: int
    defective: int
    missing_at_source: int

    @property
    def valid(self) -> int:
        """How many of the received events the table holds now."""
        return self.loaded + self.updated + self.already_present

    @property
    def balanced(self) -> bool:
        """Whether every received event is accounted for."""
        return self.received == self.valid + self.rejected


@dataclass(frozen=True, slots=True)
class DailyStatistics:
    """The figures of a day. Averages are per unique user; on a day without users or submits there are none."""

    unique_users: int
    runs: int
    submits: int
    successful_submits: int

    @property
    def success_share(self) -> float | None:
        """Successful submits among all submits, 0 to 1."""
        return self.successful_submits / self.submits if self.submits else None

    @property
    def submits_per_user(self) -> float | None:
        """Average number of submits per unique user."""
        return self.submits / self.unique_users if self.unique_users else None

    @property
    def successful_submits_per_user(self) -> float | None:
        """Average number of successful submits per unique user."""
        return self.successful_submits / self.unique_users if self.unique_users else None


@dataclass(frozen=True, slots=True)
class HourFigures:
    """One hour of a day; `start` is aware, in UTC."""

    start: datetime
    runs: int
    submits: int
    successful_submits: int


@dataclass(frozen=True, slots=True)
class CourseFigures:
    """One course on one day. `key` is an Open edX course key, or None for events that name no course.

    A first submit is a student's first one of the day on a task.
    """

    key: str | None
    students: int
    runs: int
    submits: int
    successful_submits: int
    first_submits: int
    successful_first_submits: int

    @property
    def success_share(self) -> float | None:
        """Successful submits among all submits, 0 to 1."""
        return self.successful_submits / self.submits if self.submits else None

    @property
    def first_success_share(self) -> float | None:
        """Successful first submits among all first submits, 0 to 1."""
        return self.successful_first_submits / self.first_submits if self.first_submits else None

    @property
    def runs_per_submit(self) -> float | None:
        """Code runs per submit."""
        return self.runs / self.submits if self.submits else None


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """One task (an Open edX block) of a course on one day. `stuck_students` failed on it five times or more."""

    course: str
    block: str
    students: int
    runs: int
    submits: int
    successful_submits: int
    stuck_students: int

    @property
    def submits_per_success(self) -> float | None:
        """How many submits a success took; None where there was none."""
        return self.submits / self.successful_submits if self.successful_submits else None


@dataclass(frozen=True, slots=True)
class DayDetails:
    """What lies behind the figures of a day. Hours cover the whole window, courses and tasks are as they come."""

    hours: tuple[HourFigures, ...] = ()
    courses: tuple[CourseFigures, ...] = ()
    tasks: tuple[TaskFigures, ...] = ()
    stuck_students: int = 0


@dataclass(frozen=True, slots=True)
class PublishedDay:
    """The figures of a day as they were last published. `revision` counts from 1; more than 1 means corrected.

    `counts` are those of the run that brought them; None where it is not known.
    """

    date: date
    revision: int
    complete: bool
    statistics: DailyStatistics
    counts: Counts | None


@dataclass(frozen=True, slots=True)
class Figures:
    """What is published of a day: two runs with equal figures have nothing new to tell."""

    mode: Mode
    complete: bool
    statistics: DailyStatistics

    def fingerprint(self) -> str:
        """Return a stable digest of the figures, to compare them with what was published."""
        statistics = ",".join(f"{name}={value}" for name, value in sorted(asdict(self.statistics).items()))
        return hashlib.sha256(f"{self.mode}|{self.complete}|{statistics}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class RefusedRecipient:
    """An address that the mail server would not take, with the server's code."""

    address: str
    code: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a letter: whom it was given to, and who was refused."""

    message_id: str
    accepted: tuple[str, ...]
    refused: tuple[RefusedRecipient, ...] = ()


@dataclass(frozen=True, slots=True)
class DayOutcome:
    """The end of one day's run, as the summary, the JSON object and the letter tell it.

    `counts` and `statistics` are None where the run failed or was interrupted before its commit. `error` tells
    what failed, in the words of `exceptions`; further troubles that did not end the run stand in `troubles`.
    """

    date: date
    mode: Mode
    complete: bool
    status: RunStatus
    counts: Counts | None = None
    statistics: DailyStatistics | None = None
    sheet: SheetOutcome = SheetOutcome.SKIPPED
    mail: MailOutcome = MailOutcome.SKIPPED
    error: EtlError | None = None
    troubles: tuple[EtlError, ...] = ()
    sheet_url: str | None = None
    duration: timedelta = timedelta()
    from_database: bool = False
    run_id: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the fetch of a day is."""

    windows_done: int
    windows_total: int
    events: int

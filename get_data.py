"""Extract: fetches the events of a day, window by window, and validates each one."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING

from app_types import Batch, Event, Progress, Rejected, Window
from source.bulk import Terms, judge_body
from source.http_client import DenseWindowError, SourceClient, deadline_error
from source.windows import split

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from config import ApiSettings
    from source.http_client import Reader

log = logging.getLogger(__name__)

_POLL = 0.2  # seconds; short, so that Ctrl-C is heard on every system
_SHORTEST = timedelta(seconds=1)  # of the parts of a window that is divided


def fetch(
    settings: ApiSettings,
    window: Window,
    *,
    run_id: int = 0,
    on_progress: Callable[[Progress], None] = lambda _: None,
    log_every_event: bool = False,
) -> Generator[Batch]:
    """Fetch a window of time and yield its parts in order, validated.

    At most `settings.concurrency` requests are under way at once, and few answers wait in memory. An answer
    counts only when it is whole: what was yielded before an error is not a day.

    Args:
        settings: the API.
        window: what to fetch, half-open.
        run_id: the run that the events are fetched for; their rows name it.
        on_progress: told after each part.
        log_every_event: write good events to the log, too.

    Raises:
        SourceError: the source refused, failed for good, or did not deliver before the deadline.
    """
    windows = split(window, timedelta(minutes=settings.window_minutes))
    log.info("fetch: %d windows from %s to %s UTC", len(windows), _written(window.start), _written(window.end))
    started = time.monotonic()
    count = 0
    journal = _Journal()
    with _Workers(settings, started + settings.deadline, run_id, note_all=log_every_event) as workers:
        for done, batch in enumerate(workers.batches(windows), start=1):
            journal.write(batch)
            count += batch.received
            on_progress(Progress(done, done + workers.ahead, count))
            yield batch
    journal.close()
    log.info("fetch: done, events: %d, seconds: %.1f", count, time.monotonic() - started)


class _Workers:
    """Threads that ask for windows side by side; leaving the block abandons what is still under way.

    `ahead` tells how many windows are not done yet; it grows when one turns out to be so dense that it is divided.
    """

    def __init__(self, settings: ApiSettings, deadline: float, run_id: int, *, note_all: bool) -> None:
        self._settings = settings
        self._deadline = deadline
        self._note_all = note_all
        self._terms = Terms(settings.user_id_length, run_id)
        self._stop = threading.Event()
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._coming: deque[_Task] = deque()
        self._longest: timedelta | None = None  # of a window, since one had to be divided
        self._most = 0

    def __enter__(self) -> _Workers:
        for _ in range(self._settings.concurrency):
            client = SourceClient(self._settings, self._deadline, self._stop)
            # A daemon: a request that hangs must not keep the program from ending.
            threading.Thread(target=self._work, args=(client,), name="fetch", daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        for _ in range(self._settings.concurrency):
            self._tasks.put(None)

    @property
    def ahead(self) -> int:
        """How many windows are still to come."""
        return len(self._coming)

    def batches(self, windows: list[Window]) -> Iterator[Batch]:
        """Yield the validated answers in the order of the windows."""
        self._coming.extend(map(_Task, windows))
        while self._coming:
            self._start_some()
            answer = self._first()
            if isinstance(answer, Batch):
                self._adapt(answer)
                yield answer
            else:
                self._divide(answer)

    def _start_some(self) -> None:
        """Start the next windows, or as much of them as is expected to come in one answer; the others wait."""
        place = 0
        while place < min(len(self._coming), 2 * self._settings.concurrency):
            task = self._coming[place]
            if not task.is_started:
                parts = split(task.window, self._longest or task.window.end - task.window.start)
                if len(parts) > 1:
                    del self._coming[place]
                    for part in reversed(parts):
                        self._coming.insert(place, _Task(part))
                    task = self._coming[place]
                task.is_started = True
                self._tasks.put(task)
            place += 1

    def _divide(self, dense: _Dense) -> None:
        """Have a window asked for in parts, before all others."""
        window = dense.window
        self._longest = max((window.end - window.start) / dense.parts + timedelta.resolution, _SHORTEST)
        log.info(
            "window %s: more than one answer should bring, divided into parts of %.0f s",
            _written(window.start),
            self._longest.total_seconds(),
        )
        self._coming.extendleft(map(_Task, reversed(split(window, self._longest))))

    def _adapt(self, batch: Batch) -> None:
        """Ask for more at once where the day has become quieter."""
        self._most = max(self._most, batch.received)
        if self._longest and batch.received < self._most / 2:
            self._longest = min(2 * self._longest, timedelta(minutes=self._settings.window_minutes))

    def _work(self, client: SourceClient) -> None:
        """Do one task after another until there are no more, or nobody waits."""
        while (task := self._tasks.get()) is not None and not self._stop.is_set():
            try:
                task.future.set_result(client.ask(task.window, self._reader(task.window)))
            except DenseWindowError as dense:
                # As a result: what an exception passes through on its way, it keeps in memory, other answers included.
                task.future.set_result(_Dense(task.window, dense.parts))
            except BaseException as error:  # noqa: BLE001  (handed to the thread that waits)
                task.future.set_exception(error)
        client.close()

    def _reader(self, window: Window) -> Reader[Batch]:
        """Return what validates the body of an answer to a window."""
        return partial(judge_body, window=window, terms=self._terms, note_all=self._note_all)

    def _first(self) -> Batch | _Dense:
        """Wait for the first window; an error of a later one ends the wait at once."""
        started = [task.future for task in islice(self._coming, 2 * self._settings.concurrency)]
        while True:
            for future in started:
                if future.done() and (error := future.exception()):
                    raise error
            try:
                answer = started[0].result(timeout=_POLL)
            except TimeoutError:
                if time.monotonic() > self._deadline:
                    raise deadline_error(self._settings.deadline) from None
            else:
                self._coming.popleft()
                return answer


@dataclass(slots=True)
class _Task:
    """A window that is asked for, or will be."""

    window: Window
    future: Future[Batch | _Dense] = field(default_factory=Future)
    is_started: bool = False


@dataclass(frozen=True, slots=True)
class _Dense:
    """A window that holds more than one answer should bring, and into how many parts it is to be divided."""

    window: Window
    parts: int


class _Journal:
    """Writes single events to the log, numbered as the source sent them, students' ids shortened."""

    def __init__(self) -> None:
        self._number = 0
        self._reasons: Counter[str] = Counter()
        self._defects: Counter[str] = Counter()

    def write(self, batch: Batch) -> None:
        """Write what is to be told of the events of a part."""
        for index, item in batch.noted:
            number = self._number + index + 1
            if isinstance(item, Rejected):
                self._reasons[item.reason] += 1
                log.info("event %d rejected: %s", number, item.reason.value, extra={"per_event": True})
            elif item.defects:
                self._defects.update(item.defects)
                defects = ", ".join(defect.value for defect in item.defects)
                log.info(
                    "event %d has defects: %s (student %s)",
                    number,
                    defects,
                    _shortened(item),
                    extra={"per_event": True},
                )
            else:
                log.info(
                    "event %d: %s, %s (student %s)",
                    number,
                    item.created_at.isoformat(sep=" "),
                    item.attempt_type.value,
                    _shortened(item),
                    extra={"per_event": True},
                )
        self._number += batch.received

    def close(self) -> None:
        """Write how often each reason and defect occurred."""
        for reason, count in sorted(self._reasons.items()):
            log.warning("rejected: %s, events: %d", str(reason), count)
        for defect, count in sorted(self._defects.items()):
            log.info("with defects: %s, events: %d", str(defect), count)


def _shortened(event: Event) -> str:
    return event.user_id[: min(6, len(event.user_id) // 2)] + "…"


def _written(moment: object) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"

"""Extract: fetches the events of a day, window by window, and validates each one."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future
from datetime import timedelta
from queue import SimpleQueue
from typing import TYPE_CHECKING

from app_types import Batch, Event, Progress, Rejected
from source.http_client import SourceClient, deadline_error
from source.validation import validate
from source.windows import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app_types import Window
    from config import ApiSettings

log = logging.getLogger(__name__)

_POLL = 0.2  # seconds; short, so that Ctrl-C is heard on every system


def fetch(
    settings: ApiSettings,
    window: Window,
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
    log_every_event: bool = False,
) -> Iterator[Batch]:
    """Fetch a window of time and yield its parts in order, validated.

    At most `settings.concurrency` requests are under way at once, and few answers wait in memory. An answer
    counts only when it is whole: what was yielded before an error is not a day.

    Args:
        settings: the API.
        window: what to fetch, half-open.
        on_progress: told after each part.
        log_every_event: write good events to the log, too.

    Raises:
        SourceError: the source refused, failed for good, or did not deliver before the deadline.
    """
    windows = split(window, timedelta(minutes=settings.window_minutes))
    log.info("fetch: %d windows from %s to %s UTC", len(windows), _written(window.start), _written(window.end))
    started = time.monotonic()
    count = 0
    journal = _Journal(log_every_event)
    with _Workers(settings, started + settings.deadline) as workers:
        for done, batch in enumerate(workers.batches(windows), start=1):
            journal.write(batch)
            count += batch.received
            on_progress(Progress(done, len(windows), count))
            yield batch
    journal.close()
    log.info("fetch: done, events: %d, seconds: %.1f", count, time.monotonic() - started)


class _Workers:
    """Threads that ask for windows side by side; leaving the block abandons what is still under way."""

    def __init__(self, settings: ApiSettings, deadline: float) -> None:
        self._settings = settings
        self._deadline = deadline
        self._stop = threading.Event()
        self._tasks: SimpleQueue[tuple[Window, Future[Batch]] | None] = SimpleQueue()

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

    def batches(self, windows: list[Window]) -> Iterator[Batch]:
        """Yield the validated answers in the order of the windows."""
        waiting = deque(windows)
        under_way: deque[Future[Batch]] = deque()
        while waiting or under_way:
            while waiting and len(under_way) < 2 * self._settings.concurrency:
                under_way.append(self._start(waiting.popleft()))
            yield self._first(under_way)

    def _start(self, window: Window) -> Future[Batch]:
        future: Future[Batch] = Future()
        self._tasks.put((window, future))
        return future

    def _work(self, client: SourceClient) -> None:
        """Do one task after another until there are no more, or nobody waits."""
        while (task := self._tasks.get()) is not None and not self._stop.is_set():
            window, future = task
            try:
                future.set_result(validate(client.ask(window), window, self._settings.user_id_length))
            except BaseException as error:  # noqa: BLE001  (handed to the thread that waits)
                future.set_exception(error)
        client.close()

    def _first(self, under_way: deque[Future[Batch]]) -> Batch:
        """Wait for the first window; an error of a later one ends the wait at once."""
        while True:
            for future in under_way:
                if future.done() and (error := future.exception()):
                    raise error
            try:
                batch = under_way[0].result(timeout=_POLL)
            except TimeoutError:
                if time.monotonic() > self._deadline:
                    raise deadline_error(self._settings.deadline) from None
            else:
                under_way.popleft()
                return batch


class _Journal:
    """Writes single events to the log, numbered as the source sent them, students' ids shortened."""

    def __init__(self, every_event: bool) -> None:
        self._every_event = every_event
        self._number = 0
        self._reasons: Counter[str] = Counter()
        self._defects: Counter[str] = Counter()

    def write(self, batch: Batch) -> None:
        """Write what is to be told of the events of a part."""
        for item in batch.items:
            self._number += 1
            if isinstance(item, Rejected):
                self._reasons[item.reason] += 1
                log.info("event %d rejected: %s", self._number, item.reason.value, extra={"per_event": True})
            elif item.defects:
                self._defects.update(item.defects)
                defects = ", ".join(defect.value for defect in item.defects)
                log.info(
                    "event %d has defects: %s (student %s)",
                    self._number,
                    defects,
                    _shortened(item),
                    extra={"per_event": True},
                )
            elif self._every_event:
                log.info(
                    "event %d: %s, %s (student %s)",
                    self._number,
                    item.created_at.isoformat(sep=" "),
                    item.attempt_type.value,
                    _shortened(item),
                    extra={"per_event": True},
                )

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

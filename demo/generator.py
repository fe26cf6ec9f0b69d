"""Makes up a day of learning events from its date alone, with every flaw that the real source has.

The same date gives the same events on every system and Python: randomness comes from `random.Random.random`, the one
method whose numbers are promised to stay, weights are whole numbers, and nothing depends on `hash`.
"""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_right
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Final, Generic, TypeVar
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

RawEvent = dict[str, object]
"""An event as the source writes it into its JSON array."""

HOST: Final = "lms.example.org"
CORRECTION_HOURS: Final = range(9, 12)
"""The hours (UTC) in which the corrected event lies: within the same calendar day from UTC-9 to UTC+12."""

_SEED: Final = "learning events, demo, 1"
_USERS: Final = 5_000
_TASKS: Final = 420
_EVENTS_BY_WEEKDAY: Final = (6_300, 6_400, 6_350, 6_150, 5_700, 5_850, 6_200)
_EVENTS_SPREAD: Final = 250
_HOUR_WEIGHTS: Final = (7, 5, 5, 8, 16, 32, 52, 66, 76, 82, 80, 70, 62, 60, 64, 74, 90, 104, 108, 92, 60, 32, 16, 10)
"""How busy each hour of UTC is: the students live at UTC+3, and are busy at noon and in the evening."""

_DAY: Final = timedelta(days=1)
_CREATED_AT: Final = "%Y-%m-%d %H:%M:%S.%f"
_WITHOUT_FRACTION: Final = "%Y-%m-%d %H:%M:%S"

_COURSES: Final = (
    "course-v1:DEMO+PY-101+2022_FALL",
    "course-v1:DEMO+PY-101+2023_SPRING",
    "course-v1:DEMO+PY-201+2022_FALL",
    "course-v1:DEMO+PY-201+2023_SPRING",
    "course-v1:DEMO+PY-301+2023_SPRING",
    "course-v1:DEMO+SQL-101+2022_FALL",
    "course-v1:DEMO+SQL-101+2023_SPRING",
    "course-v1:DEMO+SQL-201+2023_SPRING",
    "course-v1:DEMO+ALGO-1.0+28FEB2023",
    "course-v1:DEMO+ALGO-2.0+28FEB2023",
    "course-v1:DEMO+STAT-101+2022_FALL",
    "course-v1:DEMO+STAT-101+2023_SPRING",
    "course-v1:DEMO+ML-101+2022_FALL",
    "course-v1:DEMO+ML-101+2023_SPRING",
    "course-v1:DEMO+ML-201+2023_SPRING",
    "course-v1:SAMPLE+DATA-3.0+2022_09",
    "course-v1:SAMPLE+DATA-3.0+2023_02",
    "course-v1:SAMPLE+PANDAS+2022_09",
    "course-v1:SAMPLE+PANDAS+2023_02",
    "course-v1:SAMPLE+NUMPY+2023_02",
    "course-v1:SAMPLE+PLOTS+2023_02",
    "course-v1:SAMPLE+ETL-1.0+2022_09",
    "course-v1:SAMPLE+ETL-1.0+2023_02",
    "course-v1:SAMPLE+WEB-1.0+2023_02",
    "course-v1:SAMPLE+TESTS+2023_02",
    "course-v1:TRAINING+INTRO+OPEN",
    "course-v1:TRAINING+PRACTICE+OPEN",
    "DEMO/PY-100/2021_SPRING",
    "DEMO/SQL-100/2021_SPRING",
    "SAMPLE/DATA-2.0/2021_09",
)
"""Course keys, by themselves without meaning; the last three have the older form."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Placed:
    """An event and the moment (UTC, without zone) at which the source has it, whatever its `created_at` says."""

    moment: datetime
    event: RawEvent


@dataclass(frozen=True, slots=True)
class _Task:
    course: str
    block: str
    success: int  # chance of a submit, in percent


@dataclass(frozen=True, slots=True)
class _User:
    id: str
    skill: int  # added to the chance of a submit, in percent
    courses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _World:
    """Who studies what: the same on every day."""

    users: _Weighted[_User]
    tasks: tuple[_Weighted[_Task], ...]  # by course


@dataclass(slots=True)
class _Draft:
    """An event while it is made."""

    moment: datetime
    user_id: str | None
    task: _Task
    attempt_type: str
    is_correct: int | None
    encoded: bool = False
    fraction: bool = True
    gave_up: bool = False  # the last submit of a visit that ended without success

    def written(self) -> RawEvent:
        created_at = self.moment.strftime(_CREATED_AT if self.fraction else _WITHOUT_FRACTION)
        return {
            "lti_user_id": self.user_id,
            "passback_params": _passback(self.task, self.user_id or "", self.encoded),
            "is_correct": self.is_correct,
            "attempt_type": self.attempt_type,
            "created_at": created_at,
        }


@dataclass(frozen=True, slots=True)
class _Day:
    """A day's events, and where among them the one is that the source corrects later."""

    placed: tuple[Placed, ...]
    correction: int


class _Dice:
    """Draws that depend on `random.Random.random` alone."""

    def __init__(self, *seed: object) -> None:
        text = "|".join([_SEED, *map(str, seed)])
        self._random = random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))  # noqa: S311

    def below(self, count: int) -> int:
        """Return a whole number from 0 up to, but not including, `count`."""
        return int(self._random.random() * count)

    def between(self, least: int, most: int) -> int:
        """Return a whole number from `least` to `most`, both included."""
        return least + self.below(most - least + 1)

    def chance(self, percent: int) -> bool:
        """Be true as often as the percentage says."""
        return self.below(100) < percent

    def choice(self, items: Sequence[_T]) -> _T:
        """Return one of the items."""
        return items[self.below(len(items))]

    def take(self, items: list[_T], count: int) -> list[_T]:
        """Take so many items out of the list."""
        taken = []
        for _ in range(min(count, len(items))):
            index = self.below(len(items))
            items[index], items[-1] = items[-1], items[index]
            taken.append(items.pop())
        return taken


class _Weighted(Generic[_T]):
    """Items of which some are drawn more often."""

    def __init__(self, items: Iterable[_T], weights: Iterable[int]) -> None:
        self._items = tuple(items)
        self._sums = tuple(accumulate(weights))

    def draw(self, dice: _Dice) -> _T:
        return self._items[bisect_right(self._sums, dice.below(self._sums[-1]))]


def day_events(day: date, *, corrected: bool = False) -> list[RawEvent]:
    """Return the events of a UTC day in the order in which the source sends them.

    Args:
        day: the date.
        corrected: the second version of the day, in which one submit was corrected from wrong to right.
    """
    return [placed.event for placed in placed_events(day, corrected=corrected)]


def placed_events(
    day: date, *, corrected: bool = False, start: datetime | None = None, end: datetime | None = None
) -> Iterator[Placed]:
    """Yield the events of a UTC day with the moments at which they are to be had, each a fresh object.

    An event is in the answer to a window when its moment is; only the moments of some flawed events differ from
    their `created_at`.

    Args:
        day: the date.
        corrected: the second version of the day.
        start: where to begin (UTC, without zone).
        end: where to end, included.
    """
    made = _made_day(day)
    for index, placed in enumerate(made.placed):
        if (start is None or start <= placed.moment) and (end is None or placed.moment <= end):
            change = {"is_correct": 1} if corrected and index == made.correction else {}
            yield Placed(placed.moment, {**placed.event, **change})


def corrected_moment(day: date) -> datetime:
    """Return when (UTC, without zone) the one event was created that the source corrects later."""
    made = _made_day(day)
    return made.placed[made.correction].moment


@lru_cache(maxsize=4)
def _made_day(day: date) -> _Day:
    dice = _Dice("day", day.isoformat())
    drafts = _drafts(day, dice)
    correction = _choose_correction(drafts)
    flawed = _Flaws(drafts, correction, dice).made()
    placed = sorted(flawed, key=lambda item: item[0])
    index = next(index for index, (_, draft, _) in enumerate(placed) if draft is correction)
    return _Day(tuple(Placed(draft.moment, event) for _, draft, event in placed), index)


@lru_cache(maxsize=1)
def _world() -> _World:
    dice = _Dice("world")
    tasks: list[list[_Task]] = [[] for _ in _COURSES]
    for number in range(_TASKS):
        # Every course has tasks, and the first ones have more.
        course = number % len(_COURSES) if number < 5 * len(_COURSES) else _popular_course(dice)
        success = 12 + dice.below(44) + dice.below(34)
        tasks[course].append(_Task(_COURSES[course], _digest("block", number), success))
    users = []
    for number in range(_USERS):
        courses = tuple(dict.fromkeys(_popular_course(dice) for _ in range(dice.between(1, 3))))
        users.append(_User(_digest("user", number), dice.between(-15, 15), courses))
    return _World(
        users=_Weighted(users, _falling_weights(_USERS, 70)),
        tasks=tuple(_Weighted(own, _falling_weights(len(own), 30)) for own in tasks),
    )


def _popular_course(dice: _Dice) -> int:
    """Return the number of a course, the first ones more often."""
    return min(dice.below(len(_COURSES)), dice.below(len(_COURSES) * 2))


def _falling_weights(count: int, flatness: int) -> list[int]:
    """Return weights that fall as Zipf's law has it, the more gently the flatter."""
    return [1_000_000 // (rank + flatness) for rank in range(1, count + 1)]


def _digest(kind: str, number: int) -> str:
    return hashlib.sha256(f"{_SEED}|{kind}|{number}".encode()).hexdigest()[:32]


def _drafts(day: date, dice: _Dice) -> list[_Draft]:
    """Return the good events of a day, in order of time."""
    hours = _Weighted(range(24), _HOUR_WEIGHTS)
    midnight = datetime.combine(day, time())
    wanted = _EVENTS_BY_WEEKDAY[day.weekday()] + dice.between(-_EVENTS_SPREAD, _EVENTS_SPREAD)
    drafts = [_at_the_stroke(midnight + timedelta(hours=hour), dice) for hour in (0, 9, 18)]
    while len(drafts) < wanted:
        start = midnight + timedelta(hours=hours.draw(dice), microseconds=dice.below(3_600_000_000))
        drafts.extend(draft for draft in _session(start, dice) if draft.moment < midnight + _DAY)
    drafts.sort(key=lambda draft: draft.moment)
    return drafts


def _at_the_stroke(moment: datetime, dice: _Dice) -> _Draft:
    """Return an event of a whole hour: a source that includes the end of a window sends it twice."""
    world = _world()
    user = world.users.draw(dice)
    return _Draft(moment, user.id, world.tasks[user.courses[0]].draw(dice), "run", None, fraction=False)


def _session(start: datetime, dice: _Dice) -> Iterator[_Draft]:
    """Yield what one student does in one go: one task as a rule, at times some more."""
    world = _world()
    user = world.users.draw(dice)
    moment = start
    for _ in range(_Weighted((1, 2, 3), (86, 11, 3)).draw(dice)):
        course = user.courses[dice.below(1 + dice.below(len(user.courses)))]
        task = world.tasks[course].draw(dice)
        for draft in _visit(moment, user, task, dice):
            yield draft
            moment = draft.moment
        moment += timedelta(seconds=dice.between(40, 600))


def _visit(moment: datetime, user: _User, task: _Task, dice: _Dice) -> Iterator[_Draft]:
    """Yield a student's attempts at one task: the code is run some times, then sent for grading, until it is right.

    Those who fail go on or give up; some only try the code.
    """
    encoded = dice.chance(3)
    chance = min(max(task.success + user.skill, 6), 95)

    def attempt(attempt_type: str, is_correct: int | None = None) -> _Draft:
        nonlocal moment
        moment += timedelta(seconds=dice.between(12, 150), microseconds=dice.below(1_000_000))
        fraction = not dice.chance(2)
        own = moment if fraction else moment.replace(microsecond=0)
        return _Draft(own, user.id, task, attempt_type, is_correct, encoded, fraction)

    for _ in range(dice.between(1, 3)):
        yield attempt("run")
    if dice.chance(12):
        return
    stubborn = dice.chance(7)
    while True:
        if dice.below(100) < chance:
            yield attempt("submit", 1)
            return
        failed = attempt("submit", 0)
        failed.gave_up = dice.chance(9 if stubborn else 48)
        yield failed
        if failed.gave_up:
            return
        for _ in range(dice.below(3)):
            yield attempt("run")


def _choose_correction(drafts: Sequence[_Draft]) -> _Draft:
    """Return the submit that the source takes for wrong at first and for right later on."""
    failed = [
        draft for draft in drafts if draft.is_correct == 0 and draft.fraction and draft.moment.hour in CORRECTION_HOURS
    ]
    final = [draft for draft in failed if draft.gave_up] or failed
    return final[len(final) // 2]


class _Flaws:
    """Does to the good events of a day what happens to events at the source."""

    def __init__(self, drafts: list[_Draft], correction: _Draft, dice: _Dice) -> None:
        self._dice = dice
        # Beside each event its place in the answers; a copy comes somewhat later.
        self._events: list[tuple[float, _Draft, RawEvent]] = [
            (float(place), draft, draft.written()) for place, draft in enumerate(drafts)
        ]
        whole_hour = drafts[0].moment.replace(hour=0, minute=0, second=0, microsecond=0)
        strokes = {whole_hour + timedelta(hours=hour) for hour in range(24)}
        self._untouched = [
            place for place, draft in enumerate(drafts) if draft is not correction and draft.moment not in strokes
        ]

    def made(self) -> list[tuple[float, _Draft, RawEvent]]:
        """Return all events, flawed ones among them."""
        self._rejected()
        self._defective()
        self._twice()
        return self._events

    def _each(
        self,
        count: int,
        change: Callable[[RawEvent, _Draft], None],
        suits: Callable[[_Draft], bool] = lambda _: True,
    ) -> None:
        """Change so many events (a fifth more or fewer) that nothing was done to before."""
        count += self._dice.between(-(count // 5), count // 5)
        for place in self._taken(count, suits):
            _, draft, event = self._events[place]
            change(event, draft)

    def _taken(self, count: int, suits: Callable[[_Draft], bool]) -> list[int]:
        suiting = [place for place in self._untouched if suits(self._events[place][1])]
        taken = self._dice.take(suiting, count)
        self._untouched = sorted(set(self._untouched) - set(taken))
        return taken

    def _rejected(self) -> None:
        dice = self._dice

        def user_id(value: Callable[[str], str | None]) -> Callable[[RawEvent, _Draft], None]:
            return lambda event, draft: event.update(lti_user_id=value(draft.user_id or ""))

        self._each(12, user_id(lambda _: None))
        self._each(5, user_id(lambda own: own[:-1]))
        self._each(5, user_id(lambda own: own + own[0]))
        self._each(4, user_id(lambda _: ""))
        self._each(8, _truncate_passback)
        self._each(4, lambda event, _: event.update(passback_params="__import__('os')._exit(99)"))
        self._each(3, lambda event, _: event.update(passback_params=_CODE_AS_VALUE))
        self._each(6, lambda event, draft: event.update(created_at=_days_off(draft.moment, dice.between(-40, -2))))
        self._each(2, lambda event, draft: event.update(created_at=_days_off(draft.moment, dice.between(2, 9))))
        self._each(5, lambda event, _: event.update(attempt_type=dice.choice(("view", "hint", "Run", ""))))
        self._each(5, lambda event, draft: event.update(created_at=_unreadable(draft.moment, dice)))

    def _defective(self) -> None:
        dice = self._dice
        ids = [draft.user_id for _, draft, _ in self._events]

        def somebody_else(event: RawEvent, draft: _Draft) -> None:
            other = dice.choice([own for own in ids[:500] if own != draft.user_id])
            event["passback_params"] = _passback(draft.task, other or "", draft.encoded)

        def runs(draft: _Draft) -> bool:
            return draft.attempt_type == "run"

        def failures(draft: _Draft) -> bool:
            return draft.is_correct == 0

        self._each(30, lambda event, _: event.update(passback_params=None))
        self._each(12, lambda event, _: event.update(passback_params=""))
        self._each(40, _without_service_url)
        self._each(14, somebody_else)
        self._each(12, lambda event, _: event.update(is_correct=dice.below(2)), runs)
        self._each(8, lambda event, _: event.update(is_correct=None), failures)

    def _twice(self) -> None:
        """Send some events twice: the same again, or a submit with another verdict, of which the last one counts."""
        self._copies(15, {}, lambda _: True)
        self._copies(5, {"is_correct": 1}, lambda draft: draft.is_correct == 0)

    def _copies(self, count: int, change: RawEvent, suits: Callable[[_Draft], bool]) -> None:
        for place in self._taken(count, suits):
            _, draft, event = self._events[place]
            self._events.append((place + self._dice.between(0, 8) + 0.5, replace(draft), {**event, **change}))


_CODE_AS_VALUE: Final = "{'oauth_consumer_key': '', 'lis_result_sourcedid': __import__('os')._exit(99)}"
"""Would end the program at once if anybody ran it."""


def _passback(task: _Task, user_id: str, encoded: bool) -> str:
    """Return the outcome parameters of LTI 1.1 as the source keeps them: the text of a Python dict."""
    link = f"{HOST}-{task.block}"
    if encoded:
        sourcedid = f"{quote(task.course, safe='')}:{quote(f'{HOST}:8443-{task.block}', safe='')}:{user_id}"
    else:
        sourcedid = f"{task.course}:{link}:{user_id}"
    return repr(
        {"oauth_consumer_key": "", "lis_result_sourcedid": sourcedid, "lis_outcome_service_url": _service_url(task)}
    )


def _service_url(task: _Task) -> str:
    if task.course.startswith("course-v1:"):
        block = f"block-v1:{task.course.removeprefix('course-v1:')}+type@lti+block@{task.block}"
    else:
        organisation, course, _ = task.course.split("/")
        block = f"i4x:;_;_{organisation};_{course};_lti;_{task.block}"
    return f"https://{HOST}/courses/{task.course}/xblock/{block}/handler_noauth/grade_handler"


def _truncate_passback(event: RawEvent, _: _Draft) -> None:
    text = str(event["passback_params"])
    event["passback_params"] = text[: len(text) * 2 // 3]


def _without_service_url(event: RawEvent, _: _Draft) -> None:
    event["passback_params"] = str(event["passback_params"]).partition(", 'lis_outcome_service_url'")[0] + "}"


def _days_off(moment: datetime, days: int) -> str:
    return (moment + timedelta(days=days)).strftime(_CREATED_AT)


def _unreadable(moment: datetime, dice: _Dice) -> str:
    return dice.choice((moment.strftime("%d.%m.%Y %H:%M"), moment.strftime("%Y-%m-%d"), "0000-00-00 00:00:00", "now"))

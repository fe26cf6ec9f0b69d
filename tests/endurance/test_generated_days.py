"""Conservation and idempotence over thousands of generated days, fetched over HTTP and loaded into PostgreSQL."""

from __future__ import annotations

import random
from contextlib import closing
from datetime import UTC, date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import daily_stats
import get_data
import put_data
from config import load_settings
from tests.support.figures import TORTURE, TellFigures, times
from tests.support.generated_days import Generator, Model, Told
from tests.support.loading import connected, make_day
from tests.support.ready_source import ReadySource, ready_source
from tests.support.watcher import closing_outside, rows
from warehouse import ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection as Connection  # noqa: N812  (a class, whatever its name)

    from app_types import Counts
    from warehouse.connection import Database

PARTS = 4
BATCHES = times(2_000) // PARTS
DAYS = times(500) // PARTS
FIRST = date(2023, 4, 1)
LIVED_IN = 5
"""Days that the conservation test loads again and again, so that each load meets what others left."""

_EVENTS = (
    "SELECT created_at, user_id, attempt_type, lis_result_sourcedid, is_correct, oauth_consumer_key, "
    "lis_outcome_service_url FROM lms_activities"
)
_VERSIONS = "SELECT t.*, xmin::text, ctid::text FROM {} AS t ORDER BY ctid"
_LEDGER = (
    "SELECT received, loaded, updated, already_present, rejected, defective, missing_at_source FROM etl_runs "
    "WHERE id = %s"
)


class Loader:
    """Fetches and loads days as the program does, in this process."""

    def __init__(self, source: ReadySource, database: Database, outside: Connection) -> None:
        self._source = source
        self._database = database
        self.outside = outside
        self._settings = load_settings(source.environ | {"API_WINDOW_MINUTES": "720", "DATABASE_URL": ""}).api

    def load(self, day: date, answer: list[Told]) -> Counts:
        """Load a day of which the source tells this; check that the ledger says what is returned."""
        self._source.serve([(told.moment, told.text.encode()) for told in answer])
        run = make_day(day)
        run_id = ledger.begin(self._database, run)
        with closing(get_data.fetch(self._settings, run.window, run_id=run_id)) as batches:
            counts = put_data.load(self._database, run_id, run, batches)
        assert rows(self.outside, _LEDGER, run_id) == [
            (
                counts.received,
                counts.loaded,
                counts.updated,
                counts.already_present,
                counts.rejected,
                counts.defective,
                counts.missing_at_source,
            )
        ]
        return counts

    def versions(self) -> list[list[tuple[Any, ...]]]:
        """Return the rows of both tables with their versions."""
        return [rows(self.outside, _VERSIONS.format(table)) for table in ("lms_activities", "lms_activities_rejected")]

    def statistics(self, day: date) -> object:
        """Return the figures of a day."""
        return daily_stats.compute(self._database, make_day(day).window)

    def forget(self) -> None:
        """Empty the tables of events and of the quarantine."""
        rows(self.outside, "TRUNCATE lms_activities, lms_activities_rejected")


@pytest.fixture
def loader(database_url: str) -> Iterator[Loader]:
    """A source, a database, and the way from one to the other."""
    with (
        ready_source() as source,
        connected(database_url, migrated=True) as database,
        closing_outside(database_url) as outside,
    ):
        yield Loader(source, database, outside)


def check_tables(loader: Loader, model: Model) -> None:
    """Check that both tables hold what the model says, and nothing else."""
    found = {
        (created_at.astimezone(UTC), *key): tuple(values)
        for created_at, *key, values in (
            (row[0], row[1], row[2], row[3], row[4:]) for row in rows(loader.outside, _EVENTS)
        )
    }
    assert found == model.events
    assert rows(loader.outside, "SELECT count(*) FROM lms_activities") == [(len(model.events),)]
    assert rows(loader.outside, "SELECT count(*) FROM lms_activities_rejected") == [(model.rejected.total(),)]


@pytest.mark.slow
@pytest.mark.timeout(300 * TORTURE)
@pytest.mark.parametrize("seed", range(PARTS))
def test_every_event_of_any_batch_is_accounted_for(loader: Loader, figures: TellFigures, seed: int) -> None:
    """Received is loaded, corrected, present or rejected, as the rules alone say, and the tables hold just that."""
    generator, dice, model = Generator(seed), random.Random(seed), Model()
    total = 0
    for number in range(BATCHES):
        day = FIRST + timedelta(days=dice.randrange(LIVED_IN))
        answer = generator.day(day)
        wanted = model.load(day, answer)
        assert loader.load(day, answer) == wanted, (seed, number)
        total += wanted.received
        if number % 10 == 9:
            check_tables(loader, model)
        if number % 100 == 99:
            loader.forget()
            model = Model()
    figures("conservation", batches=BATCHES, events=total)


@pytest.mark.slow
@pytest.mark.timeout(300 * TORTURE)
@pytest.mark.parametrize("seed", range(PARTS))
def test_any_day_loaded_again_and_again_is_as_loaded_once(loader: Loader, figures: TellFigures, seed: int) -> None:
    """One to three further runs of any day change no row, not even its version, and no figure."""
    generator, dice = Generator(1_000 + seed), random.Random(seed)
    again = 0
    for number in range(DAYS):
        day = FIRST + timedelta(days=number % 28)
        answer = generator.day(day, most=60)
        first = loader.load(day, answer)
        before, figures_before = loader.versions(), loader.statistics(day)
        for _ in range(dice.randint(1, 3)):
            counts = loader.load(day, answer)
            assert (counts.loaded, counts.updated) == (0, 0), (seed, number)
            assert (counts.received, counts.rejected, counts.defective) == (
                first.received,
                first.rejected,
                first.defective,
            )
            assert loader.versions() == before, (seed, number)
            assert loader.statistics(day) == figures_before
            again += 1
        if number % 28 == 27:
            loader.forget()
    figures("n runs are one run", days=DAYS, further_runs=again)

"""A loader as such scripts are often written: a row, a commit, a row, a commit. The kill suite has to catch it."""

from __future__ import annotations

import ast
import json
import os
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from urllib.request import urlopen

import psycopg2

from tests.support.ready_source import DAY

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(_arguments: Sequence[str]) -> int:
    """Load the day that the settings lead to."""
    window = {"start": f"{DAY} 00:00:00.000000", "end": f"{DAY} 23:59:59.999999"}
    with urlopen(f"{os.environ['API_URL']}?{urlencode(window)}") as answer:
        events = [event for event in json.load(answer) if len(event["lti_user_id"]) == 32]
    url = os.environ["DATABASE_URL"]
    with closing(psycopg2.connect(url, application_name="learning-events-etl")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO etl_runs (process_date, mode, status, complete, window_start, window_end, started_at) "
                "VALUES (%s, 'full', 'running', true, now(), now(), now()) RETURNING id",
                (DAY,),
            )
            (run_id,) = cursor.fetchone() or (0,)
            for event in events:
                passback = ast.literal_eval(event["passback_params"] or "{}")
                cursor.execute(
                    "INSERT INTO lms_activities (user_id, created_at, oauth_consumer_key, lis_result_sourcedid, "
                    "is_correct, attempt_type, run_id, loaded_at) "
                    "VALUES (%s, %s::timestamp AT TIME ZONE 'UTC', %s, %s, %s, %s, %s, now()) ON CONFLICT DO NOTHING",
                    (
                        event["lti_user_id"],
                        event["created_at"],
                        passback.get("oauth_consumer_key"),
                        passback.get("lis_result_sourcedid"),
                        None if event["is_correct"] is None else bool(event["is_correct"]),
                        event["attempt_type"],
                        run_id,
                    ),
                )
            count = len(events)
            cursor.execute(
                "UPDATE etl_runs SET status = 'ok', received = %s, loaded = %s, updated = 0, already_present = 0, "
                "rejected = 0, defective = 0, missing_at_source = 0 WHERE id = %s",
                (count, count, run_id),
            )
    return 0

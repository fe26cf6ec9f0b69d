"""The part of the events API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app_types import Secret

if TYPE_CHECKING:
    from settings.reader import Reader


@dataclass(frozen=True, kw_only=True)
class ApiSettings:
    """The events API. Times are seconds; `window_minutes` is the length of one request's window."""

    url: str
    client: str
    client_key: Secret
    timeout: float
    attempts: int
    deadline: float
    window_minutes: int
    concurrency: int
    user_id_length: int


def read_api(reader: Reader) -> ApiSettings:
    """Read where the events come from, and how they are asked for."""
    return ApiSettings(
        url=reader.url("API_URL"),
        client=reader.required("API_CLIENT"),
        client_key=Secret(reader.required("API_CLIENT_KEY")),
        timeout=reader.seconds("API_TIMEOUT", 3_600),
        attempts=reader.integer("API_ATTEMPTS", 1, 100),
        deadline=reader.seconds("API_DEADLINE", 86_400),
        window_minutes=reader.integer("API_WINDOW_MINUTES", 1, 1_500),
        concurrency=reader.integer("API_CONCURRENCY", 1, 32),
        user_id_length=reader.integer("LENGTH_OF_USER_ID_FIELD", 1, 255),
    )

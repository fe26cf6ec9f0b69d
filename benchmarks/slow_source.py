"""A slow source: how busy it is kept. The whole load is compared with a mere download by as many connections."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import requests

from app_types import Window
from benchmarks.events import START
from benchmarks.process import run_stage
from benchmarks.source import served
from source.windows import split

if TYPE_CHECKING:
    from benchmarks.server import BenchServer


@dataclass(frozen=True)
class Result:
    """Seconds for the same windows over the same number of connections."""

    events: int
    download: float
    load: float


def measure(server: BenchServer, events: int, *, latency: float, bandwidth: int, concurrency: int = 2) -> Result:
    """Download a day without looking at it, then load it."""
    with served(events, latency=latency, bandwidth=bandwidth) as url:
        download = _download(url, concurrency)
        server.empty()
        load = run_stage(server, url, concurrency=concurrency)["seconds"]
    server.empty()
    return Result(events, download, load)


def _download(url: str, concurrency: int) -> float:
    windows = split(Window(START, START + timedelta(days=1)), timedelta(hours=1))
    sessions = threading.local()

    def get(window: Window) -> int:
        if not hasattr(sessions, "one"):
            sessions.one = requests.Session()
        asked = {
            name: f"{moment:%Y-%m-%d %H:%M:%S.%f}" for name, moment in (("start", window.start), ("end", window.end))
        }
        return len(sessions.one.get(url, params=asked, timeout=60).content)

    started = time.perf_counter()
    with ThreadPoolExecutor(concurrency) as pool:
        sum(pool.map(get, windows))
    return time.perf_counter() - started

"""Headless Chromium, driven by its DevTools protocol through a pipe: what a page shows, asks for and complains about.

The pipe needs no port and no further library: messages are JSON, each ended by a NUL.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--no-default-browser-check",
    "--no-first-run",
    "--remote-debugging-pipe",
)
_PATIENCE: Final = 30.0

Scheme = Literal["light", "dark"]


class Chromium:
    """A running browser. One page at a time is open in it."""

    def __init__(self, executable: str, profile: Path) -> None:
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        # it reads from descriptor 3 and writes to 4; a shell puts them there
        command = 'exec "$0" "$@" 3<&"$TO_BROWSER" 4>&"$FROM_BROWSER"'
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", command, executable, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            env={**os.environ, "TO_BROWSER": str(theirs_in), "FROM_BROWSER": str(theirs_out)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = ours_in, ours_out
        self._rest = b""
        self._number = 0
        self.events: deque[dict[str, Any]] = deque()
        self.call("Browser.getVersion")

    def call(self, method: str, session: str | None = None, /, **parameters: Any) -> dict[str, Any]:
        """Ask for something and return the answer; what happens meanwhile joins `events`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        limit = time.monotonic() + _PATIENCE
        while True:
            answer = self._read(limit)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            self.events.append(answer)

    def wait(self, method: str) -> None:
        """Wait for something to happen."""
        limit = time.monotonic() + _PATIENCE
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._read(limit))

    def _read(self, limit: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(limit - time.monotonic(), 0))
            data = os.read(self._in, 1 << 16) if ready else b""
            assert data, "Chromium does not answer"
            self._rest += data
        message, self._rest = self._rest.split(b"\0", 1)
        return dict(json.loads(message))

    def close(self) -> None:
        """End it."""
        with suppress(AssertionError, OSError):
            self.call("Browser.close")
        for descriptor in (self._in, self._out):
            os.close(descriptor)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @contextmanager
    def page(self, file: Path, *, width: int = 1280, scheme: Scheme = "light") -> Iterator[Page]:
        """Open a file in a tab of its own, and wait until it is drawn.

        Args:
            file: the page.
            width: of the window, in the page's pixels; narrow ones are those of a phone.
            scheme: what the reader prefers.
        """
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.events.clear()
        try:
            page = Page(self, session)
            for domain in ("Page", "Network", "Runtime", "Log"):
                page.call(f"{domain}.enable")
            page.resize(width)
            page.prefer(scheme)
            page.call("Page.navigate", url=file.resolve().as_uri())
            self.wait("Page.loadEventFired")
            page.settle()
            yield page
        finally:
            self.call("Target.closeTarget", targetId=target)


class Page:
    """An open page."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self._session = session

    def call(self, method: str, /, **parameters: Any) -> dict[str, Any]:
        """Ask the tab for something by the DevTools protocol."""
        return self._browser.call(method, self._session, **parameters)

    def evaluate(self, script: str) -> Any:
        """Run a script in the page and return its value; the page's own policy does not hold for it."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        text = {"text": "\r", "windowsVirtualKeyCode": 13} if key == "Enter" else {}
        codes = {"ArrowRight": {"windowsVirtualKeyCode": 39}}.get(key, {})
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, **text, **codes)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, **codes)
        self.settle()

    def follow(self, script: str) -> None:
        """Run a script that leads to another page, and wait until that is drawn."""
        for event in [event for event in self._browser.events if event.get("method") == "Page.loadEventFired"]:
            self._browser.events.remove(event)
        self.evaluate(script)
        self._browser.wait("Page.loadEventFired")
        self.settle()

    def settle(self) -> None:
        """Wait until what was changed is drawn."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def resize(self, width: int) -> None:
        """Give the window another width."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )

    def prefer(self, scheme: Scheme, media: str = "") -> None:
        """Let the reader prefer light or dark, on the screen or on paper (`print`)."""
        self.call(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}]
        )

    @property
    def requests(self) -> list[str]:
        """The addresses that were asked for, the page's own among them."""
        return [event["params"]["request"]["url"] for event in self._happened("Network.requestWillBeSent")]

    @property
    def complaints(self) -> list[str]:
        """What the console shows: errors, warnings, whatever a script says, and violations of the policy."""
        self.settle()
        return [
            *(str(event["params"]["exceptionDetails"]) for event in self._happened("Runtime.exceptionThrown")),
            *(str(event["params"]["args"]) for event in self._happened("Runtime.consoleAPICalled")),
            *(str(event["params"]["entry"]["text"]) for event in self._happened("Log.entryAdded")),
            *(str(event["params"]["message"]) for event in self._happened("Page.javascriptDialogOpening")),
        ]

    def _happened(self, method: str) -> Iterator[dict[str, Any]]:
        mine = (event for event in self._browser.events if event.get("sessionId") == self._session)
        return (event for event in mine if event["method"] == method)

    def picture(self, file: Path) -> None:
        """Write a PNG of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def paper(self, file: Path) -> None:
        """Write a PDF of the page as it would be printed, in the size that the page asks for."""
        printed = self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=False)
        file.write_bytes(base64.b64decode(printed["data"]))


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Start Chromium for the worker's tests; without one they are left out, but never in CI."""
    executable = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if executable is None or sys.platform == "win32":
        reason = "there is no Chromium (chromium, google-chrome) on the PATH"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    profile = tmp_path_factory.mktemp("chromium")
    browser = Chromium(executable, profile)
    yield browser
    browser.close()
    shutil.rmtree(profile, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that uses Chromium, so that `-m "not browser"` leaves it out."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")

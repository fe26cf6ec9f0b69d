"""Everything the demo stands on, started and stopped together: nothing to configure, nothing leaves the machine."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from demo.events_api import EventsApi
from demo.smtp_sink import SmtpSink
from exceptions import ConfigError, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PASSED_THROUGH: Final = (
    "API_CONCURRENCY",
    "API_WINDOW_MINUTES",
    "CURR_LANG",
    "LOG_EVERY_INCOMING_LINE",
    "LOG_LEVEL",
    "MAX_NUM_LOGS_FILES",
    "RETENTION_LEDGER_DAYS",
    "RETENTION_QUARANTINE_DAYS",
    "RETENTION_REPORTS_DAYS",
    "TEST_APP_MODE",
    "TIMEZONE",
)
"""Settings that the user may choose for the demo, too. No other reaches it: no address, no account, no secret."""

SENDER: Final = "etl@example.org"
RECIPIENTS: Final = ("course-leads@example.org", "methodologists@example.org")


@dataclass(frozen=True)
class DemoEnvironment:
    """A running demo.

    Attributes:
        environ: the settings for `config.load_settings`, instead of the environment and `.env`.
        database_folder: where the embedded PostgreSQL of the demo lives.
        letters_folder: where letters are written.
    """

    environ: dict[str, str] = field(repr=False)
    database_folder: Path
    letters_folder: Path
    _api: EventsApi = field(repr=False)
    _sink: SmtpSink = field(repr=False)

    @property
    def letters(self) -> tuple[Path, ...]:
        """The letters that were sent in this run."""
        return self._sink.letters

    def forget_fetch(self) -> None:
        """Tell the source that this run loaded nothing, so that the correction still waits for the second load.

        An exception that leaves the block does the same.
        """
        self._api.forget_fetch()


@contextmanager
def demo_environment(state: Path, environ: Mapping[str, str]) -> Iterator[DemoEnvironment]:
    """Start the stand-ins and yield what the pipeline needs to know of them; stop them at the end, however it comes.

    Args:
        state: the folder of the demo's state, kept between runs; made when it is missing.
        environ: the user's settings, of which only `PASSED_THROUGH` are heeded.

    Raises:
        ConfigError: the folder cannot be used, or this machine lets nobody listen on loopback.
    """
    state = state.absolute()
    letters = state / "letters"
    with ExitStack() as running:
        try:
            _make_private(state)
            _make_private(letters)
            api = running.enter_context(EventsApi(state))
            sink = running.enter_context(SmtpSink(letters))
        except OSError as error:
            raise ConfigError(
                [
                    Fault(
                        "The demo cannot start in the folder %(folder)s: %(cause)s.",
                        {"folder": str(state), "cause": error.strerror or type(error).__name__},
                    )
                ]
            ) from None
        settings = {name: environ[name] for name in PASSED_THROUGH if name in environ}
        settings |= {
            "API_URL": api.url,
            "API_CLIENT": api.client,
            "API_CLIENT_KEY": api.client_key,
            "LOGS_PATH": str(state / "logs"),
            "REPORTS_PATH": str(state / "reports"),
            "SMTP_SERVER": "127.0.0.1",
            "SMTP_PORT": str(sink.port),
            "SMTP_SECURITY": "none",
            "SENDER_EMAIL": SENDER,
            "EMAIL_ADDRESSES_FOR_MAILING": ", ".join(RECIPIENTS),
        }
        yield DemoEnvironment(settings, state / "postgres", letters, api, sink)


def _make_private(folder: Path) -> None:
    """Make a folder that is nobody else's business, or take that right from an existing one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)

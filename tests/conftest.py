"""Fixtures that every test may ask for; each kind of real part has its own module in `tests/support`."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs behind it (`make test &`) deaf to Ctrl-C, and so would be every program under test.
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.support.postgres",
    "tests.support.tls_postgres",
    "tests.support.smtp",
    "tests.support.google",
    "tests.support.events_api",
    "tests.support.program",
    "tests.support.loading",
    "tests.support.browser",
    "tests.support.receiver",
    "tests.support.fork_server",
    "tests.support.endurance",
    "tests.support.figures",
]

"""`runs`: the ledger of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from console import summary
from exceptions import DatabaseError
from warehouse import ledger
from warehouse.migrations import applied_versions

if TYPE_CHECKING:
    from console.terminal import Terminal
    from messages import Messages
    from warehouse.connection import Server

_SHOWN_RUNS: Final = 30


def run(server: Server, terminal: Terminal, messages: Messages, *, as_json: bool) -> int:
    """Show the last runs; 1 where the database cannot be reached."""
    try:
        with server.connected() as database:
            rows = ledger.recent_runs(database, _SHOWN_RUNS) if applied_versions(database) else []
    except DatabaseError as error:
        terminal.problem(messages.error(error))
        return 1
    if as_json:
        for row in rows:
            terminal.machine(summary.runs_json_line(row, messages))
    elif rows:
        summary.show_runs(terminal, rows, messages)
    else:
        terminal.line(messages.text("There were no runs yet."))
    return 0

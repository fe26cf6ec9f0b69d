"""Ctrl-C and the system's request to end: they break off whatever the main thread does, imports excepted."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

from pipeline.job import Terminated, break_offs

if TYPE_CHECKING:
    from types import FrameType

_IMPORTING: Final = "<frozen importlib"
_LATER: Final = 0.02


def listen() -> None:
    """Let SIGINT raise `KeyboardInterrupt` and SIGTERM raise `Terminated`; a SIGINT that is ignored stays so."""
    signal.signal(signal.SIGTERM, _break_off)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _break_off)
    sys.unraisablehook = _not_lost


def stop_listening() -> None:
    """Take no notice any more: all is done and told, nothing is left to break off."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _break_off(number: int, frame: FrameType | None) -> None:
    """Raise, unless the signal came in the middle of an import: then it comes again a moment later.

    Within the import machinery an exception can be lost, or leave the import lock held, at which every other thread
    that imports would wait for ever.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORTING):
            _thread.start_new_thread(_send_again, (number,))
            return
        frame = frame.f_back
    error = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
    break_offs.append(error)
    raise error


def _not_lost(lost: sys.UnraisableHookArgs) -> None:
    """Send a signal again whose exception went under in a finalizer or a callback, where Python drops them all."""
    number = {KeyboardInterrupt: signal.SIGINT, Terminated: signal.SIGTERM}.get(lost.exc_type)
    if number is None:
        sys.__unraisablehook__(lost)
    else:
        _thread.start_new_thread(_send_again, (number,))


def _send_again(number: int) -> None:
    time.sleep(_LATER)
    if sys.platform == "win32":
        signal.raise_signal(number)
    else:
        signal.pthread_kill(threading.main_thread().ident or 0, number)  # wakes it, wherever it waits by now

"""One conversation with a mail server: connected, encrypted with a verified certificate, logged in, under one clock.

Everything that goes wrong leaves as a `Failure`, which holds what people are told and whether another attempt
could help. The error it holds was never raised here, so no traceback leads from it to a password.
"""

from __future__ import annotations

import base64
import logging
import re
import smtplib
import socket
import ssl
import threading
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from config import MailSecurity, is_loopback
from exceptions import MailError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config import MailSettings

log = logging.getLogger(__name__)

_STEP = 20.0
"""Seconds that one step may take; only the answer to the letter itself may take all the time that is left."""

_NOT_THIS_WAY = frozenset({502, 504, 534})
"""Replies to AUTH that turn the mechanism down, not the password."""

_PARTING = 3.0
_CHUNK = 16 * 1024
_LONGEST_LINE = 8 * 1024
_MOST_FROM_SERVER = 1024 * 1024
_SHOWN = 200
_ENHANCED_CODE = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}\b")


class Failure(Exception):  # noqa: N818  (the error is what it holds)
    """The end of one attempt. `error` is what people are told; `passing` tells that another attempt may succeed."""

    def __init__(self, error: MailError, *, passing: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.passing = passing


class Clock:
    """The time that is left of a deadline; it runs on through all attempts."""

    def __init__(self, deadline: float) -> None:
        self._end = time.monotonic() + deadline

    @property
    def left(self) -> float:
        """Seconds until the deadline, never less than none."""
        return max(self._end - time.monotonic(), 0.0)

    def step(self, most: float = _STEP) -> float:
        """Return the seconds that the next step may take.

        Raises:
            TimeoutError: none are left.
        """
        if not (left := self.left):
            raise TimeoutError
        return min(left, most)

    def pause(self, seconds: float) -> bool:
        """Wait before the next attempt; False, at once, where no time would be left for it."""
        if seconds >= self.left:
            return False
        time.sleep(seconds)
        return True


class Client(smtplib.SMTP):
    """The library's client on a connection of our own, with every step under one clock."""

    def __init__(self, connection: socket.socket, clock: Clock) -> None:
        # The library would look our own name up in the DNS, without a time-out; an address literal needs no look-up.
        host = connection.getsockname()[0]
        super().__init__(local_hostname=f"[IPv6:{host}]" if ":" in host else f"[{host}]")
        self._clock = clock
        self.adopt(connection)

    def adopt(self, connection: socket.socket) -> None:
        """Go on over this connection and forget all that was said before it."""
        self.sock = connection
        self.helo_resp = self.ehlo_resp = None
        self.esmtp_features = {}
        self.does_esmtp = False
        self.wait_at_most(_STEP)

    def wait_at_most(self, seconds: float) -> None:
        """Set how long each line of the next replies may take.

        Raises:
            TimeoutError: the clock has run out.
        """
        if self.sock is not None:
            self.file = _Replies(self.sock, self._clock, self._clock.step(seconds))

    def wait_for_verdict(self) -> None:
        """Let the next reply take all the time that is left: servers read a letter before they accept it."""
        self.wait_at_most(self._clock.left)

    def send(self, s: Any) -> None:
        """Send in pieces, so that a server that stops reading cannot outlast the clock."""
        data = s.encode("ascii") if isinstance(s, str) else bytes(s)
        for start in range(0, len(data), _CHUNK):
            if self.sock is not None:
                self.sock.settimeout(self._clock.step())
            super().send(data[start : start + _CHUNK])


class _Replies:
    """What the server says, line by line; a whole line must come in time.

    A file made of the socket would start its time-out anew with every byte that drips in.
    """

    def __init__(self, connection: socket.socket, clock: Clock, patience: float) -> None:
        self._connection = connection
        self._clock = clock
        self._patience = patience
        self._buffer = b""
        self._budget = _MOST_FROM_SERVER

    def readline(self, _limit: int = -1) -> bytes:
        """Return a line; nothing where the server hung up or talks without end."""
        line_end = time.monotonic() + self._patience
        while b"\n" not in self._buffer:
            if (left := line_end - time.monotonic()) <= 0:
                raise TimeoutError
            self._connection.settimeout(self._clock.step(left))
            piece = self._connection.recv(4096)
            self._buffer += piece
            self._budget -= len(piece)
            if not piece or self._budget < 0 or len(self._buffer) > _LONGEST_LINE:
                return b""
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"

    def close(self) -> None:
        """Do nothing: the connection is closed by its owner."""


@contextmanager
def session(settings: MailSettings, clock: Clock) -> Iterator[Client]:
    """Give a conversation that is ready for a letter, and end it politely.

    Raises:
        Failure: at any step, also for what goes wrong in the block itself.
    """
    if settings.security is MailSecurity.NONE and not is_loopback(settings.server):
        raise Failure(
            MailError(
                "SMTP_SECURITY=none is for a mail server on this machine, and %(server)s is not on it.",
                remedy="Set SMTP_SECURITY to ssl or starttls.",
                server=server_name(settings),
            )
        )
    with _network_told(settings), _protocol_told(settings), closing(_open(settings, clock)) as client:
        try:
            _greet(client, settings)
            if settings.security is MailSecurity.STARTTLS:
                _start_tls(client, settings, clock)
            if settings.user:
                _log_in(client, settings)
            log.info("mail server ready: %s (%s)", server_name(settings), settings.security.value)
            yield client
        except Failure:
            _take_leave(client)
            raise
        _take_leave(client)


def fail_step(settings: MailSettings, step: str, code: int, text: bytes) -> NoReturn:
    """Raise what a wrong answer to a step of the conversation means."""
    if code < 0:
        raise Failure(_not_understood(settings))
    fail(
        settings,
        (step, code, text),
        MailError(
            "The mail server %(server)s turned us away (%(step)s, code %(code)s).",
            remedy="The log holds the server's answer; whoever runs the server can tell the reason.",
            server=server_name(settings),
            step=step,
            code=shown_code(code, text),
        ),
    )


def fail(settings: MailSettings, reply: tuple[str, int, bytes], error: MailError) -> NoReturn:
    """Raise an error for a reply (to which step, code, text); whether it may pass, the code says."""
    note(settings, *reply)
    raise Failure(error, passing=400 <= reply[1] < 500)


def note(settings: MailSettings, step: str, code: int, text: bytes) -> None:
    """Log what the server said: errors for people hold its code alone."""
    answer = text.decode("utf-8", "replace")
    for hidden in _spellings(settings):
        answer = answer.replace(hidden, "***")
    log.warning("mail server answered %s with %d: %s", step, code, _printable(answer))


def shown_code(code: int, text: bytes) -> str:
    """Return the reply's code, with the enhanced one where the server gives it ("535 5.7.8")."""
    enhanced = _ENHANCED_CODE.match(text)
    return f"{code} {enhanced[0].decode()}" if enhanced else str(code)


def server_name(settings: MailSettings) -> str:
    """Return the server as errors and logs name it."""
    return f"{settings.server}:{settings.port}"


def _open(settings: MailSettings, clock: Clock) -> Client:
    connection = _connected(settings, clock)
    try:
        if settings.security is MailSecurity.SSL:
            connection = _encrypted(connection, settings, clock)
        return Client(connection, clock)
    except BaseException:
        connection.close()
        raise


def _connected(settings: MailSettings, clock: Clock) -> socket.socket:
    """Connect to the first of the server's addresses that answers."""
    failure = OSError()
    for family, kind, protocol, _, address in _looked_up(settings, clock):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(clock.step())
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _looked_up(settings: MailSettings, clock: Clock) -> list[tuple[Any, ...]]:
    """Look the server's addresses up, in a thread: the system's look-up knows no time-out."""
    found: list[list[tuple[Any, ...]] | Exception] = []

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(settings.server, settings.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)

    thread = threading.Thread(target=look_up, name="mail-look-up", daemon=True)
    thread.start()
    thread.join(clock.step())
    if not found:
        raise TimeoutError
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _encrypted(connection: socket.socket, settings: MailSettings, clock: Clock) -> ssl.SSLSocket:
    """Encrypt a connection to a server that proves to be the one we mean."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca_file:
        try:
            context.load_verify_locations(cafile=settings.ca_file)
        except OSError:
            raise Failure(
                MailError("%(name)s: %(file)s holds no certificates.", name="SMTP_CA_FILE", file=str(settings.ca_file))
            ) from None
    connection.settimeout(clock.step())
    return context.wrap_socket(connection, server_hostname=settings.server)


def _greet(client: Client, settings: MailSettings) -> None:
    code, text = client.getreply()
    if code != 220:
        fail_step(settings, "greeting", code, text)
    _introduce(client, settings)


def _introduce(client: Client, settings: MailSettings) -> None:
    code, text = client.ehlo()
    if 500 <= code < 600:
        code, text = client.helo()
    if code != 250:
        fail_step(settings, "EHLO", code, text)


def _start_tls(client: Client, settings: MailSettings, clock: Clock) -> None:
    if not client.has_extn("starttls"):
        raise Failure(
            MailError(
                "The mail server %(server)s offers no encryption (STARTTLS); nothing was sent to it.",
                remedy="If the server has a port for encrypted connections, use that with SMTP_SECURITY=ssl. If it "
                "should offer STARTTLS, something on the way removes the offer.",
                server=server_name(settings),
            )
        )
    code, text = client.docmd("STARTTLS")
    if code != 220 or client.sock is None:
        fail_step(settings, "STARTTLS", code, text)
    # What came before the encryption may come from somebody else: the client keeps nothing of it.
    client.adopt(_encrypted(client.sock, settings, clock))
    _introduce(client, settings)


def _log_in(client: Client, settings: MailSettings) -> None:
    try:
        code, text = _authenticated(client, settings)
    except smtplib.SMTPServerDisconnected as error:
        # Not tried again: a server that hangs up on a wrong password counts the attempts.
        raise Failure(_silent(settings) if _is_late(error) else _broken_off(settings)) from None
    except (smtplib.SMTPException, ValueError):
        raise Failure(
            MailError(
                "The mail server %(server)s offers no way to log in that is known here.",
                remedy="Check SMTP_PORT and SMTP_SECURITY; where the server wants no login, leave SMTP_USER empty.",
                server=server_name(settings),
            )
        ) from None
    if code not in {235, 503}:
        fail(
            settings,
            ("AUTH", code, text),
            MailError(
                "The mail server %(server)s refused the login (code %(code)s).",
                remedy="Check SMTP_USER and SMTP_PASSWORD; many providers want a password made for applications.",
                server=server_name(settings),
                code=shown_code(code, text),
            ),
        )


def _authenticated(client: Client, settings: MailSettings) -> tuple[int, bytes]:
    """Log in and return the server's last reply.

    The library's own `login` would offer a wrong password once per mechanism; here a refusal is final, and only a
    server that does not know a mechanism it offers is asked by another.
    """
    user, password = settings.user, settings.password.reveal()
    if not (user + password).isascii():
        # The library encodes names and passwords as ASCII; RFC 4954 lets PLAIN carry UTF-8.
        return client.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode())
    client.user, client.password = user, password
    offered = client.esmtp_features.get("auth", "").upper().split()
    known: dict[str, Any] = {"PLAIN": client.auth_plain, "LOGIN": client.auth_login, "CRAM-MD5": client.auth_cram_md5}
    reply: tuple[int, bytes] | None = None
    for mechanism in (name for name in known if name in offered):
        try:
            return client.auth(mechanism, known[mechanism])
        except smtplib.SMTPAuthenticationError as error:
            text = error.smtp_error
            reply = error.smtp_code, text if isinstance(text, bytes) else text.encode()
        if reply[0] not in _NOT_THIS_WAY:
            break
    if reply is None:
        raise smtplib.SMTPNotSupportedError
    return reply


def _take_leave(client: Client) -> None:
    """Say goodbye; whatever the server answers, all that matters is settled."""
    with suppress(OSError, smtplib.SMTPException):
        if client.sock is not None:
            client.wait_at_most(_PARTING)
            client.quit()


@contextmanager
def _protocol_told(settings: MailSettings) -> Iterator[None]:
    """Turn what the library raises into failures, with nothing of the server's own words."""
    try:
        yield
    except smtplib.SMTPServerDisconnected as error:
        raise Failure(_silent(settings) if _is_late(error) else _broken_off(settings), passing=True) from None
    except smtplib.SMTPException:
        raise Failure(_not_understood(settings)) from None


@contextmanager
def _network_told(settings: MailSettings) -> Iterator[None]:
    """Turn what the network raises into failures."""
    try:
        yield
    except ssl.SSLError as error:
        raise _tls_failure(settings, error) from None
    except (socket.gaierror, UnicodeError) as error:
        raise Failure(
            MailError(
                "The address of the mail server %(server)s was not found.",
                remedy="Check SMTP_SERVER and the network.",
                server=server_name(settings),
            ),
            passing=isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN,
        ) from None
    except TimeoutError:
        raise Failure(_silent(settings), passing=True) from None
    except ConnectionRefusedError:
        raise Failure(
            MailError(
                "The mail server %(server)s accepts no connection.",
                remedy="Check SMTP_SERVER and SMTP_PORT, and that the server is running.",
                server=server_name(settings),
            ),
            passing=True,
        ) from None
    except ConnectionError:
        raise Failure(_broken_off(settings), passing=True) from None
    except OSError as error:
        raise Failure(
            MailError(
                "The mail server %(server)s cannot be reached: %(cause)s.",
                remedy="Check SMTP_SERVER and the network.",
                server=server_name(settings),
                cause=error.strerror or type(error).__name__,
            ),
            passing=True,
        ) from None


def _tls_failure(settings: MailSettings, error: ssl.SSLError) -> Failure:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Failure(
            MailError(
                "The certificate of the mail server %(server)s is not trusted: %(cause)s.",
                remedy="Check SMTP_SERVER. If a private authority issued the certificate, name the file with the "
                "authority's own certificate in SMTP_CA_FILE.",
                server=server_name(settings),
                cause=_printable(error.verify_message).rstrip("."),
            )
        )
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Failure(_broken_off(settings), passing=True)
    return Failure(
        MailError(
            "No encrypted connection to the mail server %(server)s could be made.",
            remedy="Check SMTP_SECURITY and SMTP_PORT: ssl usually belongs to port 465, starttls to port 587. The "
            "server must know TLS 1.2 or newer.",
            server=server_name(settings),
        )
    )


def _silent(settings: MailSettings) -> MailError:
    return MailError(
        "The mail server %(server)s did not answer in time.",
        remedy="Check SMTP_SERVER, SMTP_PORT and SMTP_SECURITY, and whether a firewall is in between.",
        server=server_name(settings),
    )


def _broken_off(settings: MailSettings) -> MailError:
    return MailError(
        "The mail server %(server)s broke off the connection.",
        remedy="Try again later; if it happens again, check SMTP_PORT and SMTP_SECURITY.",
        server=server_name(settings),
    )


def _not_understood(settings: MailSettings) -> MailError:
    return MailError(
        "The mail server %(server)s gave an answer that cannot be understood.",
        remedy="Check SMTP_SERVER and SMTP_PORT: is it really a mail server?",
        server=server_name(settings),
    )


def _is_late(error: smtplib.SMTPServerDisconnected) -> bool:
    """Tell whether the library closed the connection because time ran out."""
    return isinstance(error.__context__, TimeoutError)


def _spellings(settings: MailSettings) -> list[str]:
    """Return the forms in which a server could say our password back to us."""
    password = settings.password.reveal()
    if not password:
        return []
    encoded = [f"\0{settings.user}\0{password}", password]
    return [password, *(base64.b64encode(text.encode()).decode() for text in encoded)]


def _printable(text: str) -> str:
    """Return a text from outside as one short line that can do no harm in a terminal or a log."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"

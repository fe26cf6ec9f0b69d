"""A real mail server on loopback: plain, STARTTLS or TLS, with logins, scripted faults and a memory.

`smtp_server(...)` starts one. A script names the step and what the server does there, one entry a time the step is
reached, then it behaves: `script={"rcpt b@example.org": ["450 later"], "letter": [DROP]}`. Steps are `greeting`,
`ehlo`, `starttls`, `auth`, `mail`, `rcpt ADDRESS`, `data` (the command), `letter` (after its last line), `noop` and
`quit`. What it does is a reply, `DROP` (hangs up), `HANG` (never answers) or `TRICKLE` (a byte now and then, never a
line); `itertools.repeat(...)` does it each time.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any, Literal

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from app_types import Secret
from config import MailSecurity, MailSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from email.message import EmailMessage
    from pathlib import Path

    from aiosmtpd.smtp import Envelope, Session

DROP = "DROP"
HANG = "HANG"
TRICKLE = "TRICKLE"

SmtpSecurity = Literal["none", "starttls", "ssl"]


@dataclass(frozen=True)
class ReceivedLetter:
    """A letter that the server accepted: its envelope and its bytes."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        """The letter, parsed."""
        return message_from_bytes(self.content, policy=policy.default)


@dataclass
class SmtpServer:
    """A running server: where it is, and what it saw.

    `commands` are the lines it was sent, without letters; `encrypted` are those that came through TLS.
    """

    security: SmtpSecurity
    port: int
    ca_file: Path
    user: str
    password: str
    script: dict[str, Iterator[str]]
    drip: float
    extra_ehlo: tuple[str, ...]
    connections: int = 0
    messages: list[ReceivedLetter] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    encrypted: list[str] = field(default_factory=list)

    @property
    def verbs(self) -> list[str]:
        """The first words of the commands."""
        return [command.split(" ")[0].upper() for command in self.commands]

    @property
    def environ(self) -> dict[str, str]:
        """What tells the program of this server, without sender and recipients."""
        environ = {"SMTP_SERVER": "localhost", "SMTP_SECURITY": self.security, "SMTP_PORT": str(self.port)}
        if self.security != "none":
            environ["SMTP_CA_FILE"] = str(self.ca_file)
        if self.user:
            environ |= {"SMTP_USER": self.user, "SMTP_PASSWORD": self.password}
        return environ

    def settings(self, **changes: Any) -> MailSettings:
        """Return settings that reach this server, with changes."""
        values: dict[str, Any] = {
            "server": "localhost",
            "port": self.port,
            "security": MailSecurity(self.security),
            "user": self.user,
            "password": Secret(self.password),
            "ca_file": self.ca_file if self.security != "none" else None,
            "sender": "etl@example.org",
            "recipients": ("a@example.org", "b@example.org"),
        }
        return MailSettings(**(values | changes))

    def next_action(self, step: str) -> str | None:
        """Return what the script wants at a step now, if anything."""
        return next(self.script.get(step.lower(), iter(())), None)


class _ScriptedSmtp(SMTP):
    """aiosmtpd's protocol, with the script before each step."""

    def __init__(self, server: SmtpServer, transports: list[asyncio.BaseTransport], **options: Any) -> None:
        self._server = server
        self._transports = transports
        super().__init__(
            _Inbox(server),
            hostname="mail.test",
            ident="ready",
            authenticator=self._check_login,
            **options,
        )
        # Not by `auth_required`: that warns where the TLS is not aiosmtpd's own, and warnings are errors here.
        self._auth_required = bool(server.user)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection, so that the end of the test can hang up."""
        self._transports.append(transport)
        super().connection_made(transport)

    def _check_login(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: object
    ) -> AuthResult:
        known = LoginPassword(self._server.user.encode(), self._server.password.encode())
        return AuthResult(success=data == known, handled=False)

    async def push(self, status: str | bytes) -> None:
        """Send a reply, one byte at a time if so asked; the greeting may be another by script."""
        text = status.decode() if isinstance(status, bytes) else status
        if text.startswith("220 mail.test") and self.session is not None and not self.session.ssl:
            self._server.connections += 1
            action = self._server.next_action("greeting")
            text = await self._obeyed(action) if action else text
        if not self._server.drip:
            await super().push(text)
            return
        for byte in f"{text}\r\n".encode():
            self._writer.write(bytes([byte]))
            await self._writer.drain()
            await asyncio.sleep(self._server.drip)

    async def _obeyed(self, action: str) -> str:
        """Do what is no reply; return what is one."""
        while action == TRICKLE:
            self._writer.write(b"2")
            await asyncio.sleep(0.1)
        if action == HANG:
            await asyncio.Event().wait()
        if action == DROP:
            self._writer.transport.abort()
            await asyncio.Event().wait()
        return action

    async def _scripted(self, verb: str, argument: str | None, step: str | None = None) -> bool:
        """Note a command; answer it by script if the script says so."""
        line = f"{verb} {argument}" if argument else verb
        self._server.commands.append(line)
        if self._server.security == "ssl" or (self.session is not None and self.session.ssl):
            self._server.encrypted.append(line)
        action = self._server.next_action(step or verb)
        if action is None:
            return False
        await self.push(await self._obeyed(action))
        return True

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802
        if not await self._scripted("EHLO", hostname):
            await super().smtp_EHLO(hostname)

    async def smtp_HELO(self, hostname: str) -> None:  # noqa: N802
        if not await self._scripted("HELO", hostname):
            await super().smtp_HELO(hostname)

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802
        if not await self._scripted("STARTTLS", arg):
            await super().smtp_STARTTLS(arg)

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802
        if not await self._scripted("AUTH", arg):
            await super().smtp_AUTH(arg)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        if not await self._scripted("MAIL", arg):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        address = (arg or "").partition("<")[2].partition(">")[0]
        if not await self._scripted("RCPT", arg, f"rcpt {address}"):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if not await self._scripted("DATA", arg):
            await super().smtp_DATA(arg)

    async def smtp_NOOP(self, arg: str) -> None:  # noqa: N802
        if not await self._scripted("NOOP", arg):
            await super().smtp_NOOP(arg)

    async def smtp_QUIT(self, arg: str) -> None:  # noqa: N802
        if not await self._scripted("QUIT", arg):
            await super().smtp_QUIT(arg)

    async def answer_letter(self) -> str:
        """Return the reply to a whole letter."""
        action = self._server.next_action("letter")
        return await self._obeyed(action) if action else "250 2.0.0 accepted"


class _Inbox:
    """Keeps the letters, and adds to what EHLO offers."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server

    async def handle_EHLO(  # noqa: N802
        self, _smtp: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [responses[0], *(f"250-{offer}" for offer in self._server.extra_ehlo), *responses[1:]]

    async def handle_DATA(self, smtp: _ScriptedSmtp, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.original_content
        assert isinstance(content, bytes)
        letter = ReceivedLetter(str(envelope.mail_from), tuple(map(str, envelope.rcpt_tos)), content)
        reply = await smtp.answer_letter()
        if reply.startswith("2"):
            self._server.messages.append(letter)
        return reply


class _Loop:
    """An event loop in a thread, which serves until it is stopped."""

    def __init__(self, server: SmtpServer, listener: socket.socket, tls: ssl.SSLContext | None, **options: Any) -> None:
        self._transports: list[asyncio.BaseTransport] = []
        self._loop = asyncio.new_event_loop()
        # Scripted faults make aiosmtpd stumble; what it says of that is no news.
        self._loop.set_exception_handler(lambda _loop, _context: None)
        self._server = self._loop.run_until_complete(
            self._loop.create_server(
                lambda: _ScriptedSmtp(server, self._transports, loop=self._loop, **options), sock=listener, ssl=tls
            )
        )
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp-server", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Hang up on everybody and end the thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for transport in self._transports:
            # Where a TLS connection is closed already, Python 3.11 stumbles over that.
            with suppress(AttributeError):
                if isinstance(transport, asyncio.WriteTransport):
                    transport.abort()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # the loop closes the connections in its next turns


@pytest.fixture(scope="session")
def smtp_authority() -> trustme.CA:
    """Give the authority that issues the certificates of our mail servers."""
    return trustme.CA()


@pytest.fixture
def smtp_server(tmp_path_factory: pytest.TempPathFactory, smtp_authority: trustme.CA) -> Iterator[Callable[..., Any]]:
    """Give a function that starts a mail server; all of them end with the test."""
    running: list[_Loop] = []

    def start(
        security: SmtpSecurity = "none",
        *,
        user: str = "",
        password: str = "",
        script: Mapping[str, Iterable[str]] | None = None,
        drip: float = 0.0,
        host: str = "localhost",
        starttls_stripped: bool = False,
        authority: trustme.CA | None = None,
        tls_version: ssl.TLSVersion | None = None,
        size_limit: int = 10_000_000,
        extra_ehlo: tuple[str, ...] = (),
    ) -> SmtpServer:
        """Start a server.

        Args:
            security: how it wants to be talked to.
            user: the only one who may log in; with one, nobody is served without a login.
            password: that user's.
            script: see the module.
            drip: seconds between the bytes of its replies.
            host: whom its certificate is for.
            starttls_stripped: keep the offer of STARTTLS out of the answer to EHLO.
            authority: who issued its certificate; the trusted one if not given.
            tls_version: the newest version of TLS that it knows.
            size_limit: the longest letter that it takes.
            extra_ehlo: further offers in its answer to EHLO.
        """
        folder = tmp_path_factory.mktemp("smtp")
        ca_file = folder / "ca.pem"
        smtp_authority.cert_pem.write_to_path(str(ca_file))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        (authority or smtp_authority).issue_cert(host).configure_cert(context)
        if tls_version is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # an old version is the point
                context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
                context.maximum_version = tls_version
            context.set_ciphers("ALL:@SECLEVEL=0")
        listener = socket.create_server(("127.0.0.1", 0))
        server = SmtpServer(
            security=security,
            port=listener.getsockname()[1],
            ca_file=ca_file,
            user=user,
            password=password,
            script={step.lower(): iter(actions) for step, actions in (script or {}).items()},
            drip=drip,
            extra_ehlo=extra_ehlo,
        )
        options: dict[str, Any] = {
            "data_size_limit": size_limit,
            "auth_require_tls": security == "starttls" or not user,
        }
        if security == "starttls" and not starttls_stripped:
            options["tls_context"] = context
        running.append(_Loop(server, listener, context if security == "ssl" else None, **options))
        return server

    yield start
    for loop in running:
        loop.stop()

"""The errors that people are told about.

    EtlError
    ├── UsageError            wrong command line                         exit 2
    ├── ConfigError           wrong settings, all faults at once         exit 2
    ├── SourceError           the events API                             exit 1
    │   └── TransientSourceError    worth another try
    ├── DatabaseError         PostgreSQL                                 exit 1
    │   ├── TransientDatabaseError  worth another try
    │   ├── DayLockedError    another run holds the day
    │   └── LoadRefusedError  the load would lose or miscount events
    ├── ReportError           the local report                           exit 3
    ├── SheetError            the Google Sheet                           exit 3
    └── MailError             the letter                                 exit 3

An error carries a constant English template with named fields and, where there is one, a remedy of the same form;
`messages.Messages.error` words it in either language. `str()` of an error is its English text. No field ever
holds a secret, nor text that came from outside unless it was cut and escaped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class EtlError(Exception):
    """An expected failure, told to people in one line.

    Args:
        template: an English sentence with `%(name)s` fields; the key of its translation.
        remedy: what to do now, likewise a template over the same fields.
        fields: the facts; dates and numbers stay typed and are localised when the text is made.
    """

    def __init__(self, template: str, *, remedy: str | None = None, **fields: object) -> None:
        self.template = template
        self.remedy = remedy
        self.fields = fields
        super().__init__(template)

    def __str__(self) -> str:
        text = self.template % self.fields
        return f"{text} {self.remedy % self.fields}" if self.remedy else text


class UsageError(EtlError):
    """The command line asks for something that cannot be."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with the settings: a template with fields, worded like an error."""

    template: str
    fields: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.template % self.fields


class ConfigError(EtlError):
    """The settings cannot be used; holds every fault found, not only the first."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("The settings are not usable.")

    def __str__(self) -> str:
        return " ".join([self.template, *map(str, self.faults)])


class SourceError(EtlError):
    """The events API did not give what was asked for; asking again would not help."""


class TransientSourceError(SourceError):
    """The events API failed in a way that may pass.

    Args:
        retry_after: seconds that the source asked to wait, if it did.
    """

    def __init__(
        self, template: str, *, remedy: str | None = None, retry_after: float | None = None, **fields: object
    ) -> None:
        super().__init__(template, remedy=remedy, **fields)
        self.retry_after = retry_after


class DatabaseError(EtlError):
    """PostgreSQL refused or failed; nothing of the day was loaded unless the text says otherwise."""


class TransientDatabaseError(DatabaseError):
    """PostgreSQL failed in a way that may pass: the whole transaction can be tried again."""


class DayLockedError(DatabaseError):
    """Another run of the same day is still at work."""


class LoadRefusedError(DatabaseError):
    """The load was rolled back because it would have lost or miscounted events."""


class ReportError(EtlError):
    """The local report could not be written."""


class SheetError(EtlError):
    """The Google Sheet could not be updated; its old content is whole."""


class MailError(EtlError):
    """The letter did not reach everyone it was meant for."""

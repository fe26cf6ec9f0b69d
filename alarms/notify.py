"""Messages through Apprise: an errand for each address.

`Apprise.notify` is left aside for the services' own `notify`: it works in thread pools that Python waits for at exit,
so that a service that hangs would keep the program from ending.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alarms.errands import Errand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alarms.notice import Notice
    from app_types import Secret


def send(addresses: Sequence[Secret], notice: Notice) -> list[Errand]:
    """Begin to send a message to every address; none of the errands' words hold one."""
    return [
        Errand(f"NOTIFY_URLS {number}", lambda address=address: _send(address, notice))  # type: ignore[misc]
        for number, address in enumerate(addresses, start=1)
    ]


def _send(address: Secret, notice: Notice) -> str | None:
    from config import notify_service

    service = notify_service(address.reveal())
    if service is None:
        return "unusable"
    from apprise import NotifyFormat, NotifyType

    kind = NotifyType.FAILURE if notice.is_failure else NotifyType.WARNING
    sent = service.notify(body=notice.body, title=notice.title, notify_type=kind, body_format=NotifyFormat.TEXT)
    return None if sent else "refused"

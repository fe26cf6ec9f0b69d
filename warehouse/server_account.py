"""Whom the embedded PostgreSQL runs as: it refuses to be root, so somebody else must be found where we are root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exceptions import DatabaseError

if sys.platform != "win32":
    import pwd

_SYSTEM_USER: Final = "etl-postgres"


@dataclass(frozen=True, slots=True)
class Account:
    """Whom to run a program as: by a command before its own, as a user and group, or (nothing given) as the caller."""

    prefix: tuple[str, ...] = ()
    user: int | None = None
    group: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What `subprocess` needs for it."""
        if self.user is None:
            return {}
        return {"user": self.user, "group": self.group, "extra_groups": []}


def choose_account(folder: Path, postgres: str) -> Account:
    """Return whom PostgreSQL runs as; a system user, the last resort, is given the folder.

    The caller, unless that is root; pg_ctl itself gives up the rights of an administrator of Windows. For root, the
    owner of the folder. Where that is root itself:

    1. Root in a user namespace that calls it by another number. No account, no `chown`, no open path to the folder
       or to the binaries is needed (both may lie in `/root`), and nothing is left behind. The server keeps root's
       rights to root's files, but only root can talk to it, and does so as a role without a right to files.
    2. Where namespaces are forbidden, as in most containers: a system user, if it can reach folder and binaries.
       Folders above ours are never opened for it.

    Raises:
        DatabaseError: we are root, and there is nobody.
    """
    if sys.platform != "win32" and os.geteuid() == 0:
        return _for_root(folder, postgres)
    return Account()


if sys.platform != "win32":

    def _for_root(folder: Path, postgres: str) -> Account:
        owner = folder.stat()
        if owner.st_uid != 0:
            return Account(user=owner.st_uid, group=owner.st_gid)
        if (account := _namespace()) and _succeeds(account, postgres, "--version"):
            return account
        reach = 'cd "$0" && exec "$1" --version'
        if (account := _system_user()) and _succeeds(account, "/bin/sh", "-c", reach, str(folder.parent), postgres):
            _give(folder, account)
            return account
        raise DatabaseError(
            "PostgreSQL does not run as root, and there is nobody else to run it here.",
            remedy="Run the program as an ordinary user, or set DATABASE_URL to another server.",
        )

    def _namespace() -> Account | None:
        """Return root by another number, which must have a name: initdb asks for it."""
        unshare = shutil.which("unshare")
        number = next((entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid), None)
        if not unshare or number is None:
            return None
        return Account(prefix=(unshare, "--user", f"--map-user={number}", f"--map-group={number}", "--"))

    def _system_user() -> Account | None:
        """Return the system user kept for this, made if it is missing."""
        for _ in range(2):
            with suppress(KeyError):
                entry = pwd.getpwnam(_SYSTEM_USER)
                return Account(user=entry.pw_uid, group=entry.pw_gid)
            _succeeds(Account(), "useradd", "--system", "--no-create-home", "--shell", "/bin/false", _SYSTEM_USER)
        return None

    def _give(folder: Path, account: Account) -> None:
        """Make a folder and what is in it somebody's: itself last, so that a half-done job is done again."""
        if account.user is None or account.group is None:
            return
        for place, _, files in os.walk(folder, topdown=False):
            for name in (*files, ""):
                os.chown(Path(place, name), account.user, account.group, follow_symlinks=False)


def _succeeds(account: Account, *command: str) -> bool:
    """Tell whether somebody can run a command, and it ends well."""
    try:
        done = subprocess.run(  # noqa: S603  (constant programs)
            [*account.prefix, *command],
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            **account.options,
        )
    except OSError:
        return False
    return done.returncode == 0

"""The settings: one immutable object, built from the environment and `.env`, with every fault told at once.

Each part has its module in `settings/`; what others need of them is to be had here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from exceptions import ConfigError
from settings.alarms import AlarmSettings, notify_service, read_alarms
from settings.courses import CourseNames, read_course_names
from settings.database import DatabaseSettings, read_database
from settings.env_file import read_env_file
from settings.hosts import is_loopback
from settings.languages import chosen_language, parse_language, read_language
from settings.logs import LogSettings, read_logs
from settings.mail import MailSecurity, MailSettings, read_mail
from settings.names import DEFAULTS, OLD_NAMES, SECRETS, with_new_names
from settings.reader import Reader
from settings.retention import RetentionSettings, read_retention
from settings.sheet import SheetSettings, read_sheet
from settings.source import ApiSettings, read_api

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

    from app_types import Language
    from exceptions import Fault

__all__ = [
    "DEFAULTS",
    "HOME",
    "OLD_NAMES",
    "SECRETS",
    "AlarmSettings",
    "ApiSettings",
    "CourseNames",
    "DatabaseSettings",
    "LogSettings",
    "MailSecurity",
    "MailSettings",
    "RetentionSettings",
    "Settings",
    "SheetSettings",
    "chosen_language",
    "is_loopback",
    "load_settings",
    "notify_service",
    "parse_language",
    "read_env_file",
]

HOME = Path(__file__).resolve().parent
"""The folder of the program: `.env` lies here, and relative paths in settings start here."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, a part per stage; a stage is handed its own part.

    `course_names` are titles by course key and language. `warnings` are not faults: the run goes on, and they are
    logged at its start.
    """

    api: ApiSettings
    database: DatabaseSettings
    sheet: SheetSettings | None
    mail: MailSettings | None
    logs: LogSettings
    language: Language
    zone: ZoneInfo
    test_mode: bool
    reports_path: Path
    course_names: CourseNames
    alarms: AlarmSettings = field(default_factory=AlarmSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    warnings: tuple[Fault, ...] = ()

    def secrets(self) -> tuple[str, ...]:
        """Return the texts that no log line may hold."""
        texts = [self.api.client_key.reveal(), *self.database.secrets()]
        if self.mail:
            texts.append(self.mail.password.reveal())
        texts += self.alarms.secrets()
        return tuple(text for text in texts if text)


def load_settings(
    environ: Mapping[str, str],
    env_file: Mapping[str, str] | None = None,
    *,
    env_path: Path | None = None,
    home: Path = HOME,
) -> Settings:
    """Build the settings; the environment wins over the `.env` file's values.

    Args:
        environ: the environment.
        env_file: what `read_env_file` gave.
        env_path: the file itself, whose mode is looked at.
        home: where relative paths start.

    Raises:
        ConfigError: with every fault found.
    """
    env_file = env_file or {}
    reader = Reader(with_new_names({**env_file, **environ}), home)
    reader.report_typos(environ, env_file)
    api = read_api(reader)
    database = read_database(reader)
    sheet = read_sheet(reader)
    mail = read_mail(reader)
    logs = read_logs(reader)
    language = read_language(reader)
    zone = reader.zone("TIMEZONE")
    test_mode = reader.boolean("TEST_APP_MODE")
    reports_path = reader.path("REPORTS_PATH")
    course_names = read_course_names(reader)
    alarms = read_alarms(reader)
    retention = read_retention(reader)
    if env_path is not None:
        reader.warn_of_open_file(env_path)
    if reader.faults:
        raise ConfigError(reader.faults)
    return Settings(
        api=api,
        database=database,
        sheet=sheet,
        mail=mail,
        logs=logs,
        language=language,
        zone=zone,
        test_mode=test_mode,
        reports_path=reports_path,
        course_names=course_names,
        alarms=alarms,
        retention=retention,
        warnings=tuple(reader.warnings),
    )

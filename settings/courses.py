"""The titles of courses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app_types import Language

if TYPE_CHECKING:
    from settings.reader import Reader

CourseNames = dict[str, dict[Language, str]]


def read_course_names(reader: Reader) -> CourseNames:
    """Read the titles of courses: a CSV file with the columns key, Russian, English, with or without a heading."""
    path = reader.file("COURSE_NAMES_FILE")
    if path is None:
        return {}
    import csv

    names: CourseNames = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for number, row in enumerate(csv.reader(stream), start=1):
                if not row or (number == 1 and row[0].strip().lower() == "key"):
                    continue
                if len(row) != len(Language) + 1 or not all(cell.strip() and cell.isprintable() for cell in row):
                    reader.fault(
                        "%(name)s: line %(line)s of %(file)s is not of the form key,Russian,English.",
                        name="COURSE_NAMES_FILE",
                        line=str(number),
                        file=str(path),
                    )
                    continue
                key, russian, english = (cell.strip() for cell in row)
                names[key] = {Language.RUSSIAN: russian, Language.ENGLISH: english}
    except (OSError, UnicodeDecodeError, csv.Error):
        reader.fault("%(name)s: %(file)s is not a CSV file in UTF-8.", name="COURSE_NAMES_FILE", file=str(path))
    return names

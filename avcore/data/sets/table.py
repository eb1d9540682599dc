"""The files that list the clips of a data set; a bad row is a problem of its own."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from avcore.data.media.folder import Problem
from avcore.support import MediaError


def read_rows(
    table: Path, columns: Sequence[str], allowed: dict[str, Sequence[str]]
) -> Iterator[tuple[dict[str, str], Problem | None]]:
    """The rows of a csv file by column, each with what is wrong with it or None.

    Every row has "name", its first field whatever the column is called, and `columns`; all can
    be parts of a file's name, and no name stands twice.

    Parameters
    ----------
    columns
        Names of the columns that are needed.
    allowed
        The values that a column may have.

    Raises
    ------
    MediaError
        The file cannot be read, is empty, or lacks a column or has it twice.
    """
    header, lines = _read_table(table, columns)
    first: dict[str, int] = {}  # line of each name
    for line, row in lines:
        fields = dict(zip(header, row, strict=False))
        name = row[0] if row else ""
        used = {"name": name, **{column: fields.get(column, "") for column in columns}}
        reason = _reason(row, header, used, allowed)
        if not reason and first.setdefault(name, line) != line:
            reason = f"{name} stands in line {first[name]} already"
        yield used, Problem(f"{table.name}, line {line}", reason) if reason else None


def _read_table(
    table: Path, columns: Sequence[str]
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header and the rows of a csv file, these with the number of their line."""
    rows = read_lines(table)
    header = rows[0][1]
    if lacking := [repr(column) for column in columns if column not in header]:
        raise MediaError(f"{table}: has no column {' and no column '.join(lacking)}")
    if twice := [repr(column) for column in columns if header.count(column) > 1]:
        raise MediaError(f"{table}: has the column {' and the column '.join(twice)} twice")
    return header, rows[1:]


def read_lines(table: Path, tabs: bool = False) -> list[tuple[int, list[str]]]:
    """All rows of a csv file, each with the number of its line.

    With `tabs`, a file whose first line has a tab is divided by tabs, not by commas.

    Raises
    ------
    MediaError
        The file cannot be read, or is empty.
    """
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            delimiter = "\t" if tabs and "\t" in file.readline() else ","
            file.seek(0)
            # strict, or else a stray quote swallows all that follows
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MediaError(f"{table}: cannot be read as a csv file ({error})") from error
    while rows and not rows[-1][1]:  # lines left blank at the end
        rows.pop()
    if not rows:
        raise MediaError(f"{table}: the file is empty")
    return rows


def read_text(path: Path) -> str:
    """The text of a list that is no csv file.

    Raises
    ------
    MediaError
        The file is missing or no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MediaError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(f"{path}: cannot be read as text ({error})") from error


def cannot_name(text: str) -> bool:
    """Whether a text cannot be part of a file's name, or would lead to another folder."""
    apart = bool(set(text) & set("/\\"))
    return text in ("", ".") or ".." in text or apart or not text.isprintable()


def _reason(
    row: list[str], header: list[str], used: dict[str, str], allowed: dict[str, Sequence[str]]
) -> str:
    """What is wrong with a row, of which the fields `used` matter; "" when all is well."""
    if not any(row):
        return "the row is empty"
    if len(row) > len(header):
        return f"has {len(row)} fields, but there are {len(header)} columns"
    for what, text in used.items():
        if not text:
            return f"has no {what}"
        if cannot_name(text):
            return f"the {what} {text!r} cannot be part of a file's name"
    for what, known in allowed.items():
        if used[what] not in known:
            return f"the {what} {used[what]!r} is none of {', '.join(known)}"
    return ""

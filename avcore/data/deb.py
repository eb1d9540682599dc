"""Reading a Debian package: an `ar` archive that holds two compressed tar files.

Plain Python reads the members and the compressions xz, gzip and bzip2; for others (zstd) the
program `dpkg-deb` is asked. Nothing is installed and nothing is written.
"""

from __future__ import annotations

import gzip
import io
import lzma
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from avcore.support import MediaError

MAGIC = b"!<arch>\n"
HEADER = 60  # bytes: name 16, time 12, owner 6, group 6, mode 8, size 10, end mark 2
READ_BY_PYTHON = (".tar", ".tar.xz", ".tar.gz", ".tar.bz2", ".tar.lzma")


def ar_members(path: str | Path) -> dict[str, tuple[int, int]]:
    """Where each member of an `ar` archive lies: name -> (offset, size) in bytes.

    Raises
    ------
    MediaError
        The file is no `ar` archive, or is cut short.
    """
    members: dict[str, tuple[int, int]] = {}
    total = Path(path).stat().st_size
    with open(path, "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise MediaError(f"{path}: not a Debian package")
        while header := file.read(HEADER):
            offset, size = file.tell(), header[48:58].strip()
            if header[58:] != b"`\n" or not size.isdigit() or offset + int(size) > total:
                raise MediaError(f"{path}: not a whole Debian package (it is cut short or damaged)")
            name = header[:16].decode("ascii", "replace").strip().rstrip("/")
            members[name] = offset, int(size)
            file.seek(offset + int(size) + int(size) % 2)
    return members


def control(path: str | Path) -> dict[str, str]:
    """The fields of the package's control file, such as "Package" and "Version"."""
    with _tar(path, "control.tar") as tar:
        for member in tar:
            if member.name.lstrip("./") == "control":
                text = tar.extractfile(member).read().decode("utf-8", "replace")
                lines = [line for line in text.splitlines() if line[:1].strip() and ":" in line]
                return {key: value.strip() for key, _, value in (s.partition(":") for s in lines)}
    raise MediaError(f"{path}: not a whole Debian package (no control file)")


def files(path: str | Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """The regular files of the package whose name (no leading "./") is wanted, with their bytes."""
    with _tar(path, "data.tar") as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if member.isfile() and wanted(name):
                yield name, tar.extractfile(member).read()
        while tar.fileobj.read(1 << 20):  # to the end, where the compression's own checksum is
            pass


@contextmanager
def _tar(path: str | Path, stem: str) -> Iterator[tarfile.TarFile]:
    members = ar_members(path)
    name = next((name for name in members if name.startswith(stem)), None)
    if name is None:
        raise MediaError(f"{path}: not a whole Debian package (no {stem})")
    ending = name.removeprefix(stem.removesuffix(".tar"))
    try:
        if ending in READ_BY_PYTHON:
            with open(path, "rb") as file, tarfile.open(fileobj=_Part(file, *members[name])) as tar:
                yield tar
        else:
            with (
                _unpacked_by_dpkg(path, stem, ending) as pipe,
                tarfile.open(fileobj=pipe, mode="r|") as tar,
            ):
                yield tar
    except (tarfile.TarError, lzma.LZMAError, zlib.error, gzip.BadGzipFile, EOFError) as error:
        raise MediaError(f"{path}: not a whole Debian package ({error})") from error


@contextmanager
def _unpacked_by_dpkg(path: str | Path, stem: str, ending: str) -> Iterator[io.BufferedReader]:
    if shutil.which("dpkg-deb") is None:
        raise MediaError(f"{path}: is packed as {ending}, which needs the program dpkg-deb")
    option = "--fsys-tarfile" if stem == "data.tar" else "--ctrl-tarfile"
    command = ["dpkg-deb", option, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.stdout
            failed = process.wait() != 0
        finally:
            process.stdout.close()
            process.kill()
    if failed:
        raise MediaError(f"{path}: not a whole Debian package (dpkg-deb cannot unpack it)")


class _Part(io.RawIOBase):
    """Reads `size` bytes of an open file from `offset` on, as a file of its own."""

    def __init__(self, file: io.BufferedReader, offset: int, size: int) -> None:
        self._file, self._offset, self._size, self._at = file, offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:
        self._file.seek(self._offset + self._at)
        count = min(len(buffer), max(self._size - self._at, 0))
        data = self._file.read(count)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

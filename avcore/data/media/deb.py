"""Unpacking a Debian package, as any user and without installing anything.

The program `dpkg-deb` does it where it exists; elsewhere plain Python reads the `ar` archive and
the compressions that `tarfile` knows.
"""

from __future__ import annotations

import io
import lzma
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from gzip import BadGzipFile
from pathlib import Path, PurePosixPath

from avcore.data.media.cache import sha256
from avcore.support import MediaError

MAGIC = b"!<arch>\n"
PACKED = (".tar", ".tar.xz", ".tar.gz", ".tar.bz2", ".tar.lzma")  # read by plain Python
HEADER = 60  # bytes: name 16, time 12, owner 6, group 6, mode 8, size 10, end mark 2
OPTIONS = {"control.tar": "--ctrl-tarfile", "data.tar": "--fsys-tarfile"}  # of dpkg-deb


def identify(package: Path, name: str, promised: str = "") -> tuple[str, str]:
    """The version and the SHA-256 of a package file, which must be the package `name`.

    Parameters
    ----------
    promised
        The SHA-256 that it must have, if that is known.
    """
    if not package.is_file():
        raise MediaError(f"{package}: there is no such file")
    digest = sha256(package)
    if promised and digest != promised:
        raise MediaError(f"{package.name} came with a wrong checksum; please fetch it again")
    fields = control(package)
    if fields.get("Package") != name:
        raise MediaError(f"{package}: is the package {fields.get('Package')!r}, not {name!r}")
    return fields.get("Version", "unknown"), digest


def control(package: str | Path) -> dict[str, str]:
    """The fields of the package's control file, such as "Package" and "Version"."""
    with _tar(Path(package), "control.tar") as tar:
        for member in tar:
            if member.name.lstrip("./") == "control" and (file := tar.extractfile(member)):
                text = file.read().decode("utf-8", "replace")
                lines = [line for line in text.splitlines() if line[:1].strip() and ":" in line]
                return {key: value.strip() for key, _, value in (s.partition(":") for s in lines)}
    raise MediaError(f"{package}: not a whole Debian package (no control file)")


def unpack(package: str | Path, folder: Path, wanted: Callable[[str], bool]) -> None:
    """Unpack the regular files whose name (no leading "./") is wanted into `folder`.

    Raises
    ------
    MediaError
        The file is no Debian package, is damaged, or holds a path that leads out of the folder.
    """
    with _tar(Path(package), "data.tar") as tar:
        # Python 3.11.2, which Debian 12 has, knows no filters
        tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        for member in tar:
            if not member.isfile() or not wanted(member.name.removeprefix("./")):
                continue
            if ".." in PurePosixPath(member.name).parts:
                raise MediaError(f"{package}: holds the path {member.name}, which leads out of it")
            tar.extract(member, folder, set_attrs=False)


@contextmanager
def _tar(package: Path, stem: str) -> Iterator[tarfile.TarFile]:
    """A tar file of the package, to be read once from front to back."""
    opened = _by_dpkg if shutil.which("dpkg-deb") else _by_python
    try:
        with opened(package, stem) as tar:
            yield tar
            while tar.fileobj and tar.fileobj.read(1 << 20):  # to the end, where the checksum is
                pass
    except (tarfile.TarError, lzma.LZMAError, zlib.error, BadGzipFile, EOFError) as error:
        raise MediaError(f"{package}: not a whole Debian package ({error})") from error


@contextmanager
def _by_dpkg(package: Path, stem: str) -> Iterator[tarfile.TarFile]:
    command = ["dpkg-deb", OPTIONS[stem], str(package)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                yield tar
            failed = process.wait() != 0
        finally:
            process.kill()
    if failed:
        raise MediaError(f"{package}: not a whole Debian package (dpkg-deb cannot unpack it)")


@contextmanager
def _by_python(package: Path, stem: str) -> Iterator[tarfile.TarFile]:
    """The compressed tar file, found in the `ar` archive; it is held in memory."""
    reason = "not a whole Debian package"
    with package.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise MediaError(f"{package}: not a Debian package")
        while header := file.read(HEADER):
            size = header[48:58].strip()
            if header[58:] != b"`\n" or not size.isdigit():
                raise MediaError(f"{package}: {reason} (it is damaged)")
            name = header[:16].decode("ascii", "replace").strip().rstrip("/")
            if name.startswith(stem):
                if (ending := name.removeprefix(stem.removesuffix(".tar"))) not in PACKED:
                    raise MediaError(f"{package}: is packed as {ending}; install dpkg-deb")
                data = file.read(int(size))
                if len(data) < int(size):
                    raise MediaError(f"{package}: {reason} (it is cut short)")
                with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                    yield tar
                return
            file.seek(int(size) + int(size) % 2, io.SEEK_CUR)
    raise MediaError(f"{package}: {reason} (no {stem})")

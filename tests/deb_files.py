"""Small Debian packages and media files in memory, that tests write."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile

import numpy as np
import soundfile
from media_tree import RATE, disc
from PIL import Image


def ogg(samples):
    data = io.BytesIO()
    soundfile.write(data, samples, RATE, format="OGG")
    return data.getvalue()


def photo(seed, size=40):
    """A cut-out of many colours, as a photograph has."""
    rgba = np.array(disc(size=size))
    rgba[..., :3] = np.random.default_rng(seed).integers(0, 256, (size, size, 3))
    return png(Image.fromarray(rgba))


def png(image):
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def write_files(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def tar(files):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        folder = tarfile.TarInfo("./usr/")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


def write_deb(
    path, files, version="1.0-1", name="tuxpaint-stamps-default", pack=lzma.compress, ending=".xz"
):
    control = f"Package: {name}\nVersion: {version}\nDescription: animals\n of all kinds\n"
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": gzip.compress(tar({"control": control.encode()})),
        f"data.tar{ending}": pack(tar(files)),
    }
    with open(path, "wb") as out:
        out.write(b"!<arch>\n")
        for member, data in members.items():
            out.write(f"{member:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode())
            out.write(data + b"\n" * (len(data) % 2))
    return path

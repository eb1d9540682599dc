"""Reading the files in a Qt resource file (.rcc), as GCompris keeps its pictures and sounds.

The header names three parts: a tree of nodes, the data, and the names. A folder's node says where
its children's nodes are; a file's node says where its data are, plain or packed by zlib.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from avcore.support import MediaError

PACKED_BY_ZLIB, FOLDER, PACKED_BY_ZSTD = 1, 2, 4  # flags of a node
LARGEST = 1 << 26  # bytes of one file


def read_resources(path: str | Path) -> dict[str, bytes]:
    """The files of a resource file: path within it -> bytes.

    Files packed by zstd are left out (none is in the versions of GCompris that were looked at).

    Raises
    ------
    MediaError
        The file cannot be read, is no resource file, or is damaged.
    """
    try:
        return _Resources(Path(path).read_bytes()).files()
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror})") from error
    except (struct.error, zlib.error, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise MediaError(f"{path}: not a whole Qt resource file ({error})") from error


class _Resources:
    """The bytes of a resource file, and where its three parts begin."""

    def __init__(self, data: bytes) -> None:
        magic, version, self.tree, self.data, self.names = struct.unpack_from(">4s4I", data)
        if magic != b"qres" or version not in (1, 2, 3):
            raise ValueError("it does not begin as one")
        self.bytes = data
        self.node_size = 14 if version == 1 else 22  # from version 2 on with a time

    def files(self) -> dict[str, bytes]:
        """All files; a node that is met twice means that the tree runs in a circle."""
        found: dict[str, bytes] = {}
        waiting, met = [(0, "")], {0}
        while waiting:
            node, path = waiting.pop()
            at = self.tree + node * self.node_size
            flags, first, second = self._unpack(">HII", at + 4)
            if flags & FOLDER:
                children = range(second, second + min(first, len(self.bytes)))
                if not met.isdisjoint(children):
                    raise ValueError("its tree runs in a circle")
                met.update(children)
                waiting += [(child, f"{path}/{self._name(child)}") for child in children]
            elif not flags & PACKED_BY_ZSTD:
                found[path.lstrip("/")] = self._content(second, bool(flags & PACKED_BY_ZLIB))
        return found

    def _name(self, node: int) -> str:
        (offset,) = self._unpack(">I", self.tree + node * self.node_size)
        length, _ = self._unpack(">HI", self.names + offset)
        return self._slice(self.names + offset + 6, 2 * length).decode("utf-16-be")

    def _content(self, offset: int, packed: bool) -> bytes:
        (size,) = self._unpack(">I", self.data + offset)
        content = self._slice(self.data + offset + 4, size)
        if not packed:
            return content
        unpacker = zlib.decompressobj()
        unpacked = unpacker.decompress(content[4:], LARGEST)  # after the size when unpacked
        if not unpacker.eof:
            raise ValueError("a file in it is cut short or too large")
        return unpacked

    def _unpack(self, layout: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(layout, self.bytes, at)

    def _slice(self, start: int, size: int) -> bytes:
        part = self.bytes[start : start + size]
        if len(part) < size:
            raise ValueError("it is cut short")
        return part

"""Command line of the build: `python -m book.pipeline [build | media | chapter NAME | pages]`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from avcore.support import SCALES, AvcoreError, atomic_write

from .layout import REPOSITORY, Layout


def main(arguments: list[str] | None = None) -> int:
    """Run one step, or the whole build; return the exit status."""
    options = _parser().parse_args(arguments)
    layout = Layout(options.root.resolve(), options.scale)
    try:
        return _run(options, layout)
    except AvcoreError as error:
        print(f"\n{error}", file=sys.stderr)
    except OSError as error:
        print(f"\nthe build could not go on: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        sys.stdout.flush()
        os._exit(130)  # at once, without the last words of the libraries in between
    return 1


def _run(options: argparse.Namespace, layout: Layout) -> int:
    if options.step == "chapter":
        from .execute import execute_chapter

        execute_chapter(layout, options.name, options.threads)
    elif options.step == "media":
        from .media import fetch_media

        return fetch_media()
    elif options.step == "pages":
        from .site import build_site

        start = time.monotonic()
        print("building the pages", file=sys.stderr)
        build_site(layout)
        with atomic_write(layout.site_marker) as file:
            file.write(f"{time.monotonic() - start:.1f}")
    else:
        from .build import build_book

        return build_book(layout, options.cores)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m book.pipeline", description=__doc__)
    parser.add_argument("--scale", default="quick", help=f"one of {', '.join(SCALES)}")
    parser.add_argument("--root", type=Path, default=REPOSITORY, help="folder of the repository")
    steps = parser.add_subparsers(dest="step", required=True)
    book = steps.add_parser("build", help="everything that is out of date")
    book.add_argument("--cores", type=int, default=2, help="cores to use; a chapter takes two")
    chapter = steps.add_parser("chapter", help="execute one chapter")
    chapter.add_argument("name")
    chapter.add_argument("--threads", type=int, default=2)
    steps.add_parser("media", help="fetch photographs and recordings, unless they are there")
    steps.add_parser("pages", help="build and publish the pages")
    return parser


if __name__ == "__main__":
    sys.exit(main())

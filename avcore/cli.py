"""The command `avcore`: one clear sentence and an exit code when something is wrong."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence

from avcore.support import AvcoreError, MediaError, TrainingError

OK, FAILED, MISUSED, NO_MEDIA, INTERRUPTED = 0, 1, 2, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; gives its exit code.

    0 all is well; 1 it failed, or what was checked is not well; 2 the command line, a name or a
    file is wrong; 3 media cannot be had or used; 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        from avcore.video_commands import app  # those of avcore.commands, and two more

        with warnings.catch_warnings():
            warnings.showwarning = _warn
            return app(words, standalone_mode=False) or OK
    except MediaError as error:
        return _say(error, NO_MEDIA)
    except TrainingError as error:
        return _say(error, FAILED)
    except AvcoreError as error:
        return _say(error, MISUSED)
    except (ImportError, OSError) as error:
        return _say(error, FAILED)
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except Exception as error:  # the command line's own errors; their class differs by version
        if type(error).__name__ == "Abort":
            return _say("interrupted", INTERRUPTED)
        if not hasattr(error, "format_message"):
            raise
        return _say(error.format_message(), MISUSED)


def _warn(message: object, *_: object, **__: object) -> None:
    _say(message)


def _say(message: object, code: int = OK) -> int:
    print(f"avcore: {message}", file=sys.stderr)
    return code

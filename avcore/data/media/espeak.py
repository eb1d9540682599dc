"""Says texts with the library eSpeak NG; runs in a process of its own, and needs nothing else.

The library keeps a state from one utterance to the next, so only a fresh process says the same
texts the same way each time; and if the library crashes, only that process ends. It is started by
`avcore.data.media.words`. From its input it reads JSON: `library` (its path), `voices` (the path
of its data, or null for where it was installed) and `utterances`, each with `text`, `voice`,
`speed` and `pitch`. It writes JSON: `rate`, Hz; `version`; and `said`, for each utterance its
`samples` (base64 of int16) and `words`, when each of them begins, s; or else an `error`.
"""

import base64
import ctypes
import json
import sys

SYNCHRONOUS = 2  # samples are handed over, nothing is played
SPEED, PITCH = 1, 3  # parameters
CHARACTERS, UTF8 = 1, 1
WORD = 1  # kind of event


class Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event)
)


def answer(request: dict) -> dict:
    """Say all utterances of a request."""
    library = ctypes.CDLL(request["library"])
    voices = request["voices"] and request["voices"].encode()
    rate = library.espeak_Initialize(SYNCHRONOUS, 0, voices, 0)
    if rate <= 0:
        return {"error": "espeak-ng does not start: its voices were not found"}
    if hasattr(library, "espeak_ng_SetRandSeed"):  # from version 1.52 on
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    library.espeak_Info.restype = ctypes.c_char_p
    version = library.espeak_Info(None).decode().split()[0]
    samples, words = bytearray(), []

    def keep(block, count, events) -> int:
        """Called by the library with each block of samples, and with what happens in it."""
        if block and count > 0:
            samples.extend(ctypes.string_at(block, 2 * count))
        index = 0
        while events[index].type:
            if events[index].type == WORD:
                words.append(events[index].audio_position / 1000)
            index += 1
        return 0

    callback = CALLBACK(keep)
    library.espeak_SetSynthCallback(callback)
    said = []
    for utterance in request["utterances"]:
        samples.clear()
        words.clear()
        if library.espeak_SetVoiceByName(utterance["voice"].encode()) != 0:
            return {"error": f"espeak-ng has no voice {utterance['voice']!r}"}
        library.espeak_SetParameter(SPEED, utterance["speed"], 0)
        library.espeak_SetParameter(PITCH, utterance["pitch"], 0)
        text = utterance["text"].encode()
        size = ctypes.c_size_t(len(text) + 1)
        library.espeak_Synth(text, size, 0, CHARACTERS, 0, UTF8, None, None)
        library.espeak_Synchronize()
        said.append({"samples": base64.b64encode(samples).decode(), "words": list(words)})
    return {"rate": rate, "version": version, "said": said}


if __name__ == "__main__":
    try:
        json.dump(answer(json.load(sys.stdin)), sys.stdout)
    except OSError as error:  # the library cannot be loaded
        json.dump({"error": f"espeak-ng cannot be loaded: {error}"}, sys.stdout)

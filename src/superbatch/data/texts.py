"""Captions, label and source of a sample, from the bytes of its .txt, .cls and .json."""

from __future__ import annotations

import json
import re

MAX_TEXT_BYTES = 1 << 20
MAX_LABEL_BYTES = 64
MAX_JSON_BYTES = 1 << 24

CONTROL = "control"  # the note on a sample whose caption has control characters
NOTES = {CONTROL: "a caption with control characters, kept as they are"}

# Invisible characters: white space of every script, control and format characters, and those that Unicode lets a font
# leave out (Default_Ignorable_Code_Point), the blank Braille cell among them.
_INVISIBLE = (
    r"\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_VISIBLE = re.compile(f"[^{_INVISIBLE}]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # all but tab, line feed and carriage return
_WHOLE_NUMBER = re.compile(rb"\d{1,18}")


class Unusable(ValueError):
    """A text that can't be used: a reason code of the rejects, and a detail."""


def captions_of(data: bytes, per_line: bool) -> list[str]:
    """Read a .txt: one caption, or one a line; those in which nothing can be seen don't count.

    Raises:
        Unusable: caption_too_long, caption_not_utf8 or caption_empty.
    """
    if len(data) > MAX_TEXT_BYTES:
        raise Unusable("caption_too_long", f"over {MAX_TEXT_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unusable("caption_not_utf8", f"byte {error.start}: {error.reason}") from None
    lines = text.split("\n") if per_line else [text]
    captions = [line.strip(" \t\r\n\0") for line in lines if _VISIBLE.search(line)]
    if not captions:
        raise Unusable(
            "caption_empty", f"{len(data)} bytes of {'invisible characters' if text.strip() else 'white space'}"
        )
    return captions


def has_control(captions: list[str]) -> bool:
    """Whether any caption has a control character other than tab and line break."""
    return any(_CONTROL.search(caption) for caption in captions)


def label_of(data: bytes) -> int:
    """Read a .cls: a whole number from 0 up.

    Raises:
        Unusable: label_invalid.
    """
    text = data.strip()
    if not _WHOLE_NUMBER.fullmatch(text):
        shown = printable(text[:40].decode("utf-8", "backslashreplace"))
        raise Unusable("label_invalid", f"{shown!r} is not a whole number from 0 up")
    return int(text)


def source_of(data: bytes) -> str:
    """Read a .json that holds an object; returns its text.

    Raises:
        Unusable: json_invalid.
    """
    if len(data) > MAX_JSON_BYTES:
        raise Unusable("json_invalid", f"over {MAX_JSON_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig").strip()
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unusable("json_invalid", printable(str(error))[:200]) from None
    if not isinstance(found, dict):
        raise Unusable("json_invalid", f"a {type(found).__name__}, not an object")
    return text


def printable(text: str) -> str:
    """Make a string safe to store: bytes that were not UTF-8 become escapes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

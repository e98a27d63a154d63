"""Small files that take minutes to decode: refused by what lies between their pixels.

Bytes and pixels of an image are bounded, and so is the time that those take. Not so what a format
lets a file repeat: passes over all pixels, or thousands of pieces without any.
"""

from __future__ import annotations

import re

from PIL import Image

MOST_SCANS = 100
"""Of a JPEG: each goes over all of its pixels. Encoders make ten."""
MOST_PIECES = 2_000
"""Pieces of a file, before they are looked at: those of an ordinary one are large."""
_LEAST_BYTES = 128
"""Of each further piece on average."""
_START_OF_SCAN, _END, _START = 0xDA, 0xD9, 0xD8
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
"""In what is coded, a 0xff is followed by 0 or by the number of a restart."""
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"


def why_costly(data: bytes) -> str:
    """Why the bytes of an image would take too long to decode; empty where they do not."""
    if data.startswith(_JPEG):
        return _of_jpeg(data)
    if data.startswith(_PNG) and _is_in_crumbs(data):
        return "a PNG in thousands of tiny pieces"
    return ""


def has_more_frames(image: Image.Image) -> bool:
    """Whether there is a second frame; to count those of a TIFF takes the square of their number.

    A TIFF stands at its second one afterwards.
    """
    if image.format != "TIFF":
        return getattr(image, "n_frames", 1) > 1
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def _of_jpeg(data: bytes) -> str:
    """By its markers up to the first picture's end; those before pixels are taken one by one."""
    at, pieces, scans = 2, 0, 0
    while found := _MARKER.search(data, at):
        # Bytes between two pieces are looked at one by one, until there are pixels.
        pieces += 1 if scans else 1 + found.start() - at
        at, kind = found.end(), found[1][0]
        if kind == _END:
            return ""
        if kind != _START:
            at += int.from_bytes(data[at : at + 2])
        scans += kind == _START_OF_SCAN
        if scans > MOST_SCANS:
            return f"more than {MOST_SCANS} passes over its pixels"
        if pieces > MOST_PIECES + at // _LEAST_BYTES:
            return "a JPEG in thousands of tiny pieces"
        if scans and data.count(b"\xff\xda", at) <= MOST_SCANS - scans:
            return ""  # most often: no need to look at all that is coded
    return ""


def _is_in_crumbs(data: bytes) -> bool:
    at, pieces = len(_PNG), 0
    while at < len(data):
        pieces += 1
        if pieces > MOST_PIECES + at // _LEAST_BYTES:
            return True
        if data[at + 4 : at + 8] == b"IEND":
            return False
        at += 12 + int.from_bytes(data[at : at + 4])
    return False

"""Decode images: the same code for ingestion and for the readers.

By content, never by name: JPEG (simplejpeg, Pillow where it refuses), PNG, WebP and AVIF (Pillow). The result is always RGB,
8 bits, as seen: EXIF rotation applied, alpha laid over white, 16-bit grey scaled to 8 bits, CMYK and palettes
converted, the first frame of an animation.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from superbatch.options import MAX_PIXELS

EXIF_ORIENTATION = 0x0112
EXIF_WITHIN = 65_536  # bytes of a file that may hold its EXIF
APP1, START_OF_SCAN = 0xE1, 0xDA  # JPEG markers

NOTES = {
    "mislabelled": "the content is another format than the name says; the content counts",
    "alpha": "transparency, laid over white",
    "rotated": "EXIF orientation, applied",
    "animated": "several frames, the first counts",
    "cmyk": "converted to RGB",
    "deep": "more than 8 bits a channel, scaled down",
}

READ = "JPEG, PNG, WebP and AVIF are read"
AVIF_BRANDS = (b"avif", b"avis")
_OTHER_FORMATS = {b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"%PDF": "PDF"}
_OTHER_FORMATS |= {b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL", b"\0\0\0\x0cjP  ": "JPEG 2000"}
_OTHER_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF"}
_DRAWING = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*|<!--.*?-->\s*|<!DOCTYPE\s+svg[^\[>]*(?:\[.*?\])?\s*>\s*)*<(?:svg:)?svg\b",
    re.S,
)
DRAWING_WITHIN = 4_096  # the first bytes, by which a vector drawing is recognized


class DecodeError(ValueError):
    """An image that can't be used: a reason code of the rejects, and a detail."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail


@dataclass(frozen=True)
class ImageFacts:
    """What ingestion records about an image: format by content, size as displayed, notes (keys of NOTES)."""

    format: str
    width: int
    height: int
    notes: tuple[str, ...] = ()


def sniff(data: bytes) -> str:
    """Name an image's format by its first bytes: jpeg, png, webp or avif.

    Raises:
        DecodeError: image_empty, image_gif, image_svg, image_unsupported (another format we don't read) or image_corrupt.
    """
    if data[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp" and _brands(data) & set(AVIF_BRANDS):
        return "avif"
    raise _refused(data)


def _brands(data: bytes) -> set[bytes]:
    """The formats that a file of ISO boxes says it can be read as."""
    listed = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    return {listed[i : i + 4] for i in range(0, len(listed), 4) if i != 4}  # the second word is a version


def _refused(data: bytes) -> DecodeError:
    if not data:
        return DecodeError("image_empty", "0 bytes")
    if data.startswith((b"GIF87a", b"GIF89a")):
        return DecodeError("image_gif", f"the content is GIF; {READ}")
    if _DRAWING.match(data[:DRAWING_WITHIN]):
        return DecodeError("image_svg", f"the content is SVG, a drawing without pixels; {READ}")
    brands = _brands(data) if data[4:8] == b"ftyp" else set()
    names = [name for magic, name in _OTHER_FORMATS.items() if data.startswith(magic)]
    names += [name for brand, name in _OTHER_BRANDS.items() if brand in brands]
    if names:
        return DecodeError("image_unsupported", f"the content is {names[0]}; {READ}")
    return DecodeError(
        "image_corrupt", f"the content is not JPEG, PNG, WebP or AVIF (it begins with {data[:8].hex(' ')})"
    )


def check_image(data: bytes, extension: str, max_pixels: int = MAX_PIXELS) -> ImageFacts:
    """Decode an image once and return its facts; JPEGs are entropy-decoded whole, but at an eighth of their size.

    Raises:
        DecodeError: with the reason code of the rejects.
    """
    kind = sniff(data)
    named = {"jpg": "jpeg"}.get(extension, extension)
    notes = ["mislabelled"] if named != kind else []
    if kind == "jpeg" and _orientation(data) == 1:
        size = _jpeg_size(data, max_pixels)
        if size is not None and _plain_jpeg(data, 1) is not None:
            return ImageFacts(kind, *size, tuple(notes))
    image, more = _load(data, kind, max_pixels)
    return ImageFacts(kind, image.width, image.height, (*notes, *more))


def decode(data: bytes, at_least: int = 0, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image to RGB, uint8 (height, width, 3).

    Args:
        data: the file's bytes.
        at_least: where only a smaller view is needed, the shorter side may shrink to this many pixels (JPEG decodes at
        1/2, 1/4, 1/8
            without the full cost); 0 for full size.
        max_pixels: larger images are refused.

    Raises:
        DecodeError: with the reason code of the rejects.
    """
    kind = sniff(data)
    if kind == "jpeg" and _jpeg_size(data, max_pixels) is not None and _orientation(data) == 1:
        pixels = _plain_jpeg(data, at_least)
        if pixels is not None:
            return pixels
    return np.asarray(to_rgb(_load(data, kind, max_pixels)[0]))


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a loaded image of any mode to RGB: alpha over white, 16 bits scaled to 8."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        image = _in_eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits; the one value that is transparent, where a PNG names one, becomes alpha."""
    deep, key = np.asarray(image).astype(np.int64), image.info.get("transparency")
    found = Image.fromarray((deep * 255 // 65_535).clip(0, 255).astype(np.uint8))
    if key is not None:
        found.putalpha(Image.fromarray(np.where(deep == key, 0, 255).astype(np.uint8)))
    return found


def _jpeg_size(data: bytes, max_pixels: int) -> tuple[int, int] | None:
    """Width and height of a JPEG; None where Pillow should read it: CMYK, or a header that simplejpeg refuses."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    _refuse_large(width, height, max_pixels)
    return None if colours in ("CMYK", "YCCK") else (width, height)


def _plain_jpeg(data: bytes, at_least: int) -> np.ndarray | None:
    """Decode an upright RGB or gray JPEG; None if simplejpeg refuses it: Pillow then decides."""
    try:
        pixels: np.ndarray = simplejpeg.decode_jpeg(data, "RGB", min_height=at_least, min_width=at_least)
    except ValueError:
        return None
    return pixels


def _has_exif(data: bytes) -> bool:
    """Tell whether a JPEG has EXIF in its first 64 KiB, from segment to segment; a head out of order is searched whole."""
    place, end = 2, min(len(data) - 1, EXIF_WITHIN - 8)
    while place < end and data[place] == 0xFF:
        if data[place + 1] == START_OF_SCAN:  # what follows are the pixels
            return False
        if data[place + 1] == APP1 and data[place + 4 : place + 9] == b"Exif\0":
            return True
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return b"Exif\0" in data[:EXIF_WITHIN]


def _orientation(data: bytes) -> int:
    if not _has_exif(data):
        return 1
    try:
        return _exif_orientation(Image.open(io.BytesIO(data)))
    except Exception:  # a damaged header is reported when the image is decoded
        return 1


def _exif_orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(EXIF_ORIENTATION, 1))
    except Exception:  # damaged EXIF is no reason to refuse the image; it stays as it is stored
        return 1


def _load(data: bytes, kind: str, max_pixels: int) -> tuple[Image.Image, list[str]]:
    """Decode with Pillow and turn upright; returns the image and its notes."""
    try:
        image = Image.open(io.BytesIO(data), formats=(kind.upper(),))
        _refuse_large(image.width, image.height, max_pixels)
        image.load()
        if kind == "png":
            _fit_transparent_colour(image, data[24])
        notes = _notes_of(image, data)
        return (ImageOps.exif_transpose(image) if "rotated" in notes else image), notes
    except DecodeError:
        raise
    except Image.DecompressionBombError as error:
        raise DecodeError("image_too_large", _short(error)) from None
    except (
        Exception
    ) as error:  # Pillow's plugins raise many kinds of errors: SyntaxError, struct.error, OverflowError, ...
        raise DecodeError(
            "image_truncated" if "truncated" in str(error).lower() else "image_corrupt", _short(error)
        ) from None


def _fit_transparent_colour(image: Image.Image, depth: int) -> None:
    """Bring the colour that a PNG names as transparent to the 8 bits that Pillow scales its pixels to; it leaves the colour as it was."""
    key = image.info.get("transparency")
    if key is not None and image.mode == "RGB" and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in key)
    elif key is not None and image.mode == "L" and depth < 8:
        most = (1 << depth) - 1
        image.info["transparency"] = (key & most) * 255 // most


def _notes_of(image: Image.Image, data: bytes) -> list[str]:
    notes = []
    if image.has_transparency_data:
        notes.append("alpha")
    if getattr(image, "n_frames", 1) > 1:
        notes.append("animated")
    if image.mode == "CMYK":
        notes.append("cmyk")
    # Pillow gives colour of 16 bits as 8 without a warning; the depth is in the first chunk of the file.
    if image.mode.startswith("I") or (image.format == "PNG" and data[24:25] == b"\x10"):
        notes.append("deep")
    if _exif_orientation(image) in range(2, 9):
        notes.append("rotated")
    return notes


def _refuse_large(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise DecodeError("image_too_large", f"{width} x {height} pixels are over the limit of {max_pixels:,}")


def _short(error: Exception) -> str:
    # Pillow prints the address of the buffer; the same damage must give the same text.
    text = " ".join(str(error).split()) or type(error).__name__
    return text.split(" <_io.BytesIO")[0][:200]

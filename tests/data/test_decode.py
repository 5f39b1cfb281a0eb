"""Images of every kind that the web holds: by content, as seen, one way."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from shard_helpers import encode, noise

from superbatch.data.decode import DecodeError, check_image, decode

BIG = Image.fromarray(np.asarray(noise(1)).copy()).resize((64, 40))  # smooth, not square
ROTATED, ODD = Image.Exif(), Image.Exif()
ROTATED[0x0112] = 6
ODD[0x0112] = 9  # there are eight orientations
NO_EXIF = b"Exif\0\0this is none"


def deep_png(colour: int, channels: int) -> bytes:
    """A PNG of 64 x 40 with 16 bits a channel, which Pillow can't write in colour."""
    rows = b"".join(b"\0" + np.arange(64 * channels, dtype=">u2").tobytes() for _ in range(40))
    return png((b"IHDR", struct.pack(">IIBBBBB", 64, 40, 16, colour, 0, 0, 0)), (b"IDAT", zlib.compress(rows)))


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [*chunks, (b"IEND", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(
    ("data", "name", "facts"),
    [
        (encode(BIG, "PNG"), "png", ("png", 64, 40, ())),
        (encode(BIG, "JPEG"), "jpg", ("jpeg", 64, 40, ())),
        (encode(BIG, "WEBP"), "webp", ("webp", 64, 40, ())),
        (encode(BIG, "PNG"), "jpg", ("png", 64, 40, ("mislabelled",))),
        (encode(BIG, "JPEG", exif=ROTATED), "jpeg", ("jpeg", 40, 64, ("rotated",))),
        (encode(BIG, "PNG", exif=ROTATED), "png", ("png", 40, 64, ("rotated",))),
        (encode(BIG.convert("CMYK"), "JPEG"), "jpg", ("jpeg", 64, 40, ("cmyk",))),
        (encode(BIG.convert("RGBA"), "PNG"), "png", ("png", 64, 40, ("alpha",))),
        (encode(BIG.convert("P"), "PNG", transparency=0), "png", ("png", 64, 40, ("alpha",))),
        (encode(BIG.convert("I;16"), "PNG"), "png", ("png", 64, 40, ("deep",))),
        (deep_png(2, 3), "png", ("png", 64, 40, ("deep",))),
        (deep_png(4, 2), "png", ("png", 64, 40, ("alpha", "deep"))),
        (deep_png(6, 4), "png", ("png", 64, 40, ("alpha", "deep"))),
        (encode(BIG, "PNG", exif=NO_EXIF), "png", ("png", 64, 40, ())),
        (encode(BIG.convert("CMYK"), "JPEG", exif=NO_EXIF), "jpg", ("jpeg", 64, 40, ("cmyk",))),
        (encode(BIG, "PNG", exif=ODD), "png", ("png", 64, 40, ())),
        (encode(BIG, "JPEG", exif=ODD), "jpg", ("jpeg", 64, 40, ())),
        (encode(BIG, "JPEG", exif=ROTATED), "png", ("jpeg", 40, 64, ("mislabelled", "rotated"))),
        (encode(BIG, "PNG", save_all=True, append_images=[BIG.transpose(0)]), "png", ("png", 64, 40, ("animated",))),
        (encode(BIG, "WEBP", save_all=True, append_images=[BIG.transpose(0)]), "webp", ("webp", 64, 40, ("animated",))),
        (encode(BIG, "AVIF"), "avif", ("avif", 64, 40, ())),
        (encode(BIG, "AVIF", exif=ROTATED.tobytes()), "jpg", ("avif", 40, 64, ("mislabelled", "rotated"))),
        (encode(BIG, "AVIF", save_all=True, append_images=[BIG.transpose(0)]), "avif", ("avif", 64, 40, ("animated",))),
        (encode(Image.new("RGBA", (64, 40), "#ff000080"), "AVIF"), "avif", ("avif", 64, 40, ("alpha",))),
        (encode(BIG.convert("L"), "JPEG"), "jpg", ("jpeg", 64, 40, ())),
        (encode(BIG.convert("1"), "PNG"), "png", ("png", 64, 40, ())),
    ],
)
def test_what_ingestion_notes_is_what_readers_get(data: bytes, name: str, facts: tuple[object, ...]) -> None:
    found = check_image(data, name)
    assert (found.format, found.width, found.height, found.notes) == facts
    pixels = decode(data)
    assert pixels.shape == (found.height, found.width, 3) and pixels.dtype == np.uint8


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "image_empty"),
        (b"<html>not found</html>", "image_corrupt"),
        (encode(BIG, "GIF"), "image_gif"),
        (b"GIF8 is no GIF", "image_corrupt"),
        (b"<svg width='8'/>", "image_svg"),
        (b"\xef\xbb\xbf\n<?xml version='1.0'?><!-- a\n> -->\n<svg:svg xmlns:svg='...'/>", "image_svg"),
        (b"<!DOCTYPE svg PUBLIC 'x' [<!ENTITY a 'b'>]><svg/>", "image_svg"),
        (b"<html><svg/></html>", "image_corrupt"),
        (encode(BIG, "BMP"), "image_unsupported"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image_unsupported"),
        (b"\0\0\0\x0cJXL \r\n", "image_unsupported"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "image_corrupt"),
        (encode(BIG, "AVIF")[:-100], "image_truncated"),
        (encode(BIG, "PNG")[:200], "image_truncated"),
        (encode(BIG, "JPEG")[:-30], "image_truncated"),
        (encode(BIG, "WEBP")[:100], "image_corrupt"),
        (encode(BIG, "PNG")[:60] + bytes(40) + encode(BIG, "PNG")[100:], "image_corrupt"),
        (b"\xff\xd8\xff" + bytes(50), "image_corrupt"),
    ],
)
def test_damage_has_a_reason(data: bytes, code: str) -> None:
    for use in (lambda: check_image(data, "png"), lambda: decode(data)):
        with pytest.raises(DecodeError) as caught:
            use()
        assert caught.value.code == code
        assert "0x" not in caught.value.detail  # no addresses: equal damage gives equal text


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_pixel_limit(kind: str) -> None:
    with pytest.raises(DecodeError, match=r"64 x 40 pixels are over the limit of 2,559"):
        check_image(encode(BIG, kind), "png", max_pixels=2_559)
    check_image(encode(BIG, kind), "png", max_pixels=2_560)


def test_decompression_bomb_is_not_decoded() -> None:
    bomb = encode(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(DecodeError) as caught:
        check_image(bomb, "png")
    assert caught.value.code == "image_too_large"


def test_alpha_lies_over_white() -> None:
    clear = Image.fromarray(np.zeros((4, 4, 4), np.uint8))
    assert (decode(encode(clear)) == 255).all()
    half = Image.fromarray(np.full((4, 4, 4), [0, 0, 0, 128], np.uint8))
    assert np.abs(decode(encode(half)).astype(int) - 127).max() <= 1


@pytest.mark.parametrize(
    ("colour", "depth", "row", "transparent", "seen"),
    [
        (2, 8, bytes([5, 6, 7, 8, 9, 10]), (5, 6, 7), [(255, 255, 255), (8, 9, 10)]),
        (2, 8, bytes([0, 0, 0, 0, 0, 1]), (0, 0, 0), [(255, 255, 255), (0, 0, 1)]),
        (2, 16, struct.pack(">6H", 40_000, 300, 5, 0x4040, 0x2C2C, 5), (40_000, 300, 5), [(255, 255, 255), (64, 44, 0)]),
        (0, 16, struct.pack(">4H", 0, 300, 40_000, 65_535), (40_000,), [0, 1, 255, 255]),
        (0, 16, struct.pack(">4H", 0, 300, 40_000, 65_535), (0,), [255, 1, 155, 255]),
        (0, 8, bytes([5, 6, 7]), (6,), [5, 255, 7]),
        (0, 4, bytes([0x5F, 0x0A]), (5,), [255, 255, 0, 170]),
        (0, 2, bytes([0b00011011]), (1,), [0, 255, 170, 255]),
        (0, 1, bytes([0b01000000]), (0,), [255, 255]),
    ],
)  # fmt: skip
def test_a_transparent_colour_lies_over_white(
    colour: int, depth: int, row: bytes, transparent: tuple[int, ...], seen: list
) -> None:
    """Only pixels of that very colour; they are stored in any colour, often black."""
    key = struct.pack(f">{len(transparent)}H", *transparent)
    head = struct.pack(">IIBBBBB", len(seen), 1, depth, colour, 0, 0, 0)
    data = png((b"IHDR", head), (b"tRNS", key), (b"IDAT", zlib.compress(b"\0" + row)))
    assert "alpha" in check_image(data, "png").notes
    assert decode(data)[0].tolist() == [list(one) if colour == 2 else [one] * 3 for one in seen]


def test_sixteen_bits_are_scaled_not_cut() -> None:
    ramp = Image.fromarray(np.linspace(0, 65_535, 64).astype(np.uint16).reshape(8, 8))
    np.testing.assert_allclose(decode(encode(ramp))[..., 0].reshape(-1), np.linspace(0, 255, 64), atol=1)


def test_rotation_turns_the_pixels() -> None:
    upright = np.asarray(BIG)
    turned = decode(encode(Image.fromarray(upright), "PNG", exif=ROTATED))
    assert np.array_equal(turned, np.rot90(upright, -1))


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


@pytest.mark.parametrize(
    ("before", "turned"),
    [
        (b"", True),
        (segment(0xE2, bytes(4_000)) + segment(0xFE, b"a comment"), True),
        (segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"), True),
        (segment(0xE2, bytes(60_000)) + segment(0xE2, bytes(60_000)), False),
    ],
)
def test_rotation_is_found_behind_other_segments(before: bytes, turned: bool) -> None:
    """EXIF beyond the first 64 KiB is not looked for."""
    data = encode(BIG, "JPEG", exif=ROTATED)
    assert decode(data[:2] + before + data[2:]).shape == ((64, 40, 3) if turned else (40, 64, 3))


@pytest.mark.parametrize("at", [0, 2, 100])
def test_a_head_cut_short_is_damage_not_a_crash(at: int) -> None:
    with pytest.raises(DecodeError):
        decode(b"\xff\xd8\xff" + encode(BIG, "JPEG", exif=ROTATED)[3:][:at])


def test_small_views_cost_less() -> None:
    large = noise(2).resize((640, 480))
    small = decode(encode(large, "JPEG"), at_least=64)
    assert small.shape == (120, 160, 3)
    full = np.asarray(Image.open(io.BytesIO(encode(large, "JPEG"))).resize((160, 120), Image.Resampling.BOX))
    assert np.abs(small.astype(int) - full.astype(int)).mean() < 3

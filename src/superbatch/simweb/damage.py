"""Simulated defects of a web crawl: useless and damaged captions, off-topic pictures, broken files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from superbatch.simweb.drawing import Pictures, noise, pixel_grid, quantise, spread
from superbatch.simweb.draws import Dice, Draws

DAMAGE_KINDS = ("clean", "mismatched", "boilerplate", "garbled", "off_topic", "near_duplicate", "corrupt")
CORRUPTIONS = ("truncated image", "empty image", "not an image", "empty caption")
_DRAWS = 64

_SHOP = (
    "free shipping on orders over ${n}", "buy now and save {n}%", "product image {d} of {e}", "click to enlarge",
    "add to cart - only {n} left", "sale {n}% off", "item no. {m}", "photo by admin", "untitled {n}", "image {m}",
    "copyright {y} all rights reserved", "posted on {y}-{e}-{d}", "thumbnail {n}x{n}", "customer photo {n}",
    "loading image {d} of {n}", "default alt text", "page {n} of {m}", "follow us for more", "stock photo #{m}",
    "placeholder", "logo {y}", "see all {n} photos", "share this", "best price guaranteed - ${n}.99",
    "view {n} reviews", "screenshot {y}-{e}-{d}", "new arrival {y}", "picture {n}", "related articles ({n})",
    "sign up and get {n}% off",
)  # fmt: skip
_FILES = (
    "IMG_{m}.jpg",
    "DSC0{m}.JPG",
    "image{n}.png",
    "photo-{m}.jpeg",
    "P10{m}.JPG",
    "scan{n}.png",
    "{y}{e}{d}_{m}.jpg",
    "final_v{d}.png",
)

_OFF_TOPIC: dict[str, tuple[str, ...]] = {
    "static": (
        "tv static",
        "no signal on channel {n}",
        "analog noise texture {n}",
        "broken camera feed",
        "white noise pattern",
    ),
    "clouds": (
        "sunset over the bay",
        "clouds in {y}",
        "blurry holiday photo",
        "fog in the valley",
        "aurora above the lake",
        "watercolor texture {n}",
    ),
    "landscape": (
        "beach holiday {y}",
        "view from the hotel",
        "road trip day {d}",
        "fields near the village",
        "morning at the sea",
        "hiking in the hills",
    ),
    "text": (
        "annual report page {n}",
        "screenshot of my desktop",
        "scan of a letter from {y}",
        "terms and conditions",
        "menu of the week",
        "receipt no. {m}",
    ),
    "wallpaper": (
        "abstract wallpaper {n}",
        "desktop gradient pack {d}",
        "retro lines design",
        "kitchen tiles close-up",
        "knitted fabric sample {n}",
    ),
}
OFF_TOPIC_SUBJECTS = tuple(_OFF_TOPIC)


def _fill(template: str, dice: Dice) -> str:
    return template.format(
        n=1 + dice.below(99),
        m=1000 + dice.below(9000),
        d=1 + dice.below(9),
        e=10 + dice.below(3),
        y=1998 + dice.below(27),
    )


def boilerplate_captions(draws: Draws) -> list[str]:
    """Write file names and shop phrases."""
    return [_boilerplate(Dice(row)) for row in draws.table("boilerplate", _DRAWS).tolist()]


def _boilerplate(dice: Dice) -> str:
    return _fill(dice.pick(_FILES) if dice.chance(0.4) else dice.pick(_SHOP), dice)


def garble(captions: list[str], draws: Draws) -> list[str]:
    """Scramble the words or letters of each caption, or cut it short; the result always differs from the caption."""
    return [
        _garbled(caption, Dice(row))
        for caption, row in zip(captions, draws.table("garble", _DRAWS).tolist(), strict=True)
    ]


def _garbled(caption: str, dice: Dice) -> str:
    way = dice.pick(("letters", "letters", "cut", "cut", "words", "holes", "soup"))
    if way == "letters":
        result = " ".join("".join(dice.shuffled(word)) for word in caption.split())
    elif way == "cut":
        result = caption[: 2 + dice.below(max(1, len(caption) // 2 - 2))].strip()
    elif way == "words":
        result = " ".join(dice.shuffled(caption.split())[: 2 + dice.below(3)])
    elif way == "holes":
        result = "".join("�" if dice.chance(0.45) else letter for letter in caption)
    else:
        result = "".join(
            dice.pick("abcdefghijklmnopqrstuvwxyz   0123456789&;#?") for _ in range(6 + dice.below(24))
        ).strip()
    return result if result.strip() and result != caption else "&#" + str(100 + dice.below(900)) + ";"


def off_topic_pictures(draws: Draws, image_size: int) -> tuple[Pictures, list[str]]:
    """Draw pictures of nothing in the world of scenes, with captions of theirs.

    Returns:
        uint8[n, S, S, 3], and n captions.
    """
    subject = draws.integers("subject", len(OFF_TOPIC_SUBJECTS))
    pictures = np.empty((len(draws), image_size, image_size, 3), dtype=np.uint8)
    painters = (_static, _clouds, _landscape, _text, _wallpaper)
    for number, paint in enumerate(painters):
        rows = np.flatnonzero(subject == number)
        if len(rows):
            pictures[rows] = quantise(paint(draws.subset(rows), image_size))
    table = draws.table("off-topic caption", _DRAWS).tolist()
    captions = [
        _off_topic_caption(OFF_TOPIC_SUBJECTS[s], Dice(row)) for s, row in zip(subject.tolist(), table, strict=True)
    ]
    return pictures, captions


def _off_topic_caption(subject: str, dice: Dice) -> str:
    text = _fill(dice.pick(_OFF_TOPIC[subject]), dice)
    return (
        text
        if dice.chance(0.7)
        else text + dice.pick((", original size", " (draft)", ", high resolution", ", new", " by anna", " - free"))
    )


def _tint(draws: Draws, name: str, low: float = 20, high: float = 235) -> NDArray[np.float32]:
    """float32[n, 1, 1, 3], a colour a picture."""
    return (low + (high - low) * draws.table(name, 3)).astype(np.float32)[:, None, None, :]


def _static(draws: Draws, image_size: int) -> NDArray[np.float32]:
    planes = [spread(noise(draws.bits(f"static {c}"), 32), image_size) for c in "rgb"]
    colourful = draws.uniform("colourful") < 0.5
    picture = np.stack(planes, axis=-1)
    picture[~colourful] = picture[~colourful][..., :1]
    return 128 + 110 * picture


def _smooth(cells: NDArray[np.float32], image_size: int) -> NDArray[np.float32]:
    """Upsample [n, c, c, 3] to [n, S, S, 3] linearly, by plain einsum: its sums don't depend on the number of threads."""
    at = np.linspace(0, cells.shape[1] - 1, image_size, dtype=np.float32)
    kernel = np.clip(1 - np.abs(at[:, None] - np.arange(cells.shape[1], dtype=np.float32)[None]), 0, 1).astype(
        np.float32
    )
    rows = np.einsum("yg,nghc->nyhc", kernel, cells, optimize=False)
    picture: NDArray[np.float32] = np.einsum("xh,nyhc->nyxc", kernel, rows, optimize=False)
    return picture


def _clouds(draws: Draws, image_size: int) -> NDArray[np.float32]:
    coarse = _smooth(np.stack([noise(draws.bits(f"coarse {c}"), 4) for c in "rgb"], axis=-1), image_size)
    fine = _smooth(noise(draws.bits("fine"), 11)[..., None], image_size)
    return _tint(draws, "cloud", 60, 200) + 60 * coarse + 28 * fine


def _landscape(draws: Draws, image_size: int) -> NDArray[np.float32]:
    x, y = pixel_grid(image_size)
    hills = draws.uniform("horizon", -0.4, 0.3)[:, None, None] + 0.12 * np.sin(
        x * 4 + draws.uniform("hills", 0, 6)[:, None, None]
    )
    sky = _tint(draws, "sky", 120, 250) * (0.75 - 0.25 * y[..., None])
    ground = _tint(draws, "ground", 20, 150) * (
        0.8 + 0.2 * _smooth(noise(draws.bits("grass"), 16)[..., None], image_size)
    )
    return np.where((y < hills)[..., None], ground, sky).astype(np.float32)


def _text(draws: Draws, image_size: int) -> NDArray[np.float32]:
    """A page or a screen: rows of dark blobs of random length."""
    ink = noise(draws.bits("ink"), 32) > -0.2
    ink[:, ::2] = False  # leading between the lines
    length = 16 + (16 * noise(draws.bits("length"), 32)[:, :, :1])
    ink &= (np.arange(32)[None, None] < length) & (np.arange(32)[None, None] > 2)
    paper, print_ = _tint(draws, "paper", 200, 255), _tint(draws, "print", 0, 110)
    return np.where(spread(ink.astype(np.float32), image_size)[..., None] > 0, print_, paper)


def _wallpaper(draws: Draws, image_size: int) -> NDArray[np.float32]:
    x, y = pixel_grid(image_size)
    fx, fy = (draws.uniform(f"frequency {axis}", 2, 14)[:, None, None] for axis in "xy")
    wave = (
        np.sin(x * fx + y * fy) * np.where(draws.uniform("woven")[:, None, None] < 0.5, np.sin(y * fx - x * fy), 1)
    )[..., None]
    return (_tint(draws, "warp") * (0.5 + 0.5 * wave) + _tint(draws, "weft") * (0.5 - 0.5 * wave)).astype(np.float32)


def corrupt(image: bytes, caption: str, dice: Dice) -> tuple[bytes, str]:
    """Break one sample, so that no reader can accept it: cut or empty image bytes, an error page, or no caption.

    Returns:
        The image's bytes and the caption as they would lie in the crawl.
    """
    way = dice.pick(CORRUPTIONS)
    if way == "truncated image":
        return image[: len(image) * (2 + dice.below(6)) // 10], caption
    if way == "empty image":
        return b"", caption
    if way == "not an image":
        return b"<html><head><title>404 Not Found</title></head><body>not found</body></html>", caption
    return image, dice.pick(("", " ", "\n"))

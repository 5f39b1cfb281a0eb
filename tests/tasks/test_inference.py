"""Images and texts of one's own are embedded in the view that a model was trained in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from superbatch.errors import UserError
from superbatch.models import ClipModel, build_model
from superbatch.options import ModelSettings
from superbatch.tasks import embed_images, embed_texts
from tests.project import PROJECT


@pytest.fixture(scope="module")
def clip() -> ClipModel:
    settings = ModelSettings(config=str(PROJECT / "conf" / "models" / "tiny.json"))
    found = build_model(settings, loss="sigmoid", batch_size=8, seed=0)
    found.model.eval()
    return found


def picture(colour: str = "red", mode: str = "RGB") -> Image.Image:
    """Wide, with a bar at its left edge that the centre square leaves out."""
    image = Image.new(mode, (90, 60), colour)
    image.paste("blue", (0, 0, 5, 60))
    image.paste("yellow", (40, 0, 60, 20))
    return image


def test_a_file_and_an_open_image_are_the_same(clip: ClipModel, tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    found = embed_images(clip, [tmp_path / "a.png", str(tmp_path / "a.png"), picture()])
    assert found.shape == (3, 64) and found.dtype == torch.float32 and not found.requires_grad
    assert torch.allclose(found.norm(dim=1), torch.ones(3))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_only_the_centre_square_counts_upright_and_over_white(clip: ClipModel, tmp_path: Path) -> None:
    whole, centre = picture(), picture().crop((15, 0, 75, 60))
    assert torch.allclose(embed_images(clip, [whole]), embed_images(clip, [centre]), atol=1e-6)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    centre.rotate(90).save(tmp_path / "turned.png", exif=exif)
    turned = tmp_path / "turned.png"
    assert torch.allclose(embed_images(clip, [turned, Image.open(turned)]), embed_images(clip, [centre]), atol=1e-6)
    clear = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    assert torch.equal(embed_images(clip, [clear]), embed_images(clip, [Image.new("RGB", (32, 32), "white")]))


def test_batches_change_nothing_and_none_is_fine(clip: ClipModel) -> None:
    images, texts = [picture("red"), picture("green"), picture("black")], ["a star", "", "two red squares"]
    assert torch.allclose(embed_images(clip, images), embed_images(clip, images, batch=2), atol=1e-6)
    assert torch.allclose(embed_texts(clip, texts), embed_texts(clip, texts, batch=2), atol=1e-6)
    assert embed_images(clip, []).shape == embed_texts(clip, []).shape == (0, 64)


def test_files_that_are_no_image_are_named(clip: ClipModel, tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(UserError, match=r"a\.gif: the content is GIF"):
        embed_images(clip, [tmp_path / "a.gif"])
    with pytest.raises(UserError, match=r"^nowhere\.png: can't be opened \(No such file or directory\)"):
        embed_images(clip, ["nowhere.png"])


def test_one_text_is_no_list_of_letters(clip: ClipModel) -> None:
    with pytest.raises(UserError, match=r"^texts: 'a cat' is no list; write \['a cat'\]"):
        embed_texts(clip, "a cat")
    with pytest.raises(UserError, match=r"^images: 'a.png' is no list"):
        embed_images(clip, "a.png")

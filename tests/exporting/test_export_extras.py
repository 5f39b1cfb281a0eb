"""Round trips through transformers and onnxruntime, by the card's own lines and by given pixels and token ids."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from superbatch.errors import UserError
from superbatch.exporting import graphs
from superbatch.exporting.parts import Exported
from superbatch.exporting.writing import write_formats
from superbatch.files import read_json
from superbatch.models.headed import IMAGE_ONLY
from tests.exporting.conftest import FACTS, Make, photo, run_snippets, siglip_model_cfg

pytestmark = pytest.mark.extras
TEXTS = ["a red square", "a blue star"]
ODD_TEXTS = ["Two  Blue stars; it's 42!", "é ☕ <b>", "", "one two three four five six seven eight nine"]


@torch.no_grad()
def embedded(exported: Exported, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """What the model itself makes of the picture and the texts of the cards' lines."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in exported.clip.mean_std)
    pixels = torch.from_numpy(np.array(Image.open(photo(folder)).convert("RGB"))).permute(2, 0, 1)[None] / 255
    return exported.image_tower((pixels - mean) / std), exported.text_tower(exported.clip.tokenizer()(TEXTS))


@pytest.mark.parametrize(("loss", "quick"), [("sigmoid", False), ("softmax", True)])
def test_transformers_gives_equal_embeddings(
    checkpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: str, quick: bool
) -> None:
    from transformers import CLIPModel, CLIPTokenizer

    own = checkpoint(loss=loss, **({"quick_gelu": True} if quick else {}))
    write_formats(own, FACTS, ["huggingface"], tmp_path)
    folder, exported = tmp_path / "huggingface", Exported.load(own)
    loaded, info = CLIPModel.from_pretrained(folder, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    pixels, ids = exported.some_pixels(5), exported.some_ids(5)
    with torch.no_grad():
        found = loaded.eval()(input_ids=ids, pixel_values=pixels)
        assert torch.allclose(found.image_embeds, exported.image_tower(pixels), atol=1e-5)
        assert torch.allclose(found.text_embeds, exported.text_tower(ids), atol=1e-5)
        scores = exported.clip.model.logit_scale.exp() * exported.image_tower(pixels) @ exported.text_tower(ids).T
        assert torch.allclose(found.logits_per_image, scores, atol=1e-4)
    mine = exported.clip.tokenizer()(TEXTS + ODD_TEXTS)
    theirs = CLIPTokenizer.from_pretrained(folder)(
        TEXTS + ODD_TEXTS, padding="max_length", truncation=True, return_tensors="pt"
    )["input_ids"]
    assert torch.equal(theirs.where(mine != 0, 0), mine), "the same but for the padding"
    images, texts = embedded(exported, folder)
    shown = run_snippets(folder, monkeypatch, "import CLIPModel")
    assert torch.allclose(shown["images"], images, atol=1e-5) and torch.allclose(shown["texts"], texts, atol=1e-5)


def test_transformers_gives_siglips_embeddings(
    checkpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import SiglipModel

    own = checkpoint(**siglip_model_cfg())
    write_formats(own, FACTS, ["huggingface"], tmp_path)
    folder, exported = tmp_path / "huggingface", Exported.load(own)
    loaded, info = SiglipModel.from_pretrained(folder, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    pixels, ids = exported.some_pixels(5), exported.some_ids(5)
    with torch.no_grad():
        found = loaded.eval()(input_ids=ids, pixel_values=pixels)
        own_images, own_texts = exported.image_tower(pixels), exported.text_tower(ids)
        assert torch.allclose(found.image_embeds, own_images, atol=1e-5)
        assert torch.allclose(found.text_embeds, own_texts, atol=1e-5)
        model: Any = exported.clip.model
        scores = model.logit_scale.exp() * own_images @ own_texts.T + model.logit_bias
        assert torch.allclose(found.logits_per_image, scores, atol=1e-4)
    images, texts = embedded(exported, folder)
    shown = run_snippets(folder, monkeypatch, "SiglipModel")
    assert torch.allclose(shown["images"], images, atol=1e-5) and torch.allclose(shown["texts"], texts, atol=1e-5)


def test_transformers_takes_an_image_tower_alone(
    checkpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = checkpoint({IMAGE_ONLY: True})
    write_formats(own, FACTS, ["huggingface"], tmp_path)
    images, _ = embedded(Exported.load(own), tmp_path / "huggingface")
    shown = run_snippets(tmp_path / "huggingface", monkeypatch, "CLIPVisionModelWithProjection")
    assert torch.allclose(shown["images"], images, atol=1e-5)


def test_onnxruntime_gives_equal_embeddings_at_any_batch(
    checkpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    own = checkpoint()
    write_formats(own, FACTS, ["onnx"], tmp_path)
    folder, exported = tmp_path / "onnx", Exported.load(own)
    check = read_json(folder / "check.json")
    assert set(check["towers"]) == {"image", "text"}
    for name, tower, draw in (
        ("image", exported.image_tower, exported.some_pixels),
        ("text", exported.text_tower, exported.some_ids),
    ):
        about = check["towers"][name]
        assert set(about["largest_difference"]) == {"1", "5"} and max(about["largest_difference"].values()) <= 1e-4
        session = onnxruntime.InferenceSession(str(folder / about["file"]))
        for count in (1, 2, 7):
            inputs = draw(count, seed=count)
            (found,) = session.run(None, {about["input"]: inputs.numpy()})
            with torch.no_grad():
                assert np.abs(found - tower(inputs).numpy()).max() <= 1e-4
    images, texts = embedded(exported, folder)
    shown = run_snippets(folder, monkeypatch, "onnxruntime")
    assert np.allclose(shown["images"], images, atol=1e-4) and np.allclose(shown["texts"], texts, atol=1e-4)


def test_onnx_of_an_image_tower_alone_has_no_text(checkpoint: Make, tmp_path: Path) -> None:
    write_formats(checkpoint({IMAGE_ONLY: True}), FACTS, ["onnx"], tmp_path)
    assert sorted(file.name for file in (tmp_path / "onnx").iterdir()) == [
        "README.md", "check.json", "image.onnx", "preprocessing.json",
    ]  # fmt: skip
    assert "texts" not in (tmp_path / "onnx" / "README.md").read_text()


def test_onnx_takes_timms_towers_too(checkpoint: Make, tmp_path: Path) -> None:
    write_formats(checkpoint(**siglip_model_cfg()), FACTS, ["onnx"], tmp_path)
    towers = read_json(tmp_path / "onnx" / "check.json")["towers"]
    assert all(value <= 1e-4 for one in towers.values() for value in one["largest_difference"].values())


def test_a_graph_that_is_not_the_model_is_refused(
    checkpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights change between export and check, as by an exporter that errs."""
    exported = Exported.load(checkpoint({IMAGE_ONLY: True}))
    silent: Any = graphs._silent

    @contextlib.contextmanager
    def silent_and_wrong() -> Any:
        with silent():
            yield
        with torch.no_grad():
            exported.clip.model.visual.proj.add_(torch.eye(*exported.clip.model.visual.proj.shape))

    monkeypatch.setattr(graphs, "_silent", silent_and_wrong)
    with pytest.raises(
        UserError, match=r"^export\.formats: image\.onnx differs from the model by 0\.\d+, and 0\.0001 is allowed"
    ):
        graphs.write_graphs(exported, tmp_path)

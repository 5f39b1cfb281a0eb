"""Models by open_clip's names: out of a cache of the hub made here, by a tag of weights, and what is said without a network."""

from __future__ import annotations

import time
from pathlib import Path

import fsspec
import open_clip
import pytest
import torch
from huggingface_hub import constants
from open_clip import pretrained
from safetensors.torch import save_file

from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.fingerprints import file_sha256
from superbatch.errors import UserError
from superbatch.models import build_model, checkpoint_directory, hub, load_checkpoint, located, read_metadata
from superbatch.options import ModelSettings, TrainingSettings
from superbatch.tasks.learner import model_identity
from superbatch.tasks.view import shell_of
from tests.tiny_model import tiny_model_cfg

NAME, TAG = "ViT-tiny", "laion2b_s1b"
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, caches of the test's own, and nothing remembered of other tests."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for remembered in (hub._of_hub, hub._of_tag):
        remembered.cache_clear()


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(4)
    return open_clip.CLIP(**tiny_model_cfg()).state_dict()


@pytest.fixture
def stored(tmp_path: Path, weights: dict[str, torch.Tensor]) -> Path:
    """A repository as huggingface_hub leaves it in its cache."""
    root = tmp_path / "hub" / "models--us--tiny"
    snapshot = root / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("a" * 40)
    save_file(weights, snapshot / "open_clip_model.safetensors")
    made = {"model_cfg": tiny_model_cfg(), "preprocess_cfg": {"mean": MEAN, "std": STD}}
    write_json(snapshot / "open_clip_config.json", made)
    return snapshot


@pytest.fixture
def tagged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small model among open_clip's own, with a tag whose weights the repository has; they were trained with QuickGELU."""
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, NAME, tiny_model_cfg())
    tag = pretrained._pcfg(hf_hub="us/tiny/", mean=MEAN, std=STD, quick_gelu=True)
    monkeypatch.setitem(pretrained._PRETRAINED, NAME, {TAG: tag, "openai": {"url": "http://127.0.0.1:9/weights.pt"}})


def same_weights(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> bool:
    found = model.state_dict()
    return all(torch.equal(found[name], value) for name, value in weights.items() if not name.startswith("logit"))


@pytest.mark.parametrize(("config", "named"), [("hf-hub:us/tiny", None), ("hf-hub:us/tiny", "hf-hub:us/tiny")])
def test_a_repository_of_the_hub_is_a_model_with_its_weights(
    stored: Path, weights: dict[str, torch.Tensor], config: str, named: str | None
) -> None:
    settings = ModelSettings(config, named)
    clip = build_model(settings, loss="softmax", batch_size=8, seed=0)
    assert same_weights(clip.model, weights)
    assert clip.mean_std == (MEAN, STD)
    digest = file_sha256(stored / "open_clip_model.safetensors")
    assert model_identity(settings, clip)["pretrained"] == digest
    by_path = ModelSettings(str(stored), str(stored))
    assert model_identity(settings, clip) == model_identity(
        by_path, build_model(by_path, loss="softmax", batch_size=8, seed=0)
    )
    assert shell_of(settings).config["model_cfg"] == tiny_model_cfg()


def test_a_name_is_a_checkpoint_directory_for_a_reference(stored: Path, tagged: None) -> None:
    for name in ("hf-hub:us/tiny", f"local-dir:{stored}", str(stored), f"{NAME}:{TAG}"):
        found = checkpoint_directory(name)
        assert load_checkpoint(found).mean_std == (MEAN, STD), name
        assert read_metadata(found)["weights_sha256"] == file_sha256(stored / "open_clip_model.safetensors")


def test_a_tag_brings_weights_pixels_and_activation(
    stored: Path, weights: dict[str, torch.Tensor], tagged: None
) -> None:
    settings = ModelSettings(NAME, TAG)
    clip = build_model(settings, loss="sigmoid", batch_size=8, seed=0)
    assert same_weights(clip.model, weights)
    assert clip.mean_std == (MEAN, STD)
    assert clip.config["model_cfg"]["quick_gelu"], "as its weights were trained"
    assert located(settings) == located(settings)
    assert build_model(ModelSettings(NAME), loss="sigmoid", batch_size=8, seed=0).mean_std != (MEAN, STD)


@pytest.mark.parametrize("name", [f"{NAME}:{TAG}", "hf-hub:us/tiny"])
def test_what_builds_a_text_tower_of_transformers_is_fetched_too(
    stored: Path, tagged: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    made = tiny_model_cfg()
    made["text_cfg"] = {"hf_model_name": "us/words", "hf_tokenizer_name": "us/tiny"}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, NAME, made)
    write_json(stored / "open_clip_config.json", {"model_cfg": made})
    fetched, fetch = [], hub._small_files
    monkeypatch.setattr(
        hub, "_small_files", lambda *asked: fetched.append(asked) if asked[0] == "us/words" else fetch(*asked)
    )
    checkpoint_directory(name)
    assert fetched == [("us/words", "config.json")]


def test_weights_that_open_clip_fetches_by_address(
    tmp_path: Path, weights: dict[str, torch.Tensor], tagged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(weights, tmp_path / "weights.pt")
    asked = []
    monkeypatch.setattr(
        pretrained, "download_pretrained", lambda of: asked.append(of["url"]) or tmp_path / "weights.pt"
    )
    for _ in range(2):
        clip = build_model(ModelSettings(NAME, "openai"), loss="softmax", batch_size=8, seed=0)
        assert same_weights(clip.model, weights)
    assert asked == ["http://127.0.0.1:9/weights.pt"], "once a process"


def test_a_path_stays_what_it_is(tmp_path: Path) -> None:
    for settings in (
        ModelSettings(),
        ModelSettings("ViT-B-32"),
        ModelSettings("a.json", "a:b"),
        ModelSettings("a", "b.pt"),
    ):
        assert located(settings) == settings


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (ModelSettings("ViT-B-32", "laion2b"), "model.pretrained: open_clip has no weights 'laion2b' of ViT-B-32; did you mean laion2b_"),
        (ModelSettings("RN50", "RN50:cc12"), "model.pretrained: open_clip has no weights 'cc12' of RN50; did you mean cc12m"),
        (ModelSettings("hf-hub:us/other"), "hf-hub:us/other: is not in the cache on this machine, and http://127.0.0.1:9 does not answer; download it"),
        (ModelSettings("ViT-B-32", "laion2b_s34b_b79k"), "ViT-B-32:laion2b_s34b_b79k: is not in the cache on this machine, and http"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_told_in_one_line_and_at_once(settings: ModelSettings, line: str) -> None:
    start = time.monotonic()
    with pytest.raises(UserError) as caught:
        shell_of(settings)
    assert str(caught.value).startswith(line)
    assert len(str(caught.value).splitlines()) == 1
    assert time.monotonic() - start < 15, "huggingface_hub alone tries for half a minute"


def test_who_forbids_the_network_is_told_so_and_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "_answers", lambda address: pytest.fail("asked"))
    with pytest.raises(UserError, match="and HF_HUB_OFFLINE is set; download it where there is a network"):
        checkpoint_directory("hf-hub:us/tiny")


def test_building_a_model_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    write_json(tmp_path / "tiny.json", tiny_model_cfg())
    build_model(ModelSettings(str(tmp_path / "tiny.json")), loss=TrainingSettings().loss, batch_size=8, seed=0)
    assert not constants.HF_HUB_OFFLINE


def test_a_server_that_says_no_is_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_answers", lambda address: True)
    with (
        pytest.raises(
            UserError, match=r"^x: could not be fetched from http://there \(401 no entry\); look at the name"
        ),
        hub.fetching("x", "http://there"),
    ):
        raise OSError("401 no entry\nmore")
    with pytest.raises(UserError, match="^mine"), hub.fetching("x", "http://there"):
        raise UserError("mine", "stays")


def test_a_model_by_address_is_that_of_the_folder(
    stored: Path, weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """A checkpoint in a store is copied once; which weights it has, and not where it lies, is what a run depends on."""
    memory = fsspec.filesystem("memory")
    url = "memory://hub/tiny"
    for file in stored.iterdir():
        memory.put_file(str(file), f"/hub/tiny/{file.name}")
    memory.pipe("/hub/tiny/open_clip_pytorch_model.bin", b"the same weights once more, which nobody reads")
    hub._copied.cache_clear()
    settings, by_path = ModelSettings(url, url), ModelSettings(str(stored), str(stored))
    clip = build_model(settings, loss="softmax", batch_size=8, seed=0)
    assert same_weights(clip.model, weights) and clip.mean_std == (MEAN, STD)
    assert model_identity(settings, clip) == model_identity(by_path, clip)
    assert shell_of(settings).config["model_cfg"] == tiny_model_cfg()
    assert checkpoint_directory(url).parent == tmp_path / "cache" / "superbatch"
    assert sorted(file.name for file in checkpoint_directory(url).iterdir()) == sorted(
        ["open_clip_config.json", "open_clip_model.safetensors"]
    )
    alone = ModelSettings(str(stored), f"{url}/open_clip_model.safetensors")
    assert same_weights(build_model(alone, loss="softmax", batch_size=8, seed=0).model, weights)
    with pytest.raises(UserError, match=r"^memory://hub/none: no such object; correct the address"):
        located(ModelSettings(NAME, "memory://hub/none"))


def test_the_class_weights_of_a_checkpoint_are_copied_too() -> None:
    names = [
        "open_clip_config.json",
        "superbatch.json",
        "open_clip_model.safetensors",
        "classifier.safetensors",
        "notes.md",
    ]
    assert set(hub._parts_of_checkpoint(names)) == set(names) - {"notes.md"}

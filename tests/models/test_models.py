"""Models: deterministic building, compact vocabularies, checkpoints that open_clip itself loads."""

from __future__ import annotations

import json
import math

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from superbatch.errors import UserError
from superbatch.exporting.parts import Exported
from superbatch.models import Vocabulary, build_model, load_checkpoint, read_config, read_metadata, save_checkpoint
from superbatch.models.vocabulary import full_vocabulary
from superbatch.options import ModelSettings
from superbatch.tasks.learner import model_identity

CAPTIONS = ["a red triangle left of a blue digit seven", "IMG_2041.jpg", "two green stars", ""]


@pytest.fixture
def config_file(tmp_path):
    config = {
        "model_cfg": {
            "embed_dim": 16,
            "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
            "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
        },
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    }
    path = tmp_path / "model.json"
    path.write_text(json.dumps(config))
    return path


@pytest.fixture
def clip(config_file):
    return build_model(ModelSettings(config=str(config_file)), loss="sigmoid", batch_size=9, seed=3)


def test_open_clip_s_own_models_go_by_name():
    assert read_config("ViT-B-32") == {"model_cfg": open_clip.get_model_config("ViT-B-32")}
    with pytest.raises(UserError, match=r"ViT-B-33: no such model configuration; .* or one of open_clip's models"):
        read_config("ViT-B-33")


def test_building_is_a_function_of_the_seed_and_leaves_the_global_state_alone(config_file):
    settings = ModelSettings(config=str(config_file))
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first = build_model(settings, loss="sigmoid", batch_size=9, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    second = build_model(settings, loss="sigmoid", batch_size=9, seed=3)
    other = build_model(settings, loss="sigmoid", batch_size=9, seed=4)
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True)
    )
    assert not torch.equal(first.model.token_embedding.weight, other.model.token_embedding.weight)


def test_the_bias_starts_at_the_prior_of_the_batch_and_softmax_has_none(config_file, clip):
    assert clip.scale_and_bias() == (pytest.approx(10.0), pytest.approx(-math.log(8)))
    plain = build_model(ModelSettings(config=str(config_file)), loss="softmax", batch_size=9, seed=3)
    assert plain.model.logit_bias is None and plain.scale_and_bias()[1] == 0.0


def test_clips_tokenizer_is_read_once_and_each_remembers_words_for_itself(clip):
    first, second = clip.tokenizer(), clip.tokenizer()
    ids = first(CAPTIONS)
    assert first.encoder is second.encoder and len(first.cache) > len(second.cache)
    clip.config["model_cfg"]["text_cfg"] |= {"context_length": 3, "tokenizer_kwargs": {"clean": "canonicalize"}}
    assert clip.tokenizer()(CAPTIONS).shape == (len(CAPTIONS), 3) != ids.shape
    assert clip.tokenizer().clean_fn is not first.clean_fn


def test_a_compact_vocabulary_computes_the_same_and_grows_back(clip):
    ids = clip.tokenizer()(CAPTIONS)
    whole = clip.model.encode_text(ids)
    vocabulary = Vocabulary.of(clip.model, ids[:3].numpy())
    vocabulary.shrink(clip.model)
    assert clip.model.token_embedding.num_embeddings < 40
    compact = vocabulary.to_compact(ids)
    assert torch.equal(compact.argmax(1), ids.argmax(1)), "the end token keeps the largest id"
    assert torch.equal(clip.model.encode_text(compact), whole)
    with torch.no_grad():
        clip.model.token_embedding.weight.add_(1.0)
    with full_vocabulary(clip.model, vocabulary) as full:
        changed = (full.token_embedding.weight != vocabulary.table_FW).any(1).nonzero().squeeze(1)
    assert torch.equal(changed, vocabulary.ids_V), "only the rows in use were trained"
    assert clip.model.token_embedding.num_embeddings == len(vocabulary.ids_V)


def test_shrinking_and_growing_draw_nothing(clip):
    """Evaluation builds the whole vocabulary's embedding: what it drew would be missing to the run's dropout."""
    vocabulary = Vocabulary.of(clip.model, np.array([3, 5]))
    before = torch.get_rng_state()
    vocabulary.shrink(clip.model)
    vocabulary.grow(clip.model)
    assert torch.equal(torch.get_rng_state(), before)
    assert clip.model.token_embedding.weight.requires_grad


def test_an_id_outside_the_vocabulary_is_never_mapped_silently(clip):
    vocabulary = Vocabulary.of(clip.model, clip.tokenizer()(CAPTIONS[:1]).numpy())
    with pytest.raises(AssertionError):
        vocabulary.to_compact(clip.tokenizer()(["zebra"]))


def test_open_clip_loads_our_checkpoint_with_its_tokenizer(clip, tmp_path):
    ids = clip.tokenizer()(CAPTIONS)
    images = torch.rand(4, 3, 16, 16)
    vocabulary = Vocabulary.of(clip.model, ids.numpy())
    vocabulary.shrink(clip.model)
    with torch.no_grad():
        clip.model.token_embedding.weight.mul_(1.5)
        clip.model.eval()
        expected = clip.model.encode_image(images), clip.model.encode_text(vocabulary.to_compact(ids))
    digest = save_checkpoint(tmp_path / "out", clip, {"run": "x"}, vocabulary)
    theirs = open_clip.create_model(f"local-dir:{tmp_path / 'out'}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'out'}")(CAPTIONS)
    assert torch.equal(tokens, ids)
    with torch.no_grad():
        assert torch.allclose(theirs.encode_image(images), expected[0], atol=1e-6)
        assert torch.allclose(theirs.encode_text(tokens), expected[1], atol=1e-6)
    assert theirs.logit_bias.item() == pytest.approx(clip.scale_and_bias()[1])
    ours = load_checkpoint(tmp_path / "out")
    assert ours.mean_std == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert read_metadata(tmp_path / "out") == {"run": "x", "weights_sha256": digest}


def started(config_file, weights, loss="sigmoid"):
    settings = ModelSettings(config=str(config_file), pretrained=str(weights), init_logit_bias=-7.0)
    return settings, build_model(settings, loss=loss, batch_size=9, seed=0)


def test_weights_of_a_sigmoid_loss_start_a_training_without_a_bias(clip, config_file, tmp_path):
    save_checkpoint(tmp_path / "out", clip, {})
    _, found = started(config_file, tmp_path / "out", "softmax")
    assert found.model.logit_bias is None and "logit_bias" not in dict(found.model.named_parameters())
    assert torch.equal(found.model.token_embedding.weight, clip.model.token_embedding.weight)
    _, found = started(config_file, tmp_path / "out")
    assert found.scale_and_bias() == clip.scale_and_bias() and not found.kept_bias


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_bias_that_the_weights_lack_keeps_its_start(clip, config_file, tmp_path, name):
    tensors = {key: value for key, value in clip.model.state_dict().items() if key != "logit_bias"}
    file = tmp_path / name
    (save_file if file.suffix == ".safetensors" else torch.save)(tensors, file)
    settings, found = started(config_file, file)
    assert found.scale_and_bias()[1] == -7.0, "open_clip sets it to 0"
    assert [key for key, _ in found.model.named_parameters()] == [key for key, _ in clip.model.named_parameters()]
    assert model_identity(settings, found)["kept_bias"], "runs that began at 0 are others"
    assert "kept_bias" not in model_identity(*started(config_file, file, "softmax"))


def test_a_bias_that_the_configuration_leaves_out_is_loaded_and_saved(clip, tmp_path):
    """As open_clip's own trainer writes it: the start of the bias is an option there."""
    save_checkpoint(tmp_path / "out", clip, {})
    file = tmp_path / "out" / "open_clip_config.json"
    config = json.loads(file.read_text())
    del config["model_cfg"]["init_logit_bias"]
    file.write_text(json.dumps(config))
    found = load_checkpoint(tmp_path / "out")
    assert found.scale_and_bias() == clip.scale_and_bias()
    save_checkpoint(tmp_path / "again", found, {})
    assert open_clip.create_model(f"local-dir:{tmp_path / 'again'}").logit_bias.item() == clip.scale_and_bias()[1]


@pytest.fixture
def with_roberta(tmp_path, config_file):
    """A configuration whose text tower is transformers' own, as open_clip ships them: it would start from weights of the hub."""
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    made = transformers.RobertaConfig(vocab_size=90, max_position_embeddings=16, **sizes)
    made.save_pretrained(tmp_path / "roberta")
    config = json.loads(config_file.read_text())
    tower = {"hf_model_name": str(tmp_path / "roberta"), "hf_proj_type": "linear", "context_length": 8}
    config["model_cfg"]["text_cfg"] = tower
    config_file.write_text(json.dumps(config))
    return config_file


def test_a_text_tower_of_transformers_needs_no_weights_of_its_own(with_roberta, tmp_path):
    clip = build_model(ModelSettings(config=str(with_roberta)), loss="sigmoid", batch_size=9, seed=3)
    assert clip.config["model_cfg"]["text_cfg"]["hf_model_pretrained"] is False
    save_checkpoint(tmp_path / "out", clip, {})
    _, again = started(with_roberta, tmp_path / "out")
    assert "hf_model_pretrained" not in again.config["model_cfg"]["text_cfg"], "it decides nothing here"
    exported = Exported.load(tmp_path / "out")
    ids = exported.some_ids(4)
    assert ids.max() == 89 and exported.text_tower(ids).shape == (4, 16)


def test_a_model_that_is_trained_here_says_of_pictures_what_it_saw(clip, tmp_path, caplog):
    def saved(name, **how):
        save_checkpoint(tmp_path / name, clip, {}, **how)
        return read_config(tmp_path / name)["preprocess_cfg"]

    plain = saved("plain")
    assert set(plain) == {"mean", "std"}, "no key is added"
    clip.config["preprocess_cfg"] |= {"resize_mode": "squash", "interpolation": "bilinear"}
    assert saved("trained") == plain | {"resize_mode": "shortest", "interpolation": "bicubic"}
    assert saved("imported", imported=True) == plain | {"resize_mode": "squash", "interpolation": "bilinear"}
    for name in ("plain", "trained", "imported", "imported"):
        load_checkpoint(tmp_path / name)
    started(tmp_path / "imported", tmp_path / "imported")
    (line,) = caplog.messages
    assert "imported: says resize_mode squash and interpolation bilinear, and is shown the centre square here" in line


def test_weights_of_another_architecture_are_refused_in_one_line(clip, config_file, tmp_path):
    save_checkpoint(tmp_path / "out", clip, {})
    config = json.loads(config_file.read_text())
    config["model_cfg"]["vision_cfg"]["width"] = 48
    other = tmp_path / "other.json"
    other.write_text(json.dumps(config))
    with pytest.raises(UserError, match="do not fit the model configuration") as error:
        build_model(
            ModelSettings(config=str(other), pretrained=str(tmp_path / "out")), loss="sigmoid", batch_size=9, seed=0
        )
    assert "\n" not in str(error.value)


def test_weights_that_were_changed_since_they_were_saved_are_refused(clip, config_file, tmp_path):
    """Of equal size: a stamp would not notice."""
    save_checkpoint(tmp_path / "out", clip, {})
    file = tmp_path / "out" / "open_clip_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(
        UserError, match=r"safetensors: the weights are not those that were saved .*; put the file back"
    ):
        load_checkpoint(tmp_path / "out")
    with pytest.raises(UserError, match="the weights are not those that were saved"):
        started(config_file, tmp_path / "out")
    started(config_file, file)
    file.write_bytes(whole)
    load_checkpoint(tmp_path / "out")
    started(config_file, tmp_path / "out")


def test_a_configuration_that_open_clip_can_not_build_is_told(config_file, tmp_path):
    config = json.loads(config_file.read_text())
    config["model_cfg"]["vision_cfg"]["widht"] = 48
    other = tmp_path / "other.json"
    other.write_text(json.dumps(config))
    told = r"other.json: open_clip can't build this model \(.*unexpected keyword argument 'widht'\); compare it"
    with pytest.raises(UserError, match=told):
        build_model(ModelSettings(config=str(other)), loss="sigmoid", batch_size=9, seed=0)
    other.write_text("{")
    with pytest.raises(UserError, match=r"other.json: is not valid JSON \(.*\); correct it$"):
        build_model(ModelSettings(config=str(other)), loss="sigmoid", batch_size=9, seed=0)


@pytest.mark.parametrize(
    ("block", "key", "value", "told"),
    [
        ("vision_cfg", "timm_model_name", "vit_tipo", r"open_clip can't build this model \(Unknown model \(vit_tipo\)\); compare"),
        ("vision_cfg", "image_size", [16, 32], r"image_size is \[16, 32\], and a model is shown square pictures; give it one number"),
        ("vision_cfg", "patch_size", 0, r"open_clip can't build this model \(integer division or modulo by zero\); compare"),
        ("text_cfg", "width", -2, r"open_clip can't build this model \(.*negative dimension.*\); compare"),
        ("text_cfg", "hf_model_name", "us/nobody", r"the configuration of its text tower, us/nobody, can't be read on this machine; fetch it \(hf download"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_configuration_is_one_line(config_file, clip, tmp_path, block, key, value, told):
    if key == "hf_model_name":
        pytest.importorskip("transformers")
    config = json.loads(config_file.read_text())
    config["model_cfg"][block][key] = value
    config_file.write_text(json.dumps(config))
    with pytest.raises(UserError, match=f"^{config_file}: {told}"):
        build_model(ModelSettings(config=str(config_file)), loss="sigmoid", batch_size=9, seed=0)
    save_checkpoint(tmp_path / "out", clip, {})
    (tmp_path / "out" / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=f"^{tmp_path / 'out'}: {told}"):
        load_checkpoint(tmp_path / "out")


def test_missing_files_are_named(tmp_path, config_file):
    with pytest.raises(UserError, match="nowhere.json"):
        build_model(ModelSettings(config=str(tmp_path / "nowhere.json")), loss="sigmoid", batch_size=9, seed=0)
    with pytest.raises(UserError, match="no open_clip weights"):
        build_model(
            ModelSettings(config=str(config_file), pretrained=str(tmp_path / "none")),
            loss="sigmoid",
            batch_size=9,
            seed=0,
        )
    with pytest.raises(UserError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none")

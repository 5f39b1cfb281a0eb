"""Nodes of the stage `embed`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.shelf import copy_linked
from superbatch.artifacts.stamps import Staged, build_kept
from superbatch.config import Storage, read
from superbatch.files import read_json
from superbatch.options import EmbedSettings, JobsSettings, LearnerSettings

if TYPE_CHECKING:
    from superbatch.data.manifest import Manifest
    from superbatch.models import ClipModel

FORMAT = 2  # raised when the same inputs give other features


def embed_set(
    name: str,
    directory: Path,
    reference_model: Path,
    settings: dict[str, Any],
    learner: dict[str, Any],
    storage: dict[str, Any],
    jobs: dict[str, Any] | None = None,
    check: Path | None = None,
    views: Path | None = None,
) -> Staged:
    """Embed a set with the reference; tokenise its captions and pack its pixels in the views of reference and learner.

    A reference of labels leaves its loss of each row in the place of embeddings.

    Args:
        name: of the set (`pool`, `curated`), with `_pp` by the second reference; bound by the pipeline.
        directory: the ingested set.
        reference_model: the reference's checkpoint.
        settings: `params:embed` -> `options.EmbedSettings`.
        learner: `params:learner`, for the learner's view (`model`).
        storage: `params:storage`.
        jobs: `params:jobs` -> `options.JobsSettings`.
        check: the reference check, an edge that puts this node behind it.
        views: features of the same set by another reference, whose packed pixels and token ids serve here, too.
    """
    how, places = read(EmbedSettings, settings, "embed"), read(Storage, storage, "storage")
    model, spread = read(LearnerSettings, learner, "learner").model, read(JobsSettings, jobs, "jobs")
    from superbatch.data.manifest import read_manifest
    from superbatch.models import build_model, read_metadata
    from superbatch.tasks import SetFiles, embed
    from superbatch.tasks.embed_blocks import Workers

    manifest, weights = read_manifest(directory), read_metadata(reference_model)["weights_sha256"]
    view = build_model(model, loss="sigmoid", batch_size=2, seed=0)

    def write(out: Path, kept: Path) -> None:
        workers = Workers(spread, kept)
        for folder in [] if views is None else [*views.glob("pixels-*"), *views.glob("tokens-*")]:
            copy_linked(folder, out / folder.name)
        embed(SetFiles(directory, out), reference_model, learner=view, settings=how, name=name, workers=workers)
        if views is not None:
            _charge_decoding(views, out)

    decides = ["features", FORMAT, name, manifest.fingerprint, weights, *_decides(reference_model, manifest, view, how)]
    return build_kept(f"{name} features", fingerprint(decides), Path(places.stages), write)


def _decides(reference_model: Path, manifest: Manifest, view: ClipModel, how: EmbedSettings) -> list[Any]:
    """Return what decides on features besides the set and the reference's weights: both views, the tokenizer, the settings and the labels."""
    from superbatch.models.classifier import is_classifier
    from superbatch.tasks.labels import Labels
    from superbatch.tasks.view import preprocessing, shell

    found = [preprocessing(shell(reference_model)), view.config, view.tokenizer_id, how.batch, how.pack_limit_mb]
    found += [] if how.low is None else [how.low]
    if not is_classifier(reference_model):
        return found
    return [*found, Labels.of_classifier(reference_model).identity_on(manifest)]


def _charge_decoding(views: Path, out: Path) -> None:
    """Add the seconds that decoding took when the first features were made; older features don't record them."""
    before, features = (read_json(folder / "features.json") for folder in (views, out))
    if "seconds_decoding" in before:
        features["seconds_decoding_before"] = before["seconds_decoding"]
        features["seconds_decoding"] += before["seconds_decoding"]
        write_json(out / "features.json", features)

"""The smaller models that are trained along with the learner: one that scores in its place, and one that is the reference (ActiveCLIP; papers.md 3)."""

from __future__ import annotations

from typing import Any

from superbatch.errors import UserError
from superbatch.models import ClipModel, Vocabulary, build_model
from superbatch.options import ModelSettings, TrainingSettings

VOCABULARY = 49_408  # open_clip's where a configuration names none
VIEW_KEYS = (
    "vision_cfg.image_size",
    "preprocess_cfg.mean and std",
    "text_cfg.context_length",
    "text_cfg.vocab_size",
    "text_cfg's tokenizer",
)


def build_proxy(
    settings: ModelSettings, learner: ClipModel, training: TrainingSettings, named: str, where: str = "selection.proxy"
) -> ClipModel:
    """Build a model that is trained along; it must see what the learner sees.

    Args:
        settings: of the model. where: the setting that asks for it, for messages.
        learner: built already; `named` is its configuration's name.
        training: the learner's; the model is trained by the same rules.

    Raises:
        UserError: another view than the learner's.
    """
    proxy = build_model(settings, loss=training.loss, batch_size=training.batch_size, seed=training.seed)
    check_view(proxy, settings.config, learner, named, where)
    return proxy


def share_vocabulary(
    proxy: ClipModel, vocabulary: Vocabulary | None, named: str, where: str = "selection.proxy"
) -> None:
    """Shrink such a model to the learner's compact vocabulary, where the learner has one.

    Raises:
        UserError: the proxy's text tower is not open_clip's own.
    """
    if vocabulary is None:
        return
    if not hasattr(proxy.model, "token_embedding"):
        what = "its text tower does not know the learner's compact vocabulary"
        raise UserError(f"{where}: {named}", what, "set compact_vocabulary to false for both")
    vocabulary.shrink(proxy.model)


def check_view(
    proxy: ClipModel, proxy_file: str, learner: ClipModel, learner_file: str, where: str = "selection.proxy"
) -> None:
    """Refuse such a model where it wants other pixels or token ids than the learner's, which it is given.

    Raises:
        UserError: the first difference, by file and key.
    """
    for key, ours, theirs in zip(VIEW_KEYS, _view(proxy), _view(learner), strict=True):
        if ours != theirs:
            raise UserError(
                f"{where}: {proxy_file}",
                f"{key} is {ours}, and {theirs} in the learner's {learner_file}",
                "give it the learner's: it sees the same pixels and token ids",
            )


def _view(clip: ClipModel) -> tuple[Any, ...]:
    words = clip.config["model_cfg"]["text_cfg"].get("vocab_size", VOCABULARY)
    return clip.image_size, clip.mean_std, clip.context_length, words, clip.tokenizer_id

"""The files of an open_clip checkpoint directory, and those that we add."""

CONFIG_FILE = "open_clip_config.json"
METADATA_FILE = "superbatch.json"
WEIGHTS_FILE = "open_clip_model.safetensors"  # as we write it; other checkpoints may have PyTorch's format
CLASSIFIER_FILE = "classifier.safetensors"  # the class weights of a model that was trained on labels, beside it
LOCAL = "local-dir:"  # open_clip's prefix of a checkpoint directory
TOKENIZER_FILES = {
    "added_tokens.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
}


def is_tokenizer_file(name: str) -> bool:
    """Whether a file of a checkpoint directory belongs to a Hugging Face tokenizer."""
    return name in TOKENIZER_FILES or name.endswith(".model")

"""Class names and templates in every form that users have, and one line for what is none of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest

from superbatch.errors import UserError
from superbatch.evaluation import load_evaluation_set
from superbatch.evaluation.prompts import read_classnames, read_templates

NAMES, TEMPLATES = "classnames", "zeroshot_classification_templates"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "birds").mkdir()
    return tmp_path / "birds"


def write(root: Path, name: str, content: Any) -> None:
    (root / name).write_text(content if isinstance(content, str) else json.dumps(content))


def refused(read: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        read()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "a {c}\nthe {c}.\n",
        "a {}\nthe {}.",
        "'a {}',\n'the {}.',\n",
        "templates = [\n    'a {c}',  # plain\n    \"the {c}.\",\n]\n",
        "lambda c: f'a {c}',\nlambda c: f'the {c}.',\n",
        "OPENAI = (\n    lambda name: f'a {name}',\n    lambda c: 'the {}.',\n)",
    ],
)
def test_templates_as_text(root: Path, text: str) -> None:
    write(root, f"{TEMPLATES}.txt", text)
    found, prompts = read_templates(root, ["wren"])
    assert [one.format("wren", c="wren") for one in found] == ["a wren", "the wren."] and prompts == ()


def test_lists_of_open_clip_by_name(root: Path) -> None:
    write(root, f"{TEMPLATES}.txt", "OPENAI_IMAGENET_TEMPLATES\n")
    found, _ = read_templates(root, [])
    assert [one.format(c="cat") for one in found] == [one("cat") for one in open_clip.OPENAI_IMAGENET_TEMPLATES]
    write(root, f"{NAMES}.txt", "IMAGENET_CLASSNAMES")
    assert read_classnames(root, root) == tuple(open_clip.IMAGENET_CLASSNAMES)
    write(root, f"{TEMPLATES}.txt", "OWN_TEMPLATES")
    refused(lambda: read_templates(root, []), "OWN_TEMPLATES is not a list of open_clip's; there are .*OPENAI_IMAGENET")


@pytest.mark.parametrize("file", ["classnames.json", "en_classnames.json", "it_classnames.json"])
@pytest.mark.parametrize(
    "content", [["tit", "wren"], {"birds": ["tit", "wren"], "cats": ["lion"]}, {"x": ["tit", "wren"]}]
)
def test_class_names_as_json(root: Path, file: str, content: Any) -> None:
    write(root, file, content)
    assert read_classnames(root, root) == ("tit", "wren")


def test_an_entry_goes_by_the_settings_name_then_by_the_folder_s(root: Path) -> None:
    write(root, "en_classnames.json", {"birds": ["folder"], "vtab/mine": ["setting"], "cats": ["lion"]})
    assert read_classnames(root, root, "mine") == ("setting",)
    assert read_classnames(root, root, "other") == ("folder",)
    write(root, "en_classnames.json", {"dogs": ["pug"], "cats": ["lion"]})
    refused(lambda: read_classnames(root, root, "mine"), "no entry for the set 'mine', only dogs, cats; name the set")


def test_json_templates_of_a_set_of_all_or_of_each_class(root: Path) -> None:
    write(root, f"en_{TEMPLATES}.json", {"imagenet1k": ["of last resort {c}"], "cats": ["a {c}"]})
    assert read_templates(root, ["wren"], "mine") == (("of last resort {c}",), ())
    own = {"birds": {"tit": ["a blue bird", "a tit"], "wren": ["a tiny bird"]}, "cats": ["a {c}"]}
    write(root, f"en_{TEMPLATES}.json", own)
    assert read_templates(root, ["wren", "tit"]) == ((), (("a tiny bird",), ("a blue bird", "a tit")))
    refused(lambda: read_templates(root, ["owl"]), "no prompts for the class 'owl'; list them under its name")


def test_the_text_file_comes_first_and_english_before_the_rest(root: Path) -> None:
    for language in ("cn", "en", "it"):
        write(root, f"{language}_classnames.json", [language])
    assert read_classnames(root, root) == ("en",)
    write(root, "classnames.txt", "plain\n")
    assert read_classnames(root, root) == ("plain",)
    for name in ("classnames.txt", "en_classnames.json"):
        (root / name).unlink()
    refused(
        lambda: read_classnames(root, root), "cn_classnames.json: is one of 2 languages, none of them English; keep"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a {c}\na picture\n", "templates.txt:2: the template 'a picture' has no place"),
        ("a {name}\n", r"templates.txt:1: the template 'a \{name\}' has a place \{name\}; write \{c\}"),
        ("a {c\n", "has one brace too many"),
        ("\n", "has no template"),
    ],
)
def test_wrong_templates(root: Path, text: str, message: str) -> None:
    write(root, f"{TEMPLATES}.txt", text)
    refused(lambda: read_templates(root, []), message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "is not a list of class names; write one class name a line"),
        ('{"birds": "tit"}', "is not a list of class names"),
        ('{"birds": []}', "is empty where a class name belongs"),
        ("{", "classnames.json"),
    ],
)
def test_wrong_class_names(root: Path, content: str, message: str) -> None:
    write(root, "classnames.json", content)
    refused(lambda: read_classnames(root, root), message)


def test_names_that_look_like_python_are_names(root: Path) -> None:
    for text in ("0\n1\n2", "cat", "tit\n'wren'", "{c}", "True\nFalse"):
        write(root, "classnames.txt", text)
        assert read_classnames(root, root) == tuple(text.splitlines())


def test_nothing_pasted_is_run(root: Path) -> None:
    write(root, f"{TEMPLATES}.txt", "[open('made', 'w').write('a {c}')]")
    found, _ = read_templates(root, [])
    assert found == ("[open('made', 'w').write('a {c}')]",), "a line that is no list of strings is a template"


def test_a_set_with_prompts_of_its_own(classification: Callable[..., tuple[Path, Path]]) -> None:
    directory, root = classification()
    before = load_evaluation_set(directory, root)
    (root / f"{TEMPLATES}.txt").unlink()
    own = {name: [f"only {name}"] + ["and more"] * (name == "red") for name in before.classnames}
    write(root, f"{TEMPLATES}.json", {"colours": own})
    found = load_evaluation_set(directory, root)
    assert found.prompts == [["only red", "and more"], ["only green"], ["only blue"], ["only grey"]]
    assert found.templates == () and found.fingerprint != before.fingerprint


def test_a_byte_order_mark_is_no_part_of_a_name(root: Path) -> None:
    (root / "classnames.txt").write_bytes("\ufeffapple\nbird\n".encode())
    assert read_classnames(root, root) == ("apple", "bird")
    (root / "classnames.txt").write_bytes("\ufeff['apple', 'bird']".encode())
    assert read_classnames(root, root) == ("apple", "bird")

"""Class names and prompt templates of a classification set, in all forms in use.

One a line, as CLIP_benchmark's web data sets have them (`classnames.txt`, `zeroshot_classification_templates.txt`); or
a Python list pasted there, of strings or of open_clip's lambdas; or the name of one of open_clip's own lists, such as
OPENAI_IMAGENET_TEMPLATES; or CLIP_benchmark's JSON (`en_classnames.json`, `en_zeroshot_classification_templates.json`):
lists by the name of a set, where templates may also be prompts of each class (CuPL).
"""

from __future__ import annotations

import ast
import re
import string
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from superbatch.errors import UserError
from superbatch.files import read_json

CLASSNAMES_FILE = "classnames.txt"
TEMPLATES_FILE = "zeroshot_classification_templates.txt"
DEFAULT_TEMPLATES = ("a photo of a {c}.",)  # CLIP's own single prompt; used if a set has none
PREFIXES = ("", "wds/", "vtab/", "tfds/")  # of the names of sets in CLIP_benchmark's JSON
TEMPLATES_OF_LAST_RESORT = "imagenet1k"  # CLIP_benchmark takes these for a set that its JSON does not name
OPEN_CLIP_LIST = re.compile(r"[A-Z0-9_]+_(TEMPLATES|CLASSNAMES)")
ONE_NAME_A_LINE = "write one class name a line, in the order of the labels"

Templates = tuple[str, ...]
Prompts = tuple[tuple[str, ...], ...]  # of each class its own


def fill_template(template: str, classname: str) -> str:
    """Put a class name in the place of `{c}` (CLIP_benchmark, DataComp) or of `{}` (CLIP, open_clip), as `str.format`."""
    return template.format(classname, c=classname)


def expand_prompts(classnames: Sequence[str], templates: Sequence[str]) -> list[str]:
    """List all C x T prompts, the templates of the first class first."""
    return [fill_template(template, name) for name in classnames for template in templates]


def classnames_file(root: Path) -> Path | None:
    """The file of class names beside a set's splits, in any form; None where there is none."""
    return _find(root, CLASSNAMES_FILE)


def read_classnames(root: Path | None, directory: Path, name: str = "") -> tuple[str, ...]:
    """Read the class names, class 0 first.

    Args:
        root: the set's folder.
        directory: the ingested split, for the message where there is no root.
        name: what the settings call the set: its key in a JSON file, beside the folder's own name.

    Raises:
        UserError: no class names, an empty one, a file that is in none of the forms.
    """
    if root is None:
        remedy = f"name the root folder that holds {CLASSNAMES_FILE}"
        raise UserError(str(directory), "a classification set needs its class names", remedy)
    path = classnames_file(root)
    if path is None:
        what = "missing: no class names for this evaluation set"
        raise UserError(str(root / CLASSNAMES_FILE), what, ONE_NAME_A_LINE)
    return classnames_in(path, name)


def classnames_in(path: Path, name: str = "") -> tuple[str, ...]:
    """Read a file of class names, class 0 first.

    Args:
        path: the file. name: of the set, as of `read_classnames`.

    Raises:
        UserError: no such file, an empty name, a file that is in none of the forms.
    """
    if not path.is_file():
        raise UserError(str(path), "no such file of class names", ONE_NAME_A_LINE)
    names = _of_set(path, path.parent, name) if path.suffix == ".json" else _listed(path)
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise UserError(str(path), "is not a list of class names", ONE_NAME_A_LINE)
    names = [one.strip() for one in names]
    if not names or not all(names):
        where = f"{path}:{names.index('') + 1}" if names else str(path)
        raise UserError(where, "is empty where a class name belongs", ONE_NAME_A_LINE)
    return tuple(names)


def read_templates(root: Path | None, classnames: Sequence[str], name: str = "") -> tuple[Templates, Prompts]:
    """Read the prompt templates, or prompts of each class; a set without the file gets `DEFAULT_TEMPLATES`.

    Args:
        root, name: as of `read_classnames`.
        classnames: which prompts are needed, where each class has its own.

    Returns:
        Templates and no prompts, or prompts by class and no templates.

    Raises:
        UserError: a template without a place for the name or with another place, an empty list, a class without prompts.
    """
    path = None if root is None else _find(root, TEMPLATES_FILE)
    if root is None or path is None:
        return DEFAULT_TEMPLATES, ()
    found = _of_set(path, root, name, TEMPLATES_OF_LAST_RESORT) if path.suffix == ".json" else _listed(path)
    if isinstance(found, dict):
        return (), tuple(_prompts_of(one, found, path) for one in classnames)
    templates = []
    for number, one in enumerate(found if isinstance(found, list) else [None], start=1):
        if not isinstance(one, str):
            raise UserError(str(path), "is not a list of templates", "write one prompt on each line, with {c} in it")
        if one.strip():
            templates.append(_checked(one.strip(), f"{path}:{number}" if path.suffix == ".txt" else str(path)))
    if not templates:
        raise UserError(
            str(path), "has no template", "write one prompt on each line, with {c} in it, or delete the file"
        )
    return tuple(templates), ()


def _find(root: Path, file: str) -> Path | None:
    """Find a list: the text file, else JSON of that name, English before other languages."""
    stem = Path(file).stem
    first = [root / file, root / f"{stem}.json", root / f"en_{stem}.json"]
    found = next((path for path in first if path.is_file()), None)
    others = [] if found else sorted(root.glob(f"*_{stem}.json"))
    if len(others) > 1:
        what = f"is one of {len(others)} languages, none of them English"
        raise UserError(str(others[0]), what, f"keep one, or call it {stem}.json")
    return found or (others[0] if others else None)


def _of_set(path: Path, root: Path, name: str, last: str = "") -> Any:
    """Take a set's entry out of CLIP_benchmark's JSON: by its name, else the only one; a bare list is the entry itself."""
    content = read_json(path)
    if not isinstance(content, dict):
        return content
    wanted = [f"{prefix}{one}" for one in (name, root.name) if one for prefix in PREFIXES]
    key = next((one for one in [*wanted, last] if one in content), None)
    if key is None and len(content) == 1:
        key = next(iter(content))
    if key is None:
        known = ", ".join(list(content)[:8]) + (", ..." if len(content) > 8 else "")
        what = f"has no entry for the set {name or root.name!r}, only {known}"
        raise UserError(str(path), what, "name the set like one of these, or keep only its entry")
    return content[key]


def _listed(path: Path) -> list[str]:
    """Read a text file, with a byte order mark or without: a pasted Python list, the name of a list of open_clip's, or one entry a line."""
    try:
        text = path.read_text(encoding="utf-8-sig").rstrip()
    except UnicodeDecodeError as error:
        raise UserError(str(path), f"is not UTF-8 text ({error.reason})", "save it as UTF-8") from None
    pasted = _pasted(text)
    if pasted is not None:
        return pasted
    return _open_clip_list(text.strip(), path) if OPEN_CLIP_LIST.fullmatch(text.strip()) else text.splitlines()


def _pasted(text: str) -> list[str] | None:
    """Parse a Python list or tuple of strings or lambdas without running it; None for anything else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    values = [getattr(statement, "value", None) for statement in statements]
    if not values or not all(isinstance(value, (ast.List, ast.Tuple)) for value in values):
        return None
    found = [_string(element) for value in values for element in value.elts]  # type: ignore[union-attr]
    return None if None in found else [one for one in found if one is not None]


def _string(node: ast.expr) -> str | None:
    """The string of a literal, or the template of `lambda c: f'a photo of a {c}.'`; None for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if not isinstance(node, ast.Lambda) or len(node.args.args) != 1:
        return None
    if not isinstance(node.body, ast.JoinedStr):
        return _string(node.body)
    parts = []
    for part in node.body.values:
        if isinstance(part, ast.FormattedValue):
            is_name = isinstance(part.value, ast.Name) and part.value.id == node.args.args[0].arg
            parts.append("{c}" if is_name and part.conversion == -1 and part.format_spec is None else None)
        else:
            parts.append(_string(part))
    return None if None in parts else "".join(part for part in parts if part is not None)


def _open_clip_list(name: str, path: Path) -> list[str]:
    """One of open_clip's own lists: OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES, IMAGENET_CLASSNAMES."""
    from open_clip import zero_shot_metadata

    entries = getattr(zero_shot_metadata, name, None)
    if not isinstance(entries, (list, tuple)):
        known = [one for one in dir(zero_shot_metadata) if one.isupper()]
        raise UserError(str(path), f"{name} is not a list of open_clip's", f"there are {', '.join(known)}")
    return [entry("{c}") if callable(entry) else str(entry) for entry in entries]


def _checked(template: str, where: str) -> str:
    """Check that a template has a placeholder for the class name and no other."""
    try:
        places = {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}
    except ValueError as error:
        what = f"the template {template!r} has one brace too many ({error})"
        raise UserError(where, what, "write {c} where the class name goes, and {{ or }} for a brace") from None
    if not places:
        raise UserError(where, f"the template {template!r} has no place for the class name", "write {c} where it goes")
    strange = sorted(places - {"c", "", "0"})
    if strange:
        what = f"the template {template!r} has a place {{{strange[0]}}}"
        raise UserError(where, what, "write {c} where the class name goes")
    return template


def _prompts_of(classname: str, prompts: dict[str, Any], path: Path) -> tuple[str, ...]:
    """Take one class's own prompts."""
    own = prompts.get(classname)
    if not isinstance(own, list) or not own or not all(isinstance(one, str) and one.strip() for one in own):
        what = f"has no prompts for the class {classname!r}"
        raise UserError(str(path), what, "list them under its name, or give templates for all classes")
    return tuple(one.strip() for one in own)

"""Mistakes that Kedro, or what reads the configuration for it, finds first: told in one line that names option or file, and the remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from superbatch.errors import UserError, did_you_mean
from superbatch.files import shown

if TYPE_CHECKING:
    from kedro.pipeline.node import Node

LOADER = ("kedro", "config", "omegaconf_config.py")  # the file of Kedro that reads conf


def told(error: BaseException) -> str | None:
    """Return the one-line error of a user's mistake, wherever Kedro wrapped it; None if it is not a user's mistake.

    Paths below the working directory, which is the project's, are relative in it.
    """
    line = _line(error)
    return None if line is None else re.sub(rf"(?<![\w/.:]){re.escape(str(Path.cwd()))}/", "", line)


def _line(error: BaseException) -> str | None:
    chain = list(_chain(error))
    for found in chain:
        if isinstance(found, UserError):
            return str(found)
    if any(map(_came_from_conf, chain)):
        line = unreadable_file()
        if line is not None:
            return line
    for found in chain:
        if isinstance(found, _kinds()):
            line = " ".join(str(found).split())
            return _unknown_environment(line) or line
    return _told_selection(chain[0])


def _kinds() -> tuple[type[BaseException], ...]:
    """Return the errors of Kedro and of the parsers whose messages are clear enough."""
    from kedro.config import BadConfigException, MissingConfigException
    from kedro.framework.cli.utils import KedroCliError
    from kedro.io import DatasetError
    from kedro.validation.exceptions import ParameterValidationError
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    own = (DatasetError, ParameterValidationError, BadConfigException, MissingConfigException, KedroCliError)
    return (*own, YAMLError, OmegaConfBaseException)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _came_from_conf(error: BaseException) -> bool:
    """Whether an error was raised while Kedro read the configuration."""
    trace = error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).parts[-3:] == LOADER:
            return True
        trace = trace.tb_next
    return False


def unreadable_file() -> str | None:
    """Look for a file of the configuration here that can't be read, and say where in it and why; None where all can."""
    from kedro.utils import find_kedro_project

    project = find_kedro_project(Path.cwd())
    files = Path(project, "conf").glob("*/**/*.y*ml") if project else ()
    lines = (_unreadable(file) for file in sorted(files, key=lambda file: (file.parts[-2] != "base", file)))
    return next(filter(None, lines), None)


def _unreadable(file: Path) -> str | None:
    import io

    from omegaconf import DictConfig, OmegaConf
    from yaml import MarkedYAMLError, YAMLError

    try:
        content = OmegaConf.load(io.StringIO(file.read_bytes().decode()))
    except UnicodeDecodeError as error:
        return f"{shown(file)}: is not UTF-8 (byte {error.start + 1}); save it as UTF-8"
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return f"{shown(file)}, line {line}: {error.problem}; {_remedy(str(error.problem))}"
    except (YAMLError, OSError) as error:
        return f"{shown(file)}: can't be read ({' '.join(str(error).split())}); correct it"
    return (
        None if isinstance(content, DictConfig) else f"{shown(file)}: holds no keys; write `key: value`, a key a line"
    )


def _remedy(problem: str) -> str:
    if "'\\t'" in problem:
        return "indent with spaces"
    if "duplicate key" in problem:
        return "keep one of the two"
    return "see to the indentation there and before, and to brackets and quotes that are not closed"


def _unknown_environment(line: str) -> str | None:
    """Reword Kedro's error about a missing configuration folder; None for any other line."""
    found = re.match("Given configuration path either does not exist or is not a valid directory: (.+)", line)
    folder = Path(found[1]) if found else None
    if folder is None or not folder.parent.is_dir():
        return None
    known = sorted({file.parent.name for file in folder.parent.glob("*/*.yml")} - {"base"})
    return f"--env={folder.name}: no such folder {shown(folder)}; {did_you_mean(folder.name, known)}"


def _told_selection(error: BaseException) -> str | None:
    """Reword Kedro's errors about --pipelines, --namespaces, --nodes, --tags, --runner and the like."""
    text = " ".join(str(error).split())
    runner = re.fullmatch(r"module 'kedro\.runner' has no attribute '(.+)'", text)
    if isinstance(error, AttributeError) and runner:
        known = ("SequentialRunner", "ParallelRunner", "ThreadRunner")
        return f"--runner={runner[1]}: no such runner; {did_you_mean(runner[1], known)}"
    if not isinstance(error, ValueError):
        return None
    for pattern, tell in TOLD.items():
        found = re.match(pattern, text)
        if found:
            return tell(found[1])
    clear = ("Pipeline does not contain", "Pipeline input(s)", "Duplicate keys found in")
    return text if text.startswith(clear) else None


def _unknown_pipeline(name: str) -> str:
    from superbatch.pipeline_registry import pipeline_names

    known = [known for known in pipeline_names() if not known.startswith("_")]
    return f"--pipelines={name}: no such pipeline; {did_you_mean(name, known)}"


def _unknown_namespaces(listed: str) -> str:
    name = _first(listed)
    return f"--namespaces={name}: not in this pipeline; {_meant(name, {str(node.namespace) for node in _nodes()})}"


def _unknown_nodes(listed: str) -> str:
    name = _first(listed)
    return f"{name}: no such node in this pipeline; {_meant(name, {node.name for node in _nodes()})}"


def _meant(name: str, known: Iterable[str]) -> str:
    """Name the closest match; there are too many names to list."""
    close = get_close_matches(name, sorted(known), 1)
    return f"did you mean {close[0]}?" if close else "`kedro registry describe jest` lists the nodes of jest"


def _no_nodes(_: str) -> str:
    tags = sorted({tag for node in _nodes() for tag in node.tags})
    what = "--tags and the like: no node of this pipeline is chosen by them all"
    return f"{what}; tags are {', '.join(tags)}"


def _nodes() -> Iterator[Node]:
    """Yield the nodes of every stage."""
    from superbatch.pipeline_registry import STAGES, register_pipelines

    pipelines = register_pipelines()
    for stage in STAGES:
        yield from pipelines[stage].nodes


def _first(listed: str) -> str:
    return listed.split(",")[0].strip(" '\"")


TOLD = {  # Kedro's words -> ours
    r"Failed to find the pipeline named '([^']*)'": _unknown_pipeline,
    r"Pipeline does not contain nodes with the following namespaces: \[(.*)\]": _unknown_namespaces,
    r"Pipeline does not contain nodes named \[(.*)\]": _unknown_nodes,
    r"(Pipeline contains no nodes)": _no_nodes,
}

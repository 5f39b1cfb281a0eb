"""The project's `kedro run`: Kedro's own, with both spellings of --pipeline(s), and mistakes as one-line errors."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import run as upstream

from superbatch.errors import TRACEBACK, Interrupted, UserError, did_you_mean, wants_traceback
from superbatch.files import shown

RESUME_HINT = (
    "stopped; finished stages are kept and a training continues from its last checkpoint: give the same command again"
)


class Stopped(click.ClickException):
    """The command was stopped, by Ctrl-C or by a signal that a training obeyed."""

    def __init__(self, message: str, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click has it on the class


@click.group(name="superbatch")
def cli() -> None:
    """Commands of this project."""


@cli.command(
    name="run",
    params=[
        *upstream.params,
        click.Option(
            ["--traceback"], is_flag=True, help=f"Show the whole traceback of an error (or set {TRACEBACK}=1)."
        ),
    ],
    short_help="Run a method's chain (--pipeline=jest) or a stage.",
)
def run(pipeline: str | None, pipelines: list[str], traceback: bool, **options: Any) -> Any:
    """Run a pipeline: a method's chain, such as jest or uniform, or one stage, such as ingest.

    --pipeline and --pipelines mean the same; without either, jest is run.
    """
    if pipeline and pipelines:
        raise click.UsageError("--pipeline and --pipelines mean the same: give one of them")
    names = [pipeline] if pipeline else pipelines
    use_project_logging()
    if traceback:
        os.environ[TRACEBACK] = "1"  # so that ranks in processes of their own know it too
    with one_line_errors(wants_traceback()):
        assert upstream.callback is not None
        return upstream.callback(pipeline=None, pipelines=names, **options)


def use_project_logging() -> None:
    """Apply conf/logging.yml also when the command was given in a sub-folder: Kedro looks for it in the working directory only."""
    import yaml
    from kedro.framework.project import LOGGING
    from kedro.utils import find_kedro_project

    project = find_kedro_project(Path.cwd())
    file = project / "conf" / "logging.yml" if project else None
    if file is not None and file.is_file() and project != Path.cwd() and "KEDRO_LOGGING_CONFIG" not in os.environ:
        LOGGING.configure(yaml.safe_load(file.read_text()))


@contextmanager
def one_line_errors(traceback: bool) -> Iterator[None]:
    """Turn a user's mistake into `Error: ...` and exit code 1; anything else keeps its traceback."""
    _quieten(traceback)
    try:
        yield
    except click.ClickException:
        raise
    except Interrupted as stopped:
        raise Stopped(str(stopped), stopped.exit_code) from None
    except KeyboardInterrupt:
        raise Stopped(RESUME_HINT) from None
    except Exception as error:
        line = None if traceback else told(error)
        if line is None:
            raise
        raise click.ClickException(line) from None


def told(error: BaseException) -> str | None:
    """Return the one-line error of a user's mistake, wherever Kedro wrapped it; None if it is not a user's mistake."""
    from kedro.config import BadConfigException, MissingConfigException
    from kedro.framework.cli.utils import KedroCliError
    from kedro.io import DatasetError
    from kedro.validation.exceptions import ParameterValidationError

    chain = list(_chain(error))
    for found in chain:
        if isinstance(found, UserError):
            return str(found)
    kinds = (
        DatasetError,
        ParameterValidationError,
        BadConfigException,
        MissingConfigException,
        KedroCliError,
        *_parser_errors(),
    )
    for found in chain:
        if isinstance(found, kinds):
            line = " ".join(str(found).split())
            return _unknown_environment(line) or line
    return _told_selection(chain[0])


def _told_selection(error: BaseException) -> str | None:
    """Kedro's ValueErrors about --pipelines, --nodes, --tags, --namespaces and the like, which name what they miss."""
    text = " ".join(str(error).split())
    if not isinstance(error, ValueError):
        return None
    unknown = re.match(r"Failed to find the pipeline named '([^']*)'", text)
    if unknown:
        return _unknown_pipeline(unknown[1])
    return (
        text
        if text.startswith(("Pipeline does not contain", "Pipeline contains no nodes", "Pipeline input(s)"))
        else None
    )


def _unknown_environment(line: str) -> str | None:
    """Put Kedro's words on a configuration folder that is missing into ours; None where the line is about something else."""
    found = re.match("Given configuration path either does not exist or is not a valid directory: (.+)", line)
    folder = Path(found[1]) if found else None
    if folder is None or not folder.parent.is_dir():
        return None
    known = sorted({file.parent.name for file in folder.parent.glob("*/*.yml")} - {"base"})
    return f"--env={folder.name}: no such folder {shown(folder)}; {did_you_mean(folder.name, known)}"


def _unknown_pipeline(name: str) -> str:
    from superbatch.pipeline_registry import pipeline_names

    known = [known for known in pipeline_names() if not known.startswith("_")]
    return f"--pipelines={name}: no such pipeline; {did_you_mean(name, known)}"


def _parser_errors() -> tuple[type[BaseException], ...]:
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    return YAMLError, OmegaConfBaseException


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _quieten(traceback: bool) -> None:
    """Keep Kedro from logging what is about to be told, what our stages know better (--from-nodes), and advice for other projects."""
    if not traceback:
        for name in ("kedro.pipeline.node", "kedro.validation"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    # It sets its own level when imported; a filter stays.
    logging.getLogger("great_expectations.data_context.types.base").addFilter(
        lambda record: record.levelno >= logging.WARNING
    )
    for runner in ("sequential_runner", "thread_runner", "parallel_runner"):
        logging.getLogger(f"kedro.runner.{runner}").addFilter(_is_worth_a_line)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    return not any(
        words in record.getMessage() for words in ("nodes that have not run", "No nodes ran", "Using synchronous mode")
    )

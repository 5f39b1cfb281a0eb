"""The project's `kedro run`: Kedro's own, with both spellings of --pipeline(s), and mistakes as one-line errors."""

from __future__ import annotations

import codecs
import io
import locale
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import run as upstream

from superbatch.errors import TRACEBACK, Interrupted, UserError, wants_traceback
from superbatch.extras import missing_package, of_extra
from superbatch.given import split_params
from superbatch.mistakes import told

# torch's own store writes a page of stack for each machine that it has lost, before our one line. Ranks inherit this.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
RESUME_HINT = (
    "stopped; finished stages are kept and a training continues from its last checkpoint: give the same command again"
)


class Stopped(click.ClickException):
    """The command was stopped, by Ctrl-C or by a signal that a training obeyed."""

    def __init__(self, message: str, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click has it on the class


def _options() -> list[click.Parameter]:
    """Return Kedro's options, with our reading of --params."""
    options = [copy(option) for option in upstream.params]
    for option in options:
        if option.name == "params":
            option.callback = split_params
    return options


@click.group(name="superbatch")
def cli() -> None:
    """Commands of this project."""


@cli.command(
    name="run",
    params=[
        *_options(),
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
        require_utf8()
        assert upstream.callback is not None
        return upstream.callback(pipeline=None, pipelines=names, **options)


def viz_is_missing() -> click.Command:
    """Return what stands in for the command of an extra that is not installed: Kedro would only call it unknown."""

    def refuse(rest: tuple[str, ...]) -> None:
        raise click.ClickException(str(missing_package("kedro viz", "kedro-viz", of_extra("viz"))))

    settings = {"ignore_unknown_options": True, "help_option_names": []}
    arguments = click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)
    return click.Command("viz", settings, refuse, [arguments], short_help="Needs the extra viz.")


if find_spec("kedro_viz") is None:
    cli.add_command(viz_is_missing())


def require_utf8() -> None:
    """Make sure that files are UTF-8 and that every letter can be printed, in whatever locale this is.

    Raises:
        UserError: a locale of another encoding, in which neither names of files nor their text would come out right.
    """
    encoding = locale.getpreferredencoding(False)
    if codecs.lookup(encoding).name != "utf-8":
        what = f"text is {encoding} in this locale, and the project's is UTF-8"
        raise UserError("LC_ALL", what, "set LC_ALL=C.UTF-8, or PYTHONUTF8=1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # PYTHONIOENCODING may say that a terminal knows fewer letters


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


def _quieten(traceback: bool) -> None:
    """Silence log lines of Kedro that repeat our error, suggest --from-nodes (a stage resumes by itself), or don't apply to this project."""
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

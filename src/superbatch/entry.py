"""The command `superbatch`, also as `python -m superbatch`: commands of its own, and in a project all of Kedro's.

A command of its own is a function under `@superbatch.command()` here, or one that is added with `superbatch.add_command`.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import click

from superbatch import __version__

KEDRO = """In a project, or a folder of one, it has Kedro's commands too: `superbatch run --pipeline=jest` is `kedro run --pipeline=jest`.
`kedro --help` lists them."""


class Commands(click.Group):
    """A group that hands on to Kedro what is no command of its own."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return a command of its own, else one that calls Kedro's of that name."""
        return super().get_command(ctx, cmd_name) or kedro_command(cmd_name)


def kedro_command(name: str) -> click.Command:
    """Return a command that gives all its arguments, `--help` too, to Kedro's of that name."""
    arguments = click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)
    settings = {"ignore_unknown_options": True, "help_option_names": []}
    return click.Command(name, settings, lambda arguments: kedro([name, *arguments]), [arguments])


def kedro(arguments: Sequence[str]) -> None:
    """Run a command of Kedro's in the project that the working directory is in.

    Raises:
        click.ClickException: it is in none; or the command is a misspelt one of ours, or a pipeline's name.
    """
    from kedro.utils import find_kedro_project

    project = find_kedro_project(Path.cwd())
    _require_command(arguments[0], in_project=project is not None)
    if project is None:
        raise click.ClickException(f"{arguments[0]}: no project here or in a folder above; go to one first")
    from kedro.framework.cli.cli import KedroCLI, _init_plugins  # it sets up Kedro's logging

    _init_plugins()
    KedroCLI(project).main(args=list(arguments), prog_name="superbatch")


def _require_command(name: str, in_project: bool) -> None:
    """Refuse a misspelled command of ours and a pipeline given as a command; Kedro would only say that it is unknown."""
    close = get_close_matches(name, superbatch.commands, 1, cutoff=0.7)
    if close:
        raise click.ClickException(f"{name}: no such command; did you mean {close[0]}?")
    if in_project and name != "run":
        from superbatch.pipeline_registry import pipeline_names

        if name in pipeline_names():
            raise click.ClickException(
                f"{name}: is a pipeline, not a command; `superbatch run --pipeline={name}` runs it"
            )


@click.group("superbatch", cls=Commands, epilog=KEDRO, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="superbatch")
def superbatch() -> None:
    """Train CLIP and SigLIP models on the batches worth learning from."""


@superbatch.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", help="The project's name; without it, the folder's.")
def init(folder: Path, name: str | None) -> None:
    """Make a small project for your own data in a new folder."""
    from superbatch.errors import UserError
    from superbatch.starter import make_project

    try:
        made = make_project(folder, name)
    except UserError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{len(made)} files in {folder}. Next: `cd {shlex.quote(str(folder))}`, then")
    click.echo("  make doctor   says what is missing on this machine")
    click.echo("  make jest     runs JEST and uniform on the embedded default data (make quick: in miniature)")
    click.echo("  make mydata   the same on your own data, once conf/mydata/parameters.yml names it")


@superbatch.command()
@click.option("--env", help="The project's environment of configuration, such as mydata.")
@click.option("--json", "as_json", is_flag=True, help="As a list of {check, status, found, remedy}.")
def doctor(env: str | None, as_json: bool) -> None:
    """Say what is missing on this machine, and what to do about it.

    Exit status 1 where something is missing that is needed. Nothing is asked of a network.
    """
    from dataclasses import asdict

    from superbatch.doctor import examine

    findings = []
    for finding in examine(env):
        findings.append(finding)
        if not as_json:
            click.echo(finding.line())
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    sys.exit(int(any(finding.status == "missing" for finding in findings)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, or with those of the process."""
    superbatch.main(list(sys.argv[1:] if arguments is None else arguments), prog_name="superbatch")

"""README and docs say what is: commands, paths, parameter keys and tables exist as named, and the Python snippets run."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from superbatch import config, options
from superbatch.bounds import described
from superbatch.declared import kinds
from superbatch.errors import UserError
from superbatch.nested import from_dotted, merge
from superbatch.pipeline_registry import ADVISE, DNC, STAGES
from superbatch.pipelines.naming import BEFORE_LEARNER

PROJECT = Path(__file__).parents[1]
STARTER = PROJECT / "src" / "superbatch" / "starter" / "project"  # what `superbatch init` lays out
PAGES = [
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    PROJECT / "conf" / "README.md",
    *sorted((PROJECT / "docs").rglob("*.md")),
]
RUN_ELSEWHERE = {
    "docs/export.md": "tests/exporting/test_croissant.py",
    "docs/library.md": "tests/pipelines/test_quick_chain.py",
    "docs/without_kedro.md": "tests/tasks/test_without_kedro.py",
    "docs/selection.md": "tests/selection/test_docs.py",
}

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TAKEN = re.compile(r"^<!-- from (\S+) -->\n```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SUFFIXES = "py|yml|yaml|md|ipynb|toml|json|jsonl|parquet|npy|arrow|txt|csv|html|png|safetensors|stamp|lock|tar"
OF_THE_READER = {
    "conf/local/parameters.yml",
    "conf/mydata/parameters.yml",
    "conf/models/mine.json",
    "checkpoints/vit-b-32",
    "dvc.lock",
    ".dvc/config.local",
    ".dvc/tmp/exps",
}  # made by them, or by DVC for them


def page_id(page: Path) -> str:
    return page.relative_to(PROJECT).as_posix()


every_page = pytest.mark.parametrize("page", PAGES, ids=page_id)


def blocks(page: Path, *languages: str) -> list[str]:
    return [body for language, body in FENCE.findall(page.read_text()) if language in languages]


def ticked(page: Path) -> list[str]:
    """Everything in backticks outside fenced blocks."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text()))


def commands(page: Path) -> list[list[str]]:
    lines = [line for body in blocks(page, "bash") for line in body.splitlines()] + ticked(page)
    split = [
        shlex.split(line, comments=True) for line in lines if re.match(r"(kedro|make|dvc|python|superbatch) ", line)
    ]
    return [words for words in split if not any("<" in word for word in words)]


@functools.cache
def base() -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for file in sorted((PROJECT / "conf" / "base").glob("parameters*.yml")):
        merged |= yaml.safe_load(file.read_text())
    return merged


def methods() -> list[str]:
    return config.method_names(base())


# Links and paths


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text()))
    missing = [target for target in targets if "://" not in target and not leads_somewhere(target, page)]
    assert not missing, f"{page_id(page)} links to {missing}"


def leads_somewhere(target: str, page: Path) -> bool:
    """Whether the file is there, and in a page the heading after `#`."""
    path, _, anchor = target.partition("#")
    file = page.parent / path if path else page
    return file.exists() and (not anchor or file.suffix != ".md" or anchor in anchors(file.resolve()))


@functools.cache
def anchors(page: Path) -> set[str]:
    """Of each heading, as git hosts make them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@functools.cache
def written_paths() -> list[re.Pattern[str]]:
    """Patterns of every path that the catalog writes, and of what lies below."""
    entries: dict[str, Any] = {}
    for file in sorted((PROJECT / "conf" / "base").glob("catalog*.yml")):
        entries |= yaml.safe_load(file.read_text())
    paths = [entry["filepath"] for entry in entries.values() if "filepath" in entry]
    paths += [base()["storage"][name] for name in ("state", "stages")]
    paths.append(config.Storage().data_docs)
    paths.append("data/08_reporting/tracking")  # the trackers' folder, beside the report
    paths += [config.Storage().cache.folder]
    return [
        re.compile(re.sub(r"\{\w+\}", "[^/]+", path.replace("${globals:data}", "data").replace(".", r"\.")) + "(/.*)?")
        for path in paths
    ]


def names_a_file(word: str, page: Path) -> bool:
    """Whether a path or file name in backticks is there, or is written by a run."""
    if word in OF_THE_READER:
        return True
    if word.startswith("data/"):
        plain = word.rstrip("/")
        return any(p.fullmatch(plain) for p in written_paths()) or plain in (
            "data/08_reporting",
            "data/quick",
            "data/emoji",
            "data/fashion",
            "data/fashion_labels",
            "data/phrased",
            "data/names",
            "data/mix",
            "data/icons",
            "data/icons_half",
            "data/vit_b32",
            "data/vit_b16",
        )
    if "/" in word:
        return any(list(folder.glob(word.rstrip("/"))) for folder in (PROJECT, page.parent))
    return word in file_names() or (PROJECT / word).exists() or Path(word).stem in source()


@functools.cache
def file_names() -> set[str]:
    folders = ("src", "conf", "docs", "tests", "benchmarks", "notebooks")
    return {file.name for folder in folders for file in (PROJECT / folder).rglob("*")}


@functools.cache
def source() -> str:
    return "\n".join(file.read_text() for file in (PROJECT / "src" / "superbatch").rglob("*.py"))


def is_path(word: str) -> bool:
    top = {path.name for path in PROJECT.iterdir()} | {"data"}
    return bool(re.fullmatch(r"[\w.\-/*]+", word)) and (
        ("/" in word and word.split("/")[0] in top) or bool(re.fullmatch(rf"[\w\-]+\.({SUFFIXES})", word))
    )


@every_page
def test_paths_exist_or_are_written(page: Path) -> None:
    wrong = [word for word in ticked(page) if is_path(word) and not names_a_file(word, page)]
    assert not wrong, f"{page_id(page)} names {wrong}"


@every_page
def test_data_folders_are_the_catalogs(page: Path) -> None:
    """Also those with a placeholder, such as `data/06_models/<run>`."""
    words = [re.sub(r"<[^>]+>", "x", word) for word in ticked(page) if word.startswith("data/")]
    assert not [word for word in words if not names_a_file(word, page)]


# Commands


@every_page
def test_commands_exist(page: Path) -> None:
    for words in commands(page):
        tool, rest = words[0], words[1:]
        check = {"make": check_make, "kedro": check_kedro, "dvc": check_dvc, "python": check_python}
        (check | {"superbatch": check_superbatch})[tool](rest)


def check_make(words: list[str]) -> None:
    """One of this project's, or of those that `superbatch init` makes."""
    texts = [(folder / "Makefile").read_text() for folder in (PROJECT, STARTER)]
    targets = re.findall(r"^([a-z-]+):", "\n".join(texts), re.MULTILINE)
    assert words[0] in targets, f"make {words[0]}"


def check_superbatch(words: list[str]) -> None:
    from superbatch.entry import superbatch

    if words[0] not in superbatch.commands:
        check_kedro(words)
        return
    options = {option for parameter in superbatch.commands[words[0]].params for option in parameter.opts}
    for word in (word for word in words[1:] if word.startswith("--")):
        name, _, value = word.partition("=")
        assert name in options, f"superbatch {words[0]} {word}"
        if name == "--env":
            check_env(value)


def check_kedro(words: list[str]) -> None:
    assert words[0] in ("run", "viz", "registry", "catalog", "--help"), f"kedro {words[0]}"
    if words[0] in ("registry", "catalog"):
        check_kedro_group(*words)
    if words[0] != "run":
        return
    for option in words[1:]:
        name, _, value = option.partition("=")
        check = {
            "--pipeline": check_pipelines,
            "--pipelines": check_pipelines,
            "--namespaces": check_namespaces,
            "--env": check_env,
            "--params": check_params,
            "--tags": check_tags,
        }
        assert name in check and value, f"kedro run {option}"
        check[name](value)


def check_kedro_group(group: str, command: str, *given: str) -> None:
    """Commands that Kedro brings: they change with its versions."""
    from kedro.framework.cli import catalog, registry

    known: Any = {"catalog": catalog.catalog, "registry": registry.registry}[group]
    assert command in known.commands, f"kedro {group} {command}"
    for option in given:
        name, _, value = option.partition("=")
        assert name == "--pipeline" and name in [o for p in known.commands[command].params for o in p.opts], option
        check_pipelines(value)


def check_pipelines(value: str) -> None:
    for name in value.split(","):
        assert name in [*methods(), DNC, *STAGES, ADVISE], f"--pipeline={name}"


def check_namespaces(value: str) -> None:
    for name in value.split(","):
        assert name in [*methods(), "reference"], f"--namespaces={name}"


def check_tags(value: str) -> None:
    assert value == BEFORE_LEARNER, f"--tags={value}"


def check_env(value: str) -> None:
    assert (PROJECT / "conf" / value).is_dir() or (STARTER / value).is_dir(), f"--env={value}"


@functools.cache
def check_params(value: str) -> None:
    """Keys and values as Kedro's own command line takes them."""
    given: dict[str, Any] = {}
    for item in value.split(","):
        key, _, text = item.partition("=")
        given = merge(given, from_dotted({key: yaml.safe_load(text)}))
    config.check_parameters(merge(base(), given))


@pytest.mark.parametrize("page", ["README.md", "docs/commands.md"])
def test_every_wish_changes_something(page: str) -> None:
    """A value in a table of commands that is the project's own already would show nothing."""
    for words in commands(PROJECT / page):
        for option in (word for word in words if word.startswith("--params=")):
            for item in option.removeprefix("--params=").split(","):
                key, _, text = item.partition("=")
                method, _, rest = key.partition(".learner.")
                given = base().get(method, {}) if rest else {}
                value: Any = merge(base()["learner"], given.get("learner", {})) if rest else base()
                for part in (rest or key).split("."):
                    value = value.get(part) if isinstance(value, dict) else None
                assert value != yaml.safe_load(text), f"{item} is so already"


def test_the_gain_is_said_to_be_what_it_is() -> None:
    """The library's default is the paper's; conf/base sets its own, for all methods that choose pairs."""
    assert options.SelectionSettings().gain == 100
    template = base()["learner"]
    found = [config.learner_settings(template, base()[m]["learner"], m) for m in methods()]
    assert {one.selection.gain for one in found if one.labels is None} == {10}
    for page in ("docs/parameters.md", "docs/selection.md", "docs/experiments.md"):
        text = (PROJECT / page).read_text()
        assert "paper's" in text and re.search(r"`conf/base`[^.]*?\b10\b|\b10 \(`conf/base`\)", text), page


DVC_COMMANDS = [
    "checkout",
    "commit",
    "config",
    "dag",
    "exp",
    "metrics",
    "params",
    "plots",
    "pull",
    "push",
    "queue",
    "remote",
    "repro",
    "status",
]


def check_dvc(words: list[str]) -> None:
    assert words[0] in DVC_COMMANDS, f"dvc {words[0]}"
    if words[0] == "repro":
        stages = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
        for target in (word for word in words[1:] if not word.startswith("-")):
            assert target.partition("@")[0] in stages or (PROJECT / target).is_file(), f"dvc repro {target}"
    for setting in (words[i + 1] for i, word in enumerate(words) if word == "-S"):
        file, _, change = setting.partition(":")
        assert (PROJECT / file).is_file(), setting
        key, _, sweep = change.removeprefix("+").partition("=")
        for value in sweep.split(","):
            check_params(f"{key}={value}")


def check_python(words: list[str]) -> None:
    assert words[0].startswith("-") or (PROJECT / words[0]).is_file(), f"python {words[0]}"


# Parameters


@every_page
def test_parameter_keys_exist(page: Path) -> None:
    sections = {*config.SECTIONS, *methods()}
    keys = {word.rstrip(":") for word in ticked(page) if re.fullmatch(r"[a-z_]+(\.[a-z_<>]+)+:?", word)}
    for key in sorted(keys):
        if key.split(".")[0] in sections and not re.search(rf"\.({SUFFIXES})$", key):
            assert is_known(re.sub(r"<[^>]+>", "classification", key)), f"{page_id(page)} names the parameter {key}"


@functools.cache  # many pages name the same
def is_known(key: str) -> bool:
    """Whether the settings know a key, whatever its value."""
    try:
        config.check_parameters(merge(base(), from_dotted({key: "some value"})))
    except UserError as error:
        return "unknown parameter" not in error.what
    return True


@every_page
def test_yaml_blocks_are_parameters(page: Path) -> None:
    for block in blocks(page, "yaml"):
        config.check_parameters(merge(base(), yaml.safe_load(block)))


PARAMETER_TABLES: dict[str, list[type]] = {
    "storage": [config.Storage],
    "storage.cache": [config.CacheSettings],
    "simweb": [options.SimwebSettings],
    "icons": [options.IconsSettings],
    "ingest": [config.IngestSettings],
    "ingest.pool": [config.SetSettings],
    "ingest.evaluation.<set>": [config.EvaluationSetSettings],
    "ingest.pool.expect.<statistic>": [config.Threshold],
    "reference": [options.ReferenceSettings, options.LearnerSettings],
    "check": [options.CheckSettings],
    "bootstrap": [options.BootstrapSettings],
    "dnc": [options.DncSettings],
    "reference.model": [options.ModelSettings],
    "reference.training": [options.TrainingSettings],
    "reference.training.optimizer": [options.OptimizerSettings],
    "learner.pool": [options.PoolSettings],
    "learner.selection": [options.SelectionSettings],
    "learner.selection.then": [options.ThenSettings],
    "learner.labels": [options.LabelSettings],
    "learner.moclr": [options.MoclrSettings],
    "learner.moclr.augment": [options.AugmentSettings],
    "learner.distill": [options.DistillSettings],
    "learner.flexi": [options.FlexiSettings],
    "learner.flexi.low": [options.LowSettings],
    "embed": [options.EmbedSettings],
    "curate": [options.CurateSettings],
    "curate.decide.<decision>": [options.RuleSettings],
    "evaluate": [options.EvaluateSettings],
    "evaluate.few_shot": [options.FewShotSettings],
    "evaluate.linear_probe": [options.LinearProbeSettings],
    "evaluate.fine_tune": [options.FineTuneSettings],
    "evaluate.knn": [options.KnnSettings],
    "report": [config.ReportSettings],
    "audit": [options.AuditSettings],
    "audit.export": [options.ExportSettings],
    "advise": [options.AdviseSettings],
    "advise.budget": [options.BudgetSettings],
    "search": [options.SearchSettings],
    "export": [options.TakeAwaySettings],
    "compare": [config.CompareSettings],
}


def tables(page: Path) -> dict[str, list[list[str]]]:
    """Rows of the first table below each heading, by the first word in backticks of the heading."""
    found: dict[str, list[list[str]]] = {}
    for part in re.split(r"^#+ ", page.read_text(), flags=re.MULTILINE)[1:]:
        title = re.search(r"`([^`]+)`", part.splitlines()[0])
        first = re.search(r"(^\|.*\n?)+", part, re.MULTILINE)
        rows = (
            [[cell.strip() for cell in line.strip("|").split(" | ")] for line in first[0].splitlines()] if first else []
        )
        found.setdefault(title[1] if title else part.splitlines()[0], rows[2:])
    return found


def defaults(kind: type) -> dict[str, Any]:
    """Default of each key that is no block of its own; what has none is "needed", what is made when asked for stays open."""
    if dataclasses.is_dataclass(kind):
        blocks_of_its_own = {
            f.name
            for f in dataclasses.fields(kind)
            if f.default is dataclasses.MISSING and f.default_factory is not dict and f.name != "shares"
        }
        return {f.name: f.default for f in dataclasses.fields(kind) if f.name not in blocks_of_its_own}
    return {name: "needed" if f.is_required() else f.default for name, f in kind.model_fields.items()}  # type: ignore[attr-defined]


def test_parameters_md_has_every_key_with_its_default_and_its_bounds() -> None:
    found = tables(PROJECT / "docs" / "parameters.md")
    for name, blocks in PARAMETER_TABLES.items():
        expected = {key: value for block in blocks for key, value in defaults(block).items()}
        declared = {key: kind for block in blocks for key, kind in kinds(block).items()}
        rows = {row[0].strip("| `"): row[1:] for row in found[name]}
        assert list(rows) == list(expected), name
        for key, value in expected.items():
            default, takes, _ = rows[key]
            assert value is dataclasses.MISSING or default.strip("`") == str(value), f"{name}.{key}"
            assert takes == described(declared[key]), f"{name}.{key}"


# Contracts


def test_column_tables_are_the_codes() -> None:
    from superbatch.curation.enlarged import ORIGINS_SCHEMA
    from superbatch.data.manifest import MANIFEST_SCHEMA, REJECTS_SCHEMA
    from superbatch.training.records import SCHEMAS

    found = tables(PROJECT / "docs" / "architecture.md")
    schemas = {"Manifest": MANIFEST_SCHEMA, "Rejects": REJECTS_SCHEMA, "Enlarged curated set": ORIGINS_SCHEMA} | {
        f"{name}.parquet": schema for name, schema in SCHEMAS.items()
    }
    for title, schema in schemas.items():
        assert [row[0].strip("| `") for row in found[title]] == schema.names, title


def test_architecture_md_has_every_floor_and_room() -> None:
    from tests.test_floors import FILES, FLOORS, room_of

    floors, last = ["ground", "1", "2", "3", "4", "roof"], ""
    shown: dict[str, set[str]] = {}
    for floor, rooms, _ in tables(PROJECT / "docs" / "architecture.md")["The house"]:
        last = floor.strip("| ") or last
        shown.setdefault(last, set()).update(name.removesuffix(".py") for name in re.findall(r"`([\w.]+)`", rooms))
    there = {room_of(file) for file in FILES} - {"__init__"}
    assert shown == {name: rooms & there for name, rooms in zip(floors, FLOORS, strict=True)}


def test_architecture_md_names_every_module_of_the_engine() -> None:
    modules = {file.name for file in (PROJECT / "src" / "superbatch" / "training").glob("[!_]*.py")}
    assert modules <= {word.rpartition("/")[2] for word in ticked(PROJECT / "docs" / "architecture.md")}


def test_ingestion_md_has_every_reason_note_and_default() -> None:
    from superbatch.curation.statistics import DEFAULT_THRESHOLDS
    from superbatch.data.decode import NOTES
    from superbatch.data.reasons import REASONS, REMEDIES
    from superbatch.data.texts import NOTES as NOTES_ON_TEXTS

    found = tables(PROJECT / "docs" / "ingestion.md")
    rows = [(row[0].strip("| `"), row[1], row[2].rstrip(" |")) for row in found["Reason codes"]]
    assert rows == [(code, meaning, REMEDIES[code]) for code, meaning in REASONS.items()]
    notes = {note for row in found["Images of every kind"] for note in re.findall(r"`(\w+)`", row[2])}
    assert notes == NOTES.keys() | NOTES_ON_TEXTS.keys()
    words = {"min": "at least", "max": "at most"}
    bounds = {
        name: " and ".join(f"{words[k]} {one[k]:g}" for k in words if k in one)
        + (f" in {one['mostly']:g} of the samples" if "mostly" in one else "")
        for name, one in DEFAULT_THRESHOLDS.items()
    }
    assert {row[0].strip("| `"): row[1] for row in found["Expectations"]} == bounds


def test_audit_md_has_every_verdict() -> None:
    rows = tables(PROJECT / "docs" / "audit.md")["Verdicts"]
    assert {row[0].strip("| `") for row in rows} == set(options.VERDICTS)


def test_audit_md_has_every_column() -> None:
    from superbatch.reporting.audit import COLUMNS

    rows = tables(PROJECT / "docs" / "audit.md")["rows.parquet"]
    assert tuple(row[0].strip("| `") for row in rows) == COLUMNS


def test_curation_md_has_every_column_and_every_way_of_a_rule() -> None:
    from superbatch.curation.scores import SCORES_SCHEMA
    from superbatch.options.curate import WAYS

    found = tables(PROJECT / "docs" / "curation.md")
    rows = [(row[0].strip("| `"), row[1]) for row in found["curation.parquet"]]
    assert rows == [(field.name, str(field.type)) for field in SCORES_SCHEMA]
    assert {way for row in found["Decisions"] for way in re.findall(r"`(\w+)`", row[0])} == set(WAYS)


def test_methods_md_has_every_method() -> None:
    rows = tables(PROJECT / "docs" / "methods.md")["The methods"]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row[0])} == set(methods())


# Snippets


def test_pages_whose_snippets_are_run_elsewhere_have_their_test() -> None:
    assert all((PROJECT / test).is_file() for test in RUN_ELSEWHERE.values())


@pytest.mark.parametrize(
    "page", [p for p in PAGES if blocks(p, "python") and page_id(p) not in RUN_ELSEWHERE], ids=page_id
)
def test_python_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from superbatch.training.following import follow_with

    monkeypatch.chdir(tmp_path)
    names = training_loop() if page.name == "README.md" else {}
    try:
        for block in blocks(page, "python"):
            exec(compile(block, page_id(page), "exec"), names)
    finally:
        follow_with(None)  # trackers.md's follows all trainings that start in this process
    if page.name == "README.md":
        assert len(names["chosen"].unique()) == 8
        assert names["loss"].isfinite()


@every_page
def test_code_that_is_taken_from_a_file_is_in_it(page: Path) -> None:
    """A comment `<!-- from tests/a_file.py -->` above a block names its source; only white space may differ."""
    for file, body in TAKEN.findall(page.read_text()):
        assert without_space(body) in without_space((PROJECT / file).read_text()), f"not in {file}:\n{body}"


def test_add_a_method_md_shows_nothing_but_code_of_ours() -> None:
    page = PROJECT / "docs" / "add_a_method.md"
    taken = TAKEN.findall(page.read_text())
    assert [body for _, body in taken] == blocks(page, "py", "python")
    assert sum(file == "tests/training/caption_labels.py" for file, _ in taken) >= 5


def test_add_a_method_md_has_its_file_whole() -> None:
    """But for the docstring: the page can be followed without the repository. The fields are shown once more beforehand."""
    file = "tests/training/caption_labels.py"
    taken = TAKEN.findall((PROJECT / "docs" / "add_a_method.md").read_text())
    shown = "".join(body for source, body in taken if source == file and not body.startswith("fields ="))
    assert without_space(shown) == without_space((PROJECT / file).read_text().split('"""', 2)[2])


def test_what_search_md_looks_for_is_in_the_default_data() -> None:
    from superbatch.simweb.words import COLOUR_WORDS, KIND_WORDS

    known = {word for phrases in (*KIND_WORDS, *COLOUR_WORDS) for phrase in phrases for word in phrase.split()}
    asked = re.findall(r"query(?:=|: \[)([\w, ]+)", (PROJECT / "docs" / "search.md").read_text())
    assert len(asked) >= 2 and set(re.findall(r"\w+", " ".join(asked))) <= known


def without_space(code: str) -> str:
    return "".join(code.split())


def training_loop() -> dict[str, Any]:
    """What README's loop finds in its surroundings."""
    import torch

    from tests.selection.test_docs import tiny_model

    torch.manual_seed(0)
    model = tiny_model(32)
    super_batches = [(torch.randn(40, 3, 16, 16), torch.randint(1, 50, (40, 6))) for _ in range(2)]
    return {
        "model": model,
        "reference": tiny_model(48).eval(),
        "super_batches": super_batches,
        "optimizer": torch.optim.AdamW(model.parameters(), lr=1e-3),
    }


# Results


def test_the_recommended_preset_is_the_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    results = importlib.import_module("results")
    assert f"**Recommended: `{results.RECOMMENDED}`**" in (PROJECT / "README.md").read_text()
    assert f"**We recommend `{results.RECOMMENDED}`**" in (PROJECT / "docs" / "results.md").read_text()


def test_a_record_is_made_in_pieces_and_has_only_what_its_list_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    results = importlib.import_module("results")
    old = [{"run": "uniform-T16000-s0", "value": 1}, {"run": "gone-T1-s0"}, {"run": "uniform-T8000-s0", "value": 1}]
    new = [{"run": "uniform-T16000-s0", "value": 2}, {"run": "reference"}]
    found = results.merged("icons", old, new)
    assert found[0] == {"run": "reference"}
    assert sorted(found[1:], key=lambda row: row["run"]) == [
        {"run": "uniform-T16000-s0", "value": 2},
        {"run": "uniform-T8000-s0", "value": 1},
    ]


@pytest.mark.parametrize(
    ("only", "what"),
    [
        (["reference"], "'reference' is no recorded run of the grid"),
        (["gone-T1-s0"], "'gone-T1-s0' is no recorded run of the grid"),
        ([], "names no run"),
    ],
)
def test_only_a_run_that_compare_trains_can_be_made_again(
    only: list[str], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    results = importlib.import_module("results")
    monkeypatch.setattr(results.subprocess, "run", lambda *_, **__: pytest.fail("a run was started"))
    rows = [{"run": name} for name in ("reference", "uniform-T8000-s0", "gone-T1-s0")]
    with pytest.raises(UserError) as caught:
        results.again("icons", rows, only)
    assert str(caught.value) == f"--only: {what}; known: uniform-T8000-s0"


@pytest.mark.parametrize("pool", ["simweb", "icons"])
def test_the_figures_of_both_pools_are_derived_from_their_records(
    pool: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    results = importlib.import_module("results")
    rows = results.read_json(results.recorded(pool))
    found = results.outcome(pool, rows, [])
    names = {"steps_to_target", "steps_to_target_best_simple", "flops_to_target", "flops_to_target_charged"}
    assert set(found) == names | {"retrieval_to_uniform"}
    assert all(by_method["recommended"] == by_method[results.RECOMMENDED] for by_method in found.values())
    shown = capsys.readouterr().out
    assert all(row["run_hash"] in shown for row in rows)
    by_run = {row["run"]: results.mean_of(row["test"], results.R1) for row in rows}
    best = max(value for run, value in by_run.items() if run.startswith("uniform"))
    assert all(value <= max(by_run.values()) / best + 1e-9 for value in found["retrieval_to_uniform"].values())


def test_recorded_runs_go_by_the_method_that_they_are_candidates_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another rate is tuning; another batch size, draw, criterion or reference makes another method. Versions recorded seeds differently."""
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    results = importlib.import_module("results")
    rows = [
        row
        for pool in ("icons", "icons_signature", "simweb_relatives")
        for row in results.read_json(results.recorded(pool))
    ]
    frame = results.finals(rows)
    methods = dict(zip(frame["run"], frame["method"], strict=True))
    assert methods["uniform_lr2m-T8000-s0"] == "uniform" and methods["softmax_kd_w4-T2000-s0"] == "softmax_kd"
    own = ("uniform_b160", "jest_b32", "easy_independent", "aced_easy", "i_acid_small", "adaptive_p2")
    assert {method for run, method in methods.items() if run.startswith(own)} >= set(own)
    kept = results.tuned(frame)
    assert sorted(kept.loc[(kept["method"] == "adaptive_p2") & (kept["steps"] == 8000), "seed"]) == [0, 1, 2]


def messages() -> list[str]:
    """What docs/troubleshooting.md quotes as said, without the parts that differ."""
    page = (PROJECT / "docs" / "troubleshooting.md").read_text()
    quoted = [said for row in re.findall(r"^\|([^|]+)\|", page, re.MULTILINE) for said in re.findall(r'"([^"]+)"', row)]
    return [part.strip() for said in quoted for part in said.split("…") if part.strip()]


OF_LIBRARIES = {
    "found character",
    "found duplicate key",
    "but found",
    "Duplicate keys found in",
}  # PyYAML's, and Kedro's


def test_messages_that_are_explained_are_those_that_are_said() -> None:
    code = "\n".join(file.read_text() for file in (PROJECT / "src").rglob("*.py"))
    missing = [part for part in messages() if part not in code and part not in OF_LIBRARIES]
    assert len(messages()) > 30 and not missing

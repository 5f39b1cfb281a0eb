"""Settings of the export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import MinLen

from superbatch.bounds import Because, Settings, require

Format = Annotated[
    Literal["open_clip", "huggingface", "onnx"], Because("{value} is not a format that a model is written in")
]


@dataclass(frozen=True)
class TakeAwaySettings(Settings, section="export"):
    """Which run's model is exported, in which formats, and which sets get a card."""

    run: str = "jest"
    formats: Annotated[tuple[Format, ...], MinLen(1)] = ("open_clip", "huggingface", "onnx")
    licence: str | None = None  # of the model, as its card states it, such as apache-2.0; None: "not stated"
    sets: tuple[str, ...] = ("pool", "curated", "evaluation")  # audit: the rows that the audit exported
    data_licence: str | None = None  # of these sets, for their cards

    def check(self) -> None:
        """Refuse formats or sets that are named twice, and sets that there are none of."""
        for name, values in (("formats", self.formats), ("sets", self.sets)):
            twice = sorted({value for value in values if values.count(value) > 1})
            require(not twice, f"export.{name}", f"{', '.join(twice)} is named twice", "name each once")
        odd = [name for name in self.sets if name not in SETS]
        require(not odd, "export.sets", f"no set is called {odd[0] if odd else ''!r}", f"there are {', '.join(SETS)}")


SETS = ("pool", "curated", "evaluation", "audit")

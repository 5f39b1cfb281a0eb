"""Settings of a training on classes, in the place of image-text pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval

from superbatch.bounds import Because, Settings, require
from superbatch.stores.address import is_address


@dataclass(frozen=True)
class LabelSettings(Settings, section="labels"):
    """Which classes there are, where a row's label comes from, and how sure the loss wants the model to be."""

    classnames: str = ""  # a file in one of the forms of `evaluation.prompts`; line i is class i
    # cls: the shards' own .cls; captions: the class whose name the first caption says
    by: Literal["cls", "captions"] = "cls"
    # share of the target that goes to all classes evenly (ClassAct has 0.1; papers.md 3.1)
    smoothing: Annotated[float, Interval(ge=0, lt=1), Because("{value} leaves no weight on the label")] = 0.1

    def check(self) -> None:
        """Refuse labels without a list of classes on this machine."""
        remedy = "name the file, such as the classnames.txt of an evaluation set"
        require(bool(self.classnames), "labels.classnames", "names no file, so the classes are unknown", remedy)
        what = f"{self.classnames}: is an address, and class names are read from this machine"
        require(not is_address(self.classnames), "labels.classnames", what, "copy the file, and name the copy")

    def same_classes(self, other: LabelSettings) -> bool:
        """Whether a label means the same here and there."""
        return (self.classnames, self.by) == (other.classnames, other.by)

"""Settings of augmented views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Interval

from superbatch.bounds import Because, Settings

Chance = Annotated[float, Interval(ge=0, le=1), Because("{value} is not a chance")]


@dataclass(frozen=True)
class AugmentSettings(Settings, section="augment"):
    """How a view differs from its image: SimCLR's and BYOL's, but for the defaults of the crop, which are for small pictures."""

    # least share of the image's area that a view shows; SimCLR and BYOL have 0.08, of photographs
    min_area: Annotated[float, Interval(gt=0, le=1), Because("{value} is not a share of the image")] = 0.2
    flip: Chance = 0.5  # of a mirrored view; 0 where left and right mean something
    jitter: Chance = 0.8  # of other colours
    brightness: Annotated[float, Interval(ge=0, le=1)] = 0.4  # factors 1 - x to 1 + x
    contrast: Annotated[float, Interval(ge=0, le=1)] = 0.4
    saturation: Annotated[float, Interval(ge=0, le=1)] = 0.2
    hue: Annotated[float, Interval(ge=0, le=0.5)] = 0.1  # turns of the colour wheel, either way
    gray: Chance = 0.2  # of no colours
    blur: Chance = 0.5
    max_blur: Annotated[float, Ge(0.1)] = 2.0  # standard deviation in pixels, at most; at least 0.1

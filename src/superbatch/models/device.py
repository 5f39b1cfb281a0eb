"""Which device to compute on."""

from __future__ import annotations

import torch

from superbatch.errors import UserError


def pick_device(name: str | torch.device) -> torch.device:
    """Turn `auto` into cuda, mps or cpu, whichever is there; any other name is taken as torch spells it.

    Raises:
        UserError: a name that torch does not know, or a device that this machine lacks.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    remedy = "use auto, cpu, cuda or mps"
    try:
        device = torch.device(name)
    except RuntimeError:  # the message lists the kinds of every machine
        raise UserError("device", f"{name!r} is no device", remedy) from None
    try:
        torch.empty(1, device=device)
    except (
        RuntimeError,
        AssertionError,
        NotImplementedError,
    ) as error:  # torch raises a different one for each kind of device
        reason = str(error).splitlines()[0].split(". ")[0]
        raise UserError("device", f"{str(name)!r} cannot be used here ({reason})", remedy) from None
    return device

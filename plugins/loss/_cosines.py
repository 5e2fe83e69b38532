"""What losses of cosines share: outputs are scale * cosine of head `cosine`."""

from __future__ import annotations

import torch

from comp.api import PluginError

TOLERANCE = 1.01
"""bfloat16 rounds a cosine of 1 by up to 0.4%."""


class Cosines:
    """Turns outputs into cosines. The first batch is checked; each would make a GPU wait."""

    def __init__(self, name: str, scale: float) -> None:
        if scale <= 0:
            raise PluginError(f"loss.scale is {scale}; wanted a number above 0: that of head cosine")
        self.name, self.scale, self.checked = name, scale, False

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        """(B, K) float32 in [-1, 1].

        Raises:
            PluginError: outputs beyond the scale, which are no cosines.
        """
        if not self.checked:
            largest = float(outputs.detach().abs().max())
            if largest > self.scale * TOLERANCE:
                raise PluginError(
                    f"loss {self.name} wants cosines times loss.scale ({self.scale:g}), but given an output of {largest:.3g}: "
                    "use head cosine, with the same scale"
                )
            self.checked = True
        return (outputs.float() / self.scale).clamp(-1, 1)

"""The trained model with its vector's outcomes in another order: does the model use p?"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from qt_hw.model.generated import GeneratedModel

__all__ = ["permuted_export"]

_STREAM = 5


def permuted_export(model: GeneratedModel, seed: int) -> nn.Module:
    """Return the target with the weights that a permuted vector makes.

    The probabilities of the outcomes in use are exchanged among each other, so that their values
    stay and only their places change. A model that loses nothing does not use them.

    Args:
        model: A trained model; it stays as it is.
        seed: Of the permutation.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, _STREAM]))
    used = model.mapping.n_blocks
    with torch.no_grad():
        p = model.generator().clone()
        p[:used] = p[torch.from_numpy(rng.permutation(used)).to(p.device)]
        return model.export(p, model.generator.shots)

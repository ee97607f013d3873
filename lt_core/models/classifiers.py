"""The last layer: linear, or cosines between embeddings and class vectors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lt_core.errors import unknown
from lt_core.models import CLASSIFIERS


class CosineClassifier(nn.Module):
    r"""Cosine of the angle between an embedding and each class vector.

    .. math:: \cos_{c} = \frac{w_c^\top h}{\lVert w_c \rVert \lVert h \rVert}

    Input ``(N, D)``, output ``(N, C)`` in [-1, 1]. LDAM and GCL expect this.
    Source: the normalised layer of Cao et al. 2019, arXiv:1906.07413.
    """

    def __init__(self, in_features: int, num_classes: int):
        super().__init__()
        # Directions drawn evenly from the cube and put on the unit sphere.
        weight = torch.empty(num_classes, in_features).uniform_(-1, 1)
        self.weight = nn.Parameter(F.normalize(weight, dim=1))

    def forward(self, embeddings: Tensor) -> Tensor:
        return F.normalize(embeddings, dim=1) @ F.normalize(self.weight, dim=1).T


def create_classifier(name: str, in_features: int, num_classes: int) -> nn.Module:
    if name == "linear":
        layer = nn.Linear(in_features, num_classes)
        nn.init.kaiming_normal_(layer.weight)
        return layer
    if name == "cosine":
        return CosineClassifier(in_features, num_classes)
    raise unknown("classifier", name, CLASSIFIERS)

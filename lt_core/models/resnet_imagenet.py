"""Residual networks for photographs, as torchvision builds them: ResNet-10 to -152, ResNeXt-50.

Source: He et al. 2016, arXiv:1512.03385, and Xie et al. 2017, arXiv:1611.05431. ResNet-10 has
one basic block per stage (Liu et al. 2019, arXiv:1904.05160). The last layer is ours, so that
it can be linear or cosine; everything before it takes torchvision's weights.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from lt_core.errors import ConfigError
from lt_core.models.classifiers import create_classifier


class LargeResNet(ResNet):
    """torchvision's ResNet with a classifier of ours, for images of 32 pixels or more.

    Input ``(N, 3, H, W)`` normalised images; output ``(N, num_classes)`` logits, or cosines
    with ``classifier="cosine"``, in float32 whatever the precision of the convolutions.
    :meth:`embed` gives the ``(N, D)`` embeddings.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        classifier: str,
        block: type,
        layers: list[int],
        **options: int,
    ):
        if in_channels != 3:
            raise ConfigError(f"in_channels: expected 3, as photographs have, got {in_channels}")
        super().__init__(block, layers, **options)
        features = self.fc.in_features
        del self.fc, self.avgpool
        self.classifier = create_classifier(classifier, features, num_classes)

    def embed(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(dim=(2, 3), dtype=torch.float32)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.embed(x))


def resnet10(num_classes: int, in_channels: int = 3, classifier: str = "linear") -> LargeResNet:
    """ResNet-10: 4.9 million parameters before the classifier, 512 features."""
    return LargeResNet(num_classes, in_channels, classifier, BasicBlock, [1, 1, 1, 1])


def resnet18(num_classes: int, in_channels: int = 3, classifier: str = "linear") -> LargeResNet:
    """ResNet-18: 11.2 million parameters before the classifier, 512 features."""
    return LargeResNet(num_classes, in_channels, classifier, BasicBlock, [2, 2, 2, 2])


def resnet50(num_classes: int, in_channels: int = 3, classifier: str = "linear") -> LargeResNet:
    """ResNet-50: 23.5 million parameters before the classifier, 2048 features."""
    return LargeResNet(num_classes, in_channels, classifier, Bottleneck, [3, 4, 6, 3])


def resnet152(num_classes: int, in_channels: int = 3, classifier: str = "linear") -> LargeResNet:
    """ResNet-152: 58.1 million parameters before the classifier, 2048 features."""
    return LargeResNet(num_classes, in_channels, classifier, Bottleneck, [3, 8, 36, 3])


def resnext50(num_classes: int, in_channels: int = 3, classifier: str = "linear") -> LargeResNet:
    """ResNeXt-50 (32 groups of width 4): 23.0 million parameters before the classifier."""
    groups = {"groups": 32, "width_per_group": 4}
    return LargeResNet(num_classes, in_channels, classifier, Bottleneck, [3, 4, 6, 3], **groups)

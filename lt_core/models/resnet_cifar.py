"""Residual networks for small images: ResNet-32 of the CIFAR tables, and a tiny one.

Source: He et al. 2016, arXiv:1512.03385, section 4.2: a 3x3 convolution, three
stages of n blocks with 16, 32 and 64 channels, global average pooling, a linear
classifier; depth 6n + 2. The shortcuts have no parameters (option A): where a
stage begins, the input is subsampled and its channels are padded with zeros.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lt_core.models.classifiers import create_classifier


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation without the step counter.

    The counter matters only for a cumulative average, which nobody here uses, and
    would be one more kernel a layer in every training step.
    """

    def __init__(self, channels: int):
        super().__init__(channels)
        self.register_buffer("num_batches_tracked", None)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut without parameters."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = BatchNorm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = BatchNorm(out_channels)
        self.stride = stride
        self.added_channels = out_channels - in_channels

    def shortcut(self, x: Tensor) -> Tensor:
        if self.stride == 1 and self.added_channels == 0:
            return x
        before = self.added_channels // 2
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, before, self.added_channels - before))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x), inplace=True)


class SmallResNet(nn.Module):
    """Residual network for images of 8 to 64 pixels.

    Input ``(N, in_channels, H, W)`` normalised images; output ``(N, num_classes)``
    logits, or cosines with ``classifier="cosine"``, in float32 whatever the
    precision of the convolutions. :meth:`embed` gives the ``(N, D)`` embeddings.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        classifier: str = "linear",
        *,
        blocks: int,
        widths: tuple[int, ...],
        stem_stride: int = 1,
    ):
        super().__init__()
        self.stem = nn.Conv2d(in_channels, widths[0], 3, stem_stride, padding=1, bias=False)
        self.norm = BatchNorm(widths[0])
        layers, channels = [], widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(ResidualBlock(channels, width, stride))
                channels = width
        self.blocks = nn.Sequential(*layers)
        self.classifier = create_classifier(classifier, channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def embed(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)), inplace=True)
        return self.blocks(x).mean(dim=(2, 3), dtype=torch.float32)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.embed(x))


def resnet32(num_classes: int, in_channels: int = 3, classifier: str = "linear") -> nn.Module:
    """ResNet-32 for 32-pixel images; 464,154 parameters for 10 classes."""
    return SmallResNet(num_classes, in_channels, classifier, blocks=5, widths=(16, 32, 64))


def resnet_rehearsal(
    num_classes: int, in_channels: int = 3, classifier: str = "linear"
) -> nn.Module:
    """ResNet-8 on half the resolution, about 1/20 of ResNet-32's cost: rehearsals on a CPU.

    One block a stage instead of five, and a first convolution of stride 2; ours.
    """
    size = {"blocks": 1, "widths": (16, 32, 64), "stem_stride": 2}
    return SmallResNet(num_classes, in_channels, classifier, **size)


def resnet_digits(num_classes: int, in_channels: int = 1, classifier: str = "linear") -> nn.Module:
    """A two-stage network for the 8-pixel digits: seconds on a CPU."""
    return SmallResNet(num_classes, in_channels, classifier, blocks=1, widths=(16, 32))

"""AutoAugment's policy for CIFAR-10, applied to whole groups of images.

Source: Cubuk et al. 2019, arXiv:1805.09501. An image draws one of 25 sub-policies: two
operations, each with a probability, a strength and, where it has a direction, a random
sign. The policy and the operations are torchvision's, so that an image comes out exactly
as from ``torchvision.transforms.v2.AutoAugment``; but images that drew the same
operation go through it together.

GALA's published recipe names another port of the same policy (``CIFAR10Policy``, on PIL
images). Its copies that we read have the same sub-policies, probabilities and strengths,
but fill uncovered pixels with grey (128) where torchvision leaves black, shear with
bicubic interpolation where torchvision takes the nearest pixel, and rotate in one
direction only.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy
from torchvision.transforms.v2 import functional as F

POLICIES = ("cifar10",)
UNSIGNED = ("Posterize", "Solarize", "AutoContrast", "Equalize", "Invert")
#: Code of "leave the image as it is".
NOTHING = -1


@cache
def sub_policies() -> tuple:
    """25 pairs of (operation, probability, strength from 0 to 9 or None)."""
    return tuple(AutoAugment(AutoAugmentPolicy.CIFAR10).policies)


@cache
def operations() -> tuple[tuple[str, int | None, int], ...]:
    """Every (operation, strength, sign) that the policy can draw; an index is its code."""
    drawn = {(name, strength) for pair in sub_policies() for name, _, strength in pair}
    signs = {entry: (1,) if entry[0] in UNSIGNED else (1, -1) for entry in drawn}
    every = [(*entry, sign) for entry, allowed in signs.items() for sign in allowed]
    return tuple(sorted(every, key=str))


def draw(count: int, generator: torch.Generator) -> Tensor:
    """(2, count) int64 codes: the first and the second operation of each image."""
    code_of = {operation: code for code, operation in enumerate(operations())}
    table = torch.empty((len(sub_policies()), 2, 2), dtype=torch.int64)
    for row, pair in enumerate(sub_policies()):
        for place, (name, _, strength) in enumerate(pair):
            for flipped, sign in enumerate((1, -1)):
                known = 1 if name in UNSIGNED else sign
                table[row, place, flipped] = code_of[name, strength, known]
    probability = torch.tensor([[entry[1] for entry in pair] for pair in sub_policies()])
    row = torch.randint(len(sub_policies()), (count,), generator=generator)
    happens = torch.rand((count, 2), generator=generator) < probability[row]
    flipped = torch.randint(2, (count, 2), generator=generator)
    codes = table[row].gather(2, flipped[:, :, None])[:, :, 0]
    return codes.where(happens, torch.tensor(NOTHING)).T.contiguous()


def grouped(codes: Tensor) -> tuple[list[int], list[int], Tensor]:
    """The codes drawn in one pass (N,), how often each, and the places of each, in turn."""
    ordered, places = codes.sort(stable=True)
    drawn, sizes = ordered.unique_consecutive(return_counts=True)
    return drawn.tolist(), sizes.tolist(), places


def apply(images: Tensor, operation: tuple[str, int | None, int]) -> Tensor:
    """One operation on uint8 images (..., 1 or 3, H, W), each on its own."""
    name, strength, sign = operation
    height, width = images.shape[-2:]

    def at(low: float, high: float) -> float:
        return sign * float(torch.linspace(low, high, 10)[strength])

    match name:
        case "ShearX":
            return _moved(images, shear=[math.degrees(math.atan(at(0, 0.3))), 0.0], corner=True)
        case "ShearY":
            return _moved(images, shear=[0.0, math.degrees(math.atan(at(0, 0.3)))], corner=True)
        case "TranslateX":
            return _moved(images, shift=[int(at(0, 150 / 331 * width)), 0])
        case "TranslateY":
            return _moved(images, shift=[0, int(at(0, 150 / 331 * height))])
        case "Rotate":
            return F.rotate(images, at(0, 30))
        case "Brightness":
            return F.adjust_brightness(images, 1 + at(0, 0.9))
        case "Color":
            return F.adjust_saturation(images, 1 + at(0, 0.9))
        case "Contrast":
            return F.adjust_contrast(images, 1 + at(0, 0.9))
        case "Sharpness":
            return F.adjust_sharpness(images, 1 + at(0, 0.9))
        case "Posterize":
            return F.posterize(images, 8 - round(strength * 4 / 9))
        case "Solarize":
            return F.solarize(images, 255 * at(1, 0))
        case "AutoContrast":
            return F.autocontrast(images)
        case "Equalize":
            return F.equalize(images)
        case "Invert":
            return F.invert(images)
    raise ValueError(f"operation: {name!r} is not one of AutoAugment's")


def _moved(images, shift=(0, 0), shear=(0.0, 0.0), corner=False):
    # A shear keeps the upper left corner in place, as in the paper's code.
    return F.affine(
        images,
        angle=0.0,
        translate=list(shift),
        scale=1.0,
        shear=list(shear),
        center=[0, 0] if corner else None,
    )


def augment_(pixels: Tensor, codes: Tensor, spare: Tensor) -> None:
    """Apply ``codes`` (2, N), on the CPU, to ``pixels`` (N, H, W, C) uint8 in place.

    In each pass the images are sorted by operation into ``spare``, a buffer of the same
    shape, changed there slice by slice, and sorted back. The groups are found on the CPU:
    the host never waits to learn their sizes.
    """
    for of_pass in codes:
        drawn, sizes, order = grouped(of_pass)
        torch.index_select(pixels, 0, on_device(order, pixels), out=spare)
        for code, group in zip(drawn, spare.split(sizes), strict=True):
            if code != NOTHING:
                # On a CPU a slice should fit the cache, on a GPU fill the device.
                for images in group.split(len(group) if group.is_cuda else 128):
                    images.copy_(_changed(images, operations()[code]))
        torch.index_select(spare, 0, on_device(order.argsort(), pixels), out=pixels)


def _changed(images: Tensor, operation: tuple[str, int | None, int]) -> Tensor:
    images = images.permute(0, 3, 1, 2)
    if operation[0] == "AutoContrast":  # the one operation that is much faster on planes
        images = images.contiguous()
    return apply(images, operation).permute(0, 2, 3, 1)


def on_device(values: Tensor, like: Tensor) -> Tensor:
    """CPU ``values`` on the device of ``like``; the host does not wait for it."""
    if like.is_cuda:
        return values.pin_memory().to(like.device, non_blocking=True)
    return values

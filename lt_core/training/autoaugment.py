"""AutoAugment's policy for CIFAR-10, applied to whole groups of images.

Source: Cubuk et al. 2019, arXiv:1805.09501. An image draws one of 25 sub-policies: two
operations, each with a probability, a strength and, where it has a direction, a random
sign. The policy and the operations are torchvision's, so that an image comes out exactly
as from ``torchvision.transforms.v2.AutoAugment`` on a CPU; but images that drew the same
operation go through it together, and a GPU's host never waits: nothing is read back and
what is sent is pinned.

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

# torchvision is imported where it is used: it takes as long as torch, and most recipes
# do without.
UNSIGNED = ("Posterize", "Solarize", "AutoContrast", "Equalize", "Invert")
GEOMETRIC = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
#: Code of "leave the image as it is".
NOTHING = -1


@cache
def sub_policies() -> tuple:
    """25 pairs of (operation, probability, strength from 0 to 9 or None)."""
    from torchvision.transforms import AutoAugment, AutoAugmentPolicy

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
    from torchvision.transforms.v2 import functional as F

    name, strength, _ = operation
    if name in GEOMETRIC:
        return _moved(images, operation)

    def factor() -> float:
        return 1 + _magnitude(operation, 0, 0.9)

    match name:
        case "Brightness":
            return F.adjust_brightness(images, factor())
        case "Color":
            return F.adjust_saturation(images, factor())
        case "Contrast":
            return F.adjust_contrast(images, factor())
        case "Sharpness":
            return _sharpened(images, factor())
        case "Posterize":
            return F.posterize(images, 8 - round(strength * 4 / 9))
        case "Solarize":
            return F.solarize(images, 255 * _magnitude(operation, 1, 0))
        case "AutoContrast":
            return F.autocontrast(images)
        case "Equalize":
            return F.equalize(images)
        case "Invert":
            return F.invert(images)
    raise ValueError(f"operation: {name!r} is not one of AutoAugment's")


def _magnitude(operation: tuple[str, int | None, int], low: float, high: float) -> float:
    _, strength, sign = operation
    return sign * float(torch.linspace(low, high, 10)[strength])


def _moved(images: Tensor, operation: tuple[str, int | None, int]) -> Tensor:
    # torchvision's own calls build their matrix on the device, for which the host waits,
    # and take five times as long.
    source, inside = (on_device(each, images) for each in _sources(operation, images.shape[-3:]))
    last = images.movedim(-3, -1)
    flat = last.flatten(-3)
    moved = flat.gather(-1, source.expand(flat.shape)).bitwise_and_(inside)
    return moved.view(last.shape).movedim(-1, -3)


@cache
def _sources(operation: tuple[str, int | None, int], shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Where each value of an image (H, W, C), flat, comes from, and 255, or 0 for black.

    All that torchvision does is to take the nearest pixel, so that its result on an image
    of pixel numbers says everything.
    """
    from torchvision.transforms.v2 import functional as F

    channels, height, width = shape
    numbers = torch.arange(1.0, height * width + 1).view(1, height, width)  # 0 is outside
    match operation[0]:
        case "Rotate":
            moved = F.rotate(numbers, _magnitude(operation, 0, 30))
        case "ShearX" | "ShearY":
            angle = math.degrees(math.atan(_magnitude(operation, 0, 0.3)))
            shear = [angle, 0.0] if operation[0] == "ShearX" else [0.0, angle]
            # A shear keeps the upper left corner in place, as in the paper's code.
            moved = F.affine(numbers, 0.0, [0, 0], 1.0, shear, center=[0, 0])
        case "TranslateX":
            shift = int(_magnitude(operation, 0, 150 / 331 * width))
            moved = F.affine(numbers, 0.0, [shift, 0], 1.0, [0.0, 0.0])
        case "TranslateY":
            shift = int(_magnitude(operation, 0, 150 / 331 * height))
            moved = F.affine(numbers, 0.0, [0, shift], 1.0, [0.0, 0.0])
    pixel = moved.long().flatten()
    source = (pixel - 1).clamp_min(0)[:, None] * channels + torch.arange(channels)
    inside = (pixel > 0).to(torch.uint8).mul_(255)
    return source.flatten(), inside.repeat_interleave(channels)


def _sharpened(images: Tensor, factor: float) -> Tensor:
    """Away from (or towards) a 3 x 3 blur whose centre counts five times; borders stay.

    torchvision rounds the result of a convolution, which before rounding is a multiple of
    1/13 and so never half-way between two numbers: adding whole numbers gives the same.
    It needs no kernel from the host, for which a GPU would wait, and no plan of cuDNN for
    each of a group's sizes, which are others every epoch.
    """
    values = images.float()
    inner = values[..., 1:-1, 1:-1]
    lines = values[..., :-2, :] + values[..., 1:-1, :]
    lines += values[..., 2:, :]
    blurred = lines[..., :-2] + lines[..., 1:-1]
    blurred.add_(lines[..., 2:]).add_(inner, alpha=4).div_(13).round_()
    inner.add_(blurred.sub_(inner), alpha=1 - factor)
    return values.clamp_(0, 255).to(torch.uint8)


def augment_(pixels: Tensor, codes: Tensor, spare: Tensor) -> None:
    """Apply ``codes`` (2, N), on the CPU, to ``pixels`` (N, H, W, C) uint8 in place.

    In each pass the images are sorted by operation into ``spare``, a buffer of the same
    shape, changed there slice by slice, and sorted back. The groups are found on the CPU.
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
        values = values.pin_memory()
    return values.to(like.device, non_blocking=True)

"""Images, plans and devices that the tests of augmentation share."""

import pytest
import torch

from lt_core.training.augment import EpochFeed

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
        ],
    ),
]


SIZE = (32, 32)


def noise(count, channels=3, height=32, width=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (count, channels, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def loaded(bank, seed=0, epoch=0):
    feed, plan = EpochFeed(bank), bank.plan(seed, epoch)
    feed.load(plan)
    return feed, plan


def positions(bank):
    return torch.arange(bank.count, device=bank.device)

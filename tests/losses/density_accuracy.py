"""How well each precision approximates a known density of gradient norms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from scipy import stats

from lt_core.losses.density import DENSITIES, CategoryDensity, ExactDensity

#: Name -> (weight, a, b) of the Beta components. Late in training most samples are fitted
#: (g near 0) and a few are not.
DISTRIBUTIONS: dict[str, list[tuple[float, float, float]]] = {
    "late, 10 % hard": [(0.9, 0.3, 6), (0.1, 5, 0.6)],
    "late, 30 % hard": [(0.7, 0.25, 8), (0.3, 3, 0.5)],
    "late, 3 % hard": [(0.97, 0.2, 10), (0.03, 4, 0.7)],
    "early": [(1, 6, 1.2)],
    "middle": [(1, 0.6, 0.9)],
    "flat": [(1, 1, 1)],
}
Mixture = Sequence[tuple[float, float, float]]


def draw(mixture: Mixture, shape: tuple[int, ...], rng: np.random.Generator) -> torch.Tensor:
    """Gradients from a mixture of Betas, float64."""
    shares, first, second = np.asarray(mixture, dtype=float).T
    component = rng.choice(len(mixture), size=shape, p=shares)
    return torch.from_numpy(rng.beta(first[component], second[component]))


def log_density(mixture: Mixture, gradient: torch.Tensor) -> torch.Tensor:
    """Log of the mixture's density at each gradient."""
    inside = gradient.numpy().clip(1e-300, 1 - 1e-16)
    parts = [np.log(share) + stats.beta.logpdf(inside, a, b) for share, a, b in mixture]
    return torch.from_numpy(np.logaddexp.reduce(parts))


def fed(density: CategoryDensity, gradients: torch.Tensor, batch_size: int) -> CategoryDensity:
    """``density`` after ``gradients`` ``(C, n)`` arrived, ``batch_size`` a category at a time."""
    if isinstance(density, ExactDensity):  # its ring is what arrived, in any batches
        density.ring[:, : gradients.shape[1]] = gradients
        return density
    for start in range(0, gradients.shape[1], batch_size):
        batch = gradients[:, start : start + batch_size]
        target = torch.arange(len(batch)).repeat_interleave(batch.shape[1])
        density(batch.flatten(), target, torch.ones(batch.numel(), dtype=torch.bool), update=True)
    return density


def estimated_log_density(density: CategoryDensity, gradients: torch.Tensor) -> torch.Tensor:
    """Log of the estimate at ``gradients`` ``(C, q)``, one row per category."""
    rows = [
        density.raw_weights(density.located(row), torch.full(row.shape, category))
        for category, row in enumerate(gradients)
    ]
    return -torch.stack(rows).log()


def approximation_error(
    samples: Sequence[int] = (20, 200, 5000),
    bins: int = 12,
    batch_size: int = 16,
    repeats: int = 20,
    queries: int = 200,
    seed: int = 0,
    densities: Mapping[str, type[CategoryDensity]] = DENSITIES,
) -> pd.DataFrame:
    """Mean absolute error of the log density, under the true density, in nats.

    A row for each number of ``samples`` that a category has seen and each of
    :data:`DISTRIBUTIONS`; a column for each of ``densities``. Samples arrive
    ``batch_size`` at a time and none is forgotten; the error is averaged over ``repeats``
    categories and ``queries`` fresh gradients of each. An estimate that finds no sample
    counts one, as the losses do.
    """
    rng = np.random.default_rng(seed)
    names = list(DISTRIBUTIONS)
    rows = []
    for count in samples:
        seen = torch.cat([draw(DISTRIBUTIONS[name], (repeats, count), rng) for name in names])
        asked = torch.cat([draw(DISTRIBUTIONS[name], (repeats, queries), rng) for name in names])
        truth = torch.cat(
            [
                log_density(DISTRIBUTIONS[name], part)
                for name, part in zip(names, asked.split(repeats), strict=True)
            ]
        )
        errors = {}
        for label, density_class in densities.items():
            # A ring holds exactly what arrived; the others get a memory that never fades.
            memory = count if issubclass(density_class, ExactDensity) else 10**15
            density = fed(density_class(len(seen), bins, memory, "none"), seen, batch_size)
            error = (estimated_log_density(density, asked) - truth).abs().mean(dim=1)
            errors[label] = [part.mean().item() for part in error.split(repeats)]
        rows += [
            {"samples": count, "distribution": name}
            | {label: values[index] for label, values in errors.items()}
            for index, name in enumerate(names)
        ]
    return pd.DataFrame(rows)

"""Which losses and forms the contract covers."""

from __future__ import annotations

import pytest

from lt_core import losses

#: The methods of the book's tables: each has more tests than a new loss must have.
THIRTEEN = losses.names()[: losses.names().index("gcl") + 1]
assert len(THIRTEEN) == 13

#: Beside its defaults, every registered loss is covered in these forms.
FORMS = {
    "effective_number": [{"form": "sigmoid"}, {"form": "focal"}, {"form": "port"}],
    "focal": [{"gamma": 0.5}, {"beta": 0.99}, {"detach_modulator": True}],
    "ghm": [{"form": "sigmoid"}, {"momentum": 0}],
    "equalization": [{"form": "sigmoid"}],
    "seesaw": [{"q": 0}],
    "icb": [
        {"memory": 200},
        {"density": "uniform"},
        {"density": "exact", "memory": 200},
        {"normalize": "none", "gradient": "adjusted"},
        {"intra": False},
        {"inter": False},
    ],
    "gala": [{"variant": "released"}, {"lambda1": 1.2, "lambda2": 0.9}],
    "gcl": [{"margin": 0.1, "focal_gamma": 1}],
}


def covered(names: tuple[str, ...] | None = None) -> list:
    """(name, parameters) of the losses, or of all, first with their defaults."""
    return [
        pytest.param(name, params, id="-".join([name, *map(str, params.values())]))
        for name in names or losses.names()
        for params in [{}, *FORMS.get(name, [])]
    ]

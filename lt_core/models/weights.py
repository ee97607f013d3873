"""Weights that training begins with: torchvision's, or those of a file.

A recipe names them. ``imagenet`` stands for torchvision's first release of a network's
ImageNet weights; any other name is a file, which becomes ``sha256:DIGEST``, so that a run has
the same key wherever the file lies. Files that were met are remembered in the environment
variable ``LT_WEIGHTS``, which processes that are started from here inherit.
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lt_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import nn

IMAGENET = "imagenet"
FILES = "LT_WEIGHTS"
_DIGEST = "sha256:"
#: Networks that torchvision has weights for, under its own names.
_TORCHVISION = {
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "resnet152": "resnet152",
    "resnext50": "resnext50_32x4d",
}


def name_of(given: str) -> str:
    """``imagenet`` or ``sha256:DIGEST`` for the name of a file, which is remembered."""
    if given == IMAGENET or (given.startswith(_DIGEST) and len(given) == len(_DIGEST) + 16):
        return given
    path = os.path.abspath(os.path.expanduser(given))
    if not os.path.isfile(path):
        raise ConfigError(f"weights: expected {IMAGENET!r} or a file of weights, got {given!r}")
    if path not in _known():
        os.environ[FILES] = os.pathsep.join([path, *_known()])
    return _DIGEST + _sha256(path)[:16]


def load(model: nn.Module, network: str, name: str) -> None:
    """Put the weights ``name`` into ``model``, the network ``network``; all but the classifier.

    Raises DataError for a file that is missing, damaged or of another network.
    """
    import torch

    path = _published(network) if name == IMAGENET else _file(name)
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        saved = saved.get("state_dict", saved)
        saved = {key.removeprefix("module."): value for key, value in saved.items()}
    except Exception as error:  # what is no file of weights can raise anything here
        raise DataError(f"{path}: no file of weights ({type(error).__name__})") from error
    own = {key: value for key, value in model.state_dict().items() if "classifier." not in key}
    for key, value in own.items():
        given = getattr(saved.get(key), "shape", None)
        if given != value.shape:
            found = "is missing" if given is None else f"has shape {tuple(given)}"
            raise DataError(
                f"{path}: weights of another network than {network}: {key} {found}, "
                f"expected shape {tuple(value.shape)}"
            )
    model.load_state_dict({key: saved[key] for key in own}, strict=False)


def fetch(network: str) -> None:
    """Download torchvision's weights of ``network``, unless they are there already."""
    import torch

    url = _weights(network).url
    try:
        torch.hub.load_state_dict_from_url(url, progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise DataError(f"{url}: cannot be downloaded ({error})") from error


def _weights(network: str):
    if network not in _TORCHVISION:
        known = ", ".join(_TORCHVISION)
        raise ConfigError(f"weights: torchvision has none for {network}, only for {known}")
    from torchvision.models import get_model_weights

    return get_model_weights(_TORCHVISION[network]).IMAGENET1K_V1


def _published(network: str) -> str:
    import torch

    name = _weights(network).url.rpartition("/")[2]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        raise DataError(
            f"{path}: torchvision's weights of {network} are not there; call with download=True "
            "(lt-core: --download), or put the file there"
        )
    expected = path.stem.rpartition("-")[2]
    if not _sha256(str(path)).startswith(expected):
        raise DataError(f"{path}: another checksum than {expected}…; delete it and get it again")
    return str(path)


def _file(name: str) -> str:
    for path in _known():
        if os.path.isfile(path) and _DIGEST + _sha256(path)[:16] == name:
            return path
    raise DataError(
        f"weights {name}: in none of the files {', '.join(_known()) or 'of LT_WEIGHTS'}; put the "
        "file's place into the environment variable LT_WEIGHTS"
    )


def _known() -> list[str]:
    return [path for path in os.environ.get(FILES, "").split(os.pathsep) if path]


@functools.cache
def _sha256(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error

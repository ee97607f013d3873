"""What a loss dispatches: number of operations, host reads, largest tensor."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

#: Operations that read a value on the host or whose output shape depends on values.
FORBIDDEN = {
    "_local_scalar_dense",
    "_unique2",
    "bincount",
    "equal",
    "is_nonzero",
    "item",
    "masked_select",
    "nonzero",
    "unique_consecutive",
    "unique_dim",
}

#: Operations that only describe memory anew and launch nothing.
VIEWS = {"alias", "detach", "expand", "select", "slice", "squeeze", "t", "unsqueeze", "view"}


class Recorder(TorchDispatchMode):
    """Counts operations that launch work; notes the forbidden ones and the largest tensor made."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.forbidden: list[str] = []
        self.largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function._schema.name.removeprefix("aten::")
        self.operations += name not in VIEWS
        masks = name.startswith("index") and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool
            for indices in args
            if isinstance(indices, (list, tuple))
            for index in indices
        )
        if name in FORBIDDEN or masks:
            self.forbidden.append(name)
        for tensor in result if isinstance(result, (list, tuple)) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel())
        return result

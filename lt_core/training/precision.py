"""Float32 masters of the weights, rounded to bfloat16 for the convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MasterWeights:
    """Float32 weights for the optimizer, and the working copies that a step runs on.

    In float32 the two are the same tensors. In bfloat16 the convolutions' working
    copies are rounded from the masters after every update, all in a few kernels.
    ``trained`` is the part of the model that is trained; None: all of it.
    """

    def __init__(self, model: nn.Module, precision: str, trained: nn.Module | None = None):
        self.dtype = getattr(torch, precision)
        self.working = list((model if trained is None else trained).parameters())
        if self.dtype == torch.float32:
            self.master = self.working
            return
        convolutions = {m.weight for m in model.modules() if isinstance(m, nn.Conv2d)}
        for weight in convolutions.difference(self.working):
            weight.data = weight.data.to(self.dtype)
        self.master, self._rounded = [], []
        for weight in self.working:
            if weight in convolutions:
                master = weight.detach().clone().requires_grad_()
                weight.data = weight.data.to(self.dtype)
                self._rounded.append((master, weight))
                self.master.append(master)
            else:
                self.master.append(weight)

    def take(self, gradients: tuple[Tensor, ...]) -> None:
        """Hand a step's gradients to the optimizer, in float32."""
        narrow = [g for g in gradients if g.dtype != torch.float32]
        if narrow:
            wide = [torch.empty_like(g, dtype=torch.float32) for g in narrow]
            torch._foreach_copy_(wide, narrow)
            widened = iter(wide)
            gradients = [g if g.dtype == torch.float32 else next(widened) for g in gradients]
        for master, gradient in zip(self.master, gradients, strict=True):
            master.grad = gradient

    @torch.no_grad()
    def give(self) -> None:
        """Round the updated masters into the working copies."""
        if self.master is not self.working and self._rounded:
            masters, rounded = zip(*self._rounded, strict=True)
            torch._foreach_copy_(list(rounded), list(masters))

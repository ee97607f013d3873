"""How crowded gradient norms are inside each category, and the weight that follows.

For a sample with gradient g of category m the raw weight is 1 / D_m(g), where D_m is
the density of g among the last samples of that category. Three precisions:
:class:`ExactDensity` (a window around g), :class:`UniformDensity` (equal bins) and
:class:`AdaptiveDensity` (bins of equal mass).

The memory is counted in samples of the category, not in steps: what a category has
seen fades by ``exp(-1 / memory)`` with each new sample of its own. A category absent
from a batch keeps its memory, so head and tail forget at the same pace per sample.

Bins take O(C·K) state and O(B·K) or O(C·K) work; :class:`ExactDensity` also keeps the samples
of its memory. All is done in place, without host reads or shapes that depend on values, so that a
step can be captured in a CUDA graph.
"""

from __future__ import annotations

import abc

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lt_core.losses.base import all_reduced, distributed

#: Samples of a category over which the mean of its weights is held at 1.
LONG_MEMORY = 100
TINY = torch.finfo(torch.float32).tiny


class CategoryDensity(nn.Module, abc.ABC):
    """Weights from the density of ``g`` in [0, 1] within each category.

    Parameters
    ----------
    num_classes : int
        The number of categories.
    bins : int
        The number K of bins of each category; for a window its width is 1 / K.
    memory : int
        How long a category remembers, in samples of its own.
    normalize : {"category", "none"}
        ``"none"`` gives the raw weight 1 / D_m(g). Its mean inside a category is the length of the
        density's support, which says how spread the category is. ``"category"`` scales it to the
        mean 1, so that a category's total weight stays its number of samples.

    Notes
    -----
    The scaling to the mean 1 takes two steps:

    1. The raw weight is divided by the mean of the raw weights remembered, which follows the
       category while it learns. A sample is part of that mean: at a memory of 1, a sample
       alone in its batch is 63 % of it, which pulls its weight towards 1 and, under adaptive
       bins, the mean weight of such a category below 1 (to .4 where most g are near 0).
    2. So the result is divided by its own mean over :data:`LONG_MEMORY` samples, in which
       one sample matters little. Its batch counts half there, and in full from the next batch
       on: a sample that counts in full beside others that have faded would, to a smaller
       degree, be the same fault again.

    What remains is in the docstring of :class:`~lt_core.losses.icb.ICB`.

    Subclasses implement :meth:`count` and :meth:`raw_weights`, and :meth:`located` where these take
    something other than g.
    """

    def __init__(self, num_classes: int, bins: int, memory: int, normalize: str):
        super().__init__()
        self.num_classes = num_classes
        self.bins, self.memory, self.normalize = bins, memory, normalize
        scaled = normalize == "category"
        #: Samples remembered, and the sum of their raw weights, both ``(C,)``.
        self.register_buffer("mass", torch.zeros(num_classes, dtype=torch.float64))
        self.register_buffer("raw_sum", torch.zeros_like(self.mass) if scaled else None)
        #: Samples of the long memory, and the sum of their weights after step 1, ``(C, 2)``.
        self.register_buffer("long_sums", self.mass.repeat(2, 1).T.clone() if scaled else None)

    def located(self, gradient: Tensor) -> Tensor:
        """What :meth:`count` and :meth:`raw_weights` take of g: itself, its bin or cube root."""
        return gradient

    @abc.abstractmethod
    def count(self, place: Tensor, target: Tensor, counted: Tensor, fading: Tensor) -> None:
        """Add a batch; ``fading`` ``(C,)`` is what each category keeps of its past."""

    @abc.abstractmethod
    def raw_weights(self, place: Tensor, target: Tensor) -> Tensor:
        """1 / D_m(g) of each sample, ``(N,)``."""

    @torch.no_grad()
    def forward(self, gradient: Tensor, target: Tensor, counted: Tensor, update: bool) -> Tensor:
        """Weights ``(N,)`` in the state's precision; with ``update`` the batch is counted first.

        gradient ``(N,)`` in [0, 1]; target ``(N,)``; counted ``(N,)`` bool, False for rows
        that must not enter the state. A category without history weighs 1.
        """
        dtype = self.mass.dtype
        place = self.located(torch.where(counted, gradient.to(dtype), 0.0))
        counted = counted.to(dtype)
        if update:
            arrived = self.by_category(counted, target)
            fading = torch.exp(arrived / -self.memory)
            self.count(place, target, counted, fading)
            self.mass.mul_(fading).add_(arrived)
        weight = self.raw_weights(place, target)
        if self.normalize == "category":
            if update:
                weight = weight * counted
                self.raw_sum.mul_(fading).add_(self.by_category(weight, target))
            weight = weight * (self.mass / self.raw_sum.clamp_min(TINY))[target]
            if update:
                batch = torch.stack([arrived, self.by_category(weight, target)], dim=1)
                fading = torch.exp(arrived / -LONG_MEMORY)[:, None]
                self.long_sums.mul_(fading).add_(batch, alpha=0.5)
            mass, weight_sum = self.long_sums.unbind(dim=1)
            weight = weight * (mass / weight_sum.clamp_min(TINY))[target]
            if update:
                self.long_sums.add_(batch, alpha=0.5)
        return weight if update else torch.where(self.mass[target] > 0, weight, 1.0)

    def by_category(self, values: Tensor, target: Tensor) -> Tensor:
        """``values`` of the samples of all ranks added up by category, ``(C,)``."""
        return all_reduced(torch.zeros_like(self.mass).index_add_(0, target, values))

    def bin_counts(self, bin_index: Tensor, target: Tensor, counted: Tensor) -> Tensor:
        """Samples of all ranks in each category's bins, ``(C, K)``."""
        counts = counted.new_zeros(self.num_classes * self.bins)
        counts.index_add_(0, target * self.bins + bin_index, counted)
        return all_reduced(counts).view(self.num_classes, self.bins)


class UniformDensity(CategoryDensity):
    """K equal bins: D_m(g) = K · (share of the category's mass in the bin of g)."""

    def __init__(self, num_classes: int, bins: int, memory: int, normalize: str):
        super().__init__(num_classes, bins, memory, normalize)
        self.register_buffer("bin_mass", torch.zeros(num_classes, bins, dtype=torch.float64))

    def located(self, gradient: Tensor) -> Tensor:
        """The bin of each gradient; 1 falls in the last."""
        return (gradient * self.bins).long().clamp_(0, self.bins - 1)

    def count(self, place: Tensor, target: Tensor, counted: Tensor, fading: Tensor) -> None:
        self.bin_mass.mul_(fading[:, None]).add_(self.bin_counts(place, target, counted))

    def raw_weights(self, place: Tensor, target: Tensor) -> Tensor:
        # A sample counted in training finds at least itself; evaluation may find less.
        own = self.bin_mass[target, place].clamp_min(1.0)
        return self.mass[target] / (self.bins * own)

    def edges(self) -> Tensor:
        """Bin edges of each category in g, ``(C, K + 1)``."""
        even = torch.linspace(0, 1, self.bins + 1, dtype=self.mass.dtype, device=self.mass.device)
        return even.expand(self.num_classes, -1)


class AdaptiveDensity(CategoryDensity):
    r"""K bins whose edges move so that each holds the same share of the category's mass.

    Bins are narrow where samples crowd and wide where they are rare, and the raw weight
    1 / D_m(g) is just K times the width of the bin of g. Of the bins, only the edges are kept.

    The rule is our reading of "adaptive": after every batch the mass that the bins hold
    (what is remembered, plus the batch, plus one pseudo-sample spread evenly) is taken as
    even inside each bin, and the edges move to its K-quantiles. This happens in
    u = g^(1/3): late in training g crowds at 0 by orders of magnitude, and in u the mass
    is nearly even already, so that little is smeared when edges move. The bins start as
    uniform ones: edges even in u would leave the upper half of [0, 1] a fifth of the bins,
    too few for a first batch that is large and crowds at 1. The pseudo-sample keeps every
    density positive and rules while a category has few samples; ``MIN_WIDTH`` keeps bins
    open when all g are equal.
    """

    ROOT = 3
    MIN_WIDTH = 1e-4  # in u: 1e-12 in g at 0, 3e-4 at 1

    def __init__(self, num_classes: int, bins: int, memory: int, normalize: str):
        super().__init__(num_classes, bins, memory, normalize)
        even = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
        self.register_buffer("root_edges", even.pow(1 / self.ROOT).repeat(num_classes, 1))
        self.min_width = min(self.MIN_WIDTH, 0.1 / bins)
        #: K-quantile levels, and the least value of each inner edge
        self.register_buffer("level", even[1:-1].clone(), persistent=False)
        self.register_buffer("least", self.level * (bins * self.min_width), persistent=False)

    def located(self, gradient: Tensor) -> Tensor:
        return gradient.pow(1 / self.ROOT)[:, None]

    def count(self, place: Tensor, target: Tensor, counted: Tensor, fading: Tensor) -> None:
        own = (place >= self.root_edges[target, 1:-1]).sum(dim=1)
        counts = self.bin_counts(own, target, counted)
        alone = not distributed()
        if alone and len(target) < self.num_classes:
            # Only categories in the batch move; rows of equal targets get equal values.
            state = (each[target] for each in (self.root_edges, self.mass, counts, fading))
            self.root_edges[:, 1:-1].index_copy_(0, target, self.moved(*state))
        else:
            inner = self.moved(self.root_edges, self.mass, counts, fading)
            self.root_edges[:, 1:-1].copy_(inner)

    def moved(self, edges: Tensor, mass: Tensor, counts: Tensor, fading: Tensor) -> Tensor:
        """Inner edges ``(R, K - 1)`` of equal mass after ``counts`` ``(R, K)`` arrived."""
        width, fading = edges.diff(dim=1), fading[:, None]
        # Each bin held (mass + 1) / K, of which the pseudo-sample's `width` does not fade.
        held = torch.lerp(width, (mass[:, None] + 1) / self.bins, fading) + counts
        upto = held.cumsum(dim=1)
        wanted = upto[:, -1:] * self.level
        inside = torch.searchsorted(upto, wanted)
        slope = width / held
        offset = torch.addcmul(edges[:, 1:], upto, slope, value=-1)
        inner = torch.addcmul(offset.gather(1, inside), wanted, slope.gather(1, inside))
        # A minimum width: where edges crowd they are pushed up, and back from the right end.
        room = 1 - self.bins * self.min_width
        inner = (inner - self.least).clamp(0, room).cummax(dim=1).values + self.least
        return torch.where(fading < 1, inner, edges[:, 1:-1])

    def raw_weights(self, place: Tensor, target: Tensor) -> Tensor:
        edges = self.root_edges[target]
        own = (place >= edges[:, 1:-1]).sum(dim=1, keepdim=True)
        return self.bins * edges.pow(self.ROOT).diff(dim=1).gather(1, own).squeeze(1)

    def edges(self) -> Tensor:
        """Bin edges of each category in g, ``(C, K + 1)``."""
        return self.root_edges.pow(self.ROOT)


class ExactDensity(CategoryDensity):
    """GHM's definition: the share of samples in a window around g, divided by its length.

    The window has the width 1 / K and is cut at 0 and 1. It runs over the last ``memory``
    samples of each category, kept in a ring ``(C, memory + 1)`` whose last column takes what is
    discarded: exact, and therefore not
    O(C·K). With several ranks their batches must be of equal size.
    """

    def __init__(self, num_classes: int, bins: int, memory: int, normalize: str):
        super().__init__(num_classes, bins, memory, normalize)
        ring = torch.full((num_classes, memory + 1), torch.inf, dtype=torch.float64)
        self.register_buffer("ring", ring)  # unused slots hold inf; the last takes discards
        self.register_buffer("next_slot", torch.zeros(num_classes, dtype=torch.int64))

    def count(self, place: Tensor, target: Tensor, counted: Tensor, fading: Tensor) -> None:
        gradient, target, counted = (gathered(each) for each in (place, target, counted))
        same = (target[:, None] == target).to(counted.dtype) * counted
        earlier = same.tril(-1).sum(dim=1).long()
        total = same.sum(dim=1).long()
        kept = (counted > 0) & (total - earlier <= self.memory)
        slot = torch.where(kept, (self.next_slot[target] + earlier) % self.memory, self.memory)
        self.ring.index_put_((target, slot), gradient)
        self.ring[:, self.memory].fill_(torch.inf)
        arrived = torch.zeros_like(self.next_slot).index_add_(0, target, counted.long())
        self.next_slot.add_(arrived).remainder_(self.memory)

    def raw_weights(self, place: Tensor, target: Tensor) -> Tensor:
        half = 0.5 / self.bins
        ring = self.ring[target]
        # The tolerance lets a sample at the window's border count whatever the rounding.
        near = ((ring - place[:, None]).abs() <= half + 1e-12).sum(dim=1).clamp_min(1)
        length = (place + half).clamp_max(1) - (place - half).clamp_min(0)
        return (ring < torch.inf).sum(dim=1) * length / near


def gathered(tensor: Tensor) -> Tensor:
    """The batches of all ranks, in their order, when there are several."""
    if not distributed():
        return tensor
    slots = tensor.new_zeros((dist.get_world_size(), *tensor.shape))
    slots[dist.get_rank()] = tensor
    return all_reduced(slots).flatten(0, 1)


DENSITIES: dict[str, type[CategoryDensity]] = {
    "exact": ExactDensity,
    "uniform": UniformDensity,
    "adaptive": AdaptiveDensity,
}

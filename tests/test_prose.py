"""Sentences of the pages that state what code does, against the code."""

import json
import re

import ci_book
import numpy as np
import pytest
import torch

from lt_core import losses
from lt_core.losses.density import AdaptiveDensity, UniformDensity

PAGES = sorted(
    [*(ci_book.ROOT / "book").glob("*.md"), *ci_book.NOTEBOOKS, ci_book.ROOT / "README.md"]
)


def prose(path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def chapter(name):
    (path,) = (ci_book.ROOT / "notebooks").glob(f"[0-9][0-9]_{name}.ipynb")
    return prose(path)


def weights(density, *batches):
    """Of one class's images, batch by batch, as training sees them."""
    found = []
    for batch in batches:
        g = torch.as_tensor(batch, dtype=torch.float64)
        same = torch.zeros(len(g), dtype=torch.int64)
        found.append(density(g, same, torch.ones(len(g), dtype=torch.bool), True))
    return torch.cat(found).numpy()


@pytest.mark.parametrize("path", ci_book.NOTEBOOKS, ids=lambda path: path.stem)
def test_no_page_promises_how_long_it_takes(path):
    """Its foot says how long it took."""
    opening = prose(path).partition("\n## ")[0]
    assert re.findall(r"\b(?:minutes?|seconds)\b", opening) == []


def test_two_images_of_a_class_are_equals_for_equal_bins_only():
    pair = [0.01, 0.9]
    np.testing.assert_allclose(weights(UniformDensity(1, 12, 1, "category"), pair), 1)
    easy, hard = weights(AdaptiveDensity(1, 12, 1, "category"), pair)
    assert f"weigh {easy:.2f} and {hard:.2f}".replace("0.", ".", 1) in chapter("icb")


def test_a_lone_image_weighs_1_nearly_with_equal_bins_and_not_with_adaptive_ones():
    lone = np.random.default_rng(0).beta(2, 2, (12_000, 1))
    equal = weights(UniformDensity(1, 12, 1, "category"), *lone)[100:]
    adaptive = weights(AdaptiveDensity(1, 12, 1, "category"), *lone)[100:]
    bins = {"equal bins nine in ten of its weights lie": equal, "adaptive bins": adaptive}
    for told, of in bins.items():
        low, high = np.quantile(of, [0.05, 0.95])
        said = f"with {told} between {low:.1f} and {high:.1f}".replace(" 0.", " .")
        assert said in chapter("icb").replace("With", "with")


@pytest.mark.parametrize("memory", [1, 20, 200])
def test_a_batch_counts_in_full_and_what_was_before_fades_by_its_images(memory):
    density = UniformDensity(1, 12, memory, "category")
    weights(density, [0.1] * 5)
    assert density.mass.item() == 5
    weights(density, [0.9] * memory)
    np.testing.assert_allclose(density.bin_mass[0, [1, 10]], [5 / np.e, memory])
    glossary = (ci_book.ROOT / "book/glossary.md").read_text().split()
    assert "The images of the newest batch all count in full." in " ".join(glossary)


def test_at_the_start_galas_second_lambda_gives_the_target_something():
    """The chapter on GALA, below (5): a margin while theta + eps exceeds 1, a gift before."""
    params = {"lambda1": 1.2, "lambda2": 0.9}
    loss = losses.create("gala", [3, 2, 1], "none", **params).eval()
    z, y = torch.zeros(1, 3, dtype=torch.float64), torch.tensor([0])
    given = (-torch.log(torch.expm1(loss(z, y)) / 2)).item()
    assert f"= {given:.2f}$ nats" in chapter("gala")
    loss.theta.fill_(10)
    assert (-torch.log(torch.expm1(loss(z, y)) / 2)).item() < 0


@pytest.mark.parametrize(
    ("form", "kept", "said"),
    [
        ("softmax", 0.75, "empty bins fade like all others"),
        ("sigmoid", 1, "a bin that is empty in a batch keeps its $R$"),
    ],
)
def test_what_an_empty_bin_of_ghm_keeps(form, kept, said):
    loss = losses.create("ghm", [1, 1], form=form)
    middle = []
    for size in (0.0, 30.0):  # in the second batch every sample is certain, and in the first bin
        logits = torch.tensor([[size, -size]] * 4, requires_grad=True)
        loss(logits, torch.zeros(4, dtype=torch.int64))
        middle.append(loss.bin_mass[5].item())
    assert middle[1] == kept * middle[0] > 0
    assert said in chapter("focal_and_ghm")

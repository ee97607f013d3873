"""The comparison of ICB's readings: its plan serves a choice, and its weights are what it says."""

import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"

CHECK = """
import torch, icb_readings
from lt_core import losses

plan = icb_readings.plan()
assert len({config.key for config in plan}) == 3 * len(icb_readings.READINGS)
assert all(config.holdout == 400 for config in plan)  # never the test set

target = torch.multinomial(torch.tensor([100.0, 30.0, 10.0]), 640, True)
gradient = torch.rand(640, dtype=torch.float64).pow(3)
for keeps in ("batch", "average", "frequency"):
    loss = losses.create("icb_reading", [100, 30, 10], keeps=keeps)
    weight = loss.weights(gradient, target)
    for category in range(3):
        assert abs(weight[target == category].mean() - 1) < 1e-9
    assert weight.std() > 0.1
rarest = loss.weights(gradient, target)[target == 2]  # one bin: no weight
assert (rarest == 1).all()

loss = losses.create("icb_reading", [100, 30, 10], scale="none")
for category, K in ((0, 12), (1, 12)):
    g = gradient[target == category]
    alike = [((g * K).long() == int(x * K)).double().mean() for x in g]
    expected = 1 / (K * torch.stack(alike))
    assert torch.allclose(loss.weights(gradient, target)[target == category], expected)
"""


def test_readings_are_planned_on_held_out_images_and_weigh_as_they_say():
    done = subprocess.run(
        [sys.executable, "-c", CHECK], cwd=RESULTS, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr

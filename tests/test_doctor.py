"""The doctor's report on this machine, and how it measures."""

import pytest
import torch

from lt_core import doctor
from lt_core.errors import ConfigError


def test_what_is_multiplied_and_copied_is_not_constant(monkeypatch):
    """A GPU switches fewer transistors for constant numbers, and clocks higher."""
    results = []
    monkeypatch.setattr(doctor, "_shortest", lambda work, device: results.append(work()) or 1.0)
    before = torch.random.get_rng_state()
    doctor.matrix_flops(torch.device("cpu"), "bfloat16")
    doctor.copy_bandwidth(torch.device("cpu"))
    assert torch.equal(before, torch.random.get_rng_state())
    product, copied = results
    assert product.dtype == torch.bfloat16
    for numbers in (product, copied):
        assert len(numbers.flatten()[:1000].unique()) > 100


@pytest.mark.parametrize(
    "device",
    [
        pytest.param("cpu", marks=pytest.mark.slow),
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
            ],
        ),
    ],
)
def test_every_rate_is_reported(device):
    before = torch.random.get_rng_state()
    found = doctor.report(device)
    assert torch.equal(before, torch.random.get_rng_state())
    for unit, count in (("GB/s", 1), ("TFLOP/s", 2), ("images/s", 2)):
        rates = [str(value) for value in found.values() if str(value).endswith(unit)]
        assert len(rates) == count
        assert all(float(rate.split()[0].replace(",", "")) > 0 for rate in rates)
    assert {"python", "torch", "commit", "papermill", "device"} <= found.keys()


@pytest.mark.parametrize(
    "device", ["meta", "gpu", "cuda:99", *([] if torch.cuda.is_available() else ["cuda"])]
)
def test_a_device_that_is_not_there_is_named(device):
    with pytest.raises(ConfigError, match="device: expected cpu"):
        doctor.report(device)

"""The doctor's counts against those by hand, and its report on this machine."""

import pytest
import torch

from lt_core import doctor
from lt_core.errors import ConfigError


def test_counted_work_of_resnet32():
    work = doctor.counted_work()
    assert work.flop == pytest.approx(412.3e6, rel=1e-3)
    # Stem and 10 convolutions of 16 x 32 x 32, then of 32 x 16 x 16 and 64 x 8 x 8.
    assert work.outputs == 11 * 16 * 32**2 + 10 * 32 * 16**2 + 10 * 64 * 8**2
    assert work.traffic("bfloat16") == pytest.approx(4 * 606e3, rel=2e-3)
    assert work.traffic("float32") == 2 * work.traffic("bfloat16")


def test_fractions_of_an_accelerator():
    """788 TFLOP/s and 4.3 TB/s: 1.91 and 1.77 million images a second at most."""
    found = doctor.engine_fraction(177_000, 788e12, 4.3e12, "bfloat16")
    assert found["arithmetic_limit"] == pytest.approx(1.91e6, rel=0.01)
    assert found["memory_limit"] == pytest.approx(1.77e6, rel=0.01)
    assert found["of_memory"] == pytest.approx(0.1, rel=0.01)


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


def check(device):
    before = torch.random.get_rng_state()
    found = doctor.report(device)
    assert torch.equal(before, torch.random.get_rng_state())
    for engine in found["engine"].values():
        assert engine["images_per_second"] > 1
        assert engine["of_arithmetic"] > 0
        assert 0 < engine["of_memory"] < 1
    page = doctor.text(found)
    for word in ("torch", "python", "GB/s", "TFLOP/s", "bfloat16", "images/s"):
        assert word in page


@pytest.mark.slow
def test_report_on_the_cpu():
    check("cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_report_on_a_gpu():
    check("cuda")


@pytest.mark.parametrize(
    "device", ["meta", "gpu", "cuda:99", *([] if torch.cuda.is_available() else ["cuda"])]
)
def test_a_device_that_is_not_there_is_named(device):
    with pytest.raises(ConfigError, match="device: expected cpu"):
        doctor.report(device)

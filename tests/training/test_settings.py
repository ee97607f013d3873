"""The process-wide switches: what holds while training, and that all is put back."""

import os
import subprocess
import sys

#: In a process of its own, because what is set here has no function that unsets it.
CASES = """
import os, sys, torch
from lt_core.training.loop import settings

backends, cudnn = torch.backends, torch.backends.cudnn
places = [
    backends, cudnn, backends.cuda.matmul, cudnn.conv, cudnn.rnn,
    backends.mkldnn.matmul, backends.mkldnn.conv,
]
cases = [
    "pass",
    "backends.fp32_precision = 'tf32'",
    "backends.fp32_precision = 'none'; backends.cuda.matmul.fp32_precision = 'tf32'",
    "cudnn.conv.fp32_precision = 'ieee'",
    "cudnn.rnn.fp32_precision = 'tf32'; cudnn.conv.fp32_precision = 'tf32'",
    "cudnn.fp32_precision = 'tf32'",
    "cudnn.fp32_precision = 'none'; backends.mkldnn.matmul.fp32_precision = 'bf16'",
    "backends.mkldnn.conv.fp32_precision = 'bf16'",
    "torch.set_float32_matmul_precision('medium')",
    "torch.set_float32_matmul_precision('high')",
    "cudnn.allow_tf32 = False",
    "cudnn.benchmark = True",
    "cudnn.enabled = False; cudnn.deterministic = True",
    "torch.use_deterministic_algorithms(True, warn_only=True)",
    "torch.use_deterministic_algorithms(True)",
    "os.environ['CUBLAS_WORKSPACE_CONFIG'] = ':16:8'",
]


def legacy(read):
    try:
        return read()
    except RuntimeError:  # PyTorch refuses where the newer fields say something else
        return "mixed"


def state():
    now = [place.fp32_precision for place in places]
    general = backends.fp32_precision
    for value in ("ieee", "tf32"):  # what is inherited follows
        backends.fp32_precision = value
        now.append([place.fp32_precision for place in places])
    backends.fp32_precision = general
    now += [legacy(torch.get_float32_matmul_precision), legacy(lambda: cudnn.allow_tf32)]
    now += [cudnn.enabled, cudnn.benchmark, cudnn.deterministic]
    now += [torch.are_deterministic_algorithms_enabled()]
    now += [torch.is_deterministic_algorithms_warn_only_enabled()]
    return [*now, os.environ.get("CUBLAS_WORKSPACE_CONFIG")]


image, kernel = torch.ones(1, 3, 8, 8), torch.ones(4, 3, 3, 3)
with settings(torch.device("cuda"), False):
    assert "torch._inductor" not in sys.modules  # seconds that no fast run needs
for case in cases:
    exec(case)
    before = state()
    for device, deterministic in (("cpu", False), ("cuda", False), ("cuda", True)):
        with settings(torch.device(device), deterministic):
            assert {place.fp32_precision for place in places} == {"ieee"}, case
            torch.conv2d(image, kernel)  # looks its precision up
            if device == "cuda":
                found = [cudnn.enabled, cudnn.benchmark, cudnn.deterministic]
                assert found == [True, not deterministic, deterministic], case
                assert torch.are_deterministic_algorithms_enabled() == deterministic, case
                assert not torch.is_deterministic_algorithms_warn_only_enabled(), case
                assert os.environ["CUBLAS_WORKSPACE_CONFIG"]
        assert state() == before, case
    try:
        with settings(torch.device("cuda"), True):
            raise KeyError(case)
    except KeyError:
        assert state() == before, case
print("all", len(cases))
"""


def test_float32_is_float32_whatever_the_process_has_set_and_all_is_put_back():
    """Through PyTorch's newer fields and its older functions, one after the other."""
    environment = {k: v for k, v in os.environ.items() if k != "CUBLAS_WORKSPACE_CONFIG"}
    command = [sys.executable, "-W", "ignore", "-c", CASES]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "all 16\n", done.stderr

"""Settings of the whole suite."""

import os

# Tests run side by side, and so do the processes they start: one thread each. Equality of
# two runs is promised for equal numbers of threads only.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

torch.set_num_threads(1)

"""Losses inside a captured CUDA graph, as the training engine runs them."""

import pytest
import torch

from lt_core import losses

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]

COUNTS = [1000, 300, 30, 3, 1]
STEPS = 6


def batches():
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        logits = 2 * torch.rand(64, len(COUNTS), generator=generator) - 1
        yield logits.cuda(), torch.randint(len(COUNTS), (64,), generator=generator).cuda()


class Captured:
    """A loss and its gradient in one graph; what the warm-up moved is put back."""

    def __init__(self, loss):
        first, target = next(batches())
        self.logits, self.target = first.clone().requires_grad_(), target.clone()
        state = {key: value.clone() for key, value in loss.state_dict().items()}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.step(loss)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        if loss.generator is not None:
            self.graph.register_generator_state(loss.generator)
        with torch.cuda.graph(self.graph, stream=stream):
            self.value, self.gradient = self.step(loss)
        loss.load_state_dict(state)

    def step(self, loss):
        value = loss(self.logits, self.target)
        return value.detach(), torch.autograd.grad(value, self.logits)[0]

    def __call__(self, logits, target):
        with torch.no_grad():
            self.logits.copy_(logits)
            self.target.copy_(target)
        self.graph.replay()
        return self.value.clone(), self.gradient.clone()


@pytest.mark.parametrize("name", losses.names())
def test_a_graph_equals_eager_steps_and_resumes(name):
    eager, graphed = (losses.create(name, COUNTS).cuda() for _ in range(2))
    captured = Captured(graphed)
    values = []
    for step, (logits, target) in enumerate(batches()):
        leaf = logits.clone().requires_grad_()
        expected = eager(leaf, target)
        value, gradient = captured(logits, target)
        values.append(value)
        torch.testing.assert_close(value, expected.detach(), rtol=1e-5, atol=1e-6)
        expected_gradient = torch.autograd.grad(expected, leaf)[0]
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-6)
        if step == 2:
            saved = {key: part.clone() for key, part in graphed.state_dict().items()}
    for key, part in graphed.state_dict().items():
        torch.testing.assert_close(part, eager.state_dict()[key], rtol=1e-6, atol=1e-6)
    graphed.load_state_dict(saved)
    again = [captured(logits, target)[0] for logits, target in list(batches())[3:]]
    torch.testing.assert_close(torch.stack(again), torch.stack(values[3:]), rtol=1e-5, atol=1e-6)

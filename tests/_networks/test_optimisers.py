"""Adam and SGD on arrays against torch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skmergecal._networks._optimisers import Adam, NesterovSGD


def arrays():
    rng = np.random.default_rng(0)
    return {
        "W": rng.normal(size=(4, 3)),
        "b": rng.normal(size=3),
        "n": np.arange(2),
        "c": np.ones(3),
    }


def moved(optimiser, rates):
    rng = np.random.default_rng(1)
    for rate in rates:
        gradients = {"W": rng.normal(size=(4, 3)), "b": rng.normal(size=3), "c": np.ones(3)}
        optimiser.move(gradients, rate)
    return optimiser.like(arrays())


def moved_by_torch(make, rates):
    start = {
        name: torch.tensor(array).requires_grad_()
        for name, array in arrays().items()
        if name in ("W", "b")
    }
    optimiser = make(start)
    rng = np.random.default_rng(1)
    for rate in rates:
        for group in optimiser.param_groups:
            group["lr"] = rate
        start["W"].grad = torch.tensor(rng.normal(size=(4, 3)))
        start["b"].grad = torch.tensor(rng.normal(size=3))
        optimiser.step()
    return {name: tensor.detach().numpy() for name, tensor in start.items()}


RATES = [0.01, 0.1, 0.05, 0.02]


def test_adam_with_decay_is_that_of_torch_and_spares_biases():
    found = moved(Adam(arrays(), ["c"], betas=(0.8, 0.95), epsilon=1e-3, weight_decay=0.3), RATES)
    expected = moved_by_torch(
        lambda start: torch.optim.AdamW(
            [
                {"params": [start["W"]], "weight_decay": 0.3},
                {"params": [start["b"]], "weight_decay": 0.0},
            ],
            betas=(0.8, 0.95),
            eps=1e-3,
        ),
        RATES,
    )
    for name in ("W", "b"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_with_momentum_is_that_of_torch_at_one_rate(nesterov):
    rates = [0.1] * 4
    found = moved(NesterovSGD(arrays(), ["c"], momentum=0.7, nesterov=nesterov), rates)
    expected = moved_by_torch(
        lambda start: torch.optim.SGD(start.values(), lr=0.1, momentum=0.7, nesterov=nesterov),
        rates,
    )
    for name in ("W", "b"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)


def test_what_does_not_move_stays_to_the_bit():
    before = arrays()
    optimiser = Adam(before, ["c"])
    found = moved(optimiser, RATES)
    for name in ("n", "c"):
        np.testing.assert_array_equal(found[name], before[name])
        assert found[name].dtype == before[name].dtype
    for name, array in arrays().items():
        np.testing.assert_array_equal(before[name], array)  # what was passed in, too


def test_arrays_without_a_gradient_have_gradient_zero():
    optimiser = NesterovSGD(arrays(), momentum=0.0, nesterov=False)
    optimiser.move({"W": np.ones((4, 3)), "b": np.ones(3), "c": np.ones(3)}, 0.1)
    after_one = optimiser.like(arrays())
    optimiser.move({"W": np.ones((4, 3))}, 0.1)
    after_two = optimiser.like(arrays())
    np.testing.assert_array_equal(after_one["b"], after_two["b"])
    assert (after_two["W"] < after_one["W"]).all()

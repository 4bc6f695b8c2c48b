"""Adam: torch's rule, and its bits, without its module, which would load torch's compiler into every worker: 1.6 s."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_BETA, _BETA_SQUARE, _EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Adam over the parameters of a module, moments by parameter name.

    g = ∇ + weight_decay·θ, m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g²,
    θ ← θ − learning_rate/(1 − β₁ᵏ) · m / (√v/√(1 − β₂ᵏ) + ε) at the parameter's k-th gradient; β₁ = .9, β₂ = .999,
    ε = 1e-8. Reference: Kingma & Ba (2015).
    """

    def __init__(self, module: nn.Module, learning_rate: float, weight_decay: float) -> None:
        self.parameters = dict(module.named_parameters())
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.state: dict[str, Tensor] = {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from the `state` of an Adam that ended, on whatever device."""
        self.state = {key: value.to(self.parameters[key.partition("/")[2]].device) for key, value in state.items()}

    @torch.no_grad()
    def step(self) -> None:
        """One update; a parameter without a gradient stays as it is."""
        for name, parameter in self.parameters.items():
            if parameter.grad is not None:
                self._update(name, parameter, parameter.grad)

    def _update(self, name: str, parameter: Tensor, gradient: Tensor) -> None:
        if f"step/{name}" not in self.state:
            self.state[f"step/{name}"] = torch.tensor(0)
            self.state[f"mean/{name}"] = torch.zeros_like(parameter)
            self.state[f"square/{name}"] = torch.zeros_like(parameter)
        count, mean, square = (self.state[f"{part}/{name}"] for part in ("step", "mean", "square"))
        count += 1
        if self.weight_decay:
            gradient = gradient.add(parameter, alpha=self.weight_decay)
        mean.lerp_(gradient, 1 - _BETA)
        square.mul_(_BETA_SQUARE).addcmul_(gradient, gradient, value=1 - _BETA_SQUARE)
        k = int(count)
        divisor = (square.sqrt() / (1 - _BETA_SQUARE**k) ** 0.5).add_(_EPSILON)
        parameter.addcdiv_(mean, divisor, value=-self.learning_rate / (1 - _BETA**k))

import numpy as np
import torch

from polygrain.training.losses import LOSSES


def test_values_against_numpy() -> None:
    rng = np.random.default_rng(0)
    score, y = rng.normal(size=(2, 50))
    y += score
    s_S, y_S = torch.from_numpy(score), torch.from_numpy(y)
    assert np.isclose(LOSSES["mse"].value(s_S, y_S).item(), np.mean((score - y) ** 2))
    assert np.isclose(LOSSES["ic"].value(s_S, y_S).item(), -np.corrcoef(score, y)[0, 1])
    ccc = 2 * np.cov(score, y, ddof=0)[0, 1] / (score.var() + y.var() + (score.mean() - y.mean()) ** 2)
    assert np.isclose(LOSSES["ccc"].value(s_S, y_S).item(), 1 - ccc)
    assert LOSSES["ccc"].value(s_S, s_S).item() < 1e-12


def test_a_constant_score_has_finite_gradients() -> None:
    for loss in LOSSES.values():
        score_S = torch.zeros(10, requires_grad=True)
        loss.value(score_S, torch.randn(10, generator=torch.Generator().manual_seed(0))).backward()
        assert score_S.grad is not None
        assert torch.isfinite(score_S.grad).all()

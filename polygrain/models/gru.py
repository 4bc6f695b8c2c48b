"""GRU and attention pooling, torch's equations written for one CPU thread and many sequences at once.

Shape suffixes: L steps, S symbols (sequences), F features, H hidden, W = H × directions, G = 3H gates in torch's order
r, z, n, A = W/2 attention units. A suffix 1 is a column that is broadcast.

A step's tensors are kept as [H, S]: a gate is a contiguous block, so that a step is a few matrix products and some
elementwise kernels in place, where torch's own step copies slices of [S, 3H]. tanh(a) is taken as 2σ(2a) − 1, with the
factors 2 in the weights: torch's sigmoid kernel is five times faster than its tanh.

With bf16 precision the factors of a matrix product and its result are rounded to bf16 (8 bits, float32's range); its
sums, the states and everything elementwise stay float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

Precision = Literal["float32", "bf16"]
_PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


def set_precision(module: nn.Module, precision: Precision) -> None:
    """Let every GRU and AttentionPooling inside `module` multiply matrices with this precision on the CPU."""
    for part in module.modules():
        if isinstance(part, GRU | AttentionPooling):
            part.factors = torch.bfloat16 if precision == "bf16" else torch.float32


def _factor(values: Tensor, dtype: torch.dtype) -> Tensor:
    """What enters a product; float64, which tests compute in, stays."""
    return values.to(dtype) if dtype == torch.bfloat16 else values


def _addmm(to: Tensor, left: Tensor, right: Tensor, *, out: Tensor) -> Tensor:
    """to + left @ right, for factors of `out`'s precision or bf16."""
    if left.dtype == torch.bfloat16:
        return torch.add(to, torch.mm(left, right), out=out)
    return torch.addmm(to, left, right, out=out)


class GRU(nn.Module):
    """torch.nn.GRU's equations, parameters, names and initial values, starting from h = 0.

    r = σ(W_ir x + b_ir + W_hr h + b_hr), z = σ(W_iz x + b_iz + W_hz h + b_hz),
    n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn)), h' = (1 − z) ⊙ n + z ⊙ h.
    """

    def __init__(self, features: int, hidden: int, layers: int, *, bidirectional: bool) -> None:
        super().__init__()
        self.weights = nn.GRU(features, hidden, layers, bidirectional=bidirectional)
        directions = ("", "_reverse") if bidirectional else ("",)
        self.factors = torch.float32
        self.suffixes = [[f"_l{layer}{direction}" for direction in directions] for layer in range(layers)]

    def forward(self, x_LSF: Tensor) -> tuple[Tensor, Tensor]:
        """h_LSW, the last layer's states at every step, and h_SW after the last step that each direction reads."""
        if x_LSF.device.type != "cpu":
            return self.by_torch(x_LSF)
        h_LSW, last_SW = x_LSF, x_LSF[-1]
        for suffixes in self.suffixes:
            names = [name + suffix for suffix in suffixes for name in _PARAMETERS]
            parameters = [self.weights.get_parameter(name) for name in names]
            settings = (torch.is_grad_enabled(), self.factors)
            h_LSW, last_SW = _Layer.apply(h_LSW, *settings, *parameters)  # type: ignore[no-untyped-call]
        return h_LSW, last_SW

    def by_torch(self, x_LSF: Tensor) -> tuple[Tensor, Tensor]:
        """The same from torch's own module, for other devices than the CPU."""
        h_LSW, last = self.weights(x_LSF)
        return h_LSW, torch.cat(list(last[-len(self.suffixes[0]) :]), dim=1)


class AttentionPooling(nn.Module):
    """c = Σ_t α_t h_t with α = softmax_t(wᵀ tanh(W h_t + b)), W: width → width/2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width // 2)
        self.weigh = nn.Linear(width // 2, 1, bias=False)
        self.factors = torch.float32

    def forward(self, h_LSW: Tensor) -> Tensor:
        if h_LSW.device.type != "cpu":
            return self.by_torch(h_LSW)
        parameters = (self.project.weight, self.project.bias, self.weigh.weight[0])
        c_SW: Tensor = _Attention.apply(h_LSW, self.factors, *parameters)  # type: ignore[no-untyped-call]
        return c_SW

    def by_torch(self, h_LSW: Tensor) -> Tensor:
        """The same as the equation reads, for other devices than the CPU."""
        alpha_LS1: Tensor = self.weigh(torch.tanh(self.project(h_LSW))).softmax(dim=0)
        return (alpha_LS1 * h_LSW).sum(dim=0)


class _Context(FunctionCtx):
    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]
    factors: torch.dtype


class _Layer(torch.autograd.Function):
    """One layer, its directions one after the other; what backward reads is kept only where `keep`."""

    @staticmethod
    def forward(
        ctx: _Context, x_LSF: Tensor, keep: bool, factors: torch.dtype, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.factors = factors
        length, symbols, _ = x_LSF.shape
        hidden = parameters[1].shape[1]
        directions = len(parameters) // 4
        kept = length if keep else 1
        states_LWS = x_LSF.new_empty(length, directions * hidden, symbols)
        gates = [x_LSF.new_empty(kept, 3 * hidden, symbols) for _ in range(directions)]
        recurrent = [x_LSF.new_empty(kept, hidden, symbols) for _ in range(directions)]
        x = _factor(x_LSF, factors)
        for d in range(directions):
            states_LHS = states_LWS[:, d * hidden : (d + 1) * hidden]
            _forward(x, parameters[4 * d : 4 * d + 4], gates[d], recurrent[d], states_LHS, factors, reverse=d == 1)
        ctx.set_materialize_grads(False)
        if keep:
            ctx.save_for_backward(x, states_LWS, *parameters, *gates, *recurrent)
        last = [states_LWS[0 if d else -1, d * hidden : (d + 1) * hidden] for d in range(directions)]
        return states_LWS.transpose(1, 2), torch.cat(last).t()

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, pull_LSW: Tensor | None, pull_SW: Tensor | None) -> tuple[Tensor | None, ...]:
        x_LSF, states_LWS, *rest = ctx.saved_tensors
        directions = len(rest) // 6
        parameters, gates, recurrent = rest[: 4 * directions], rest[4 * directions : 5 * directions], rest[-directions:]
        hidden = parameters[1].shape[1]
        pull_x = states_LWS.new_zeros(x_LSF.shape) if ctx.needs_input_grad[0] else None
        gradients: list[Tensor] = []
        for d in range(directions):
            part = slice(d * hidden, (d + 1) * hidden)
            gradients += _backward(
                x_LSF,
                parameters[4 * d : 4 * d + 4],
                gates[d],
                recurrent[d],
                states_LWS[:, part],
                None if pull_LSW is None else pull_LSW.transpose(1, 2)[:, part],
                None if pull_SW is None else pull_SW.t()[part],
                pull_x,
                ctx.factors,
                reverse=d == 1,
            )
        return (pull_x, None, None, *gradients)


def _by_step(*tensors: Tensor, reverse: bool = False) -> Iterator[tuple[Tensor, ...]]:
    """The tensors step by step; all views are made at once, which costs a fraction of indexing in the loop."""
    steps = zip(*(tensor.unbind() for tensor in tensors))
    return reversed(list(steps)) if reverse else steps


def _forward(
    x_LSF: Tensor,
    parameters: Sequence[Tensor],
    gates_LGS: Tensor,
    recurrent_LHS: Tensor,
    states_LHS: Tensor,
    factors: torch.dtype,
    *,
    reverse: bool,
) -> None:
    """One direction: fills the states, the gates r, z, n and W_hn h + b_hn (of every step, or of one in turn)."""
    w_GF, w_GH, b_i, b_h = parameters
    hidden = w_GH.shape[1]
    two = 2 * hidden
    twice_G = torch.cat([b_i.new_ones(two), b_i.new_full((hidden,), 2)])
    input_GF = _factor(w_GF * twice_G[:, None], factors)
    input_G1 = ((b_i + torch.cat([b_h[:two], b_h.new_zeros(hidden)])) * twice_G)[:, None]
    w_rz, w_n, b_n = _factor(w_GH[:two], factors), _factor(w_GH[two:], factors), b_h[two:, None]
    h_HS = states_LHS.new_zeros(hidden, x_LSF.shape[1])
    length = x_LSF.shape[0]
    if gates_LGS.shape[0] < length:
        gates_LGS, recurrent_LHS = (kept.expand(length, -1, -1) for kept in (gates_LGS, recurrent_LHS))
    parts = _by_step(
        x_LSF.transpose(1, 2),
        gates_LGS,
        gates_LGS[:, :two],
        gates_LGS[:, :hidden],
        gates_LGS[:, hidden:two],
        gates_LGS[:, two:],
        recurrent_LHS,
        states_LHS,
        reverse=reverse,
    )
    for x_FS, gates, rz, r, z, n, recurrent, state in parts:
        h = _factor(h_HS, factors)
        _addmm(input_G1, input_GF, x_FS, out=gates)
        _addmm(b_n, w_n, h, out=recurrent)
        _addmm(rz, w_rz, h, out=rz).sigmoid_()
        n.addcmul_(r, recurrent, value=2).sigmoid_().mul_(2).sub_(1)
        h_HS = torch.lerp(n, h_HS, z, out=state)


def _backward(
    x_LSF: Tensor,
    parameters: Sequence[Tensor],
    gates_LGS: Tensor,
    recurrent_LHS: Tensor,
    states_LHS: Tensor,
    pull_LHS: Tensor | None,
    pull_HS: Tensor | None,
    pull_x: Tensor | None,
    factors: torch.dtype,
    *,
    reverse: bool,
) -> list[Tensor]:
    """One direction: the gradients of its four parameters, and its share of the input's added to `pull_x`."""
    w_GF, w_GH, _, _ = parameters
    hidden, (length, symbols, _) = w_GH.shape[1], x_LSF.shape
    two = 2 * hidden
    # Gradients before the gates' functions lie in rows n of the recurrent half, r, z, n of the input half: what each
    # half needs is one block.
    pre = states_LHS.new_empty(4 * hidden, symbols)
    pre_rz, (pre_n, pre_r, pre_z, pre_i) = pre[hidden : 3 * hidden], torch.split(pre, hidden)
    w_HG, w_input = _factor(torch.cat([w_GH[two:], w_GH[:two]]).t(), factors), _factor(w_GF, factors)
    d_nrz, d_GF = torch.zeros_like(w_GH), torch.zeros_like(w_GF)
    d_pre, ones_S = pre.new_zeros(4 * hidden), pre.new_ones(symbols)
    spare = pre.new_empty(hidden, symbols)
    start = spare.new_zeros(1, hidden, symbols)
    before_LHS = [*states_LHS[1:].unbind(), *start] if reverse else [*start, *states_LHS[:-1].unbind()]
    dh = start[0].clone() if pull_HS is None else pull_HS.clone(memory_format=torch.contiguous_format)
    no_pulls = [None] * length
    parts = zip(
        x_LSF.unbind(),
        before_LHS,
        gates_LGS[:, :two].unbind(),
        gates_LGS[:, :hidden].unbind(),
        gates_LGS[:, hidden:two].unbind(),
        gates_LGS[:, two:].unbind(),
        recurrent_LHS.unbind(),
        no_pulls if pull_LHS is None else pull_LHS.unbind(),
        no_pulls if pull_x is None else pull_x.unbind(),
    )
    for x, before, rz, r, z, n, recurrent, pull, pull_x_SF in parts if reverse else reversed(list(parts)):
        if pull is not None:
            dh.add_(pull)
        torch.sub(before, n, out=spare)
        torch.mul(dh, spare, out=pre_z)
        torch.mul(dh, z, out=spare)
        torch.sub(dh, spare, out=pre_i)
        _tanh_backward(pre_i, n, grad_input=pre_i)
        torch.mul(pre_i, recurrent, out=pre_r)
        _sigmoid_backward(pre_rz, rz, grad_input=pre_rz)
        torch.mul(pre_i, r, out=pre_n)
        factor = _factor(pre, factors)
        nrz, rzi = factor[: 3 * hidden], factor[hidden:]
        _addmm(spare, w_HG, nrz, out=dh)
        _addmm(d_nrz, nrz, _factor(before, factors).t(), out=d_nrz)
        _addmm(d_GF, rzi, x, out=d_GF)
        d_pre.addmv_(pre, ones_S)
        if pull_x_SF is not None:
            _addmm(pull_x_SF, rzi.t(), w_input, out=pull_x_SF)
    d_n, d_rz, d_i = torch.split(d_pre, [hidden, two, hidden])
    return [d_GF, torch.cat([d_nrz[hidden:], d_nrz[:hidden]]), torch.cat([d_rz, d_i]), torch.cat([d_rz, d_n])]


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, h_LSW: Tensor, factors: torch.dtype, w_AW: Tensor, b_A: Tensor, v_A: Tensor) -> Tensor:
        ctx.factors = factors
        h_LWS = h_LSW.transpose(1, 2)
        length, width, symbols = h_LWS.shape
        units_LAS = h_LSW.new_empty(length, w_AW.shape[0], symbols)
        alpha_LS = h_LSW.new_empty(length, symbols)
        w, b_A1 = _factor(w_AW * 2, factors), b_A[:, None] * 2
        for h, units, energy in _by_step(h_LWS, units_LAS, alpha_LS):
            _addmm(b_A1, w, _factor(h, factors), out=units).sigmoid_().mul_(2).sub_(1)
            torch.mv(units.t(), v_A, out=energy)
        alpha_LS = alpha_LS.softmax(dim=0)
        c_WS = h_LSW.new_zeros(width, symbols)
        for h, alpha in _by_step(h_LWS, alpha_LS):
            c_WS.addcmul_(h, alpha)
        ctx.save_for_backward(h_LSW, w_AW, v_A, units_LAS, alpha_LS)
        return c_WS.t()

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, pull_SW: Tensor) -> tuple[Tensor | None, ...]:
        h_LSW, w_AW, v_A, units_LAS, alpha_LS = ctx.saved_tensors
        h_LWS, pull_WS = h_LSW.transpose(1, 2), pull_SW.t().contiguous()
        _, width, symbols = h_LWS.shape
        spare_WS = pull_WS.new_empty(width, symbols)
        d_alpha_LS = torch.empty_like(alpha_LS)
        for h, d_alpha in _by_step(h_LWS, d_alpha_LS):
            torch.sum(torch.mul(h, pull_WS, out=spare_WS), dim=0, out=d_alpha)
        energy_LS = alpha_LS * (d_alpha_LS - (alpha_LS * d_alpha_LS).sum(dim=0))
        d_AW, d_A, d_v = torch.zeros_like(w_AW), torch.zeros_like(v_A), torch.zeros_like(v_A)
        pull_LWS = torch.empty_like(h_LWS, memory_format=torch.contiguous_format)
        pre_AS = pull_WS.new_empty(v_A.shape[0], symbols)
        ones_S = pull_WS.new_ones(symbols)
        w_WA = _factor(w_AW.t(), ctx.factors)
        for h, units, energy, alpha, pull in _by_step(h_LWS, units_LAS, energy_LS, alpha_LS, pull_LWS):
            torch.outer(v_A, energy, out=pre_AS)
            _tanh_backward(pre_AS, units, grad_input=pre_AS)
            d_v.addmv_(units, energy)
            factor = _factor(pre_AS, ctx.factors)
            _addmm(d_AW, factor, _factor(h, ctx.factors).t(), out=d_AW)
            d_A.addmv_(pre_AS, ones_S)
            _addmm(torch.mul(pull_WS, alpha, out=pull), w_WA, factor, out=pull)
        return pull_LWS.transpose(1, 2), None, d_AW, d_A, d_v

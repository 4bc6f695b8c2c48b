"""The planted signals: a hidden state per stock and signal, its trace in volume, and what it does to returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polygrain.sources.synthetic_parameters import PARAMETERS, SIGNALS, Signal
from polygrain.sources.synthetic_stocks import autoregression, generator
from polygrain.store.panel import Array


@dataclass(frozen=True)
class Signals:
    """By signal, arrays [days, stocks]: standard arrivals ε_t, states z_t made of them, and traces of the states.

    A trace is the state plus white noise, and all that the bars show of it.
    """

    arrivals: dict[str, Array]
    states: dict[str, Array]
    traces: dict[str, Array]


def signal(name: str) -> Signal:
    """The parameters of a signal."""
    found: Signal = getattr(PARAMETERS, name)
    return found


def draw_signals(days: int, stocks: int, seed: int) -> Signals:
    """Independent standard AR(1) states per stock and signal; the same at every strength."""
    p = PARAMETERS
    arrivals, states, traces = {}, {}, {}
    for number, name in enumerate(SIGNALS):
        rng = generator(seed, 4, number)
        arrivals[name] = rng.standard_normal((days, stocks))
        states[name] = autoregression(arrivals[name], signal(name).persistence)
        noise = p.trace_noise * rng.standard_normal((days, stocks))
        traces[name] = np.clip(states[name] + noise, -p.trace_limit, p.trace_limit)
    return Signals(arrivals, states, traces)


def drift(signals: Signals) -> Array:
    """What the signals add to the own log return of each day at strength 1 [days, stocks].

    Day t + 1: Σ drift · (z_t − φ/√(1−φ²) · ε_{t+1}). The second term prices each arrival against what it will bring, by
    just so much that Cov(r_{t−j}, z_t) = φ^j (φ · drift − φ · drift) = 0: past returns are white and silent about the
    states, so that a signal hidden from coarse bars is not given away by the returns that it has already caused.
    """
    total: Array = np.zeros_like(next(iter(signals.states.values())))
    for name in SIGNALS:
        s = signal(name)
        before = np.vstack([np.zeros_like(signals.states[name][:1]), signals.states[name][:-1]])
        priced = s.persistence / np.sqrt(1 - s.persistence**2) * signals.arrivals[name]
        total += s.drift * (before - priced)
    return total


def expected_returns(signals: Signals, horizon: int, before_vwap: float) -> dict[str, Array]:
    """By signal, E[own log return from the VWAP of t + 1 to that of t + 1 + horizon | z_t] at strength 1.

    drift · z_t · ((1 − q) + Σ_{j=1}^{H−1} φ^j + q φ^H), q = `before_vwap` the part of a day's smooth return that comes
    before its VWAP; price limits and suspensions are left aside.
    """
    scores = {}
    for name in SIGNALS:
        s = signal(name)
        days = 1 - before_vwap + sum(s.persistence**j for j in range(1, horizon))
        days += before_vwap * s.persistence**horizon
        scores[name] = s.drift * days * signals.states[name]
    return scores

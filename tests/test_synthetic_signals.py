"""The planted signals: what the oracle scores, where each shows and where it must not, and nothing at strength 0."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from market_panels import SIGNALS, adjusted, panel
from scipy.stats import spearmanr

from polygrain.compute import Pool
from polygrain.errors import ConfigError
from polygrain.evaluation.naive import naive_composite
from polygrain.evaluation.rank_ic import rank_ic
from polygrain.evaluation.statistics import newey_west
from polygrain.execution.quotes import quotes
from polygrain.features.build import build
from polygrain.features.granularity import Granularity
from polygrain.features.panels import open_panel
from polygrain.market.rules import load_rules
from polygrain.samples.labels import Label
from polygrain.sources.ingest import ingest
from polygrain.sources.synthetic import Synthetic
from polygrain.sources.synthetic_intraday import day_bars
from polygrain.sources.synthetic_profile import before_vwap, profile
from polygrain.sources.synthetic_signals import signal
from polygrain.store.panel import Panel, carried

# One test process makes what its tests share.
pytestmark = pytest.mark.xdist_group("signals")

SEEDS = range(5)
GRANULARITIES = ("week", "day", "60min", "30min")
DAYS, LOOKBACK, WARM = 150, 3, 25


def label_rank_ic(score: np.ndarray, price: np.ndarray, horizon: int) -> float:
    """Mean Rank IC with the return from t + 1 to t + 1 + H, plainly."""
    filled, found = carried(price), []
    for t in range(len(price) - horizon - 1):
        outcome = filled[t + 1 + horizon] / price[t + 1]
        known = np.isfinite(outcome) & np.isfinite(score[t])
        found.append(spearmanr(score[t][known], outcome[known])[0])
    return float(np.mean(found))


@pytest.mark.parametrize(("strength", "low", "high"), [(1.0, 0.27, 0.33), (0.3, 0.07, 0.13)])
@pytest.mark.parametrize("seed", SEEDS)
def test_oracle_rank_ic(strength: float, low: float, high: float, seed: int) -> None:
    """5-day Rank IC of t+1 VWAP labels over 300 stocks and 484 days; standard error about .01."""
    source = Synthetic(bar="60min", strength=strength, seed=seed)
    price, oracle = adjusted(source, source.daily(), "vwap"), source.oracle()
    assert low < label_rank_ic(panel(source, oracle, "score"), price, 5) < high
    if strength == 1 and seed == 0:
        parts = {name: label_rank_ic(panel(source, oracle, name), price, 5) for name in SIGNALS}
        assert min(parts.values()) > 0.11
        assert min(parts["hour"], parts["half_hour"]) > max(parts["slow"], parts["every"]), "a lead for the fine bars"


def test_the_oracle_is_the_conditional_mean() -> None:
    """Own returns regressed on the score have slope 1, by simulation; a part is as large as its state says."""
    source = Synthetic(stocks=1000, days=200, bar="60min", seed=9, strength=0.5)
    price = np.log(carried(adjusted(source, source.daily(), "vwap")))
    for horizon in (1, 5, 10):
        oracle = source.oracle(horizon)
        score = panel(source, oracle, "score")
        np.testing.assert_allclose(sum(panel(source, oracle, name) for name in SIGNALS), score, rtol=1e-9, atol=1e-12)
        later = price[1 + horizon :] - price[1 : len(price) - horizon]
        x, y = score[: len(later)], later - np.nanmean(later, axis=1, keepdims=True)
        known = np.isfinite(x) & np.isfinite(y)
        slope = (x[known] @ y[known]) / (x[known] @ x[known])
        # Price limits cut off and suspensions take away a little; the standard error is about .04.
        assert 0.85 < slope < 1.1, horizon
    # By hand: q of the day's smooth return lies before its VWAP, H = 2: (1 − q) + φ + q φ² days of drift.
    q, s = before_vwap(), signal("slow")
    part, state = panel(source, source.oracle(2), "slow"), panel(source, source.states(), "slow")
    days = (1 - q) + s.persistence + q * s.persistence**2
    np.testing.assert_allclose(part, 0.5 * s.drift * days * state, rtol=1e-9)


def test_there_is_no_oracle_at_strength_0() -> None:
    with pytest.raises(ConfigError, match=r"source\.strength: is 0: nothing can be predicted"):
        Synthetic(strength=0.0).oracle()
    assert Synthetic(stocks=20, days=30, strength=0.0).states().columns == ["symbol", "date", *SIGNALS]


def test_states_are_independent_standard_autoregressions() -> None:
    """Standard errors of these moments over 300 × 484 with φ = .97 are below .02."""
    source = Synthetic(bar="day", seed=4)
    states = [source._market.signals.states[name] for name in SIGNALS]
    for name, state in zip(SIGNALS, states):
        assert abs(state.mean()) < 0.06
        assert abs(state.var() - 1) < 0.06
        assert abs((state[1:] * state[:-1]).mean() / state.var() - signal(name).persistence) < 0.01
    assert np.abs(np.corrcoef([state.ravel() for state in states]) - np.eye(4)).max() < 0.06


def test_past_returns_are_silent_about_the_hidden_signals() -> None:
    """An arrival is priced against what it will bring: Cov(r_{t−j}, z_t) = 0, j = 0, 1, …, though returns follow z.

    Over 190,000 stock-days the standard error is below .004; without that price the correlation would be .07.
    """
    source = Synthetic(stocks=1000, days=200, bar="60min", seed=6)
    returns = np.diff(np.log(adjusted(source, source.daily(), "close")), axis=0)
    returns -= np.nanmedian(returns, axis=1, keepdims=True)
    states = source.states()

    def correlation(r: np.ndarray, z: np.ndarray) -> float:
        known = np.isfinite(r) & np.isfinite(z)
        return float(np.corrcoef(r[known], z[known])[0, 1])

    for name in ("hour", "half_hour"):
        state = panel(source, states, name)
        # Row i of the returns is that of day i + 1.
        for lag in (0, 1, 4):
            assert abs(correlation(returns[: len(returns) - lag], state[1 + lag :])) < 0.015
        assert correlation(returns, state[:-1]) > 0.05


@pytest.fixture(scope="module")
def panels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Synthetic, dict[str, Panel], np.ndarray]:
    """A market of 5-minute bars, its feature panels, and which stock-days count."""
    folder = tmp_path_factory.mktemp("market")
    source = Synthetic(stocks=240, days=DAYS, seed=7)
    store = ingest(source, folder / "store")
    there = np.ones((DAYS, 240), bool)
    paths = build(store, [Granularity(name=n, bar=n) for n in GRANULARITIES], there, folder / "features", Pool(1))
    market = source._market
    counted = market.traded & (market.events.age > 60)
    counted[:WARM] = False
    return source, {name: open_panel(path) for name, path in paths.items()}, counted


def windows(panels: dict[str, Panel], names: tuple[str, ...], lookback: int, *, mean: bool = False) -> np.ndarray:
    """Every feature of every bar of the last `lookback` days, [days, stocks, columns], or its mean over a day."""
    columns = []
    for name in names:
        panel_ = panels[name]
        values = np.asarray(panel_.values).reshape(DAYS, panel_.axes.bars, 240, -1)
        values = values.mean(axis=1, keepdims=True) if mean else values
        values = values.transpose(0, 2, 1, 3).reshape(DAYS, 240, -1)
        lags = range(1 if name == "week" else lookback)
        columns += [np.concatenate([np.zeros_like(values[:lag]), values[: DAYS - lag]]) for lag in lags]
    return np.concatenate(columns, axis=2)


def explained(x: np.ndarray, states: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """R² of each state [days, stocks, signals] in least squares on x, less what other stocks' states get by chance.

    States and features are persistent, so that a state of another stock, which has nothing to do with the features, is
    fitted better than independent draws would be: the mean over 8 such pairings is what R² is when there is nothing.
    """
    rows = np.column_stack([np.ones(counted.sum()), x[counted]]).astype(np.float64)
    gram = rows.T @ rows
    inverse = np.linalg.inv(gram + 1e-6 * np.trace(gram) / len(gram) * np.eye(len(gram)))

    def r2(values: np.ndarray) -> np.ndarray:
        y = values[counted]
        cross = rows.T @ y
        level = len(y) * y.mean(axis=0) ** 2
        return ((cross * (inverse @ cross)).sum(axis=0) - level) / ((y**2).sum(axis=0) - level)

    rng = np.random.default_rng(0)
    chance = [r2(states[:, rng.permutation(states.shape[1])]) for _ in range(8)]
    return r2(states) - np.mean(chance, axis=0)


def test_each_signal_shows_where_it_should_and_only_there(
    panels: tuple[Synthetic, dict[str, Panel], np.ndarray],
) -> None:
    """R² over three days of all 26 features; chance alone moves it by about .002.

    The states themselves can be had to about .7 of their variance at most: each day shows them behind as much noise.
    """
    source, by_name, counted = panels
    states = np.stack([source._market.signals.states[name] for name in SIGNALS], axis=2)
    found = {
        names: dict(zip(SIGNALS, explained(windows(by_name, names, LOOKBACK), states, counted)))
        for names in (("day", "week"), ("day", "week", "60min"), ("60min",), ("30min",))
    }
    day, coarse, hour, half_hour = found.values()
    assert abs(day["hour"]) < 0.01
    assert abs(day["half_hour"]) < 0.01
    assert abs(coarse["half_hour"]) < 0.01
    assert day["slow"] > 0.45
    assert min(day["every"], hour["every"], half_hour["every"]) > 0.35
    assert min(hour["hour"], half_hour["hour"]) > 0.35
    assert half_hour["half_hour"] > 0.35


def test_squares_and_products_of_coarser_features_do_not_show_the_hidden_signals(
    panels: tuple[Synthetic, dict[str, Panel], np.ndarray],
) -> None:
    """All 351 products of two features of a bar, added up over the day's bars: what a bent model could find there."""
    source, by_name, counted = panels
    states = np.stack([source._market.signals.states[name] for name in SIGNALS], axis=2)
    first, second = np.triu_indices(26)
    found = {}
    for name in ("day", "60min"):
        values = np.asarray(by_name[name].values).reshape(DAYS, by_name[name].axes.bars, 240, -1)
        x = sum(
            np.concatenate([bar, bar[:, :, first] * bar[:, :, second]], axis=2)
            for bar in (values[:, i] for i in range(values.shape[1]))
        )
        x = (x - x[counted].mean(axis=0)) / (x[counted].std(axis=0) + 1e-9)
        found[name] = dict(zip(SIGNALS, explained(x, states, counted)))
    assert abs(found["day"]["hour"]) < 0.01
    assert abs(found["day"]["half_hour"]) < 0.01
    assert abs(found["60min"]["half_hour"]) < 0.01
    assert found["60min"]["hour"] > 0.25, "the same products show what is there"


def test_slow_is_easiest_at_day(panels: tuple[Synthetic, dict[str, Panel], np.ndarray]) -> None:
    """With weights that are the same at every bar it shows in days; in shorter bars only to who tells them apart."""
    source, by_name, counted = panels
    state = source._market.signals.states["slow"][:, :, None]
    day, hour, half_hour = (
        explained(windows(by_name, (name,), 1, mean=True), state, counted)[0] for name in ("day", "60min", "30min")
    )
    assert day > 0.3
    assert day > 3 * max(hour, half_hour)


@pytest.mark.parametrize("bars", [240, 48, 16, 8, 4])
def test_the_hidden_moves_add_up_to_nothing(bars: int) -> None:
    """Σ volume · p = 0 over each hour, for `half_hour` over its last quarter too, and Σ volume · time · p = 0."""
    of_day = profile(bars)
    assert of_day.volume.sum() == pytest.approx(1)
    assert of_day.variance.sum() == pytest.approx(1)
    time = np.cumsum(of_day.variance) - of_day.variance / 2
    hours = np.arange(bars) // (bars // 4)
    for hour in range(4):
        for pattern in (of_day.hour, of_day.half_hour):
            move = np.where(hours == hour, of_day.volume * pattern, 0.0)
            assert abs(move.sum()) < 1e-12
            # Minutes within five do not follow the five minutes' own place in time to the last digit.
            assert abs(move @ time) < (1e-12 if bars <= 48 else 2e-4)
        quarter = slice((hour + 1) * bars // 4 - max(bars // 16, 1), (hour + 1) * bars // 4)
        if bars >= 16:
            assert abs((of_day.volume * of_day.half_hour)[quarter].sum()) < 1e-12
    shown = {"hour": bars >= 16, "half_hour": bars >= 48}
    for name, pattern in (("hour", of_day.hour), ("half_hour", of_day.half_hour)):
        assert (np.abs(pattern).max() > 0.1) == shown[name]


def test_at_strength_0_neither_traces_nor_arrivals_predict_at_any_fill() -> None:
    """Rank IC of states and traces with the 5-day return at each fill, pooled over seeds, within 4 standard errors."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for seed in SEEDS:
        source = Synthetic(bar="15min", stocks=150, days=250, strength=0.0, seed=seed)
        daily, signals = source.daily(), source._market.signals
        for fill in ("open", "vwap", "close"):
            price = adjusted(source, daily, fill)
            filled = carried(price)
            outcome = filled[6:] / price[1:-5] - 1
            for kind, values in (("state", signals.states), ("trace", signals.traces)):
                for name in SIGNALS:
                    score = values[name][: len(outcome)]
                    ic = rank_ic(score, outcome, np.isfinite(outcome))
                    found.setdefault((f"{kind} of {name}", fill), []).append(newey_west(ic, 15))
    for key, parts in found.items():
        mean = np.mean([mean for mean, _ in parts])
        error = np.sqrt(np.sum([error**2 for _, error in parts])) / len(parts)
        assert abs(mean) < 4 * error, (key, mean, error)
        assert error < 0.006


def test_at_strength_0_the_naive_composite_is_worth_nothing(tmp_path: Path) -> None:
    """Within 4 Newey-West standard errors (lag 3R = 15) of 0, pooled over the seeds."""
    parts = []
    for seed in SEEDS:
        source = Synthetic(bar="day", stocks=200, days=300, strength=0.0, seed=seed)
        of_store = quotes(ingest(source, tmp_path / str(seed)), load_rules())
        assert of_store.st is not None
        members = of_store.traded & ~of_store.st & (of_store.age >= 60)
        members[:60] = False
        scores = naive_composite(of_store, members)
        assert scores.missing == ()
        parts.append(newey_west(rank_ic(scores.values, Label(days=[5]).returns(of_store, 5), members), 15))
    mean = np.mean([mean for mean, _ in parts])
    error = np.sqrt(np.sum([error**2 for _, error in parts])) / len(parts)
    assert abs(mean) < 4 * error
    assert error < 0.01


def test_leaning_on_rising_bars_moves_volume_but_not_the_vwap() -> None:
    """Otherwise the persistent trace alone would move VWAP fills. Lots are whole and volume is never taken whole, so
    that 1e-5 of the day's deviation is left; without the correction it would be some hundredths."""
    market = Synthetic(stocks=100, days=30, seed=2)._market
    still = replace(market.signals, traces=market.signals.traces | {"every": np.zeros((30, 100))})
    moved, shifts = [], []
    for day in range(0, 30, 3):
        leaning, plain = (day_bars(each, day, 48, 2) for each in (market, replace(market, signals=still)))
        busy = plain.lots.sum(axis=1) > 20_000
        assert (leaning.close == plain.close).all()
        assert (leaning.lots.sum(axis=1) == plain.lots.sum(axis=1)).all()
        vwaps = [(made.amount.sum(axis=1) / made.lots.sum(axis=1) / 100)[busy] for made in (leaning, plain)]
        shifts += (np.log(vwaps[0] / vwaps[1]) / market.scale[day, leaning.stock][busy]).tolist()
        moved += (np.abs(leaning.lots - plain.lots).sum(axis=1) / plain.lots.sum(axis=1))[busy].tolist()
    assert np.mean(moved) > 0.05
    assert np.quantile(np.abs(shifts), 0.95) < 0.0001

import json
from collections.abc import Callable
from datetime import date, timedelta
from importlib.resources import files

import empyrical
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polygrain.evaluation import excess, statistics

PUBLISHED = json.loads(files("polygrain.report").joinpath("published.json").read_text("utf-8"))
YEARS = range(2017, 2024)
# Chinese trading days of 2017 to 31 July 2023, 1,598 in all.
TRADING_DAYS = (244, 243, 244, 243, 243, 242, 139)
# Yearly returns of the price indices CSI 500 and CSI 1000.
INDEX = {
    "table10_csi500_by_year": (-0.0020, -0.3332, 0.2638, 0.2087, 0.1558, -0.2031, 0.0366),
    "table13_csi1000_by_year": (-0.1735, -0.3687, 0.2567, 0.1939, 0.2052, -0.2158, 0.025),
}


def _navs(seed: int, tracks: int = 3, days: int = 300) -> tuple[np.ndarray, np.ndarray, list[date]]:
    """A portfolio, its benchmark [tracks, closes] and weekdays from 2019-11-13, the middle of a month."""
    generator = np.random.default_rng(seed)
    market = generator.normal(0, 0.012, size=(tracks, days))
    ours = market + generator.normal(0.0005, 0.005, size=(tracks, days))
    navs = [np.hstack([np.ones((tracks, 1)), (1 + r).cumprod(axis=1)]) for r in (ours, market)]
    return navs[0], navs[1], list(pd.bdate_range("2019-11-13", periods=days + 1).date)


def test_cumulative_excess_and_drawdown_by_hand() -> None:
    # 2/1, 3/1, 3/1.25, 3/1, 2.2/1, 2.8/1 over 2: 1, 1.5, 1.2, 1.5, 1.1, 1.4. Falls .2 and then .4/1.5, from day 3.
    path = excess.cumulative_excess(np.array([[2, 3, 3, 3, 2.2, 2.8]]), np.array([[1, 1, 1.25, 1, 1, 1]]))
    assert path == pytest.approx(np.array([[1, 1.5, 1.2, 1.5, 1.1, 1.4]]))
    # The second never falls: half of it is the mean.
    path = np.array([[1, 1.5, 1.2, 1.5, 1.1, 1.4], [1, 1, 2, 2, 2, 3.0]])
    assert statistics.max_drawdown(path) == pytest.approx(0.2 / 1.5)


def test_tracking_error_by_hand() -> None:
    # The portfolio earns 1% every other day of 120 and the benchmark nothing: 60 of .01, 60 of 0, mean .005,
    # variance 120 · .005² / 119; a second track that stands still halves the mean over tracks.
    nav = np.vstack([np.append(1, np.tile([1.01, 1.0], 60).cumprod()), np.ones(121)])
    base = np.ones((2, 121))
    expected = (120 / 119) ** 0.5 * 0.005 * 242**0.5 / 2
    assert excess.tracking_error(nav, base) == pytest.approx(expected, rel=1e-12)
    growth = (1.01**60 - 1) / 2
    whole = excess.information_ratio(nav, base, whole_year=True)
    assert whole == pytest.approx(growth / expected, rel=1e-12)
    # 242/120 of the same growth, in the exponent.
    part = excess.information_ratio(nav, base, whole_year=False)
    assert part == pytest.approx((1.01 ** (60 * 242 / 120) - 1) / 2 / expected, rel=1e-12)


def test_nothing_is_annualised_below_120_days() -> None:
    nav, base, _ = _navs(0)
    assert excess.tracking_error(nav[:, :121], base[:, :121]) is not None
    assert excess.tracking_error(nav[:, :120], base[:, :120]) is None
    for whole_year in (True, False):
        assert excess.information_ratio(nav[:, :121], base[:, :121], whole_year=whole_year) is not None
        assert excess.information_ratio(nav[:, :120], base[:, :120], whole_year=whole_year) is None
    assert excess.annual_turnover(np.ones((1, 120))) is not None
    assert excess.annual_turnover(np.ones((1, 119))) is None


def test_monthly_win_rate_by_hand() -> None:
    days = [date(2020, 1, 30), date(2020, 1, 31), date(2020, 2, 3), date(2020, 2, 28), date(2020, 3, 2)]
    base = np.ones((2, 5))
    # January 1 → 1.1 wins; February 1.1 → 1.05 does not; March 1.05 → 1.2 wins. The other track: 1 → 1 is no win, then
    # up, then down.
    nav = np.array([[1, 1.1, 1.3, 1.05, 1.2], [1, 1, 0.9, 1.1, 1.0]])
    assert excess.monthly_win_rate(nav, base, days) == pytest.approx((2 / 3 + 1 / 3) / 2)
    # A base on a month's last day opens no month of its own: February and March.
    assert excess.monthly_win_rate(nav[:1, 1:], base[:1, 1:], days[1:]) == 0.5
    # A year later, the same month is another one: 1 → 1.1, then 1.1 → 1.05.
    year_later = [days[0], days[1], date(2021, 1, 4)]
    assert excess.monthly_win_rate(nav[:1, [0, 1, 3]], base[:1, :3], year_later) == 0.5


def test_annual_turnover_by_hand() -> None:
    # A fifth of 121 days trade Σ|Δw| = .8, one-sided .4: days 4, 9, …, 119 are 24; 24 · .4 · 242/121 = 19.2. The other
    # track builds on the first day, one-sided ½, and holds: 1 a year.
    traded = np.full((2, 121), np.nan)
    traded[0, 4::5] = 0.8
    traded[1, 0] = 1.0
    assert excess.annual_turnover(traded) == pytest.approx((19.2 + 1) / 2, rel=1e-12)


def test_equals_plain_loops() -> None:
    nav, base, days = _navs(5)
    errors, wins, depths = [], [], []
    for p, b in zip(nav.tolist(), base.tolist()):
        active = [p[i] / p[i - 1] - b[i] / b[i - 1] for i in range(1, len(p))]
        mean = sum(active) / len(active)
        errors.append((sum((x - mean) ** 2 for x in active) / (len(active) - 1) * 242) ** 0.5)
        last: dict[tuple[int, int], float] = {}
        for day, x, y in zip(days[1:], p[1:], b[1:]):
            last[day.year, day.month] = x / y
        closes = [1.0, *last.values()]
        wins.append(sum(closes[i] > closes[i - 1] for i in range(1, len(closes))) / (len(closes) - 1))
        relative = [x / y for x, y in zip(p, b)]
        depths.append(max(1 - relative[j] / relative[i] for i in range(len(relative)) for j in range(i, len(relative))))
    # Rounding of sums of 300 terms.
    assert excess.tracking_error(nav, base) == pytest.approx(sum(errors) / 3, rel=1e-11)
    assert excess.monthly_win_rate(nav, base, days) == pytest.approx(sum(wins) / 3)
    path = excess.cumulative_excess(nav, base)
    assert statistics.max_drawdown(path) == pytest.approx(sum(depths) / 3, rel=1e-11)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_laws(seed: int, scale: float) -> None:
    nav, base, days = _navs(seed)
    # Nothing over itself.
    assert (excess.cumulative_excess(nav, nav) == 1).all()
    assert excess.tracking_error(nav, nav) == 0
    assert np.isnan(excess.information_ratio(nav, nav, whole_year=False) or 0)
    assert excess.monthly_win_rate(nav, nav, days) == 0
    assert statistics.max_drawdown(excess.cumulative_excess(nav, nav)) == 0
    # The unit of either NAV does not matter; rounding, in differences of about .005 of numbers near 1.
    for figure in (
        excess.tracking_error,
        lambda p, b: excess.information_ratio(p, b, whole_year=False),
        lambda p, b: excess.information_ratio(p, b, whole_year=True),
        lambda p, b: excess.monthly_win_rate(p, b, days),
    ):
        assert figure(nav * scale, base) == pytest.approx(figure(nav, base), rel=1e-9)
    assert 0 <= statistics.max_drawdown(excess.cumulative_excess(nav, base)) < 1
    # Swapped, active returns change sign, and with them the ratio of a whole year; the error stays.
    assert excess.tracking_error(base, nav) == excess.tracking_error(nav, base)
    swapped = excess.information_ratio(base, nav, whole_year=True)
    assert swapped == pytest.approx(-(excess.information_ratio(nav, base, whole_year=True) or 0), rel=1e-12)


def test_agrees_with_empyrical() -> None:
    nav, base, days = _navs(8, tracks=1)
    index = pd.DatetimeIndex(days[1:])
    ours, theirs = (pd.Series(x[0, 1:] / x[0, :-1] - 1, index=index) for x in (nav, base))
    error = excess.tracking_error(nav, base)
    assert error is not None
    # 1e-10: the same arithmetic on returns instead of NAVs, which rounds.
    assert error == pytest.approx(empyrical.annual_volatility(ours - theirs, annualization=242), rel=1e-10)
    assert statistics.annualised_excess(nav, base) == pytest.approx(
        empyrical.annual_return(ours, annualization=242) - empyrical.annual_return(theirs, annualization=242), rel=1e-10
    )
    # empyrical's information ratio (excess_sharpe) is mean / std of daily active returns, not annualised: times √242 it
    # has our tracking error below, but the arithmetic mean where the report has the difference of compounded growth.
    ratio = empyrical.excess_sharpe(ours, theirs) * 242**0.5
    assert ratio * error == pytest.approx((ours - theirs).mean() * 242, rel=1e-10)
    assert excess.information_ratio(nav, base, whole_year=False) != pytest.approx(ratio, rel=1e-3)
    # Drawdowns are negative there, and of returns; those of NAV_p / NAV_b are (1 + r_p)/(1 + r_b) − 1.
    relative = (1 + ours) / (1 + theirs) - 1
    found = statistics.max_drawdown(excess.cumulative_excess(nav, base))
    assert found == pytest.approx(-empyrical.max_drawdown(relative), rel=1e-10)
    monthly = empyrical.aggregate_returns(relative, "monthly")
    assert excess.monthly_win_rate(nav, base, days) == pytest.approx((monthly > 0).mean())


def _ratio_of_navs(portfolio: np.ndarray, benchmark: np.ndarray) -> float:
    """The convention that the report does not use: (NAV_p / NAV_b)^(242/n) − 1."""
    path = excess.cumulative_excess(portfolio, benchmark)
    return float((path[:, -1] ** (242 / (path.shape[1] - 1)) - 1).mean())


def _published_navs(table: str) -> tuple[np.ndarray, np.ndarray, list[date]]:
    """NAVs that grow evenly within each year by the index's return and by it plus the published excess."""
    days, ours, theirs = [date(2016, 12, 30)], [1.0], [1.0]
    for year, count, row, index in zip(YEARS, TRADING_DAYS, PUBLISHED[table], INDEX[table], strict=False):
        assert row["period"].startswith(str(year))
        days += [date(year, 1, 2) + timedelta(i) for i in range(count)]
        steps = np.arange(1, count + 1) / count
        ours += (ours[-1] * (1 + index + row["excess"]) ** steps).tolist()
        theirs += (theirs[-1] * (1 + index) ** steps).tolist()
    return np.array([ours]), np.array([theirs]), days


@pytest.mark.parametrize(
    ("table", "annualised"), [("table10_csi500_by_year", 0.189), ("table13_csi1000_by_year", 0.28)]
)
def test_the_reports_convention_of_excess(table: str, annualised: float) -> None:
    portfolio, benchmark, days = _published_navs(table)
    assert portfolio.shape == (1, 1599)
    assert PUBLISHED[table][-1]["period"] == "all"
    assert PUBLISHED[table][-1]["excess"] == annualised
    spans = statistics.year_spans(days)
    for row, year in zip(PUBLISHED[table], YEARS, strict=False):
        part = portfolio[:, spans[year]], benchmark[:, spans[year]]
        assert statistics.period_excess(*part) == pytest.approx(row["excess"], abs=1e-12)

    def fits(convention: Callable[[np.ndarray, np.ndarray], float | None]) -> bool:
        return convention(portfolio, benchmark) == pytest.approx(annualised, abs=0.001)

    # A tenth of a point: seven yearly excesses, printed to .05 of a point, move the annual one by less than that.
    assert fits(statistics.annualised_excess)
    assert not fits(_ratio_of_navs)


@pytest.mark.parametrize("table", INDEX)
def test_the_reports_convention_of_information_ratios(table: str) -> None:
    portfolio, benchmark, days = _published_navs(table)
    spans = statistics.year_spans(days) | {0: slice(None)}
    for row, span in zip(PUBLISHED[table], spans.values(), strict=True):
        part = portfolio[:, span], benchmark[:, span]
        growth = statistics.annualised_excess(*part)
        assert growth is not None
        printed = row["information_ratio"] * row["tracking_error"]
        # Tracking errors are printed to .05 of a point, 1.1% of the least; excesses too, .4% of the least.
        if row["period"].isdigit():
            assert statistics.period_excess(*part) == pytest.approx(printed, rel=0.015)
        else:
            # 2023 until July, and all. Table 13's of 2023 lies 2.1% off, of which rounding explains 1.2%; but R_p − R_b
            # over TE would give half of it, and over all years many times the published ratio.
            assert growth == pytest.approx(printed, rel=0.025)
            assert statistics.period_excess(*part) != pytest.approx(printed, rel=0.3)

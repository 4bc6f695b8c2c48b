"""Every number of the simulated market in one frozen object, whose hash a test pins.

They were set with least squares on feature panels before any network was trained on the market, and stay as they are:
a change makes every figure that was ever measured on it void.
"""

from __future__ import annotations

from polygrain.spec import Spec
from polygrain.store.commit import fingerprint


class Signal(Spec):
    """One planted signal: a standard AR(1) state per stock, what it does to prices and how it shows in volume."""

    persistence: float
    """φ of z_t = φ z_{t−1} + √(1 − φ²) ε_t."""
    drift: float
    """Own log return of the next day per unit of state at strength 1."""
    lean: float
    """Part of a bar's volume moved per unit of trace at the peak of the signal's pattern; of `slow` the log volume."""


class Parameters(Spec):
    """The simulated market's numbers. "Log" is natural; probabilities are per stock and trading day unless said."""

    slow: Signal = Signal(persistence=0.97, drift=0.0014, lean=0.20)
    """Volume tilts to the day's last hour and its auction; half of the state is gone after 23 days."""
    every: Signal = Signal(persistence=0.90, drift=0.00175, lean=0.10)
    """Volume leans on rising base bars, by this much per standard deviation of a bar's return."""
    hour: Signal = Signal(persistence=0.90, drift=0.00208, lean=0.22)
    """Volume bunches in the last quarter of each hour; half of the state is gone after 6.6 days."""
    half_hour: Signal = Signal(persistence=0.90, drift=0.00208, lean=0.26)
    """Volume bunches in the last third of each half hour; the hour's last quarter keeps its own."""
    hour_pattern: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0, 1.0, 0.0)
    """Where `hour` moves volume over the twelve slots of five minutes of an hour."""
    half_hour_pattern: tuple[float, ...] = (0.0, 0.0, 0.0, -0.5, 0.5, 0.5, 0.0, 0.0, -0.5, -1.0, 1.0, 0.0)
    """Where `half_hour` does.

    With either one the last part of the hour, or of both its halves, rises against the rest, and what longer bars see,
    or could compute from what they see, stays: Σ p (volume); Σ p over the last quarter (`half_hour` only: late share);
    Σ p · slot (else the correlation of price and volume, times the return, would tell); the hour's edges (else products
    of neighbouring volumes would); Σ p³ (the third order of Σ volume²); Σ p · p' of the two.
    """
    trace_noise: float = 1.0
    """Trace = state + this much daily white noise: one day alone correlates at most 1/√2 with the state."""
    trace_limit: float = 3.0
    """Traces are cut off here, so that they hardly ever take all of a bar's volume."""
    quiet: float = 0.15
    """Log volume of the day lost per unit of slow trace: patient buyers keep it down."""
    impact: float = 0.012
    """Log price that a unit arrival of `every` costs on its day, in calm and at every strength: past losers carry more
    of it than its drift has repaid, which is a short-term reversal."""

    main_sh: float = 0.45
    """Share of the stocks on the main board in Shanghai, codes from 600000."""
    main_sz: float = 0.30
    """On the main board in Shenzhen, codes from 002000."""
    chinext: float = 0.17
    """On ChiNext, codes from 300000; the rest is on STAR, codes from 688000."""
    listed_later: float = 0.06
    """Share of the stocks that are listed within the span, at least one."""
    delisted: float = 0.025
    """Share that is delisted in its second half, at least one."""
    relisted: float = 0.015
    """Share that is suspended for long and comes back without price limits, at least one in spans that hold it."""
    reclassified: float = 0.03
    """Share that changes its industry once."""
    industries: int = 12
    """Number of industries, equally likely."""

    price: float = 14.0
    """Median price on the first day, yuan."""
    price_spread: float = 0.7
    """Standard deviation of its log."""
    price_range: tuple[float, float] = (2.5, 250.0)
    """Between these prices it is kept, yuan."""
    shares: float = 5e8
    """Median total shares."""
    shares_spread: float = 0.8
    """Standard deviation of their log."""
    floating: tuple[float, float] = (0.4, 0.95)
    """Part of a stock's shares that trades on the first day, uniform."""
    float_new: float = 0.25
    """The same for a new listing."""
    turnover: float = 0.012
    """Median daily volume over float shares."""
    turnover_spread: float = 0.5
    """Standard deviation of its log over stocks."""
    book_to_price: float = 0.45
    """Median book value over total capitalisation on the first day."""
    book_spread: float = 0.6
    """Standard deviation of its log."""
    book_growth: float = 0.015
    """Mean growth of book value a quarter, dividends deducted."""
    book_growth_spread: float = 0.03
    """Its standard deviation over quarters."""
    announced: tuple[tuple[int, int], ...] = ((10, 30), (30, 62), (10, 31), (60, 110))
    """Calendar days from the end of March, June, September and December to the announcement, both included."""

    suspension: float = 0.0015
    """Probability that a suspension begins."""
    suspension_end: float = 0.3
    """Probability that it ends, from the first day on."""
    suspension_more: tuple[float, int] = (0.1, 20)
    """Part of the suspensions that last this many days more."""
    settled: int = 20
    """Trading days from its listing in which a stock is neither suspended nor ST, and no lock-up expires."""
    st_start: float = 0.03 / 244
    """Probability that an ST spell begins."""
    st_days: tuple[int, int] = (60, 250)
    """Trading days that it lasts, the second excluded."""
    st_before: float = 0.02
    """Share of stocks that are ST on the first day."""
    st_before_delisting: int = 40
    """Trading days of ST before the delisting period."""
    delisting_period: int = 15
    """Trading days of the delisting period, the last of a delisted stock; the first has no price limit."""
    long_suspension: tuple[int, int] = (60, 120)
    """Trading days of the suspension before a relisting, both included."""
    jump: tuple[float, float] = (0.26, 0.47)
    """Size of the overnight log return on a day without limit after it; up and down alike: +30..60% or −23..37%."""
    dividend: float = 0.6 / 64
    """Probability of a dividend, from May to July."""
    dividend_yield: tuple[float, float] = (0.003, 0.03)
    """Its part of the price."""
    bonus: float = 0.12 / 64
    """Probability of a bonus issue, which splits the shares, from May to July."""
    bonus_shares: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5, 1.0)
    """New shares per old one, equally likely."""
    unlock: float = 0.4 / 244
    """Probability that a lock-up expires."""
    unlocked: tuple[float, float] = (0.2, 0.8)
    """Part of the locked shares that it sets free."""
    lock: float = 0.0015
    """Probability of news overnight that takes the stock to its limit and keeps it there: a day of one price."""
    lock_return: float = 0.25
    """Log return of that news before the limit cuts it off."""
    locking: float = 0.12
    """Log return overnight beyond which a stock that opens at its limit stays there all day."""

    overnight: float = 0.25
    """Part of a day's variance and of its smooth return that falls between close and open."""
    market_volatility: float = 0.010
    """Daily log standard deviation of the market in calm."""
    market_swing: float = 0.35
    """Standard deviation of the log of its volatility, an AR(1)."""
    market_persistence: float = 0.96
    """That AR(1)'s persistence."""
    industry_volatility: float = 0.005
    """Daily log standard deviation of an industry."""
    own_volatility: float = 0.017
    """Median daily log standard deviation of a stock's own return."""
    own_spread: float = 0.25
    """Standard deviation of its log over stocks."""
    own_swing: float = 0.6
    """Standard deviation of the log of its volatility over time, an AR(1)."""
    own_persistence: float = 0.95
    """That AR(1)'s persistence."""
    beta_spread: float = 0.25
    """Standard deviation of beta around 1."""
    common_tail: float = 5.0
    """Degrees of freedom of market and industry returns (Student t)."""
    own_tail: float = 4.0
    """Degrees of freedom of own returns, overnight and intraday."""

    activity: tuple[float, float, float, float] = (0.4, 0.4, 0.15, 0.2)
    """Log volume of the day per unit of interest (an AR(1)), of the AR(1) of own volatility, of the absolute own move
    in standard deviations (at most 5) and of white noise."""
    interest_persistence: float = 0.85
    """Persistence of interest."""
    least_lots: int = 20
    """Lots of 100 shares that a trading stock trades at least."""
    locked_volume: float = 0.1
    """Part of its volume that a stock keeps on a day of one price."""
    opening: float = 0.02
    """Share of the day's volume in the opening auction, which the first minute holds."""
    auction: float = 0.065
    """Share in the closing auction, the last minute; the two minutes before it have no trades."""
    volume_edges: float = 1.2
    """How much higher a minute's volume is at the day's edges than at noon; the morning's edge has half of it more."""
    variance_edges: float = 1.0
    """The same for the variance of its return."""
    auction_variance: float = 4.0
    """Variance of the closing auction's return, in ordinary minutes."""
    gap: float = 0.1
    """Standard deviation of a bar's opening gap, in standard deviations of its return."""
    reach: float = 0.4
    """The same for how far its high and low lie beyond open and close."""
    loudness: float = 0.3
    """Log volume of a bar per absolute standard deviation of its return, of which at most 3 count."""
    volume_noise: float = 0.4
    """Standard deviation of a 5-minute bar's log volume; that of other bars follows from independence."""

    large: float = 0.2
    """Share of the stocks in the index `large`, by float capitalisation."""
    small: float = 0.4
    """Share in the index `small`, the next ones."""

    def fingerprint(self) -> str:
        """sha256 (hex) of the numbers."""
        return fingerprint(self.model_dump(mode="json"))


PARAMETERS = Parameters()
SIGNALS = ("slow", "every", "hour", "half_hour")

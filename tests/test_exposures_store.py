"""Exposures of a store: industries by interval and group, what the data lacks, columns and styles of one's own."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import plugin_files
import polars as pl
import pytest

from polygrain.errors import ConfigError
from polygrain.execution.quotes import quotes
from polygrain.exposures.build import ExposurePanels, Exposures, exposures
from polygrain.exposures.industries import industries, usual_groups
from polygrain.exposures.library import STYLES
from polygrain.market.session import Session
from polygrain.plugins import Plugin
from polygrain.prove.sample import Held
from polygrain.sources.ingest import ingest
from polygrain.sources.source import REFERENCE
from polygrain.sources.synthetic import Synthetic
from polygrain.store.panel import Axes
from polygrain.store.store import Store

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "exposures.md"
GIVEN = ("size", "mid_cap", "valuation", "reversal", "momentum", "volatility", "turnover", "liquidity")
NO_PROFIT = "Exposure to profitability is left out: the data has no net_profit."
Change = Callable[[dict[str, pl.DataFrame]], dict[str, pl.DataFrame]]


class _Snapshot(Held):
    """A source whose industries are one later date's."""

    @property
    def snapshots(self) -> tuple[str, ...]:
        return ("industries",)


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    market = Synthetic(stocks=40, days=50, bar="day", seed=3)
    daily = market.daily()
    return {"daily": daily, **{name: market.reference(name) for name in REFERENCE}}


def store_of(tables: dict[str, pl.DataFrame], folder: Path, kind: type[Held] = Held) -> Store:
    source = kind(held_session=Session(), held_limits="cn_a", bar="day", amount="column", tables=tables)
    return ingest(source, folder)


def panels(store: Store, **settings: object) -> ExposurePanels:
    known = quotes(store, None)
    return exposures(store, known, known.traded, Exposures(**settings))


def test_of_the_simulated_market(tables: dict[str, pl.DataFrame], tmp_path: Path) -> None:
    found = panels(store_of(tables, tmp_path / "store"))
    assert found.names == GIVEN
    assert (found.missing, found.notes) == ((NO_PROFIT,), ())
    assert found.styles.values.shape == (50, 40, 8)
    # Momentum asks for 240 days.
    assert np.isnan(found.style("momentum")).all()
    # The cap-weighted mean of an exposure is 0, its standard deviation over U_t 1; float32.
    store = store_of(tables, tmp_path / "store")
    known = quotes(store, None)
    last = tables["daily"].filter(pl.col("date") == store.days[-1], ~pl.col("suspended")).sort("symbol")
    there = [known.axes.symbol_number[symbol] for symbol in last["symbol"]]
    caps = (last["close"] * last["total_shares"]).to_numpy()
    for name in ("size", "valuation", "turnover"):
        values = found.style(name)[-1, there].astype(float)
        assert np.average(values, weights=caps) == pytest.approx(0, abs=1e-6), name
        assert values.std() == pytest.approx(1, abs=1e-6), name
    assert np.corrcoef(found.style("size")[-1, there], np.log(caps))[0, 1] > 0.97


def _without(*columns: str) -> Change:
    return lambda tables: tables | {"daily": tables["daily"].drop(columns)}


EQUAL = "No market value: exposures are centred on equal-weighted means, not on cap-weighted ones."
FLOAT = "Market value: that of float_shares; the data has no total_shares."


@pytest.mark.parametrize(
    ("change", "names", "missing", "notes"),
    [
        (
            _without("float_shares", "total_shares"),
            ("reversal", "momentum", "volatility", "liquidity"),
            (
                *(f"Exposure to {name} is left out: the data has no market value." for name in ("size", "mid_cap")),
                "Exposure to valuation is left out: the data has no total_shares.",
                "Exposure to turnover is left out: the data has no float_shares.",
                NO_PROFIT,
            ),
            (EQUAL,),
        ),
        (
            _without("total_shares", "book_value"),
            ("size", "mid_cap", "reversal", "momentum", "volatility", "turnover", "liquidity"),
            (
                "Exposure to valuation is left out: the data has no book_value, total_shares.",
                "Exposure to profitability is left out: the data has no net_profit, book_value.",
            ),
            (FLOAT,),
        ),
        (
            lambda tables: {name: table for name, table in tables.items() if name != "industries"},
            GIVEN,
            (NO_PROFIT, "The data has no industries: nothing is measured by industry or neutralised to it."),
            (),
        ),
    ],
)
def test_what_the_data_lacks_is_named(
    tables: dict[str, pl.DataFrame],
    tmp_path: Path,
    change: Change,
    names: tuple[str, ...],
    missing: tuple[str, ...],
    notes: tuple[str, ...],
) -> None:
    found = panels(store_of(change(tables), tmp_path / "store"))
    assert (found.names, found.missing, found.notes) == (names, missing, notes)
    assert np.isfinite(found.style("reversal")[-1]).any()


def test_a_snapshot_of_industries_is_named(tables: dict[str, pl.DataFrame], tmp_path: Path) -> None:
    found = panels(store_of(tables, tmp_path / "store", _Snapshot))
    said = "Industries are one later date's, not point in time: so is what is measured by them or neutralised to them."
    assert found.missing == (NO_PROFIT, said)


def test_any_daily_column_may_serve(tables: dict[str, pl.DataFrame], tmp_path: Path) -> None:
    cap = (pl.col("close") * pl.col("float_shares")).alias("float_value")
    daily = tables["daily"].with_columns(cap, (1 / pl.col("close")).alias("pb_inverse")).drop("book_value")
    store = store_of(tables | {"daily": daily}, tmp_path / "store")
    found = panels(store, cap="float_value", columns={"valuation": "pb_inverse", "cheapness": "pb_inverse"})
    assert found.names == (*GIVEN, "cheapness")
    np.testing.assert_array_equal(found.style("valuation"), found.style("cheapness"))
    assert found.notes == ("Market value: the column float_value.",)
    by_float = panels(store_of(_without("total_shares")(tables), tmp_path / "float"))
    np.testing.assert_allclose(found.style("size"), by_float.style("size"), rtol=1e-6)
    for settings, key in (({"cap": "mv"}, "cap"), ({"columns": {"x": "mv"}}, "columns.x")):
        refused = rf"^exposures.{key}: the daily table has no column 'mv'; choose from open, "
        with pytest.raises(ConfigError, match=refused):
            panels(store, **settings)
    with pytest.raises(ConfigError, match=r"^exposures.cap: the column symbol holds no numbers; name another"):
        panels(store, cap="symbol")


def test_a_style_of_ones_own(tables: dict[str, pl.DataFrame], tmp_path: Path) -> None:
    text = PAGE.read_text("utf-8").split("```python\n")[1].split("```")[0]
    store = store_of(tables, tmp_path / "store")
    with plugin_files.using(Plugin(name="mine.py", text=text)):
        assert panels(store).names == (*GIVEN, "free_float")
        assert list(STYLES.hashes(STYLES)) == ["free_float"]
    flat = text.replace('column("total_shares"))', 'column("total_shares"))[0]')
    with (
        plugin_files.using(Plugin(name="mine.py", text=flat)),
        pytest.raises(ConfigError, match=r"^style free_float: gives \(40,\), not days × symbols \(50, 40\); mend it"),
    ):
        panels(store)
    assert "free_float" not in STYLES


DAYS = tuple(date(2021, 1, 4) + timedelta(i) for i in range(5))
LISTED = np.ones((5, 3), bool)


def _intervals(rows: list[tuple[str, date, date | None, str]]) -> pl.DataFrame:
    schema = {"symbol": pl.String, "start": pl.Date, "end": pl.Date, "industry": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_industries_hold_from_their_first_day_to_their_last() -> None:
    rows = [
        ("A", DAYS[0], DAYS[1], "steel"),
        ("A", DAYS[3], None, "bank"),
        ("B", date(1990, 1, 1), None, "bank"),
        ("Z", DAYS[0], None, "none of ours"),
    ]
    axes, listed = Axes(DAYS, ("A", "B", "C")), LISTED.copy()
    listed[4, 1] = False
    found = industries(_intervals(rows), axes, listed, {})
    # By first day, then by name.
    assert found.names == ("unknown", "bank", "none of ours", "steel")
    np.testing.assert_array_equal(found.codes, [[3, 1, 0], [3, 1, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0]])
    # What begins later does not move a code.
    more = industries(_intervals([*rows, ("C", DAYS[4], None, "air")]), axes, listed, {})
    assert more.names == (*found.names, "air")
    np.testing.assert_array_equal(more.codes[:4], found.codes[:4])


def test_finer_industries_are_put_together() -> None:
    rows = [("A", DAYS[0], None, "普钢"), ("B", DAYS[0], None, "特种钢"), ("C", DAYS[0], None, "bank")]
    axes = Axes(DAYS, ("A", "B", "C"))
    found = industries(_intervals(rows), axes, LISTED, {})
    assert found.names == ("unknown", "bank", "钢铁")
    assert found.notes == ("3 industries are put together into 2 groups.",)
    mine = industries(_intervals(rows), axes, LISTED, {"特种钢": "bank", "banc": "x"})
    np.testing.assert_array_equal(mine.codes[0], [2, 1, 1])
    assert mine.notes[1] == "exposures.industry_groups names banc, which the data does not have."
    many = _intervals([("A", date(2000, 1, 1) + timedelta(i), None, f"industry {i}") for i in range(41)])
    assert industries(many, axes, LISTED, {}).notes == (
        "41 industries are many; exposures.industry_groups puts finer ones together.",
    )


def test_the_page_says_what_there_is() -> None:
    text = PAGE.read_text("utf-8")
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    assert list(rows) == list(STYLES)
    for name, one in STYLES.items():
        columns = [need for need in one.needs if " " not in need and need != "amount"]
        assert all(f"`{column}`" in rows[name] for column in columns), name
    config = tomllib.loads(text.split("```toml\n")[1].split("```")[0])
    assert Exposures(**config["exposures"]).cap == "market_value"


def test_the_usual_groups() -> None:
    groups = usual_groups()
    assert (len(groups), len(set(groups.values()))) == (110, 30)
    # A first-level list stays as it is.
    assert all(groups.get(group, group) == group for group in groups.values())

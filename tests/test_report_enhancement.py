"""The report's index-enhanced portfolios: plain loops over their files, names of the broker report, what is refused."""

import json
import random
import re
from collections.abc import Iterator
from datetime import date
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from portfolio_files import INDUSTRIES, LABELS, MODELS, STYLES, VARY, write_portfolios
from reference_report import write_run

from polygrain.errors import DataError
from polygrain.report.enhancement_grid import heading_name
from polygrain.report.enhancement_headings import enhancement_headings
from polygrain.report.enhancement_said import conventions, first_lines
from polygrain.report.enhancement_tables import cause, enhancement_tables
from polygrain.report.enhancements import Enhancements, read_enhancements
from polygrain.report.page import write_report
from polygrain.report.tables import Table
from polygrain.report.titles import setting_title

PUBLISHED = json.loads(files("polygrain.report").joinpath("published.json").read_text("utf-8"))
SHOWN = "csi500:industry_deviation.limit=0,stock_deviation.limit=0.005,constituents.share=0"
NUMBERED = [
    "table8_csi500_all", "table9_csi500_80pct", "table10_csi500_by_year",
    "table11_csi1000_all", "table12_csi1000_80pct", "table13_csi1000_by_year",
]  # fmt: skip
RANDOM = 3
Rows = list[dict[str, object]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("run") / "a", count=60)
    write_portfolios(folder, missing=[("Style momentum is left out.", "略去动量。")], random_scores=RANDOM)
    return folder


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    return write_report(run).read_text("utf-8")


@pytest.fixture(scope="module")
def enhancements(run: Path) -> Enhancements:
    return read(run)


def read(run: Path) -> Enhancements:
    found = read_enhancements(run)
    assert found is not None
    return found


def made(enhancements: Enhancements) -> dict[str, Table]:
    return {table.name: table for table in enhancement_tables(enhancements)}


def rows(run: Path, file: str, *, portfolio: str = SHOWN, model: str = MODELS[0], label_days: int = LABELS[0]) -> Rows:
    """The rows of one portfolio, in the order of dates."""
    frame = pl.read_parquet(run / "portfolios" / f"{file}.parquet").sort("date", maintain_order=True)
    return [
        row
        for row in frame.to_dicts()
        if (row["portfolio"], row["model"], row["label_days"]) == (portfolio, model, label_days)
    ]


def gains(nav: Rows, leg: str = "net") -> Iterator[float]:
    """Daily r_p − r_b."""
    for before, after in pairwise(nav):
        yield after[leg] / before[leg] - after["benchmark"] / before["benchmark"]


def year_excess(nav: Rows, leg: str = "net") -> float:
    """(1 + R_p)^(242/n) − (1 + R_b)^(242/n)."""
    power = 242 / (len(nav) - 1)
    return (nav[-1][leg] / nav[0][leg]) ** power - (nav[-1]["benchmark"] / nav[0]["benchmark"]) ** power


def since(nav: Rows, year: int) -> Rows:
    """A calendar year's closes and the last one before it."""
    inside = [place for place, row in enumerate(nav) if row["date"].year == year]
    return nav[max(inside[0] - 1, 0) : inside[-1] + 1]


def test_tables_are_called_as_the_broker_report_s_and_have_its_columns(enhancements: Enhancements) -> None:
    tables = made(enhancements)
    assert list(tables)[: len(NUMBERED)] == NUMBERED
    for name in NUMBERED:
        theirs = [column.replace("ytd2023", "2025") for column in PUBLISHED[name][0]]
        assert tables[name].frame.columns[: len(theirs)] == theirs
    assert tables["table8_csi500_all"].frame.select("label_days", "model").rows() == [
        (label, model) for label in LABELS for model in MODELS
    ]


@pytest.mark.parametrize("share", [0, 0.8])
def test_the_grid_s_excess_by_loops(run: Path, enhancements: Enhancements, share: float) -> None:
    frame = made(enhancements)["table9_csi500_80pct" if share else "table8_csi500_all"].frame
    for industry, stock, column in (
        (0, 0.005, "industry_neutral_stock_0.5pct"),
        (0.02, 0.01, "industry_2pct_stock_1pct"),
    ):
        name = f"csi500:industry_deviation.limit={industry},stock_deviation.limit={stock},constituents.share={share}"
        for row in frame.to_dicts():
            nav = rows(run, "nav", portfolio=name, model=row["model"], label_days=row["label_days"])
            assert row[f"full_{column}"] == pytest.approx(year_excess(nav))
            # The days end in December, so that the latest year is whole; it is not scaled.
            last = since(nav, 2025)
            expected = last[-1]["net"] / last[0]["net"] - last[-1]["benchmark"] / last[0]["benchmark"]
            assert row[f"2025_{column}"] == pytest.approx(expected)


def standard_error(values: list[float], lag: int) -> float:
    """Newey-West's of the mean."""
    mean, n = sum(values) / len(values), len(values)
    variance = sum((value - mean) ** 2 for value in values)
    for step in range(1, lag + 1):
        variance += 2 * (1 - step / (lag + 1)) * sum((x - mean) * (y - mean) for x, y in zip(values[step:], values))
    return max(variance, 0) ** 0.5 / n


def test_years_by_loops(run: Path, enhancements: Enhancements) -> None:
    table = made(enhancements)["table10_csi500_by_year"]
    nav = rows(run, "nav")
    spans = {"2024ytd": since(nav, 2024), "2025": since(nav, 2025), "all": nav}
    assert table.frame["period"].to_list() == list(spans)
    for row, (name, span) in zip(table.frame.to_dicts(), spans.items()):
        whole = span[-1]["net"] / span[0]["net"] - span[-1]["benchmark"] / span[0]["benchmark"]
        expected = year_excess(span) if name == "all" else whole
        assert row["excess"] == pytest.approx(expected)
        daily = list(gains(span))
        mean = sum(daily) / len(daily)
        error = (sum((each - mean) ** 2 for each in daily) / (len(daily) - 1)) ** 0.5 * 242**0.5
        assert row["tracking_error"] == pytest.approx(error)
        # A whole year's excess as it is, else a year's.
        assert row["information_ratio"] == pytest.approx((whole if name == "2025" else year_excess(span)) / error)
        relative = [each["net"] / each["benchmark"] for each in span]
        fall = max(1 - value / max(relative[: place + 1]) for place, value in enumerate(relative))
        assert row["max_drawdown"] == pytest.approx(fall)
        ends = [relative[0]]
        ends += [relative[i] for i in range(1, len(span)) if i == len(span) - 1 or month(span, i) != month(span, i + 1)]
        won = [after > before for before, after in pairwise(ends)]
        assert row["monthly_win_rate"] == pytest.approx(sum(won) / len(won))
        days = 242 if name == "all" else len(daily)
        assert row["excess_se"] == pytest.approx(days * standard_error(daily, 15))


def month(nav: Rows, place: int) -> tuple[int, int]:
    return nav[place]["date"].year, nav[place]["date"].month


def test_the_first_year_by_hand(tmp_path: Path) -> None:
    folder = write_portfolios(tmp_path, ["large"], count=11, vary={})
    hand = pl.DataFrame(
        {
            "portfolio": ["large"] * 3,
            "model": [MODELS[0]] * 3,
            "label_days": pl.Series([5] * 3, dtype=pl.Int32),
            "date": [date(2024, 1, 31), date(2024, 2, 1), date(2024, 2, 2)],
            "gross": [1.0, 1.1, 1.32],
            "net": [1.0, 1.1, 1.21],
            "benchmark": [1.0, 1.0, 1.1],
            "cash": [1.0, 0.02, 0.04],
            "turnover": [None, 1.0, None],
        }
    )
    hand.write_parquet(folder / "nav.parquet")
    found = read(tmp_path)
    (year, everything) = made(found)["table10_large_by_year"].frame.to_dicts()
    # 1.21 − 1.1; before costs 1.32 − 1.1. NAV_p / NAV_b: 1, 1.1, 1.1; January holds the base alone.
    assert (year["period"], year["excess"]) == ("2024ytd", pytest.approx(0.11))
    assert year["excess_gross"] == pytest.approx(0.22)
    assert (year["max_drawdown"], year["monthly_win_rate"]) == (pytest.approx(0, abs=1e-12), 1)
    # Two days are no year.
    assert everything["excess"] is everything["tracking_error"] is everything["excess_se"] is None
    (shown,) = made(found)["enhancement_large_figures"].frame.to_dicts()
    assert shown["net"] is shown["low"] is shown["turnover"] is None
    assert (shown["net_period"], shown["cash"]) == (pytest.approx(0.11), pytest.approx(0.03))
    (line,) = first_lines(found)
    assert "+11.0% on the index in 2 days after costs, too few to annualise" in line.en
    (grid,) = made(found)["table8_large_grid"].frame.rows(named=True)
    assert (grid["full"], grid["ytd2024"]) == (None, pytest.approx(0.11))


def test_the_interval_is_that_of_blocks_drawn_anew(run: Path, enhancements: Enhancements) -> None:
    row = made(enhancements)["enhancement_csi500_figures"].frame.to_dicts()[0]
    daily, draw = list(gains(rows(run, "nav"))), random.Random(3)
    means = []
    for _ in range(2000):
        drawn: list[float] = []
        while len(drawn) < len(daily):
            start = draw.randrange(len(daily))
            drawn += [daily[(start + step) % len(daily)] for step in range(15)]
        means.append(sum(drawn[: len(daily)]) / len(daily))
    means.sort()
    mean = sum(daily) / len(daily)
    # 2,000 draws place a 2.5% quantile to about .05 of the deviation, here 2 permille a year.
    assert row["low"] - row["net"] == pytest.approx(242 * (means[50] - mean), abs=0.008)
    assert row["high"] - row["net"] == pytest.approx(242 * (means[1949] - mean), abs=0.008)


def test_figures_by_loops(run: Path, enhancements: Enhancements) -> None:
    row = made(enhancements)["enhancement_csi500_figures"].frame.to_dicts()[0]
    nav, solves = rows(run, "nav"), rows(run, "solves")
    assert row["net"] == pytest.approx(year_excess(nav))
    assert row["gross"] == pytest.approx(year_excess(nav, "gross"))
    assert row["cash"] == pytest.approx(sum(day["cash"] for day in nav[1:]) / (len(nav) - 1))
    traded = sum(day["turnover"] or 0 for day in nav)
    assert row["turnover"] == pytest.approx(traded / 2 * 242 / (len(nav) - 1))
    for name in ("names", "covered"):
        assert row[name] == pytest.approx(sum(solve[name] for solve in solves) / len(solves))


def test_portfolios_that_start_a_day_apart_have_a_deviation_by_loops(tmp_path: Path) -> None:
    # Two tracks, the second without the first day and another NAV: excess a year of both from the second day on.
    folder = write_portfolios(tmp_path, ["csi500"], count=300, vary={}, rebalance=2, tracks=2)
    nav = pl.read_parquet(folder / "nav.parquet").select("portfolio", "model", "label_days", "date", "net", "benchmark")
    later = nav.filter(pl.col("date") > nav["date"].min()).with_columns(pl.col("net") ** 1.1)
    tracks = [one.with_columns(track=pl.lit(number, pl.Int32)) for number, one in enumerate((nav, later))]
    pl.concat(tracks).write_parquet(folder / "tracks.parquet")
    table = made(read(tmp_path))["enhancement_csi500_figures"].frame
    assert table.height == len(MODELS) * len(LABELS)
    for row in table.to_dicts():
        both = [
            [day for day in track.to_dicts() if (day["model"], day["label_days"]) == (row["model"], row["label_days"])]
            for track in (nav, later)
        ]
        one, other = year_excess(both[0][1:]), year_excess(both[1])
        # Of two the deviation, ddof 1, is their distance over √2.
        assert row["net_starts"] == pytest.approx(abs(one - other) / 2**0.5, rel=1e-9)
    assert "2 start a day apart" in " ".join(text.en for text in conventions(read(tmp_path)))


def test_attribution_adds_up_to_the_excess(run: Path, enhancements: Enhancements) -> None:
    for row in made(enhancements)["enhancement_csi500_attribution"].frame.to_dicts():
        of_model = {"model": row["model"], "label_days": row["label_days"]}
        daily, found = list(gains(rows(run, "nav", **of_model))), rows(run, "attribution", **of_model)
        scale = 242 / len(daily)
        assert row["excess"] == pytest.approx(scale * sum(daily))
        for source in ("industry", "selection", "trading", "cash", "cost"):
            assert row[source] == pytest.approx(
                scale * sum(each["value"] for each in found if each["source"] == source)
            )
        for style in STYLES:
            values = [each["value"] for each in found if (each["source"], each["of"]) == ("style", style)]
            assert row[f"style_{style}"] == pytest.approx(scale * sum(values))
        parts = [value for name, value in row.items() if name not in {"label_days", "model", "excess"}]
        yearly = [value for name, value in row.items() if not name.endswith("_period")][3:]
        assert sum(yearly) == pytest.approx(row["excess"])
        assert len(parts) == 2 * len(yearly) + 1


def test_exposures_by_loops(run: Path, enhancements: Enhancements) -> None:
    table = made(enhancements)["enhancement_csi500_exposures"]
    assert table.keys == ("kind", "of")
    found = {(row["kind"], row["of"]): row for row in table.frame.to_dicts()}
    expected = [("style", name) for name in STYLES] + [("industry", name) for name in INDUSTRIES]
    assert list(found) == [*expected, ("constituents", "constituents")]
    active, earned = rows(run, "active"), rows(run, "attribution")
    days = len(rows(run, "nav")) - 1
    for kind, name in expected:
        here = [row for row in active if (row["kind"], row["of"]) == (kind, name)]
        less = [row["held"] - row["benchmark"] for row in here]
        row = found[kind, name]
        assert row["held"] == pytest.approx(sum(each["held"] for each in here) / len(here))
        assert row["active"] == pytest.approx(sum(less) / len(less))
        assert (row["least"], row["largest"]) == (min(less), max(less))
        values = [each["value"] for each in earned if (each["source"], each["of"]) == (kind, name)]
        assert row["contribution"] == pytest.approx(242 / days * sum(values))
    assert found["constituents", "constituents"]["contribution"] is None


def test_infeasible_dates_by_loops(run: Path, enhancements: Enhancements) -> None:
    table = made(enhancements)["enhancement_csi500_infeasible"].frame
    every = pl.read_parquet(run / "portfolios" / "solves.parquet").to_dicts()
    every = [row for row in every if row["portfolio"].startswith("csi500:")]
    gave = pl.read_parquet(run / "portfolios" / "relaxed.parquet").to_dicts()
    conflicts = {
        (row["portfolio"], row["model"], row["label_days"], row["date"]): row["conflict"]
        for row in every
        if row["conflict"]
    }
    totals: dict[tuple[str, str], dict[tuple[object, ...], float]] = {}
    for row in gave:
        key = (row["portfolio"], row["model"], row["label_days"], row["date"])
        if key in conflicts:
            named = "industry_deviation, turnover given tradability" if "bank" in conflicts[key] else conflicts[key]
            of_key = totals.setdefault((named, row["part"]), {})
            of_key[key] = of_key.get(key, 0) + row["amount"]
    assert {(row["conflict"], row["part"]) for row in table.to_dicts()} == set(totals)
    assert len(totals) == 3
    for row in table.to_dicts():
        amounts = totals[row["conflict"], row["part"]]
        assert row["solves"] == len(amounts)
        assert row["share"] == pytest.approx(len(amounts) / len(every))
        assert row["dates"] == sum(key[:3] == (SHOWN, MODELS[0], LABELS[0]) for key in amounts)
        assert row["amount"] == pytest.approx(sum(amounts.values()) / len(amounts))
        assert row["largest"] == pytest.approx(max(amounts.values()))


@pytest.mark.parametrize(
    ("conflict", "expected"),
    [
        ("turnover", "turnover"),
        ("industry_deviation (bank, steel and 3 more), turnover", "industry_deviation, turnover"),
        ("turnover given tradability (A (B), C)", "turnover given tradability"),
    ],
)
def test_a_cause_names_no_symbols(conflict: str, expected: str) -> None:
    assert cause(conflict) == expected


def test_certificates_are_the_worst(run: Path, enhancements: Enhancements) -> None:
    table = made(enhancements)["enhancement_certificates"].frame.to_dicts()
    solves = pl.read_parquet(run / "portfolios" / "solves.parquet").to_dicts()
    for row in table:
        ours = [solve for solve in solves if solve["portfolio"].startswith(f"{row['enhancement']}:")]
        assert (row["portfolios"], row["solves"]) == (8 * len(MODELS) * len(LABELS) + RANDOM, len(ours))
        assert row["infeasible"] == sum(solve["conflict"] is not None for solve in ours)
        for name in ("primal", "dual", "gap"):
            assert row[name] == max(solve[name] for solve in ours)


@pytest.mark.parametrize(
    ("indices", "vary", "expected"),
    [
        (["csi1000"], {}, ["table11_csi1000_all", "table13_csi1000_by_year"]),
        (
            ["large", "csi500", "small"],
            {"constituents.share": (0.8, 0.9)},
            ["table9_csi500_80pct", "table10_csi500_by_year", "table12_large_80pct", "table13_large_by_year",
             "enhancement_large_90pct", "enhancement_csi500_90pct", "enhancement_small_80pct",
             "enhancement_small_90pct", "enhancement_small_by_year"],
        ),
        (
            {"calm": "large", "bold": "large"},
            {},
            ["table8_calm_all", "table10_calm_by_year", "table11_bold_all", "table13_bold_by_year"],
        ),
        (["a/b"], {}, ["table8_a%2Fb_all", "table10_a%2Fb_by_year"]),
    ],
)  # fmt: skip
def test_numbers_and_names(
    tmp_path: Path, indices: list[str], vary: dict[str, tuple[float, ...]], expected: list[str]
) -> None:
    write_portfolios(tmp_path, indices, count=11, vary=vary)
    path = tmp_path / "portfolios" / "prices.parquet"
    if not vary:
        pl.read_parquet(path).filter(pl.col("part") != "constituents").write_parquet(path)
    assert list(made(read(tmp_path)))[: len(expected)] == expected


def test_a_limit_of_one_enhancement_is_none_of_another(tmp_path: Path) -> None:
    write_portfolios(tmp_path, {"mostly": "csi500", "free": "csi1000"}, count=11, vary={})
    path = tmp_path / "portfolios" / "prices.parquet"
    free = (pl.col("portfolio") == "free") & (pl.col("part") == "constituents")
    pl.read_parquet(path).filter(~free).write_parquet(path)
    assert list(made(read(tmp_path)))[:4:2] == ["table8_csi500_grid", "table11_csi1000_all"]


def test_a_limit_that_does_not_vary_is_not_called_none(tmp_path: Path) -> None:
    write_portfolios(tmp_path, ["csi500"], count=11, vary={"style_deviation.limits.size": (0.1, 0.2)})
    table = made(read(tmp_path))["table8_csi500_grid"]
    assert table.frame.columns[2:6] == [
        f"{span}_style_deviation.limits.size_{limit}" for span in ("full", "ytd2024") for limit in (0.1, 0.2)
    ]
    assert "all stocks" not in table.title


@given(
    st.dictionaries(
        st.sampled_from([*list(VARY)[:2], "turnover.limit", "style_deviation.limits.mid_cap", "own_2.x"]),
        st.decimals(0, 1, places=4).map(float),
        min_size=1,
    )
)
def test_a_column_s_heading_says_what_varies(varied: dict[str, float]) -> None:
    (heading,) = enhancement_headings("table8_csi500_all", [f"full_{heading_name(varied)}"])
    assert set(heading.label.split(", ")) == {setting_title(key, value).en for key, value in varied.items()}


def test_the_page_shows_them_with_the_published_figures_beside(run: Path, html: str) -> None:
    for name in NUMBERED:
        article = re.search(rf'<article id="{name}">.*?</article>', html, re.DOTALL)
        assert article is not None
        assert f'id="{name}-published"' in article[0]
        assert "2024-02-01 to 2025-12-31, 500 closes." in article[0]
        assert "Real market; flaws of its data that are known: " in article[0]
        assert '<a href="#enhancement-conventions">' in article[0]
        assert (run / "tables" / f"{name}.csv").is_file()
    assert html.count("By its figures it is") == 2
    assert '<a href="#enhancement">' in html
    head = re.search(r'<ul class="conventions" id="enhancement-conventions">.*?</ul>', html, re.DOTALL)
    assert head is not None
    # Once at the head of the section, once among the page's conventions.
    assert "decided every 5 trading days" in head[0]
    assert html.count("decided every 5 trading days") == 2
    assert "Style momentum is left out." in html
    assert len(html.encode()) < 5_000_000


def drawn(run: Path, name: str) -> dict[str, dict[str, float]]:
    """A figure's values by line and date."""
    figure = json.loads((run / "figures" / f"{name}.json").read_text("utf-8"))
    return {trace["name"]: dict(zip(trace["x"], trace["y"], strict=True)) for trace in figure["data"]}


@pytest.mark.parametrize("leg", ["gross", "net"])
def test_cumulative_excess_is_nav_over_nav(run: Path, html: str, leg: str) -> None:
    lines = drawn(run, f"enhancement_excess_csi500_{leg}_10d")
    assert list(lines) == list(MODELS)
    for model, values in lines.items():
        for row in rows(run, "nav", model=model, label_days=10):
            assert values[row["date"].isoformat()] == pytest.approx(row[leg] / row["benchmark"] - 1, abs=1e-5)


def test_exposures_and_prices_are_drawn_date_by_date(run: Path, html: str) -> None:
    styles, industries = drawn(run, "enhancement_style_csi500"), drawn(run, "enhancement_industry_csi500")
    assert (set(styles), set(industries)) == (set(STYLES), set(INDUSTRIES))
    for row in rows(run, "active"):
        if row["kind"] != "constituents":
            value = (styles | industries)[row["of"]][row["date"].isoformat()]
            # Four digits are drawn.
            assert value == pytest.approx(row["held"] - row["benchmark"], rel=1e-3)
    prices, binding = drawn(run, "enhancement_prices_csi500"), drawn(run, "enhancement_binding_csi500")
    assert "budget" not in prices
    found = [row for row in rows(run, "prices") if row["part"] != "budget"]
    for row in found:
        day = row["date"].isoformat()
        assert prices[row["part"]][day] == pytest.approx(row["price"], rel=1e-3)
        assert binding[row["part"]][day] == row["binding"]
    # Nothing limits turnover at the first date.
    assert prices["turnover"][found[0]["date"].isoformat()] == 0


def test_of_many_industries_the_largest_are_drawn(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", count=30)
    path = write_portfolios(run, ["large"], count=60, vary={}) / "active.parquet"
    frame = pl.read_parquet(path)
    bank = frame.filter(of="bank")
    many = [
        bank.with_columns(pl.lit(f"i{number}").alias("of"), (pl.col("benchmark") - number / 100).alias("held"))
        for number in range(9)
    ]
    pl.concat([frame.filter(pl.col("kind") != "industry"), *many]).write_parquet(path)
    write_report(run)
    # i0 and i1 differ least; the others keep their order.
    assert list(drawn(run, "enhancement_industry_large")) == [f"i{number}" for number in range(2, 9)]


def test_figures_stand_in_their_section(html: str) -> None:
    section = html[html.index('<section id="enhancement">') : html.index('<section id="figures">')]
    rest = html[html.index('<section id="figures">') : html.index('<section id="data">')]
    groups = re.findall(r'data-group="(\w+)"', section)
    assert groups == ["enhancement_excess", "enhancement_exposures", "enhancement_prices"]
    assert 'data-group="enhancement' not in rest
    # As they stand until plotly has drawn them.
    assert section.count('<svg class="still"') == 3


def test_the_first_screen_has_a_line_of_each(run: Path, html: str, enhancements: Enhancements) -> None:
    first = html[html.index('<section id="overview"') : html.index('<section id="tables"')]
    line, _ = first_lines(enhancements)
    assert line.en in first
    assert line.zh in first
    nav = rows(run, "nav")
    assert f"+{year_excess(nav):.1%} ± " in line.en
    (row,) = made(enhancements)["table10_csi500_by_year"].frame.filter(period="all").to_dicts()
    assert f"tracking error {row['tracking_error']:.1%}, information ratio {row['information_ratio']:.2f}; " in line.en
    excesses = [year_excess(rows(run, "nav", model=f"random {n}", label_days=0)) for n in range(1, RANDOM + 1)]
    gain = f"{sum(excesses) / RANDOM:+.1%} ± {deviation(excesses) / RANDOM**0.5:.1%}".replace("-", "−")
    assert line.en.endswith(f"; 3 random scores: {gain}.")
    assert line.zh.endswith(f"；3 组随机得分：{gain}。")


def deviation(values: list[float]) -> float:
    """Standard deviation of a sample."""
    mean = sum(values) / len(values)
    return (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5


def test_random_scores_are_one_row_of_means(run: Path, enhancements: Enhancements, html: str) -> None:
    table = made(enhancements)["enhancement_csi500_figures"]
    row = table.frame.to_dicts()[-1]
    assert (row["label_days"], row["model"], table.beside) == (0, "3 random scores", ("3 random scores",))
    every = [
        (rows(run, "nav", model=name, label_days=0), rows(run, "solves", model=name, label_days=0))
        for name in ("random 1", "random 2", "random 3")
    ]
    for figure, values in (
        ("net", [year_excess(nav) for nav, _ in every]),
        ("gross", [year_excess(nav, "gross") for nav, _ in every]),
        ("turnover", [sum(day["turnover"] or 0 for day in nav) / 2 * 242 / (len(nav) - 1) for nav, _ in every]),
        ("names", [sum(solve["names"] for solve in solves) / len(solves) for _, solves in every]),
    ):
        assert row[figure] == pytest.approx(sum(values) / 3)
        assert row[f"{figure}_se"] == pytest.approx(deviation(values) / 3**0.5)
    spread = deviation([year_excess(nav) for nav, _ in every])
    assert row["net_std"] == pytest.approx(spread)
    # An interval of a mean over draws would say nothing of other days.
    assert row["low"] is row["high"] is None
    article = re.search(r'<article id="enhancement_csi500_figures">.*?</article>', html, re.DOTALL)
    assert article is not None
    assert f"one’s excess has a standard deviation of {spread:.1%}." in article[0]
    assert '<span class="zh" lang="zh-CN">3 组随机得分</span>' in article[0]
    assert "For comparison" in article[0]
    assert 'data-columns=\'["names", "names_se"]\'' in article[0]


def test_one_random_score_has_no_error(tmp_path: Path) -> None:
    write_portfolios(tmp_path, ["large"], count=11, vary={}, random_scores=1)
    found = read(tmp_path)
    table = made(found)["enhancement_large_figures"]
    row = table.frame.to_dicts()[-1]
    assert (row["model"], row["net"]) == ("1 random score", None)
    assert not [column for column in table.frame.columns if column.endswith("_std")]
    assert "standard deviation" not in table.said.en
    (line,) = first_lines(found)
    # Ten days are too few for a year's.
    assert line.en.endswith(f"too few to annualise; 1 random score: {row['net_period']:+.1%}.".replace("-", "−"))


def test_the_stocks_that_added_and_took_most(run: Path, enhancements: Enhancements, html: str) -> None:
    table = made(enhancements)["enhancement_csi1000_contributions"]
    assert table.keys == ("symbol",)
    frame = pl.read_parquet(run / "portfolios" / "contributions.parquet").to_dicts()
    shown = [row for row in frame if (row["model"], row["label_days"]) == (MODELS[0], LABELS[0])]
    values = {row["symbol"]: row["value"] for row in shown if row["portfolio"].startswith("csi1000:")}
    largest = sorted(values, key=lambda symbol: -abs(values[symbol]))[:10]
    assert 0 < sum(values[symbol] < 0 for symbol in largest) < 10
    largest.sort(key=lambda symbol: -values[symbol])
    expected = {symbol: values[symbol] for symbol in largest}
    expected["others"] = sum(value for symbol, value in values.items() if symbol not in largest)
    expected["all"] = sum(values.values())
    assert table.frame["symbol"].to_list() == list(expected)
    assert table.frame["value"].to_list() == pytest.approx(list(expected.values()))
    assert "The 10 largest of 40 stocks" in table.said.en
    article = re.search(r'<article id="enhancement_csi1000_contributions">.*?</article>', html, re.DOTALL)
    assert article is not None
    assert f"{expected['all']:+.2%}".replace("-", "−") in article[0]
    assert (run / "tables" / "enhancement_csi1000_contributions.csv").is_file()


def test_every_table_says_how_of_what_and_when(enhancements: Enhancements) -> None:
    for table in enhancement_tables(enhancements):
        assert "2024-02-01 to 2025-12-31" in table.said.en
        assert "2024-02-01 至 2025-12-31" in table.said.zh
        # Two or three lines of the page.
        assert len(table.said.en) < 400


def test_conventions_name_the_constraints_and_the_order(enhancements: Enhancements) -> None:
    said = conventions(enhancements)
    assert all(text.zh for text in said)
    english, chinese = " ".join(text.en for text in said), "".join(text.zh for text in said)
    assert "csi1000, csi500: decided" in english or "csi500, csi1000: decided" in english
    assert "filled at T+1 VWAP" in english
    assert "Costs: 0.30% per round trip" in english
    assert "limits are stock deviation ± 0.5%, size neutral, industry neutral, turnover 30%." in english
    assert (
        "first turnover; then style_deviation (size); then industry_deviation; then constituents; then "
        "stock_deviation. Σ w = 1, w ≥ 0 and what cannot be traded never do." in english
    )
    assert "所示组合的约束为个股偏离 ±0.5%，市值中性，行业中性，换手 30%。" in chinese
    assert "依次放松换手率；风格偏离（市值）；行业偏离；成分股占比；个股偏离；满仓、" in chinese
    assert "Random scores: the shown portfolio with scores drawn at random" in english


def test_conventions_say_what_differs(tmp_path: Path) -> None:
    folder = write_portfolios(tmp_path, ["a", "b"], count=11, vary={}, order=[["turnover"], ["constituents"]])
    grid = json.loads((folder / "grid.json").read_text("utf-8"))
    grid["tradability"]["b"], grid["constraints"]["b"], grid["cost"]["b"] = "fill", [], 0.0
    (folder / "grid.json").write_text(json.dumps(grid), "utf-8")
    english = [text.en for text in conventions(read(tmp_path))]
    (known,) = (text for text in english if text.startswith("a: decided"))
    (ahead,) = (text for text in english if text.startswith("b: decided"))
    assert "which nobody knows then" in ahead
    assert "which nobody knows then" not in known
    assert "Costs: 0.00% per round trip, half of it on every yuan bought or sold." in english
    assert "b: the shown portfolio’s limits are nothing else." in english
    (order,) = (text for text in english if "give way" in text)
    assert order.startswith("a, b: constraints that exclude each other give way by the least they can, first ")
    assert (
        "first constituents; then turnover. stock_deviation, style_deviation (size), industry_deviation, Σ w" in order
    )
    assert not [text for text in english if "Random" in text]


def test_conventions_say_which_has_the_fees_of_a_ledger_and_which_no_costs(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", count=30)
    grid = write_portfolios(run, count=11) / "grid.json"
    cost = {"csi500": {"capital": 1e8, "commission": 0.00025}, "csi1000": 0.0}
    grid.write_text(json.dumps(json.loads(grid.read_text("utf-8")) | {"cost": cost}), "utf-8")
    said = conventions(read(run))
    english, chinese = " ".join(text.en for text in said), "".join(text.zh for text in said)
    assert "a commission of 0.025% with its least an order" in english
    assert "from 100,000,000 yuan" in english
    assert "Costs: 0.00% per round trip" in english
    assert "佣金 0.025%" in chinese


def test_simulated_markets_and_other_indices_have_nothing_beside(tmp_path: Path) -> None:
    for name, simulated, index in (("a", True, "csi500"), ("b", False, "large")):
        run = write_run(tmp_path / name, count=30, simulated=simulated)
        write_portfolios(run, [index], count=11)
        html = write_report(run).read_text("utf-8")
        section = html[html.index('<section id="enhancement">') : html.index('<section id="figures">')]
        assert "published" not in section
        assert f'id="table8_{index}_all"' in section


def test_a_run_without_portfolios_says_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", count=30)
    assert read_enhancements(run) is None
    html = write_report(run).read_text("utf-8")
    assert "enhance" not in html[html.index("<header>") : html.index('id="figures-data"')]
    write_portfolios(run, ["csi500"], count=11)
    write_report(run)
    assert (run / "tables" / "table8_csi500_all.csv").is_file()


def test_names_are_no_markup(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", count=30)
    name = '"><img src=x onerror=alert(1)>'
    write_portfolios(run, {"x": name, "<script>y": "z"}, count=11, vary={}, missing=[(name, name)])
    html = write_report(run).read_text("utf-8")
    assert "<img" not in html
    assert "<script>y" not in html
    (linked,) = re.findall(r'href="(tables/table8_[^"]*)"', html)
    assert linked.endswith(".csv")


def changed(folder: Path, setting: str, value: object) -> None:
    """Set one of the settings in grid.json."""
    path = folder / "grid.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {setting: value}), "utf-8")


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda folder: (folder / "grid.json").unlink(), r"grid\.json: the file is missing; rerun the enhance stage"),
        (lambda folder: (folder / "grid.json").write_text('{"portfolios": 1}'), r"grid\.json: portfolios: .*; rerun"),
        (lambda folder: changed(folder, "order", {}), r"grid\.json: order: nothing is said of 'csi500'; rerun the"),
        (
            lambda folder: changed(folder, "constraints", {"csi500": [{"kind": "turnover"}]}),
            r"grid\.json: limit: Field required; rerun the enhance stage",
        ),
        (lambda folder: (folder / "nav.parquet").unlink(), r"nav\.parquet: the file is missing"),
        (lambda folder: (folder / "prices.parquet").write_bytes(b"PAR1"), r"prices\.parquet: is damaged"),
        (
            lambda folder: (folder / "solves.parquet").write_bytes((folder / "relaxed.parquet").read_bytes()),
            r"solves\.parquet:primal: the column is missing; rerun the enhance stage",
        ),
    ],
)
def test_what_is_damaged_is_named(tmp_path: Path, break_it: object, said: str) -> None:
    folder = write_portfolios(tmp_path, ["csi500"], count=11, vary={})
    assert callable(break_it)
    break_it(folder)
    with pytest.raises(DataError, match=said):
        read_enhancements(tmp_path)


def test_a_portfolio_without_two_closes_is_named_as_missing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", count=30)
    folder = write_portfolios(run, ["csi500"], count=11, vary={})
    nav = pl.read_parquet(folder / "nav.parquet")
    nav.filter(pl.col("date") == nav["date"].min()).write_parquet(folder / "nav.parquet")
    assert read(run).listed == ()
    html = write_report(run).read_text("utf-8")
    assert "Enhancement csi500: no two closes to show." in html
    assert 'id="enhancement"' not in html

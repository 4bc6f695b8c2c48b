"""Constraints in words, in both languages."""

import pytest
from pydantic import ValidationError

from polygrain.portfolio.constraints import (
    Constituents,
    HoldingWeight,
    IndustryDeviation,
    Linear,
    StockDeviation,
    StyleDeviation,
    Turnover,
)
from polygrain.report.limits import Foreign, decoded, grouped, limit_titles

SIX = ("mid_cap", "reversal", "momentum", "volatility", "turnover", "liquidity")


@pytest.mark.parametrize(
    ("constraint", "said", "said_zh"),
    [
        (StockDeviation(limit=0.005), "stock deviation ± 0.5%", "个股偏离 ±0.5%"),
        (IndustryDeviation(limit=0.0), "industry neutral", "行业中性"),
        (IndustryDeviation(limit=0.02), "industry deviation ± 2%", "行业偏离 ±2%"),
        (Constituents(share=0.8), "constituents 80% or more", "成分股不低于 80%"),
        # .07 · 100 is 7.000000000000001.
        (Turnover(limit=0.07), "turnover 7%", "换手 7%"),
        (HoldingWeight(maximum=0.05), "weights 0% to 5%", "权重 0% 至 5%"),
        (
            HoldingWeight(minimum=0.01, symbols=["a", "b"]),
            "weights of 2 stocks 1% to 100%",
            "权重（2 只） 1% 至 100%",
        ),
        (Linear(column="beta", lower=0.9, upper=1.1), "0.9 ≤ beta ≤ 1.1", ""),
        (Linear(name="esg", coefficients={"a": 1.0}, upper=0.0), "esg of 1 stocks ≤ 0", ""),
        (decoded({"kind": "own", "name": None, "share": 0.2, "of": None}), "own (share 0.2)", "own（share 0.2）"),
        (Foreign("bare", {}), "bare", "bare"),
    ],
)
def test_a_limit_with_its_number(constraint: object, said: str, said_zh: str) -> None:
    (title,) = limit_titles([constraint], ())  # type: ignore[list-item]
    assert (title.en, title.zh) == (said, said_zh)


def test_no_least_share_is_no_limit() -> None:
    assert limit_titles([Constituents(share=0.0)], ()) == []


def test_styles_of_one_limit_stand_together() -> None:
    two = StyleDeviation(limits={"size": 0.0, "valuation": 0.0})
    low = StyleDeviation(name="low", limits={**dict.fromkeys(SIX, 0.8), "profitability": 0.8}, optional=True)
    # The data has no profitability: it is not among the parts in force.
    parts = ["style_deviation.size", "style_deviation.valuation", *(f"low.{style}" for style in SIX)]
    titles = limit_titles([two, low], parts)
    assert [title.en for title in titles] == [
        "size and valuation neutral",
        "6 styles (mid_cap, reversal, momentum, volatility, turnover, liquidity) ± 0.8",
    ]
    assert [title.zh for title in titles] == [
        "市值和估值中性",
        "6 个风格（中市值、反转、动量、波动率、换手率、流动性） ±0.8",
    ]


def test_limits_that_differ_stand_apart() -> None:
    titles = limit_titles(
        [StyleDeviation(limits={"size": 0.2, "own": 0.0})], ("style_deviation.size", "style_deviation.own")
    )
    assert [(title.en, title.zh) for title in titles] == [("size ± 0.2", "市值 ±0.2"), ("own neutral", "own中性")]


def test_what_is_read_is_what_was_written() -> None:
    written = StyleDeviation(name="low", limits={"size": 0.2}, optional=True)
    assert decoded(written.model_dump(mode="json")) == written
    with pytest.raises(ValidationError):
        decoded({"kind": "stock_deviation"})


def test_parts_of_one_constraint_stand_together() -> None:
    parts = ["turnover", *(f"low.{style}" for style in SIX), "style_deviation.size"]
    found = grouped(parts)
    assert found.en == "turnover, low (mid_cap, reversal and 4 more), style_deviation (size)"
    assert found.zh == "换手率、low（中市值、反转等 6 项）、风格偏离（市值）"
    assert grouped([]).en == ""

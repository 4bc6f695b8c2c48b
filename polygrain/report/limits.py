"""The constraints of a portfolio in words: "stock deviation ± 0.5%, industry neutral, size and valuation neutral"."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from polygrain.portfolio.constraint import Constraint
from polygrain.portfolio.constraints import (
    Constituents,
    HoldingWeight,
    IndustryDeviation,
    Linear,
    StockDeviation,
    StyleDeviation,
    Turnover,
)
from polygrain.report.titles import STYLES, part_title
from polygrain.report.words import Text

_OURS: tuple[type[Constraint], ...] = (
    *(Constituents, HoldingWeight, IndustryDeviation, Linear, StockDeviation, StyleDeviation, Turnover),
)
_BY_KIND = {str(kind.model_fields["kind"].default): kind for kind in _OURS}
_FEW = 2  # names that stand in a sentence one by one


@dataclass(frozen=True)
class Foreign:
    """A constraint of a plug-in, which a report does not need."""

    label: str
    fields: Mapping[str, JsonValue]


def decoded(tree: Mapping[str, JsonValue]) -> Constraint | Foreign:
    """A constraint from its settings; a pydantic ValidationError where one of ours is damaged."""
    kind, name = str(tree.get("kind")), tree.get("name")
    if kind in _BY_KIND:
        return _BY_KIND[kind].model_validate(tree)
    fields = {key: value for key, value in tree.items() if key not in ("kind", "name") and value is not None}
    return Foreign(str(name or kind), fields)


def limit_titles(constraints: Sequence[Constraint | Foreign], parts: Collection[str]) -> list[Text]:
    """What each of the constraints says; `parts` are those in force: an optional style that the data lacks is not."""
    return [text for one in constraints for text in _titles(one, parts)]


def _titles(constraint: Constraint | Foreign, parts: Collection[str]) -> Iterator[Text]:
    match constraint:
        case StockDeviation(limit=limit):
            yield Text(f"stock deviation ± {_percent(limit)}", f"个股偏离 ±{_percent(limit)}")
        case IndustryDeviation(limit=0):
            yield Text("industry neutral", "行业中性")
        case IndustryDeviation(limit=limit):
            yield Text(f"industry deviation ± {_percent(limit)}", f"行业偏离 ±{_percent(limit)}")
        case StyleDeviation():
            yield from _styles(constraint, parts)
        case Constituents(share=share) if share > 0:
            yield Text(f"constituents {_percent(share)} or more", f"成分股不低于 {_percent(share)}")
        case Turnover(limit=limit):
            yield Text(f"turnover {_percent(limit)}", f"换手 {_percent(limit)}")
        case HoldingWeight(minimum=low, maximum=high, symbols=some):
            of, of_zh = ("", "") if some is None else (f" of {len(some)} stocks", f"（{len(some)} 只）")
            least, most = _percent(low), _percent(high)
            yield Text(f"weights{of} {least} to {most}", f"权重{of_zh} {least} 至 {most}")
        case Linear(column=column, coefficients=some, lower=lower, upper=upper):
            name = column or f"{constraint.label} of {len(some or ())} stocks"
            at_least, at_most = "" if lower is None else f"{lower:g} ≤ ", "" if upper is None else f" ≤ {upper:g}"
            yield Text(f"{at_least}{name}{at_most}")
        case Foreign(label=label, fields=fields):
            said = ", ".join(f"{key} {value}" for key, value in fields.items())
            yield Text(f"{label} ({said})" if said else label, f"{label}（{said}）" if said else label)


def _percent(value: float) -> str:
    return f"{100 * value:g}%"


def _styles(constraint: StyleDeviation, parts: Collection[str]) -> Iterator[Text]:
    """Styles of one limit together, by name where they are few."""
    in_force = {style: limit for style, limit in constraint.limits.items() if f"{constraint.label}.{style}" in parts}
    for limit in dict.fromkeys(in_force.values()):
        styles = [style for style in in_force if in_force[style] == limit]
        names, names_zh = " and ".join(styles), "和".join(map(_style_zh, styles))
        if len(styles) > _FEW:
            names = f"{len(styles)} styles ({', '.join(styles)})"
            names_zh = f"{len(styles)} 个风格（{'、'.join(map(_style_zh, styles))}）"
        yield (
            Text(f"{names} ± {limit:g}", f"{names_zh} ±{limit:g}")
            if limit
            else Text(f"{names} neutral", f"{names_zh}中性")
        )


def _style_zh(style: str) -> str:
    return STYLES.get(style, (style, style))[1]


def grouped(parts: Sequence[str]) -> Text:
    """Parts of the constraints, those of one together: style_deviation (size, valuation), turnover.

    Of many the first ones are named.
    """
    heads: dict[str, list[str]] = {}
    for part in parts:
        head, _, piece = part.rpartition(".")
        heads.setdefault(head or piece, []).extend([piece] if head else [])
    said, said_zh = [], []
    for head, pieces in heads.items():
        named, named_zh = ", ".join(pieces[:_FEW]), "、".join(map(_style_zh, pieces[:_FEW]))
        more, more_zh = (f" and {len(pieces) - _FEW} more", f"等 {len(pieces)} 项") if pieces[_FEW:] else ("", "")
        said.append(f"{head} ({named}{more})" if pieces else head)
        said_zh.append((part_title(head).zh or head) + (f"（{named_zh}{more_zh}）" if pieces else ""))
    return Text(", ".join(said), "、".join(said_zh))

"""Index enhancement the slow way, from its equations: plain loops, every vertex, and cvxpy with Clarabel."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import cvxpy as cp
import numpy as np

from polygrain.portfolio.constraint import Constraint
from polygrain.portfolio.context import DateContext

Sum = tuple[str, list[float], float, float]
"""A part, its coefficients, and the least and most that their sum with the weights may be."""


@dataclass
class Stated:
    """A date's problem in plain numbers; what a part says of single weights is kept by part."""

    mu: list[float]
    held: list[float] | None
    sums: list[Sum] = field(default_factory=list)
    ranges: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    turnover: float | None = None


def stated(date: DateContext, constraints: Sequence[Constraint]) -> Stated:
    """The problem that the constraints' docstrings describe."""
    places = range(len(date.symbols))
    known = [float(s) for s in date.score if math.isfinite(s)]
    mean = sum(known) / len(known)
    std = math.sqrt(sum((s - mean) ** 2 for s in known) / len(known))
    mu = [(float(s) - mean) / std if math.isfinite(s) and std > 1e-12 else 0.0 for s in date.score]
    held = None if date.previous is None else [float(w) for w in date.previous]
    found = Stated(mu, held, [("budget", [1.0] * len(mu), 1.0, 1.0)])
    b = [float(w) for w in date.benchmark]
    for one in constraints:
        kind, limit = one.kind, getattr(one, "limit", 0.0)
        if kind == "stock_deviation":
            found.ranges[one.label] = [(b[i] - limit, b[i] + limit) for i in places]
        elif kind == "holding_weight":
            chosen = date.symbols if one.symbols is None else one.symbols
            inside = [symbol in chosen for symbol in date.symbols]
            found.ranges[one.label] = [(one.minimum, one.maximum) if inside[i] else (0.0, 1.0) for i in places]
        elif kind == "style_deviation":
            for style, room in one.limits.items():
                x = [float(v) for v in date.exposures[date.styles.index(style)]]
                middle = sum(x[i] * b[i] for i in places)
                found.sums.append((f"{one.label}.{style}", x, middle - room, middle + room))
        elif kind == "industry_deviation":
            for code in sorted(set(date.industry.tolist())):
                ours = [float(date.industry[i] == code) for i in places]
                middle = sum(ours[i] * b[i] for i in places)
                found.sums.append((one.label, ours, middle - limit, middle + limit))
        elif kind == "constituents":
            found.sums.append((one.label, [float(m) for m in date.member], one.share, math.inf))
        elif kind == "linear":
            a = [one.coefficients.get(symbol, 0.0) for symbol in date.symbols]
            least, most = (
                (-math.inf if one.lower is None else one.lower),
                (math.inf if one.upper is None else one.upper),
            )
            found.sums.append((one.label, a, least, most))
        else:
            assert kind == "turnover"
            found.turnover = limit if held is not None else None
    return found


def tradable(date: DateContext, place: int, low: float, high: float) -> tuple[float, float]:
    """The bounds that tradability makes of a range."""
    held = 0.0 if date.previous is None else float(date.previous[place])
    if date.frozen[place]:
        return held, held
    if not date.eligible[place]:
        low, high = 0.0, min(high, held)
    if not date.buyable[place]:
        low, high = min(low, held), min(high, held)
    if not date.sellable[place]:
        low, high = max(low, held), max(high, held)
    return low, high


def ranges(date: DateContext, problem: Stated, parts: Collection[str]) -> list[tuple[float, float]]:
    """The bounds of every weight that long-only, these parts and tradability make."""
    found = []
    for place in range(len(problem.mu)):
        low = max([0.0, *(problem.ranges[part][place][0] for part in parts)])
        high = min([1.0, *(problem.ranges[part][place][1] for part in parts)])
        found.append(tradable(date, place, low, high))
    return found


def best_vertex(date: DateContext, constraints: Sequence[Constraint]) -> list[float] | None:
    """The optimum among all points where enough limits meet, ties as solve breaks them; None where none is feasible.

    Turnover is a limit for every set S of symbols: Σ_{i∈S} (w_i − w⁰_i) ≤ limit for buys, and the same for sells.
    """
    problem = stated(date, constraints)
    n = len(problem.mu)
    unit = np.eye(n)
    upper: list[tuple[np.ndarray, float]] = []
    for place, (low, high) in enumerate(ranges(date, problem, problem.ranges)):
        upper += [(unit[place], high), (-unit[place], -low)]
    for _, a, low, high in problem.sums[1:]:
        upper += [(np.array(a), high)] * (high < math.inf) + [(-np.array(a), -low)] * (low > -math.inf)
    kinks: list[tuple[np.ndarray, float]] = []
    if problem.held is not None:
        held = np.array(problem.held)
        kinks = [(unit[place], held[place]) for place in range(n)]
        if problem.turnover is not None:
            for inside in itertools.product([0.0, 1.0], repeat=n):
                a = np.array(inside)
                upper += [(a, problem.turnover + a @ held), (-a, problem.turnover - a @ held)] * bool(a.any())
    planes = upper + kinks
    chosen = np.array(list(itertools.combinations(range(len(planes)), n - 1)))
    normals, limits = np.array([a for a, _ in planes]), np.array([c for _, c in planes])
    systems = np.concatenate([np.ones((len(chosen), 1, n)), normals[chosen]], axis=1)
    values = np.concatenate([np.ones((len(chosen), 1)), limits[chosen]], axis=1)
    regular = np.abs(np.linalg.det(systems)) > 1e-9
    points = np.linalg.solve(systems[regular], values[regular][..., None])[..., 0]
    feasible = points[
        (points @ np.array([a for a, _ in upper]).T <= np.array([c for _, c in upper]) + 1e-10).all(axis=1)
    ]
    if not len(feasible):
        return None
    goals = [feasible @ np.array(problem.mu)]
    if problem.held is not None:
        goals.append(-np.maximum(feasible - np.array(problem.held), 0).sum(axis=1))
    left = np.ones(len(feasible), bool)
    for goal in [*goals, *feasible.T]:
        left &= goal >= goal[left].max() - 1e-9
    return [float(v) for v in feasible[left][0]]


def modelled(
    date: DateContext, problem: Stated, parts: Collection[str], soft: Sequence[tuple[str, ...]] = ()
) -> tuple[cp.Variable, list[cp.Constraint], list[cp.Expression]]:
    """Weights, the constraints of the parts, and the violation of each group of soft parts, as cvxpy states them."""
    w = cp.Variable(len(problem.mu))
    waived = {part for group in soft for part in group}
    firm = ranges(date, problem, [part for part in problem.ranges if part in parts and part not in waived])
    rules = [w >= [low for low, _ in firm], w <= [high for _, high in firm]]
    total: dict[str, list[cp.Expression]] = {part: [] for part in waived}
    for part, a, low, high in problem.sums:
        value = np.array(a) @ w
        if part in waived:
            total[part] += [cp.pos(value - high)] * (high < math.inf) + [cp.pos(low - value)] * (low > -math.inf)
        elif part in parts or part == "budget":
            rules += [value <= high] * (high < math.inf) + [value >= low] * (low > -math.inf)
    for part in waived & set(problem.ranges):
        own = ranges(date, problem, [part])
        total[part] += [cp.sum(cp.pos(w - [high for _, high in own])), cp.sum(cp.pos([low for low, _ in own] - w))]
    if problem.turnover is not None:
        traded = cp.maximum(cp.sum(cp.pos(w - problem.held)), cp.sum(cp.pos(problem.held - w)))
        if "turnover" in waived:
            total["turnover"].append(cp.pos(traded - problem.turnover))
        elif "turnover" in parts:
            rules.append(traded <= problem.turnover)
    sums = [sum((one for part in group for one in total[part]), cp.Constant(0.0)) for group in soft]
    return w, rules, sums


def solved(goal: cp.Expression, rules: Sequence[cp.Constraint]) -> float | None:
    """The most of the goal by Clarabel; None where it is infeasible."""
    problem = cp.Problem(cp.Maximize(goal), list(rules))
    with warnings.catch_warnings():
        # Of cvxpy, about the solver's accuracy, which the comparison's tolerance allows for.
        warnings.simplefilter("ignore")
        problem.solve(solver=cp.CLARABEL, tol_feas=1e-9, tol_gap_abs=1e-9, tol_gap_rel=1e-9)
    assert problem.status in ("optimal", "optimal_inaccurate", "infeasible"), problem.status
    return None if problem.status.startswith("infeasible") else float(problem.value)


def most(date: DateContext, constraints: Sequence[Constraint]) -> float | None:
    """The objective by cvxpy and Clarabel; None where it is infeasible."""
    problem = stated(date, constraints)
    parts = {part for one in constraints for part in one.parts}
    w, rules, _ = modelled(date, problem, parts)
    return solved(np.array(problem.mu) @ w, rules)


def can_hold(date: DateContext, constraints: Sequence[Constraint], parts: Collection[str]) -> bool:
    """Whether any weights satisfy these parts, the budget, long-only and tradability, by Clarabel.

    What is minimised is by how much they do not: of problems without a solution it often says nothing.
    """
    _, rules, sums = modelled(date, stated(date, constraints), parts, [tuple(parts)])
    least = solved(-sums[0], rules)
    assert least is not None
    return -least < 1e-7


def least_totals(
    date: DateContext, constraints: Sequence[Constraint], levels: Sequence[tuple[str, ...]]
) -> list[float]:
    """The least violation level by level, those before held to theirs, those after left out, by Clarabel."""
    problem = stated(date, constraints)
    everything = {part for one in constraints for part in one.parts}
    found: list[float] = []
    broken: list[tuple[str, ...]] = []
    for number, group in enumerate(levels):
        later = {part for parts in levels[number + 1 :] for part in parts}
        _, rules, sums = modelled(date, problem, everything - later, [*broken, group])
        held = [total <= least + 1e-8 for total, least in zip(sums, [one for one in found if one > 1e-7])]
        least = solved(-sums[-1], [*rules, *held])
        assert least is not None
        found.append(max(0.0, -least))
        # Without an interior Clarabel loses digits: what need not give way is held as it stands.
        broken += [group] * (found[-1] > 1e-7)
    return found


def most_with_risk(
    date: DateContext,
    constraints: Sequence[Constraint],
    variance: np.ndarray,
    *,
    aversion: float,
    cost: float,
    limit: float | None,
    solver: str = cp.CLARABEL,
) -> float | None:
    """Σ μw − ½ aversion aᵀVa − cost Σ (w − w⁰)², √(aᵀVa) ≤ limit, with V in full; None where it is infeasible."""
    problem = stated(date, constraints)
    w, rules, _ = modelled(date, problem, {part for one in constraints for part in one.parts})
    active = w - date.benchmark
    goal = np.array(problem.mu) @ w - aversion / 2 * cp.quad_form(active, cp.psd_wrap(variance))
    if problem.held is not None:
        goal -= cost * cp.sum_squares(w - np.array(problem.held))
    if limit is not None:
        rules.append(cp.norm(np.linalg.cholesky(variance).T @ active) <= limit)
    if solver == cp.CLARABEL:
        return solved(goal, rules)
    stated_otherwise = cp.Problem(cp.Maximize(goal), rules)
    stated_otherwise.solve(solver=solver, **PRECISE[solver])
    assert stated_otherwise.status == "optimal"
    return float(stated_otherwise.value)


PRECISE = {
    cp.OSQP: {"eps_abs": 1e-8, "eps_rel": 1e-8, "max_iter": 200_000},
    cp.SCS: {"eps_abs": 1e-8, "eps_rel": 1e-8, "max_iters": 200_000},
}

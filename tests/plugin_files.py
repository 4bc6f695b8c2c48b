"""Plug-ins as text, and a context that leaves the registries as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polygrain.plugins import Plugin, read, use

EXAMPLES = Path(__file__).parents[1] / "examples"

FEATURE = """
import numpy as np
from polygrain.features.library import feature

@feature(min_bars=1)
def {name}(bars):
    '''A feature of the tests.'''
    return {value}
"""

NETWORK = """
from typing import Literal
from torch import nn
from polygrain.models.network import Network, Prediction, network

@network
class Mine(Network):
    kind: Literal["{kind}"] = "{kind}"
    scale: float = 1.0
    layers: int = 1

    def models(self, granularities):
        return {models}

    def build(self, features):
        return Module(self.scale, features)

class Module(nn.Module):
    def __init__(self, scale, features):
        super().__init__()
        self.scale = scale
        self.parts = nn.ModuleDict({{f"of {{name}}": nn.Linear(count, 1) for name, count in features.items()}})

    def forward(self, x):
        return Prediction(sum(self.scale * part(x[name[3:]][-1]) for name, part in self.parts.items()).squeeze(-1))
"""

SOURCE = """
from datetime import date
from typing import Literal
from polygrain.sources.source import Source, source
from polygrain.sources.synthetic import Synthetic

@source
class Mine(Source):
    kind: Literal["{kind}"] = "{kind}"
    stocks: int = 40
    start: date = date(2021, 1, 4)

    @property
    def made(self):
        return Synthetic(stocks=self.stocks, days=30, bar="60min", start=self.start)

    def fingerprint(self):
        return self.made.fingerprint()

    @property
    def base_bar(self):
        return "60min"

    @property
    def session(self):
        return self.made.session

    def bars(self):
        return self.made.bars()

    def daily(self):
        return self.made.daily()

    def reference(self, name):
        return None

    def notes(self):
        return ("{note}",)

    @property
    def simulated(self):
        return True
"""


def feature(name: str = "mine", value: str = "np.log(bars.close / bars.previous_close)") -> str:
    """A plug-in with one feature."""
    return FEATURE.format(name=name, value=value)


def network(kind: str = "mine", models: str = "{self.named(name): (name,) for name in granularities}") -> str:
    """A plug-in with one network, linear on the last bars of what it reads."""
    return NETWORK.format(kind=kind, models=models)


def source(kind: str = "mine", note: str = "Simulated.") -> str:
    """A plug-in with one source, a small simulated market."""
    return SOURCE.format(kind=kind, note=note)


def example(*names: str) -> tuple[Plugin, ...]:
    """Plug-ins among the examples."""
    return read(list(names), EXAMPLES)


@contextmanager
def using(*plugins: Plugin) -> Iterator[None]:
    """Their plugs are there inside, and forgotten afterwards."""
    use(plugins)
    try:
        yield
    finally:
        use(())

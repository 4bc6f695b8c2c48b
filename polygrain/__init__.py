"""Polygrain: multi-granularity deep-learning stock factors, from intraday bars to portfolios."""

from typing import TYPE_CHECKING

from polygrain.version import __version__

if TYPE_CHECKING:
    from polygrain.api import Evaluated, evaluate

__all__ = ["Evaluated", "__version__", "evaluate"]


def __getattr__(name: str) -> object:
    """What the library offers, imported when it is asked for: a look at the version takes no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from polygrain import api

    return getattr(api, name)

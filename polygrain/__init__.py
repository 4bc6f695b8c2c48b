"""Polygrain: multi-granularity deep-learning stock factors, from intraday bars to portfolios."""

__version__ = "0.1.0"

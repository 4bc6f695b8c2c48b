"""Exposures: how much of each style a stock has at a close, and which industry it is in."""

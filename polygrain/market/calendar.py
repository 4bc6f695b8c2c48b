"""Trading days: always those of the data, never a table of holidays; here only how their months are named."""

from __future__ import annotations

from datetime import date


def month_of(day: date) -> str:
    """The month of a day, such as 2025-01."""
    return f"{day.year:04d}-{day.month:02d}"

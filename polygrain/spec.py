"""Spec: settings as a frozen, typed object that refuses what it does not know."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A plug with settings: its fields are its settings, its methods do the work; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

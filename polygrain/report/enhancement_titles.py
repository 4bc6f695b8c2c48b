"""How titles name the shown portfolio of an enhancement, in English and in Chinese."""

from __future__ import annotations

from collections.abc import Sequence

from polygrain.report.enhancements import EnhancedIndex
from polygrain.report.titles import setting_title
from polygrain.report.words import Text


def of_one_model(each: EnhancedIndex) -> tuple[str, str]:
    """Which portfolio is shown: its model, label and settings."""
    _, model, label_days = each.key
    label = [Text(f"{label_days}-day label", f"{label_days} 日标签")] if label_days else []
    return _joined([Text(model, model), *label, *_settings(each)])


def of_all_models(each: EnhancedIndex) -> tuple[str, str]:
    """The enhancement and the shown portfolio's settings, whatever the model."""
    return _joined([Text(f"{each.called} enhanced", f"{each.called} 指数增强"), *_settings(each)])


def _settings(each: EnhancedIndex) -> list[Text]:
    return [setting_title(key, value) for key, value in each.shown.varied.items()]


def _joined(said: Sequence[Text]) -> tuple[str, str]:
    return ", ".join(text.en for text in said), "，".join(text.zh for text in said)

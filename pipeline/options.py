"""The base of every configuration model: frozen, unknown keys are errors."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class OptionsModel(BaseModel):
    """Base for a plug-in's `Options` and for the sections of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

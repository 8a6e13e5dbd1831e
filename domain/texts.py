"""Texts of other people's systems, bounded: names, codes, free words and references to events."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

LINES_MAX = 2000

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Code = Annotated[str, Meta(min_length=1, max_length=64, description="A short word of a list that may grow.")]
Text = Annotated[str, Meta(max_length=4096)]
Reference = Annotated[str, Meta(min_length=3, max_length=512, description="`source#id` of an event")]

"""What the API answered, as commands pass it on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A successful answer: its text as it came, and the document in it."""

    text: str
    document: dict[str, Any]

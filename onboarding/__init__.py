"""Self-service registration front end: see docs/architecture.md for the house and its rules."""

from __future__ import annotations

__version__ = "0.1.0"

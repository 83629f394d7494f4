"""Columns that rest encrypted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

from onboarding.sealing import seal, unseal

if TYPE_CHECKING:
    _TextField = models.Field[Any, Any]
else:  # Django's fields cannot be subscripted at run time
    _TextField = models.TextField


class SealedField(_TextField):
    """A JSON value that rests encrypted. Reading one that was sealed under a lost key raises SealBroken.

    It must not read as empty: the next save would make that true.
    """

    def from_db_value(self, value: str | None, expression: object, connection: object) -> Any:
        return unseal(value) if value else {}

    def to_python(self, value: Any) -> Any:
        return self.from_db_value(value, None, None) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> str:
        return seal(value) if value else ""

    def value_to_string(self, obj: models.Model) -> str:
        """`dumpdata` and its kin write it sealed too."""
        return self.get_prep_value(self.value_from_object(obj))

"""Columns that rest encrypted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

from onboarding.sealing import seal, unseal

if TYPE_CHECKING:
    _TextField = models.Field[Any, Any]
else:  # Django's fields cannot be subscripted at run time
    _TextField = models.TextField


RESTS = "rests_"  # before the column's name: the attribute of a row with the text that was written last


class Sealed(str):
    """A text that is sealed already, as it rests."""

    __slots__ = ()


class _Opened(dict[str, Any]):
    """A value with the text that it was read from."""

    rests = ""


class SealedField(_TextField):
    """A JSON value that rests encrypted. Reading one that was sealed under a lost key raises SealBroken.

    It must not read as empty: the next save would make that true.
    """

    def from_db_value(self, value: str | None, expression: object, connection: object) -> Any:
        if not value:
            return {}
        found = unseal(value)
        if not isinstance(found, dict):
            return found
        opened = _Opened(found)
        opened.rests = value
        return opened

    def to_python(self, value: Any) -> Any:
        return self.from_db_value(value, None, None) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> str:
        if isinstance(value, Sealed):
            return str(value)
        return seal(value) if value else ""

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        text = self.get_prep_value(super().pre_save(model_instance, add))
        model_instance.__dict__[RESTS + self.attname] = text
        return Sealed(text)

    def value_to_string(self, obj: models.Model) -> str:
        """`dumpdata` and its kin write it sealed too."""
        return self.get_prep_value(self.value_from_object(obj))

"""Rows that can be written without being held first, when nobody has written to them since they were read.

Each sealed text is sealed with other random bytes, so the one that a row was read with says whether the row is still
the same, whoever wrote to it and by which release. That saves the statement that holds the row and reads it again.
Whoever finds that he came too late reads it anew, and holds it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from typing import Any, Protocol, Self

from django.db import models

from onboarding.models.fields import RESTS, Sealed
from onboarding.sealing import seal

_MARK = RESTS + "personal"


class Stale(Exception):
    """Somebody else has written to the row since it was read: nothing of the transaction may stay."""


class News(Protocol):
    """A row that tells of a change of another one, and is written with it."""

    @classmethod
    def write(cls, rows: Sequence[Any]) -> None: ...


class Fenced(models.Model):
    """A row with a column `personal` that rests sealed, and the mark of what it was when it was read."""

    class Meta:
        abstract = True

    personal: Any
    held = False  # in memory only: the caller's transaction holds the row, so it cannot be stale
    _was: dict[str, Any]
    _news: list[News]
    _afterwards: list[Callable[[], object]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._news, self._afterwards, self._was = [], [], {}
        self._mark(getattr(self.__dict__.get("personal"), "rests", ""))

    def save(self, *args: Any, **kwargs: Any) -> None:
        super().save(*args, **kwargs)
        self._written(kwargs.get("update_fields"))

    def _mark(self, rests: str, names: Collection[str] | None = None) -> None:
        """These columns are in memory what they are in the database; `rests` is the mark, "" for none."""
        self.__dict__[_MARK] = rests
        for field in self._meta.concrete_fields:
            if names is None or field.attname in names:
                self._was[field.attname] = self.__dict__.get(field.attname)

    @property
    def is_marked(self) -> bool:
        return bool(self.__dict__[_MARK])

    def twin(self) -> Self:
        """The same row as another object, to try something with."""
        twin = copy.copy(self)
        twin._news, twin._afterwards, twin._was = [], [], dict(self._was)
        return twin

    def refresh_from_db(self, using: Any = None, fields: Any = None, from_queryset: Any = None) -> None:
        """One that is read in parts is of no single moment, and has no mark."""
        super().refresh_from_db(using=using, fields=fields, from_queryset=from_queryset)
        self._mark("" if fields is not None else getattr(self.__dict__.get("personal"), "rests", ""), fields)

    def tell(self, row: News) -> None:
        """To be written together with this one."""
        self._news.append(row)

    def then(self, action: Callable[[], object]) -> None:
        """To be done in the same transaction, after this row was written: rows are always taken in one order."""
        self._afterwards.append(action)

    def store(self) -> None:
        """Writes what was changed, in one UPDATE; the sealed column always, because it is the mark.

        Raises Stale when the row is not held and is not any more what it was.
        """
        known = self.__dict__
        changed = {name: known[name] for name, was in self._was.items() if name in known and known[name] != was}
        changed["personal"] = Sealed(seal(self.personal))
        mine = {"pk": self.pk} if self.held else {"pk": self.pk, "personal": Sealed(self.__dict__[_MARK])}
        if not type(self)._default_manager.filter(**mine).update(**changed):
            raise Stale
        self.__dict__[_MARK] = changed["personal"]
        self._written()

    def _written(self, names: Collection[str] | None = None) -> None:
        self._mark(self.__dict__[_MARK], names)
        news, self._news = self._news, []
        afterwards, self._afterwards = self._afterwards, []
        for _kind, group in groupby(sorted(news, key=lambda row: type(row).__name__), key=type):
            rows = list(group)
            rows[0].write(rows)
        for action in afterwards:
            action()

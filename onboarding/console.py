"""What the operator's pages share: rows that are only looked at, and lists of a million of them that open at once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _SimplePaginator = Paginator[Any]
else:  # Django's classes cannot be subscripted at run time
    _ModelAdmin = admin.ModelAdmin
    _SimplePaginator = Paginator

LISTED = 10_000  # rows that a list counts and can be leafed through; a search finds what is further back


class BoundedPaginator(_SimplePaginator):
    """Counts no further than LISTED: counting a million rows takes longer than showing fifty of them."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        return rows[:LISTED].count() if isinstance(rows, QuerySet) else len(rows)


class OwnFilters(_ModelAdmin):
    """A list is narrowed down by its own filters alone. Django takes any lookup of any column from the address: a
    `__regex` of an hour's work for SQLite, which stops the whole process, or a digest guessed letter by letter.
    """

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup.removesuffix("__exact") in {_parameter(own) for own in self.get_list_filter(request)}


def _parameter(own: Any) -> str:
    """What a filter is called in the address: a column, (column, class), or a class with a name of its own."""
    if isinstance(own, tuple):
        return str(own[0])
    return own if isinstance(own, str) else str(own.parameter_name)


class ReadOnly(OwnFilters):
    """Nothing here is changed by hand: the upstream holds the truth."""

    actions: tuple[str, ...] | None = None
    paginator = BoundedPaginator
    show_full_result_count = False  # the same count once more, of all rows
    show_facets = admin.ShowFacets.NEVER  # one count for every link of a filter
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

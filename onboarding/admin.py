"""The operator's console: partners can be edited, flows and submissions only looked at, without personal data.

Django looks for this module alone, so what stands in others is imported here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from onboarding.models import Flow, Submission
from onboarding.partner_admin import PartnerAdmin
from onboarding.webhook_admin import DeliveryAdmin

admin.site.site_header = admin.site.site_title = "Onboarding"
admin.site.index_title = "Console"

__all__ = ["DeliveryAdmin", "FlowAdmin", "PartnerAdmin", "SubmissionAdmin"]

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:  # Django's classes cannot be subscripted at run time
    _ModelAdmin = admin.ModelAdmin


class ReadOnly(_ModelAdmin):
    """Nothing here is changed by hand: the upstream holds the truth."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Flow)
class FlowAdmin(ReadOnly):
    list_display = ("reference", "partner", "channel", "account_type", "country", "outcome", "created_at")
    list_filter = ("outcome", "channel", "account_type", "partner")
    search_fields = ("reference__iexact", "customer_no__iexact")
    exclude = (
        "personal", "handle_digest", "next_handle_digest", "previous_handle_digest", "landing_digest", "link_digest",
        "second_digest",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Flow]:
        return super().get_queryset(request).defer("personal")


@admin.register(Submission)
class SubmissionAdmin(ReadOnly):
    list_display = ("flow", "kind", "level", "state", "code", "trace", "tries", "planned_at", "ended_at")
    list_filter = ("kind", "state")
    search_fields = ("flow__reference__iexact", "trace__iexact")
    exclude = ("payload", "key")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Submission]:
        return super().get_queryset(request).defer("payload").select_related("flow")

"""The operator's side of webhooks: keys, a test event, and what became of every event.

A key is shown once, in the message after the press that made it, and rests sealed. No page here reads a sealed key
unless it must, so that one sealed under a lost SECRET_KEY is a message and not an error page.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from onboarding import webhooks
from onboarding.console import OwnFilters, ReadOnly
from onboarding.models import Delivery, Partner
from onboarding.sealing import SealBroken

_STATES = {"waiting": "waiting", "taken": "taken", "given": "given up"}


def state_of(row: Delivery) -> str:
    """What became of an event, in one word or two."""
    if row.next_at is not None:
        return _STATES["waiting"]
    return _STATES["taken" if row.taken_at else "given"]


class WebhookActions(OwnFilters):
    """For PartnerAdmin, before its other bases."""

    actions = ("make_webhook_key", "send_test_event")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Partner]:
        """Without the keys: a row whose key nobody can open is listed, opened and saved like any other."""
        return super().get_queryset(request).defer("webhook_keys")

    def save_model(self, request: HttpRequest, obj: Partner, form: Any, change: bool) -> None:
        """Saving the first webhook address makes the key."""
        super().save_model(request, obj, form, change)
        if not obj.webhook_url:
            return
        try:
            key = webhooks.first_key(obj)
        except SealBroken:
            text = f"The webhook key of {obj.slug} cannot be opened with the configured keys: make a new one."
            self.message_user(request, text, messages.ERROR)
            return
        if key:
            self._show(request, obj, key)

    def delete_model(self, request: HttpRequest, obj: Partner) -> None:
        super().delete_model(request, obj)
        webhooks.give_up(obj.slug)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Partner]) -> None:
        slugs = list(queryset.values_list("slug", flat=True))
        super().delete_queryset(request, queryset)
        for slug in slugs:
            webhooks.give_up(slug)

    @admin.action(description="Make a new webhook key (the old one is valid for 24 hours more)", permissions=["change"])
    def make_webhook_key(self, request: HttpRequest, queryset: QuerySet[Partner]) -> None:
        for partner in queryset:
            key = webhooks.new_key(partner, now=timezone.now())
            self.log_change(request, partner, "Made a new webhook key.")
            self._show(request, partner, key)

    @admin.action(description="Send a test event to the webhook", permissions=["change"])
    def send_test_event(self, request: HttpRequest, queryset: QuerySet[Partner]) -> None:
        for partner in queryset:
            if not partner.webhook_url:
                self.message_user(request, f"{partner.slug} has no webhook.", messages.WARNING)
                continue
            row = webhooks.tell_test(partner, now=timezone.now())
            text = f"Test event {row.event} is on its way to {partner.slug}; see “webhook deliveries”."
            self.message_user(request, text)

    def _show(self, request: HttpRequest, partner: Partner, key: str) -> None:
        text = f"Webhook key of {partner.slug}, shown this once: {key}"
        self.message_user(request, text, messages.WARNING)


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(_STATES.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        match self.value():
            case "waiting":
                return queryset.filter(next_at__isnull=False)
            case "taken":
                return queryset.filter(next_at=None, taken_at__isnull=False)
            case "given":
                return queryset.filter(next_at=None, taken_at=None)
        return queryset


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly):
    """Looked at only; whoever may change deliveries may have them tried again."""

    list_display = ("event", "partner", "kind", "state", "answer", "tries", "made_at", "next_at", "taken_at")
    list_filter = (StateFilter, ("partner", admin.AllValuesFieldListFilter), ("kind", admin.AllValuesFieldListFilter))
    search_fields = ("event__iexact", "body")
    ordering = ("-made_at",)
    actions = ("try_again",)

    @admin.display(description="state")
    def state(self, row: Delivery) -> str:
        return state_of(row)

    @admin.action(description="Try again (the partner knows a repeated event by its name)", permissions=["retry"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        number = webhooks.try_again(queryset, now=timezone.now())
        self.message_user(request, f"{number} will be tried again within seconds.")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("onboarding.change_delivery"))

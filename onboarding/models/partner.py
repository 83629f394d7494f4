"""Sites that embed us, as the operator describes them. The console speaks English: its texts are not translated."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from pydantic import ValidationError as Wrong

from onboarding.domain.flow import Channel
from onboarding.domain.partner import DEFAULT, origin_of, wrong_origins
from onboarding.domain.partner import Partner as PartnerSettings
from onboarding.models.fields import SealedField
from onboarding.upstream.wire import CustomerGroup


class Partner(models.Model):
    """A site that embeds us."""

    slug = models.SlugField("short name in addresses", unique=True, max_length=60)
    name = models.CharField("name", max_length=120)
    active = models.BooleanField("active", default=True)
    origins = models.TextField(
        "origins", blank=True, help_text="Sites that may frame the page, one a line: https://host"
    )
    wildcards = models.BooleanField(
        "allow * in origins",
        default=False,
        help_text="Then https://*.host lets every site below that host frame the page, whoever runs it.",
    )
    language = models.CharField("default language", max_length=12, blank=True)
    country = models.CharField("default country", max_length=20, blank=True, help_text="Code or two letters.")
    channel = models.CharField(
        "channel offered first", max_length=10, blank=True, choices=[(c.value, c.value) for c in Channel]
    )
    theme = models.CharField(
        "colours", max_length=10, blank=True,
        choices=[("", "as the visitor's device"), ("light", "light"), ("dark", "dark")],
    )  # fmt: skip
    customer_group = models.PositiveBigIntegerField(
        "customer group", null=True, blank=True, help_text="Instead of the country's in CUSTOMER_GROUPS."
    )
    trade_types = models.JSONField(
        "trade types", default=list, blank=True,
        help_text='As in CUSTOMER_GROUPS: [{"tradeType": "1", "allCurrency": "USD,USDT"}]',
    )  # fmt: skip
    agent = models.CharField(
        "referrer agent", max_length=64, blank=True, help_text="Agent's number, where the link names none."
    )
    continue_url = models.CharField(
        "address of the way on", max_length=500, blank=True,
        help_text="Instead of CONTINUE_URL; {lang} and {token} are replaced.",
    )  # fmt: skip
    sign_in_url = models.CharField(
        "address to sign in", max_length=500, blank=True, help_text="Instead of SIGN_IN_URL; {lang} is replaced."
    )
    webhook_url = models.CharField(
        "webhook", max_length=500, blank=True,
        help_text="https address that is told of registrations (docs/embedding.md). Empty: none.",
    )  # fmt: skip
    webhook_keys = SealedField(default=dict, editable=False)  # {"now": …, "before": …}

    class Meta:
        verbose_name = "partner"
        verbose_name_plural = "partners"
        constraints = [
            models.CheckConstraint(condition=~Q(slug="default"), name="partner_default_is_built_in"),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Everything that can be seen to be wrong, each at its field."""
        wrong: dict[str, Any] = {}
        if self.slug == DEFAULT:
            wrong["slug"] = "The partner “default” is built in; its origins are the setting EMBED_ORIGINS."
        origins = wrong_origins(self.origins.split(), wildcards=self.wildcards)
        if origins:
            wrong["origins"] = [f"Not an origin: {origins[0]}", *_hints(origins[0])]
        try:
            CustomerGroup.model_validate({"trade_types": self.trade_types or []})
        except Wrong as exc:
            where = ".".join(str(part) for part in exc.errors()[0]["loc"][1:])
            wrong["trade_types"] = f"{where}: {exc.errors()[0]['msg']}".lstrip(": ")
        for name in ("continue_url", "sign_in_url", "webhook_url"):
            if not is_web_address(getattr(self, name)):
                wrong[name] = "An address is needed that begins with https:// and holds no name and password."
        if wrong:
            raise ValidationError(wrong)

    def settings(self) -> PartnerSettings:
        return PartnerSettings(
            slug=self.slug, name=self.name, origins=tuple(self.origins.split()), language=self.language,
            country=self.country, channel=self.channel, customer_group=self.customer_group,
            trade_types=tuple(self.trade_types or ()), agent=self.agent, theme=self.theme,
            continue_url=self.continue_url, sign_in_url=self.sign_in_url,
            webhook=bool(self.webhook_url),
        )  # fmt: skip


def _hints(text: str) -> list[str]:
    """How an origin that was not taken is mended."""
    if "*" in text:
        return ["“*” may stand leftmost only, before two names at least, and needs the switch below."]
    meant = origin_of(text)
    if meant and not wrong_origins([meant]):
        return [f"Browsers spell it {meant}"]
    if meant.startswith("http:"):
        return ["Only pages served by https may frame the form."]
    return ["Scheme and host as in the address bar, nothing behind them: https://partner.example"]


def is_web_address(text: str) -> bool:
    """Whether this is empty, or an https address; plain http on loopback only, for trying things out.

    Without a name and password before the host: nothing here sends them, and pages and the history would show them.
    """
    if not text:
        return True
    try:
        parts = urlsplit(text)
        host = parts.hostname
        _port = parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc or any(ch.isspace() or ord(ch) < 32 for ch in text):
        return False
    local = host in ("localhost", "127.0.0.1", "::1") or host.endswith(".localhost")
    return parts.scheme == "https" or (parts.scheme == "http" and local)

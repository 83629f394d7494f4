"""Every address of the project. A flow's address is its handle, and nothing in it says who or what it is about."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path, re_path

from onboarding import check_views, handover_views, operations, start_views, views

_HANDLE = r"(?P<handle>[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})"
_STEP = r"(?P<step>identify|password|verify|path|level)"

urlpatterns = [
    path("", start_views.start, name="start"),
    path("p/<slug:slug>/", start_views.start, name="partner"),
    path("p/<slug:slug>/check/", check_views.check, name="check"),
    re_path(rf"^f/{_HANDLE}/$", views.flow_page, name="flow"),
    re_path(rf"^f/{_HANDLE}/{_STEP}/$", views.answer, name="answer"),
    re_path(rf"^f/{_HANDLE}/resend/$", views.resend, name="resend"),
    re_path(rf"^f/{_HANDLE}/upload/$", views.upload, {"step": "upload"}, name="upload"),
    re_path(rf"^f/{_HANDLE}/delete/$", views.delete, name="delete"),
    re_path(rf"^f/{_HANDLE}/language/$", views.language, name="language"),
    re_path(rf"^f/{_HANDLE}/continue/$", views.go_on, name="continue"),
    re_path(rf"^f/{_HANDLE}/handover/$", views.handover, name="handover"),
    re_path(rf"^h/{_HANDLE.replace('handle', 'secret')}/$", handover_views.link, name="link"),
    # Steps that are only looked at have no address of their own either.
    re_path(rf"^f/{_HANDLE}/(?:status|done|problem)/$", views.elsewhere, name="elsewhere"),
    path("embed.js", operations.embed_script, name="embed"),
    path("embed/<version>.js", operations.embed_script, name="embed-version"),
    path("healthz", operations.healthz, name="healthz"),
    path("readyz", operations.readyz, name="readyz"),
    path("metrics", operations.metrics, name="metrics"),
    path("version", operations.version, name="version"),
    path("admin/", admin.site.urls),
]

handler400 = "onboarding.views.bad_request"
handler403 = "onboarding.views.forbidden"
handler404 = "onboarding.views.not_found"
handler500 = "onboarding.views.server_error"

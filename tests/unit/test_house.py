"""Rules of the house, kept by short tests."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from pathlib import Path

import django_htmx
from django.conf import settings
from django.urls import get_resolver
from django.utils.translation import to_locale

from onboarding import embedding
from tests import messages
from tests.support import ROOT

TRACKED = [
    ROOT / name for name in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
]


def test_the_pinned_htmx_is_the_one_shipped() -> None:
    script = (Path(django_htmx.__file__).parent / "static" / "django_htmx" / "htmx-2.min.js").read_text()
    assert 'version:"2.0.10"' in script


def test_every_address_is_listed_here() -> None:
    found = {
        re.sub(r"\(\?P<(handle|secret)>[^)]*\)", lambda found: found[1][0].upper(), str(pattern.pattern))
        for pattern in get_resolver().url_patterns
    }
    assert found == {
        "", "p/<slug:slug>/", "p/<slug:slug>/check/", "embed/<version>.js", "^f/H/$",
        "^f/H/(?P<step>identify|password|verify|path|level)/$", "^f/H/resend/$",
        "^f/H/delete/$", "^f/H/upload/$", "^f/H/language/$", "^f/H/continue/$", "^f/H/handover/$", "^h/S/$",
        "^f/H/(?:status|done|problem)/$", "embed.js", "healthz", "readyz", "metrics", "version", "admin/",
    }  # fmt: skip


def test_every_text_is_translated_in_every_language() -> None:
    template = messages.collect()
    assert {to_locale(code) for code, _name in settings.LANGUAGES} == {"en", *messages.LANGUAGES}
    assert [text for language in messages.LANGUAGES for text in messages.problems(language, template)] == []


def test_every_setting_is_in_the_example_and_in_the_readme() -> None:
    source = (ROOT / "onboarding" / "settings.py").read_text()
    names = set(re.findall(r'(?:env\.\w+|_choices?|_number|_list|_flag)\(\s*"([A-Z_]+)"', source))
    assert len(names) > 30
    example = (ROOT / ".env.example").read_text()
    readme = (ROOT / "README.md").read_text()
    assert {name for name in names if not re.search(rf"^#?\s*{name}=", example, re.MULTILINE)} == set()
    assert {name for name in names if f"`{name}`" not in readme} == set()


def test_every_form_works_without_script() -> None:
    for template in (ROOT / "templates").rglob("*.html"):
        for form in re.findall(r"<form[^>]*>", template.read_text()):
            assert re.search(r'method="(post|get)"', form), template
            assert "action=" in form, template


def test_no_template_holds_inline_script_or_style() -> None:
    for template in (ROOT / "templates").rglob("*.html"):
        text = template.read_text()
        assert not re.search(r"<script(?![^>]*\ssrc=)", text), template
        assert not re.search(r"\s(style|on[a-z]+)=", text), template


def test_own_style_and_scripts_are_small() -> None:
    assert len((ROOT / "static/css/onboarding.css").read_bytes()) < 15_000
    embed, frame = (
        len(gzip.compress((ROOT / "static/js" / f"{name}.js").read_bytes(), 9)) for name in ("embed", "frame")
    )
    assert embed < 2_000
    assert embed + frame < 3_000
    assert len(gzip.compress((ROOT / "static/js/upload.js").read_bytes(), 9)) < 4_300
    proof = b"".join((ROOT / "static/js" / f"{name}.js").read_bytes() for name in ("proof", "proof-worker"))
    assert len(gzip.compress(proof, 9)) < 1_600


# A released script never changes: partners pin it by its hash. Another one gets another number and another line here.
RELEASED = {
    "1.0.0": "sha384-Fm/4+ARyIBRS0pUwJHKFAGZBILuv8dwtcI3NFTQt5u1719HdOPPQ28Q/0HczoiVJ",
}


def test_a_released_partner_script_stays_as_it_is() -> None:
    assert embedding.EMBED_VERSION == list(RELEASED)[-1]
    found = {version: embedding.embed_script(version) or b"" for version in RELEASED}
    assert {version: embedding.integrity(script) for version, script in found.items()} == RELEASED


def test_asking_for_versions_that_never_were_fills_no_memory() -> None:
    embedding.embed_script("1.0.0")
    kept = sys.getsizeof(embedding.embed_scripts())
    for version in ("9.9.9", "../embed", "..%2fembed", "embed", "", "\u0661.0.0", "1.0.0\n", "x" * 60_000):
        assert embedding.embed_script(version) is None
    assert embedding.embed_scripts.cache_info().currsize == 1
    assert sys.getsizeof(embedding.embed_scripts()) == kept and list(embedding.embed_scripts()) == list(RELEASED)


def test_scripts_of_ours_evaluate_nothing_style_nothing_inline_and_keep_nothing() -> None:
    forbidden = re.compile(
        r"\beval\b|new Function|(inner|outer)HTML|insertAdjacentHTML|\.style\b|\.cookie\b"
        r"|localStorage|indexedDB|caches\.|postMessage\([^)]*[\"']\*"
    )
    for script in (ROOT / "static" / "js").glob("*.js"):
        assert not forbidden.search(script.read_text()), script


def test_nothing_refers_to_places_outside_the_project_and_locks_hold_no_address() -> None:
    outside = ".." + "/shared"
    for path in TRACKED:
        if path.exists() and path.suffix in {".py", ".md", ".toml", ".txt", ".html", ".js", ".css", ".yaml", ".sh", ""}:
            text = path.read_text(errors="ignore")
            assert outside not in text, path
            if path.parent.name == "requirements":
                assert "://" not in text, path


def test_only_customer_words_reach_customers() -> None:
    forbidden = re.compile(r"\b(KYC|OTP|token|wizard|session|backend|upstream|sandbox)\b", re.IGNORECASE)
    for message in messages.collect():
        text = message.id if isinstance(message.id, str) else " ".join(message.id or "")
        assert not forbidden.search(text), text

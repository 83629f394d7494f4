"""Collects every translatable text of code and templates, without gettext's programs, and compares the catalogues.

`python -m tests.messages` says what is missing and fails; `--update` writes the catalogues anew, keeping translations.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "onboarding" / "locale"
KEYWORDS = {
    "gettext": None, "gettext_lazy": None, "gettext_noop": None, "_": None, "ngettext": (1, 2), "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2), "npgettext": ((1, "c"), 2, 3),
}  # fmt: skip
LANGUAGES = ("zh_Hans", "zh_Hant", "es", "fr", "pt", "tr", "ko", "ja", "th", "vi", "id", "ar")


def collect() -> Catalog:
    """Every text, with the places where it stands."""
    catalog = Catalog(project="onboarding", fuzzy=False)
    sources = [*sorted((ROOT / "onboarding").rglob("*.py")), *sorted((ROOT / "templates").rglob("*.html"))]
    for path in sources:
        relative = path.relative_to(ROOT)
        if "sandbox" in relative.parts or "migrations" in relative.parts:
            continue  # the stand-in speaks for itself
        text = path.read_text()
        method = "jinja2" if path.suffix == ".html" else "python"
        if "admin" in relative.parts and path.suffix == ".html":  # drawn by Django's own engine
            text = "\n".join(line.strip() for line in templatize(text, origin=str(relative)).splitlines())
            method = "python"
        for line, message, comments, context in extract(
            method, io.BytesIO(text.encode()), keywords=KEYWORDS, comment_tags=("Translators:",)
        ):
            catalog.add(message, None, [(str(relative), line)], auto_comments=comments, context=context)
    return catalog


def read(language: str) -> Catalog | None:
    path = LOCALE / language / "LC_MESSAGES" / "django.po"
    if not path.exists():
        return None
    with path.open("rb") as file:
        return read_po(file, locale=language)


def update(language: str, template: Catalog) -> None:
    catalog = read(language) or Catalog(locale=language, project="onboarding", fuzzy=False)
    catalog.update(template, no_fuzzy_matching=True)
    catalog.obsolete.clear()
    catalog.header_comment = f"# Texts of the customer pages and the operator's console: {language}"
    catalog.last_translator = catalog.language_team = catalog.msgid_bugs_address = ""
    path = LOCALE / language / "LC_MESSAGES" / "django.po"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, catalog, omit_header=False, sort_output=True, include_lineno=False, width=100)


def problems(language: str, template: Catalog) -> list[str]:
    """What is missing, superfluous or wrong in a language's catalogue."""
    catalog = read(language)
    if catalog is None:
        return [f"{language}: there is no catalogue"]
    found = []
    wanted = {(m.id if isinstance(m.id, str) else m.id[0]) for m in template if m.id}
    for message in catalog:
        if not message.id:
            continue
        name = message.id if isinstance(message.id, str) else message.id[0]
        texts = [message.string] if isinstance(message.string, str) else list(message.string)
        if name not in wanted:
            found.append(f"{language}: nobody says {name!r} any more")
        if not all(texts) or message.fuzzy:
            found.append(f"{language}: not translated: {name!r}")
        found += [f"{language}: {name!r}: {error}" for error in message.check(catalog)]
    have = {(m.id if isinstance(m.id, str) else m.id[0]) for m in catalog if m.id}
    return found + [f"{language}: missing: {name!r}" for name in sorted(wanted - have)]


def main() -> int:
    template = collect()
    if "--update" in sys.argv:
        for language in LANGUAGES:
            update(language, template)
    found = [text for language in LANGUAGES for text in problems(language, template)]
    print("\n".join(found) or f"{len(template)} texts, complete in {', '.join(LANGUAGES)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

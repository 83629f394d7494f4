"""A made-up language in which every text of ours is longer and marked, so that what is not translated, or not shown
whole, can be seen. It takes the place of French and of Arabic in a server of its own.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo

from tests import messages
from tests.support import Server

_KEPT = re.compile(r"(%\(\w+\)[sd]|%%|\{\w*\})")
_LETTERS = str.maketrans("aeiouAEIOUcnsy", "ȧëïöüȦËÏÖÜçñšÿ")
_MARKED = re.compile("⟦[^⟦⟧]*⟧")
_SPOKEN = {"aria-label", "alt", "title", "placeholder", "data-name"}


class PseudoServer(Server):
    """Speaks it where others speak French or Arabic: `PSEUDO_LOCALE` names the folder that `write` has filled."""

    application = "tests.pseudo_wsgi:application"


def words(text: str) -> str:
    """The text in this language: a third longer, as German or Finnish is, and between marks."""
    parts = [part if _KEPT.fullmatch(part) else part.translate(_LETTERS) for part in _KEPT.split(text)]
    return f"⟦{''.join(parts)}{' õńë mørė'[: max(2, len(text) // 3)]}{' wörd' * (len(text) // 15)}⟧"


def write(folder: Path) -> dict[str, str]:
    """Writes the catalogues. Gives every text of ours in this language."""
    template = messages.collect()
    for locale in ("fr", "ar"):
        catalog = Catalog(locale=locale, fuzzy=False)
        for message in template:
            if message.id:
                one, *more = [message.id] if isinstance(message.id, str) else message.id
                said: str | tuple[str, ...] = words(one) if not more else (words(more[0]),) * catalog.num_plurals
                catalog.add(message.id, said, context=message.context)
        path = folder / locale / "LC_MESSAGES" / "django.mo"
        path.parent.mkdir(parents=True)
        with path.open("wb") as file:
            write_mo(file, catalog)
    singular = [message.id for message in template if isinstance(message.id, str) and message.id]
    return {text: words(text) for text in singular}


class _Texts(HTMLParser):
    """What a page says, and what is not ours in it: the upstream's and the customer's texts stand isolated."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.said: list[str] = []
        self.isolated: list[str] = []
        self._where: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.said += [given[name] for name in _SPOKEN & set(given)]
        if tag in ("title", "script", "style", "bdi", "pre"):
            self._where.append(tag)
        elif tag == "option":
            self._where.append("choice" if given.get("value") else "option")

    def handle_endtag(self, tag: str) -> None:
        if self._where and (self._where[-1] == tag or tag == "option"):
            self._where.pop()

    def handle_data(self, text: str) -> None:
        here = self._where[-1] if self._where else ""
        if here == "bdi":
            self.isolated.append(text.strip())
        elif here not in ("script", "style", "choice", "pre"):
            self.said.append(text)


def untranslated(page: str) -> list[str]:
    """What the page says in no language of ours."""
    reader = _Texts()
    reader.feed(page)
    found = []
    for text in reader.said:
        rest = text
        while _MARKED.search(rest):
            rest = _MARKED.sub(" ", rest)
        for theirs in filter(None, reader.isolated):
            rest = rest.replace(theirs, " ")
        if re.search(r"[^\W\d_]", rest):
            found.append(" ".join(rest.split()))
    return found

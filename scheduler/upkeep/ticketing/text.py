# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies for ticket systems and back: whatever a host wrote stays text there. Pure."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import UNSAFE, redact

from .protocol import TEXT_LIMIT

if TYPE_CHECKING:
    from .settings import Format

CUT = "… (cut; all of it is in Upkeep)"
_BLOCKS = frozenset({"p", "div", "br", "li", "ul", "ol", "tr", "pre", "blockquote", "h1", "h2", "h3", "h4"})
_SILENT = frozenset({"script", "style", "head", "title"})
_ZERO = "\u200b"
"""Breaks up what would end a block; shown as nothing."""


def clean(text: str, limit: int = TEXT_LIMIT) -> str:
    """Without control characters and secrets, cut to a bound."""
    text = redact(UNSAFE.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n")))
    return text if len(text) <= limit else text[: limit - len(CUT) - 1].rstrip() + "\n" + CUT


def title(text: str, limit: int) -> str:
    """One line."""
    line = " ".join(UNSAFE.sub(" ", text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def written(text: str, kind: Format) -> str:
    """A plain text in a system's own format."""
    if kind == "html":
        # Leading spaces carry meaning in evidence.
        lines = (re.sub(r"^ +", lambda m: "&nbsp;" * len(m[0]), html.escape(line)) for line in text.split("\n"))
        return "<br>".join(lines)
    if kind == "markdown":
        # A fence that is longer than any in the text: nothing inside is a link, a picture, a mention or a command.
        longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
        fence = "`" * max(3, longest + 1)
        return f"{fence}text\n{text}\n{fence}"
    if kind == "textile":
        return "<pre>\n" + re.sub(r"(?i)</(pre)", f"</{_ZERO}\\1", text) + "\n</pre>"
    if kind == "jira":
        return "{noformat}\n" + re.sub(r"(?i)\{(noformat)", f"{{{_ZERO}\\1", text) + "\n{noformat}"
    return text


def read(body: str, kind: Format) -> str:
    """A body of theirs as plain text, cleaned and bounded."""
    if kind == "html" or (kind == "plain" and re.match(r"\s*<(?:p|div|br|span|pre)\b", body, re.I)):
        body = from_html(body)
    elif kind == "markdown":
        body = re.sub(r"\A(`{3,})text\n(.*)\n\1\s*\Z", r"\2", body, flags=re.S)
    elif kind == "jira":
        body = re.sub(r"\A\{noformat\}\n?(.*?)\n?\{noformat\}\s*\Z", r"\1", body, flags=re.S)
    if kind == "textile":
        body = re.sub(r"\A<pre>\n?(.*?)\n?</pre>\s*\Z", r"\1", body, flags=re.S)
    return clean(body.replace(_ZERO, "")).strip()


def from_html(body: str) -> str:
    """The words of an HTML body."""
    parser = _Words()
    parser.feed(body)
    parser.close()
    lines = "".join(parser.words).replace("\xa0", " ").split("\n")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in lines)).strip()


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._silent = 0
        self._pre = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in _SILENT
        self._pre += tag == "pre"
        if (tag in _BLOCKS and self.words and not self.words[-1].endswith("\n")) or tag == "br":
            self.words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in _SILENT and self._silent > 0
        self._pre -= tag == "pre" and self._pre > 0
        if tag in _BLOCKS and tag != "br" and self.words and not self.words[-1].endswith("\n"):
            self.words.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._pre:
            # Line ends of the source are no line ends of the text.
            data = data.replace("\n", " ") if data.strip() else data.replace("\n", "")
        if data and not self._silent:
            self.words.append(data)

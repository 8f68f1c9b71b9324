# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small reader of TOML that knows its lines; what it does not understand, tomllib (Python 3.11) may. Pure."""

from __future__ import annotations

import importlib
import re
from typing import Any

from .discover_model import NotUnderstood, Table

DEPTH = 40

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NUMBER = re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]+)?(?:[eE][-+]?[0-9]+)?(?![0-9A-Za-z:.-])")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\", "e": "\x1b"}


def read(text: str) -> Table:
    """The document. Raises NotUnderstood."""
    try:
        return _Reader(text.replace("\r\n", "\n")).document()
    except NotUnderstood as problem:
        try:
            tomllib = importlib.import_module("tomllib")
        except ImportError:
            raise problem from None
        try:
            return _table(tomllib.loads(text))
        except (ValueError, RecursionError) as error:
            line = re.search(r"at line (\d+)", str(error))
            raise NotUnderstood("it is no TOML", int(line.group(1)) if line else problem.line) from error


def _table(value: dict[str, Any]) -> Table:
    """What tomllib read, without lines."""
    table = Table()
    for key, item in value.items():
        table.put(key, _table(item) if isinstance(item, dict) else item, 0)
    return table


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def fail(self, why: str) -> NotUnderstood:
        return NotUnderstood(why, self.line())

    def peek(self, count: int = 1) -> str:
        return self.text[self.at : self.at + count]

    def blank(self, newlines: bool = False) -> None:
        """Go over white space and comments."""
        while self.at < len(self.text):
            sign = self.text[self.at]
            if sign in " \t" or (newlines and sign == "\n"):
                self.at += 1
            elif sign == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return

    def document(self) -> Table:
        root = table = Table()
        while True:
            self.blank(newlines=True)
            if self.at >= len(self.text):
                return root
            if self.peek() == "[":
                many = self.peek(2) == "[["
                self.at += 2 if many else 1
                line, path = self.line(), self.key()
                if self.peek(2 if many else 1) != ("]]" if many else "]"):
                    raise self.fail("the name of a section that is not closed")
                self.at += 2 if many else 1
                table = self.section(root, path, many, line)
            else:
                line, path = self.line(), self.key()
                if self.peek() != "=":
                    raise self.fail("neither a section nor a key with its value")
                self.at += 1
                self.blank()
                value = self.value(0)
                target = self.section(table, path[:-1], False, line)
                if path[-1] in target:
                    raise self.fail("the key %s a second time" % path[-1][:80])
                target.put(path[-1], value, line)
            self.blank()
            if self.at < len(self.text) and self.peek() != "\n":
                raise self.fail("what stands behind the value")

    def section(self, table: Table, path: list[str], many: bool, line: int) -> Table:
        for depth, name in enumerate(path):
            last = depth == len(path) - 1
            there = table.get(name)
            if last and many:
                if there is None:
                    there = []
                    table.put(name, there, line)
                if not isinstance(there, list):
                    raise self.fail("the section %s is no list" % name[:80])
                there.append(Table())
            elif there is None:
                there = Table()
                table.put(name, there, line)
            if isinstance(there, list) and there and isinstance(there[-1], Table):
                there = there[-1]
            if not isinstance(there, Table):
                raise self.fail("%s is a value, and a section at once" % name[:80])
            table = there
        return table

    def key(self) -> list[str]:
        path: list[str] = []
        while True:
            self.blank()
            if self.peek() in ('"', "'") and self.peek():
                path.append(self.string())
            else:
                match = _BARE.match(self.text, self.at)
                if match is None:
                    raise self.fail("neither a section nor a key with its value")
                path.append(match.group())
                self.at = match.end()
            self.blank()
            if self.peek() != ".":
                return path
            self.at += 1

    def value(self, depth: int) -> Any:
        if depth > DEPTH:
            raise self.fail("nested in more than %d levels" % DEPTH)
        sign = self.peek()
        if sign and sign in "\"'":
            return self.string()
        if sign == "[":
            self.at += 1
            items: list[Any] = []
            while True:
                self.blank(newlines=True)
                if self.peek() == "]":
                    self.at += 1
                    return items
                items.append(self.value(depth + 1))
                self.blank(newlines=True)
                if self.peek() == ",":
                    self.at += 1
                elif self.peek() != "]":
                    raise self.fail("a list that is not closed")
        if sign == "{":
            return self.inline(depth)
        for word, meant in (("true", True), ("false", False)):
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return meant
        match = _NUMBER.match(self.text, self.at)
        if match is None:
            raise self.fail("a value that is not understood")
        self.at = match.end()
        digits = match.group().replace("_", "")
        return float(digits) if any(mark in digits for mark in ".eE") else int(digits[:40])

    def inline(self, depth: int) -> Table:
        self.at += 1
        table = Table()
        while True:
            self.blank()
            if self.peek() == "}":
                self.at += 1
                return table
            line, path = self.line(), self.key()
            if self.peek() != "=":
                raise self.fail("a table in braces that is not understood")
            self.at += 1
            self.blank()
            target = self.section(table, path[:-1], False, line)
            target.put(path[-1], self.value(depth + 1), line)
            self.blank()
            if self.peek() == ",":
                self.at += 1
            elif self.peek() != "}":
                raise self.fail("a table in braces that is not closed")

    def string(self) -> str:
        quote = self.peek()
        if self.peek(3) == quote * 3:
            end = self.text.find(quote * 3, self.at + 3)
            body = self.text[self.at + 3 : end]
            if end < 0 or (quote == '"' and "\\" in body):
                raise self.fail("a text in three quotes that is not understood")
            self.at = end + 3
            return body[1:] if body.startswith("\n") else body
        out: list[str] = []
        self.at += 1
        while True:
            sign = self.peek()
            if sign in ("", "\n"):
                raise self.fail("a quote that is not closed")
            self.at += 1
            if sign == quote:
                return "".join(out)
            if sign == "\\" and quote == '"':
                code = self.peek()
                width = {"u": 4, "U": 8}.get(code, 0)
                digits = self.text[self.at + 1 : self.at + 1 + width]
                if width and re.fullmatch("[0-9a-fA-F]{%d}" % width, digits) and int(digits, 16) <= 0x10FFFF:
                    sign = chr(int(digits, 16))
                    self.at += width
                elif code and code in _ESCAPES:
                    sign = _ESCAPES[code]
                else:
                    raise self.fail("an escape that is not understood")
                self.at += 1
            out.append(sign)

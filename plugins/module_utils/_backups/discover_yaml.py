# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small, strict reader of the YAML that configuration files of backups are written in. Pure.

Hosts have no YAML library for certain. Understood: block and flow mappings and sequences, plain, quoted, literal and
folded scalars, comments, anchors, aliases and merge keys, one document. All else raises NotUnderstood with its line:
nothing is guessed. Scalars are as YAML 1.2's core schema has them (``on`` and ``yes`` are texts).
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from .discover_model import NotUnderstood, Table

DEPTH = 40
"""Levels of nesting."""
LINES = 20_000

_KEY = re.compile(
    r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s"'\[\]{}#&*!|>%@`,?:-](?:[^:#]|:(?=\S)|(?<=\S)#)*|[?:-](?=\S)(?:[^:#]|:(?=\S)|(?<=\S)#)*|<<)\s*:(?=\s|$)"""
)
_ANCHOR = re.compile(r"&([^\s,\[\]{}]+)(?:\s+|$)")
_BLOCK = re.compile(r"([|>])([+-]?)([1-9]?)([+-]?)\s*(?:#.*)?$")
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_ESCAPES = {"0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b"}
_ESCAPES.update({" ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0"})


class _Line(NamedTuple):
    number: int
    indent: int
    text: str


def read(text: str) -> Any:
    """The document: Tables, lists, texts, numbers, booleans and None. Raises NotUnderstood."""
    if text.startswith("\ufeff"):
        text = text[1:]
    try:
        return _Reader(text).document()
    except RecursionError:
        raise NotUnderstood("nested too deep") from None


class _Reader:
    def __init__(self, text: str) -> None:
        self.raw = text.replace("\r\n", "\n").split("\n")
        if len(self.raw) > LINES:
            raise NotUnderstood("it has more than %d lines" % LINES)
        self.anchors: dict[str, Any] = {}
        self.depth = 0
        self.lines: list[_Line] = []
        self.at = 0
        ended = False
        for number, line in enumerate(self.raw, 1):
            stripped = line.strip(" ")
            if not stripped.strip() or stripped.startswith("#"):
                continue
            if line.startswith("%"):
                raise NotUnderstood("a directive of YAML", number)
            if line == "..." or line.rstrip() == "---":
                if self.lines:
                    ended = True
                continue
            if line.startswith("--- "):
                raise NotUnderstood("a document that begins on the line of its mark", number)
            if ended:
                raise NotUnderstood("a second document", number)
            indent = len(line) - len(line.lstrip(" "))
            self.lines.append(_Line(number, indent, line[indent:].rstrip()))

    def document(self) -> Any:
        if not self.lines:
            return None
        value = self._block(self.lines[0].indent)
        if self.at < len(self.lines):
            raise NotUnderstood("the indentation fits nothing above it", self.lines[self.at].number)
        return value

    def _block(self, indent: int) -> Any:
        """What begins at the line in turn, whose indentation this is."""
        self.depth += 1
        line = self.lines[self.at]
        if self.depth > DEPTH:
            raise NotUnderstood("nested in more than %d levels" % DEPTH, line.number)
        if line.text.startswith("\t"):
            raise NotUnderstood("a tab in the indentation", line.number)
        try:
            if line.text == "-" or line.text.startswith("- "):
                return self._sequence(indent)
            if _KEY.match(line.text):
                return self._mapping(indent)
            if line.text == "?" or line.text.startswith("? "):
                raise NotUnderstood("a key that is not a word", line.number)
            self.at += 1
            return self._scalar(line.text, line.number, indent - 1)
        finally:
            self.depth -= 1

    def _sequence(self, indent: int) -> list[Any]:
        items: list[Any] = []
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.indent != indent or not (line.text == "-" or line.text.startswith("- ")):
                break
            rest = line.text[1:].lstrip(" ")
            if not rest or rest.startswith("#"):
                self.at += 1
                items.append(self._below(indent))
                continue
            inner = indent + len(line.text) - len(rest)
            named = _ANCHOR.match(rest)
            if rest.startswith("- ") or (_KEY.match(rest) and not named):
                # "- key: value": the mapping begins in the middle of the line
                self.lines[self.at] = _Line(line.number, inner, rest)
                items.append(self._block(inner))
                continue
            self.at += 1
            items.append(self._scalar(rest, line.number, indent))
        self._aligned(indent)
        return items

    def _mapping(self, indent: int) -> Table:
        table = Table()
        merged: list[Any] = []
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.indent != indent:
                break
            match = _KEY.match(line.text)
            if match is None:
                raise NotUnderstood("neither a key with its colon nor what belongs to one", line.number)
            key = self._inline(match.group(1).strip(), line.number)
            if isinstance(key, (list, dict)):
                raise NotUnderstood("a key that is not a word", line.number)
            rest = line.text[match.end() :].strip(" ")
            self.at += 1
            if not rest or rest.startswith("#"):
                value = self._below(indent, in_mapping=True)
            else:
                value = self._scalar(rest, line.number, indent)
            if match.group(1) == "<<":
                merged += value if isinstance(value, list) else [value]
                continue
            if key in table:
                raise NotUnderstood("the key %s a second time" % str(key)[:80], line.number)
            table.put(key, value, line.number)
        self._aligned(indent)
        for other in merged:
            if not isinstance(other, Table):
                raise NotUnderstood("a merge key that names no mapping")
            for key, value in other.items():
                if key not in table:
                    table.put(key, value, other.lines[key])
        return table

    def _aligned(self, indent: int) -> None:
        if self.at < len(self.lines) and self.lines[self.at].indent > indent:
            raise NotUnderstood("the indentation fits nothing above it", self.lines[self.at].number)

    def _below(self, indent: int, in_mapping: bool = False) -> Any:
        """The block on the next lines, or None when they do not belong here."""
        if self.at >= len(self.lines):
            return None
        line = self.lines[self.at]
        dash = line.text == "-" or line.text.startswith("- ")
        if line.indent > indent or (in_mapping and dash and line.indent == indent):
            return self._block(line.indent)
        return None

    def _scalar(self, rest: str, number: int, indent: int) -> Any:
        """A value that begins behind a key or a dash of this indentation; what it needs of further lines is taken."""
        anchor = _ANCHOR.match(rest)
        if anchor:
            rest = rest[anchor.end() :]
            if rest.startswith("&"):
                raise NotUnderstood("an anchor of an anchor", number)
            if not rest or rest.startswith("#"):
                value = self._below(indent, in_mapping=True)
            else:
                value = self._scalar(rest, number, indent)
            self.anchors[anchor.group(1)] = value
            return value
        if rest[0] in "|>":
            return self._literal(rest, number, indent)
        if rest[0] in "[{" or rest[0] in "\"'":
            while not _closed(rest):
                if self.at >= len(self.lines) or (self.lines[self.at].indent <= indent and rest[0] in "\"'"):
                    raise NotUnderstood("a bracket or a quote that is not closed", number)
                if rest[0] in "\"'":
                    raise NotUnderstood("a quoted text that goes on in the next line", number)
                rest += " " + _uncommented(self.lines[self.at].text)
                self.at += 1
                if len(rest) > 1_000_000:
                    raise NotUnderstood("a bracket that is not closed", number)
        value = self._inline(rest, number)
        if self.at < len(self.lines) and self.lines[self.at].indent > indent:
            raise NotUnderstood("a text that goes on in the next line", self.lines[self.at].number)
        return value

    def _literal(self, rest: str, number: int, indent: int) -> str:
        match = _BLOCK.match(rest)
        if match is None:
            raise NotUnderstood("a block of text with a header that is not understood", number)
        if match.group(3):
            raise NotUnderstood("a block of text whose indentation is given as a number", number)
        kept: list[str] = []
        inner = -1
        end = number
        for line in self.raw[number:]:
            if line.strip():
                depth = len(line) - len(line.lstrip(" "))
                if inner < 0:
                    inner = depth
                if depth <= indent or depth < inner:
                    break
            kept.append(line[inner:] if inner >= 0 else "")
            end += 1
        while self.at < len(self.lines) and self.lines[self.at].number <= end:
            self.at += 1
        while kept and not kept[-1].strip():
            kept.pop()
        if match.group(1) == ">":
            # Folded: an empty line is a line feed, and what is indented further is kept; the latter nobody needs here.
            text = re.sub(r"(?<!\n)\n(?!\n)", " ", "\n".join(kept)).replace("\n\n", "\n")
        else:
            text = "\n".join(kept)
        chomp = match.group(2) or match.group(4)
        return text if chomp == "-" or not text else text + "\n"

    def _inline(self, text: str, number: int) -> Any:
        value, end = self._value(text, 0, number, "", 0)
        rest = text[end:].strip()
        if rest and not (rest.startswith("#") and (text[end] in " \t" or text[end - 1] in " \t")):
            raise NotUnderstood("what stands behind the value", number)
        return value

    def _value(self, text: str, at: int, number: int, stops: str, depth: int) -> tuple[Any, int]:
        """A value of one line from ``at``, and where it ends. ``stops`` end a plain scalar in a flow."""
        if depth > DEPTH:
            raise NotUnderstood("nested in more than %d levels" % DEPTH, number)
        sign = text[at : at + 1]
        if sign == "*":
            match = re.compile(r"\*([^\s,\[\]{}]+)").match(text, at)
            if match is None or match.group(1) not in self.anchors:
                raise NotUnderstood("an alias of an anchor that does not stand above it", number)
            return self.anchors[match.group(1)], match.end()
        if sign == "[":
            return self._flow_sequence(text, at + 1, number, depth)
        if sign == "{":
            return self._flow_mapping(text, at + 1, number, depth)
        if sign in ("'", '"'):
            return _quoted(text, at, number)
        if sign in tuple("!%@`&|>,]}"):
            raise NotUnderstood("a value that begins with %s" % sign, number)
        end = at
        while end < len(text):
            if text[end] == "#" and text[end - 1 : end].isspace():
                break
            if stops and (text[end] in stops or (text[end] == ":" and text[end + 1 : end + 2] in ("", " ", *"]},["))):
                break
            if not stops and text[end] == ":" and text[end + 1 : end + 2] in ("", " "):
                raise NotUnderstood("a second colon in the line", number)
            end += 1
        return _plain(text[at:end].strip()), end

    def _flow_sequence(self, text: str, at: int, number: int, depth: int) -> tuple[Any, int]:
        items: list[Any] = []
        while True:
            at = _skip(text, at)
            if text[at : at + 1] == "]":
                return items, at + 1
            value, at = self._value(text, at, number, ",[]{}", depth + 1)
            items.append(value)
            at = _skip(text, at)
            if text[at : at + 1] == ",":
                at += 1
            elif text[at : at + 1] != "]":
                raise NotUnderstood("a list in brackets that is not understood", number)

    def _flow_mapping(self, text: str, at: int, number: int, depth: int) -> tuple[Any, int]:
        table = Table()
        while True:
            at = _skip(text, at)
            if text[at : at + 1] == "}":
                return table, at + 1
            key, at = self._value(text, at, number, ",[]{}", depth + 1)
            at = _skip(text, at)
            if text[at : at + 1] != ":" or isinstance(key, (list, dict)) or key in table:
                raise NotUnderstood("a mapping in braces that is not understood", number)
            at = _skip(text, at + 1)
            if text[at : at + 1] in (",", "}"):
                value = None
            else:
                value, at = self._value(text, at, number, ",[]{}", depth + 1)
            table.put(key, value, number)
            at = _skip(text, at)
            if text[at : at + 1] == ",":
                at += 1
            elif text[at : at + 1] != "}":
                raise NotUnderstood("a mapping in braces that is not understood", number)


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t"):
        at += 1
    return at


def _quoted(text: str, at: int, number: int) -> tuple[str, int]:
    quote = text[at]
    out: list[str] = []
    at += 1
    while at < len(text):
        sign = text[at]
        if sign == quote == "'" and text[at + 1 : at + 2] == "'":
            out.append("'")
            at += 2
        elif sign == quote:
            return "".join(out), at + 1
        elif sign == "\\" and quote == '"':
            code = text[at + 1 : at + 2]
            width = {"x": 2, "u": 4, "U": 8}.get(code, 0)
            digits = text[at + 2 : at + 2 + width]
            if width and len(digits) == width and all(digit in "0123456789abcdefABCDEF" for digit in digits):
                point = int(digits, 16)
                if point > 0x10FFFF:
                    raise NotUnderstood("a character that does not exist", number)
                out.append(chr(point))
                at += 2 + width
            elif code in _ESCAPES and code:
                out.append(_ESCAPES[code])
                at += 2
            else:
                raise NotUnderstood("an escape in a quoted text that is not understood", number)
        else:
            out.append(sign)
            at += 1
    raise NotUnderstood("a quote that is not closed", number)


def _plain(text: str) -> Any:
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if _INT.fullmatch(text) and len(text) < 20:
        return int(text)
    if _FLOAT.fullmatch(text) and len(text) < 40:
        return float(text)
    return text


def _closed(text: str) -> bool:
    """Whether the brackets and quotes of a value that goes over several lines are all closed."""
    level, quote, at = 0, "", 0
    while at < len(text):
        sign = text[at]
        if quote:
            if sign == "\\" and quote == '"':
                at += 1
            elif sign == quote:
                quote = ""
        elif sign in "\"'" and (at == 0 or text[at - 1] in " ,[{:"):
            quote = sign
        elif sign in "[{":
            level += 1
        elif sign in "]}":
            level -= 1
            if level == 0:
                return True
        at += 1
        if not quote and level == 0:
            return True
    return not quote and level <= 0


def _uncommented(text: str) -> str:
    """A line within brackets without its comment; a quote may hold a hash."""
    quote = ""
    for at, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign == "#" and (at == 0 or text[at - 1].isspace()):
            return text[:at]
    return text

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what a shell would run, without a shell: the commands of a script, with what is known of their words. Pure.

Assignments, quotes, plain variables and lists of words are followed in the order of the lines. What only a shell could
know (the output of a command, a loop's variable, a pattern) makes a word unknown, with the reason; whoever needs that
word tells it. Nothing is ever run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from .discover_model import NotUnderstood

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE_LIMIT = 256 * 1024
"""Bytes of a script that are read; scripts that back up are a few kilobytes."""
_WORD_LIMIT = 64 * 1024

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=")
_BRACED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*|[0-9@*#]+)(?:\[([@*])\])?(?:(:?[-?])([^{}$`\"']*))?\}")
_OPENING = frozenset({"if", "then", "else", "elif", "do", "while", "until", "!", "{", "time"})
_CLOSING = frozenset({"fi", "done", "esac", "}", ";;"})


class Word(NamedTuple):
    """A word as the shell would hand it on; ``unknown`` says why it cannot be known, empty where it is."""

    text: str
    unknown: str = ""


class Unknown(NamedTuple):
    """The value of a variable that only a shell could know."""

    why: str


class Command(NamedTuple):
    """One simple command: its words and what is assigned before them on the same line."""

    line: int
    words: list[Word]
    environment: dict[str, Any]
    """All exported and assigned variables as they are at this line: a text, a list of texts or Unknown."""


class _Scan:
    """One pass over the text."""

    def __init__(self, text: str, variables: dict[str, Any]) -> None:
        # A line that ends in a backslash goes on in the next one; a mark keeps the count of the lines.
        self.text = text.replace("\r\n", "\n").replace("\\\n", "\x00")
        self.at = 0
        self.line = 1
        self.variables = variables
        self.pending: dict[str, Any] = {}
        """What is assigned so far on this line: known to further assignments, and not to the words of a command."""
        self.assigning = False

    def get(self, name: str) -> Any:
        return self.pending[name] if self.assigning and name in self.pending else self.variables.get(name)

    def take(self) -> str:
        sign = self.text[self.at]
        self.at += 1
        self.line += sign in "\n\x00"
        return sign

    def peek(self, count: int = 1) -> str:
        return self.text[self.at : self.at + count]


def commands(text: str, variables: dict[str, Any] | None = None) -> Iterator[Command]:
    """The simple commands of a script in the order of its lines.

    ``variables`` are those that it is called with. They are kept up to date in place: who reads a file that the script
    sources adds what it sets before the next command is asked for.
    Raises NotUnderstood where a quote or a bracket is not closed.
    """
    scan = _Scan(text, {} if variables is None else variables)
    heredocs: list[str] = []
    words: list[Word] = []
    first = 1
    while scan.at < len(scan.text):
        sign = scan.peek()
        if sign in " \t\x00":
            scan.take()
        elif sign == "#":
            while scan.at < len(scan.text) and scan.peek() != "\n":
                scan.take()
        elif sign in "\n;&|()":
            if sign == "&" and scan.peek(2) == "&>":
                scan.take()
                _redirection(scan)
                continue
            scan.take()
            yield from _ended(scan, words, first)
            words = []
            scan.pending.clear()
            if sign == "\n":
                for mark in heredocs:
                    _over_heredoc(scan, mark)
                heredocs = []
        elif sign in "<>" or re.match(r"[0-9]+[<>]", scan.text[scan.at : scan.at + 4]):
            mark = _redirection(scan)
            if mark:
                heredocs.append(mark)
        else:
            if not words:
                first = scan.line
            made = _word(scan, assignment=all(_is_assignment(word) for word in words))
            scan.assigning = False
            match = _ASSIGNMENT.match(made[0].text) if made and all(_is_assignment(word) for word in words) else None
            if match is not None and not match.group(2):
                value = made[0].text[match.end() :]
                scan.pending[match.group(1)] = Unknown(made[0].unknown) if made[0].unknown else value
            words += made
    yield from _ended(scan, words, first)


def _is_assignment(word: Word) -> bool:
    return _ASSIGNMENT.match(word.text) is not None or word.text in ("export", "declare", "local", "readonly", "-x")


def _ended(scan: _Scan, words: list[Word], line: int) -> Iterator[Command]:
    """What a command that has come to its end means: variables of the script, or a command to tell."""
    while words and words[0].text in _OPENING | _CLOSING and not words[0].unknown:
        words = words[1:]
    if not words:
        return
    if words[0].text in ("for", "case", "select") and len(words) > 1:
        name = words[1].text
        values = [word.text for word in words[3:]] if len(words) > 2 and words[2].text == "in" else []
        if words[0].text != "for" or not values:
            scan.variables[name] = Unknown("it is the variable of a loop")
        elif len(values) == 1 and not words[3].unknown:
            scan.variables[name] = values[0]
        else:
            scan.variables[name] = Unknown("it is the variable of a loop over several values")
        return
    exported = words[0].text in ("export", "declare", "local", "readonly", "typeset")
    assigned: dict[str, Any] = {}
    at = 1 if exported else 0
    while at < len(words):
        match = _ASSIGNMENT.match(words[at].text)
        if match is None:
            if exported and (words[at].text.startswith("-") or _NAME.fullmatch(words[at].text)):
                at += 1
                continue
            break
        value: Any = Unknown(words[at].unknown) if words[at].unknown else words[at].text[match.end() :]
        if match.group(2) and isinstance(value, str):
            before = scan.variables.get(match.group(1), "")
            value = before + value if isinstance(before, str) else Unknown("it is added to what is not known")
        assigned[match.group(1)] = value
        at += 1
    if at >= len(words):
        scan.variables.update(assigned)
        return
    if words[at].text == "unset" and not words[at].unknown:
        for word in words[at + 1 :]:
            scan.variables.pop(word.text, None)
        return
    yield Command(line, words[at:], {**scan.variables, **assigned})


def _over_heredoc(scan: _Scan, mark: str) -> None:
    while scan.at < len(scan.text):
        end = scan.text.find("\n", scan.at)
        end = len(scan.text) if end < 0 else end
        row = scan.text[scan.at : end]
        while scan.at < min(end + 1, len(scan.text)):
            scan.take()
        if row.strip() == mark:
            return


def _redirection(scan: _Scan) -> str:
    """Go over a redirection and its file; of a here-document, the word that ends it."""
    while scan.peek().isdigit():
        scan.take()
    sign = ""
    while scan.peek() and scan.peek() in "<>&|-" and len(sign) < 3:
        sign += scan.take()
    while scan.peek() and scan.peek() in " \t\x00":
        scan.take()
    if scan.peek() in ("", "\n", ";", "|", "&", ")", "("):
        return ""
    words = _word(scan, assignment=False)
    return words[0].text if words and sign.startswith("<<") and sign != "<<<" else ""


def _word(scan: _Scan, assignment: bool) -> list[Word]:
    """The word in turn: several where an unquoted variable holds several, none where it is empty."""
    parts: list[str] = [""]
    unknown = ""
    quoted = False
    start = scan.at
    named = False
    while scan.at < len(scan.text):
        sign = scan.peek()
        if sign in " \t\n;&|<>" or (sign in "()" and not named):
            break
        if scan.at - start > _WORD_LIMIT:
            raise NotUnderstood("a word of more than %d characters" % _WORD_LIMIT, scan.line)
        if sign == "(" and named and parts[-1].endswith("="):
            return _array(scan, parts[-1])
        if sign in "()":
            break
        if sign == "'":
            scan.take()
            parts[-1] += _until(scan, "'")
            quoted = True
        elif sign == '"':
            scan.take()
            quoted = True
            unknown = _double(scan, parts) or unknown
        elif sign == "\x00":
            scan.take()
        elif sign == "\\":
            scan.take()
            parts[-1] += scan.take() if scan.at < len(scan.text) else ""
        elif sign in "$`":
            value = _expansion(scan)
            if isinstance(value, Unknown):
                unknown = value.why
            elif named:
                # The right side of an assignment is not split.
                parts[-1] += value if isinstance(value, str) else " ".join(value)
            else:
                _split(parts, value)
        else:
            parts[-1] += scan.take()
            named = named or (assignment and sign == "=" and _ASSIGNMENT.fullmatch(parts[-1]) is not None)
            scan.assigning = named
    if parts == [""] and not quoted and not unknown:
        return []
    return [Word(part, unknown) for part in parts if part or quoted or unknown]


def _split(parts: list[str], value: Any) -> None:
    """Add a variable's value to the word as the shell does outside of quotes: at white space, it makes words."""
    items = value.split() if isinstance(value, str) else list(value)
    if not items:
        return
    if isinstance(value, str) and value[:1].isspace() and parts[-1]:
        parts.append("")
    parts[-1] += items[0]
    parts += items[1:]
    if isinstance(value, str) and value[-1:].isspace():
        parts.append("")


def _array(scan: _Scan, name: str) -> list[Word]:
    """NAME=(one two): kept as a list."""
    scan.take()
    items: list[str] = []
    unknown = ""
    while True:
        if scan.at >= len(scan.text):
            raise NotUnderstood("a bracket that is not closed", scan.line)
        sign = scan.peek()
        if sign == ")":
            scan.take()
            break
        if sign in " \t\n\x00":
            scan.take()
        elif sign == "#":
            while scan.at < len(scan.text) and scan.peek() != "\n":
                scan.take()
        elif sign in ";&|<>(":
            raise NotUnderstood("a list in brackets that is not understood", scan.line)
        else:
            for word in _word(scan, assignment=False):
                items.append(word.text)
                unknown = word.unknown or unknown
    match = _ASSIGNMENT.fullmatch(name)
    if match is not None:
        before = scan.variables.get(match.group(1), []) if match.group(2) else []
        before = before if isinstance(before, list) else [before] if isinstance(before, str) else []
        scan.variables[match.group(1)] = Unknown(unknown) if unknown else before + items
    return []


def _until(scan: _Scan, end: str) -> str:
    line = scan.line
    out: list[str] = []
    while scan.at < len(scan.text):
        sign = scan.take()
        if sign == end:
            return "".join(out).replace("\x00", "\\\n")
        out.append(sign)
    raise NotUnderstood("a quote that is not closed", line)


def _double(scan: _Scan, parts: list[str]) -> str:
    """A text in double quotes, added to the last part; why it cannot be known."""
    line, unknown = scan.line, ""
    while scan.at < len(scan.text):
        sign = scan.peek()
        if sign == '"':
            scan.take()
            return unknown
        if sign == "\x00":
            scan.take()
        elif sign == "\\":
            scan.take()
            following = scan.take() if scan.at < len(scan.text) else ""
            parts[-1] += following if following in '"$`\\' else "\\" + following
        elif sign in "$`":
            value = _expansion(scan)
            if isinstance(value, Unknown):
                unknown = value.why
            elif isinstance(value, str):
                parts[-1] += value
            elif value:
                # "${LIST[@]}" makes a word of each
                parts[-1] += value[0]
                parts += value[1:]
        else:
            parts[-1] += scan.take()
    raise NotUnderstood("a quote that is not closed", line)


def _expansion(scan: _Scan) -> Any:
    """What stands for $NAME, ${NAME}, $(…) and `…`: a text, a list of texts, or Unknown."""
    if scan.peek() == "`":
        scan.take()
        _until(scan, "`")
        return Unknown("it is the output of a command")
    match = _BRACED.match(scan.text, scan.at)
    name = None
    if match is not None:
        scan.at = match.end()
        name = match.group(1)
        value = scan.get(name)
        if value is None and match.group(3) in (":-", "-"):
            return match.group(4)
        if isinstance(value, list) and not match.group(2):
            return value[0] if value else ""
    elif scan.peek(2) == "$(":
        _over_brackets(scan)
        return Unknown("it is the output of a command")
    elif scan.peek(2) == "${":
        _over_braces(scan)
        return Unknown("it is a change of a variable that only a shell can make")
    else:
        scan.take()
        plain = _NAME.match(scan.text, scan.at)
        if plain is not None:
            scan.at = plain.end()
            name = plain.group()
        elif scan.peek() and scan.peek() in "0123456789@*#?!$-":
            name = scan.take()
        else:
            return "$"
    if name in ("@", "*"):
        return list(scan.variables.get("@", [])) if "@" in scan.variables else Unknown("it is what the script is given")
    value = scan.get(name)
    if value is None:
        return Unknown("the variable %s is not set in what could be read" % name)
    if isinstance(value, list) and match is None:
        return value[0] if value else ""
    return value


def _over_brackets(scan: _Scan) -> None:
    line, level = scan.line, 0
    while scan.at < len(scan.text):
        sign = scan.take()
        if sign == "'":
            _until(scan, "'")
        elif sign == "\\" and scan.at < len(scan.text):
            scan.take()
        elif sign == "(":
            level += 1
        elif sign == ")":
            level -= 1
            if level == 0:
                return
    raise NotUnderstood("a bracket that is not closed", line)


def _over_braces(scan: _Scan) -> None:
    line, level = scan.line, 0
    while scan.at < len(scan.text):
        sign = scan.take()
        if sign == "\\" and scan.at < len(scan.text):
            scan.take()
        level += (sign == "{") - (sign == "}")
        if sign == "}" and level == 0:
            return
    raise NotUnderstood("a brace that is not closed", line)


def environment_file(text: str, systemd: bool = False) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """The variables of a file of assignments, and what is not understood of it, with its line.

    ``systemd``: as ``EnvironmentFile=`` has it read (systemd.exec(5)): nothing is expanded, and white space within a
    value stays. Otherwise as a script that sources the file.
    """
    if systemd:
        return _systemd_file(text)
    values: dict[str, str] = {}
    problems: list[tuple[int, str]] = []
    try:
        for command in commands(text + "\n:"):
            if command.words != [Word(":")]:
                problems.append((command.line, "a command in a file of variables"))
                continue
            for name, value in command.environment.items():
                if isinstance(value, str):
                    values[name] = value
                elif isinstance(value, Unknown) and name.startswith("RESTIC_"):
                    line = text.count("\n", 0, max(0, text.find(name + "="))) + 1
                    problems.append((line, "%s: %s" % (name, value.why)))
    except NotUnderstood as problem:
        problems.append((problem.line, problem.why))
    return values, sorted(set(problems))


def _systemd_file(text: str) -> tuple[dict[str, str], list[tuple[int, str]]]:
    values: dict[str, str] = {}
    problems: list[tuple[int, str]] = []
    number = 0
    for line in text.replace("\\\n", "\x00").split("\n"):
        number += 1
        match = re.match(r"\s*([A-Za-z_][A-Za-z0-9_]*)=(.*)", line, re.S)
        if match is not None:
            value = _systemd_value(match.group(2).replace("\x00", "").strip())
            if value is None:
                problems.append((number, "a quote that is not closed"))
            else:
                values[match.group(1)] = value
        elif line.strip() and line.lstrip()[0] not in "#;":
            problems.append((number, "neither a variable nor a comment"))
        number += line.count("\x00")
    return values, problems


def _systemd_value(text: str) -> str | None:
    out: list[str] = []
    quote, at = "", 0
    while at < len(text):
        sign = text[at]
        if quote:
            if sign == quote:
                quote = ""
            elif sign == "\\" and quote == '"' and text[at + 1 : at + 2] in tuple('"\\`$'):
                at += 1
                out.append(text[at])
            else:
                out.append(sign)
        elif sign in "\"'" and (at == 0 or not out):
            quote = sign
        elif sign == "\\" and at + 1 < len(text):
            at += 1
            out.append(text[at])
        else:
            out.append(sign)
        at += 1
    return None if quote else "".join(out)

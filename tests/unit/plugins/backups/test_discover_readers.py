# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small readers of YAML, TOML and shell agree with the real ones on what they take, and refuse the rest by name."""

from __future__ import annotations

import random
import subprocess
import time
import tomllib
from typing import Any

import pytest
import yaml

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import (
    discover_autorestic,
    discover_resticprofile,
    discover_shell,
    discover_toml,
    discover_units,
    discover_yaml,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.discover_model import NotUnderstood

YAML = """\
# a comment
version: "2"
global: &defaults
  keep-daily: 7
  flag: true
  nothing:
  tilde: ~
  ratio: -1.5
  text: it's a "text" # with a comment
  hash: a#b
  url: https://host:8000/path?x=y
  quoted: "tab\\t and \\u00e9 # no comment"
  single: 'it''s: here'
list:
- one
- two words
-
  - nested
  - - deeper
- key: value
  other: [a, "b, c", {d: 1, e: [2, 3]}]
flow: {a: 1, 'b': "x: y", c: [],
  d: {}}
merged:
  <<: *defaults
  keep-daily: 14
alias: *defaults
literal: |
  line one
    indented

  line two
stripped: |-
  no line feed
folded: >-
  one
  two
empty_list: []
"""
TOML = """\
# a comment
version = "2"
name.first = 'literal \\n'
"quoted key" = "tab\\t \\u00e9"
numbers = [1, -2, 1_000, 1.5, 1e3,]
flags = [true, false]
inline = { a = 1, b.c = "x # no comment", d = [ "e" ] }
text = \"\"\"
first
second\"\"\"

[profiles.web.backup]   # a comment
source = [
  "/etc",   # why
  '/srv',
]
[[steps]]
run = "a"
[[steps]]
run = "b"
"""
SHELL = r"""
A=one B="two words" C='$A' D="$A-${B}"
L=(x "y z" $A)
L+=(w)
E=${MISSING:-fallback}
show $A "$B" $B '$C' "$D" "${L[@]}" $E a\ b "q\"q" --opt=$A'x'"y"
if true; then show in-if; fi; { show grouped; } && show and || show or
show continued \
  line # and a comment
: <<X
show not this
X
show "$A
second line"
"""


def test_yaml_is_read_as_the_real_reader_does() -> None:
    made = discover_yaml.read(YAML)
    assert made == yaml.safe_load(YAML)
    assert (made.lines["list"], made["global"].lines["url"], made["list"][3].lines["other"]) == (14, 11, 21)


def test_toml_is_read_as_the_real_reader_does() -> None:
    made = discover_toml.read(TOML)
    assert made == tomllib.loads(TOML)
    assert made["profiles"].lines["web"] == 12 and made["profiles"]["web"]["backup"].lines["source"] == 13


def test_toml_that_only_the_real_reader_knows_is_left_to_it() -> None:
    assert discover_toml.read("a = 2026-11-22\nb = 0xff\n")["b"] == 255


def test_shell_is_read_as_the_real_one_does() -> None:
    shown = 'show() { printf "[%s]" "$@"; echo; }\n'
    ran = subprocess.run(["bash", "-c", shown + SHELL], capture_output=True, text=True, check=True).stdout
    seen = [
        command.words
        for command in discover_shell.commands(SHELL)
        if command.words[0].text == "show" and command.words[1].text != "or"
    ]
    assert all(not word.unknown for words in seen for word in words)
    assert "".join("[" + "][".join(word.text for word in words[1:]) + "]\n" for words in seen) == ran


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\na: 2\n", 2),
        ("a: !tag x\n", 1),
        ("? a\n: b\n", 1),
        ("a: 1\n---\nb: 2\n", 3),
        ("a: *gone\n", 1),
        ("a:\n  b: 1\n c: 2\n", 3),
        ("a: 'x\n", 1),
        ("a: b: c\n", 1),
        ("a: one\n  two\n", 2),
        ("a: [1, 2\n", 1),
        ("%YAML 1.2\n", 1),
        ("a: {b: 1, b: 2}\n", 1),
        ("- a\nb: 1\n", 2),
    ],
)
def test_what_is_not_understood_of_yaml_names_its_line(text: str, line: int) -> None:
    with pytest.raises(NotUnderstood) as caught:
        discover_yaml.read(text)
    assert caught.value.line == line


def more(_pattern: str) -> list[tuple[str, str | None]]:
    return []


READERS: list[tuple[str, Any]] = [
    (YAML, discover_yaml.read),
    (TOML, discover_toml.read),
    (SHELL, lambda text: list(discover_shell.commands(text))),
    (SHELL, discover_shell.environment_file),
    (SHELL, lambda text: discover_shell.environment_file(text, systemd=True)),
    (YAML, lambda text: discover_resticprofile.read("/p/profiles.yaml", text, more, "h", "/root")),
    (TOML, lambda text: discover_resticprofile.read("/p/profiles.toml", text, more, "h", "/root")),
    (YAML, lambda text: discover_autorestic.read("/p/.autorestic.yml", text, None, "/root")),
    (SHELL, lambda text: discover_units.parse_unit("a.service", [("/a", "[Service]\n" + text)])),
    (SHELL, lambda text: discover_units.parse_cron(text, True)),
]


@pytest.mark.parametrize("number", range(len(READERS)))
def test_whatever_a_file_holds_it_is_read_or_refused_in_time(number: int) -> None:
    text, read = READERS[number]
    chance = random.Random(number)
    signs = "\"'`$(){}[]<>|&;#*!%@=:,.-\\\n\t \0\x1b\N{REPLACEMENT CHARACTER}aZ0"
    for _round in range(300):
        made = list(text)
        for _change in range(chance.randint(1, 12)):
            at = chance.randrange(len(made))
            kind = chance.random()
            if kind < 0.5:
                made[at] = chance.choice(signs)
            elif kind < 0.75:
                made.insert(at, chance.choice(signs) * chance.randint(1, 40))
            else:
                del made[at : at + chance.randint(1, 60)]
                made = made or [" "]
        began = time.monotonic()
        try:
            read("".join(made))
        except NotUnderstood as problem:
            assert problem.why
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("sign", ["[", "{", "- ", "a: ", "$(", "${", '"', "'", "&a ", "\\", "((", "<<"])
@pytest.mark.parametrize("number", range(5))
def test_a_long_run_of_one_sign_ends(number: int, sign: str) -> None:
    _text, read = READERS[number]
    began = time.monotonic()
    try:
        read(sign * 20_000)
    except NotUnderstood as problem:
        assert problem.why
    assert time.monotonic() - began < 10

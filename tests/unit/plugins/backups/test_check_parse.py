# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What restic prints of a broken repository, and what becomes of it: a table of outputs of 0.14, 0.18 and 0.19."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.check_judge import Broken, judge, remedy
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.check_parse import (
    KEPT,
    NONE,
    Output,
    Touched,
    Uses,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import Review

PACK = "60d6f82b9c3a8cdca85dba7b3518dbd134d9ad26c1bffd4d184b9ac49c0e02b8"
OTHER = "92536e35ad560a9b63659d0049b4ec011f7e11a9f8808e2d7e73dfadc4d7c7f2"
TREE = "8cc5f6e9fd772e55db197744cb009bac5451a4b9db6166ac97919fc51b530984"


def said(*messages: str, **summary: Any) -> str:
    """The JSON of 0.18 and later."""
    lines = [json.dumps({"message_type": "error", "message": message}) for message in messages]
    if summary:
        lines.append(json.dumps({"message_type": "summary", **summary}))
    return "\n".join([*lines, '{"message_type":"exit_error","code":1,"message":"Fatal: repository contains errors"}'])


def parsed(text: str, packs: list[str] | None = None) -> Any:
    output = Output()
    for line in text.encode("utf-8", "surrogateescape").split(b"\n"):
        output.line(line)
    return output.damage(packs)


HEALTHY = [
    "load indexes\ncheck all packs\ncheck snapshots, trees and blobs\n[0:00] 100.00%  2 / 2 snapshots\nread all data\n"
    "[0:00] 100.00%  5 / 5 packs\nno errors were found",
    "using temporary cache in /tmp/restic-check-cache-1\nload indexes\ncheck all packs\n"
    "pack " + PACK + ": not referenced in any index\n"
    "1 additional files were found in the repo, which likely contain duplicate data.\n"
    "This is non-critical, you can run `restic prune` to correct this.\ncheck snapshots, trees and blobs\n"
    "read group #1 of 3 data packs (out of total 24 packs in 8 groups)\nno errors were found",
    '{"message_type":"summary","num_errors":0,"broken_packs":null,"suggest_repair_index":false,"suggest_prune":false}',
]


@pytest.mark.parametrize("text", HEALTHY)
def test_a_healthy_repository_is_silent(text: str) -> None:
    damage = parsed(text)
    assert not damage.structure
    assert not damage.data
    review = Review("backup")
    judge(review, "office", (0, 14, 0), Broken(damage))
    assert review.findings == []


# (version, what restic printed) -> (check, packs, what the summary has, what the remedy has)
TABLE = {
    "a flipped byte, 0.14": (
        (0, 14, 0),
        f"Pack ID does not match, want {PACK}, got {OTHER}\nFatal: repository contains errors",
        "backup.data.damaged",
        {PACK: "damaged"},
        "1 pack in the repository office does not hold what was written",
        "restic rebuild-index",
    ),
    "a flipped byte, 0.18": (
        (0, 18, 0),
        said(
            f"pack {PACK} contains 2 errors: [blob {TREE}: decrypting blob <data/17a799d7> from 60d6f82b failed: "
            f"ciphertext verification failed unexpected pack id {OTHER}]\n",
            "\nThe repository contains damaged pack files. These damaged files must be removed.\n\n",
            f"restic repair packs {PACK}\nrestic repair snapshots --forget\n\n",
            num_errors=1,
            broken_packs=[PACK],
            suggest_repair_index=False,
        ),
        "backup.data.damaged",
        {PACK: "damaged"},
        "1 pack in the repository office does not hold what was written",
        f"restic repair packs {PACK}",
    ),
    "a pack that is gone, 0.14, which tries again": (
        (0, 14, 0),
        f"pack {PACK}: does not exist\nLoad(<data/{PACK[:10]}>, 695, 0) returned error, retrying after 552.330144ms: "
        "open /r/data: no such file or directory",
        "backup.structure.damaged",
        {PACK: "missing"},
        "1 pack missing",
        "restic rebuild-index",
    ),
    "a pack that is gone, 0.19": (
        (0, 19, 1),
        said(f"pack {PACK}: does not exist\n", num_errors=1, broken_packs=None),
        "backup.structure.damaged",
        {PACK: "missing"},
        "1 pack missing",
        "restic repair index",
    ),
    "a pack that is known by its beginning only": (
        (0, 14, 0),
        f"Load(<data/{PACK[:10]}>, 695, 0) failed: open /r/data: no such file or directory",
        "backup.structure.damaged",
        {PACK: "missing"},
        "1 pack missing",
        "restic rebuild-index",
    ),
    "a pack that was cut, 0.18": (
        (0, 18, 0),
        said(
            f"pack {PACK}: unexpected file size: got 8498261, expected 16996523\n",
            "download error: file is too short\n",
            num_errors=2,
            broken_packs=[PACK],
        ),
        "backup.structure.damaged",
        {PACK: "cut"},
        "1 pack cut off",
        f"restic repair packs {PACK}",
    ),
    "a folder, 0.14": (
        (0, 14, 0),
        f"error for tree 8cc5f6e9:\n  decrypting blob {TREE} failed: ciphertext verification failed",
        "backup.structure.damaged",
        {},
        "1 folder not readable",
        "restic rebuild-index",
    ),
    "an index, 0.14": (
        (0, 14, 0),
        f"error: error loading index {OTHER}: load <index/0f92198631>: invalid data returned\n"
        "Fatal: LoadIndex returned errors",
        "backup.structure.damaged",
        {},
        "1 index damaged",
        "restic rebuild-index",
    ),
    "an index, 0.19": (
        (0, 19, 1),
        said(
            f"error: error loading index {OTHER}: LoadRaw(<index/1a7c3f5091>): invalid data returned\n",
            "\nThe repository index is damaged and must be repaired. You must run `restic repair index'.\n\n",
            num_errors=1,
            suggest_repair_index=True,
        ),
        "backup.structure.damaged",
        {},
        "1 index damaged",
        "restic repair index",
    ),
    "a lost index, 0.14": (
        (0, 14, 0),
        f"pack {PACK}: not referenced in any index\nerror for tree 007ae878:\n  id {TREE} not found in repository",
        "backup.structure.damaged",
        {},
        "the index of 1 pack is lost",
        "restic rebuild-index",
    ),
    "a snapshot, 0.19": (
        (0, 19, 1),
        said("error: failed to load snapshot 35a97f17: LoadRaw(<snapshot/35a97f17f6>): invalid data returned\n"),
        "backup.structure.damaged",
        {},
        "1 snapshot not readable",
        "snapshots/35a97f17",
    ),
    "what nobody knows": (
        (0, 19, 1),
        said("error: the moon is in the wrong phase\n"),
        "backup.structure.damaged",
        {},
        "restic found errors",
        "restic check --read-data",
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_is_broken_is_named(name: str) -> None:
    version, text, check, packs, summary, saves = TABLE[name]
    damage = parsed(text, [PACK, OTHER])
    assert {pack: what for pack, (what, _detail) in damage.packs.items()} == packs
    review = Review("backup")
    judge(review, "office", version, Broken(damage))
    (finding,) = review.findings
    assert (finding["check"], finding["subject"], finding["severity"]) == (check, "office", "critical")
    assert summary in finding["summary"]
    assert saves in finding["remedy"]
    assert ("rebuild-index" in finding["remedy"]) <= (version < (0, 16))
    assert ("repair " in finding["remedy"].replace("has repair snapshots", "")) <= (version >= (0, 16))


def test_the_remedy_fits_whatever_is_broken() -> None:
    damage = parsed("\n".join(f"Pack ID does not match, want {number:064x}, got x" for number in range(1000)))
    assert len(damage.packs) == KEPT
    for version in ((0, 14, 0), (0, 16, 0), (0, 19, 1)):
        assert len(remedy(version, damage)) <= 600


def test_a_hostile_name_is_shown_clean() -> None:
    damage = parsed(f'  tree {TREE}: file "\\x1b]0;x\\x07\x1b[31mevil\udcff" blob {OTHER} not found in index')
    review = Review("backup")
    judge(review, "office", (0, 14, 0), Broken(damage))
    assert "\x1b" not in str(review.findings[0]["evidence"])
    assert damage.files


@pytest.mark.parametrize("line", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"message_type": 7}', b"{" * 100_000])
def test_strange_lines_do_no_harm(line: bytes) -> None:
    output = Output()
    output.line(line)
    output.line(b"pack %s: does not exist" % PACK.encode())
    damage = output.damage([])
    assert dict(damage.packs) == {PACK: ("missing", "")}
    assert not (damage.trees or damage.files or damage.snapshots or damage.indexes)
    assert all(len(told) <= 1000 for told in damage.other)


def test_damage_that_only_one_of_two_checks_found_is_no_damage_of_the_structure() -> None:
    first = parsed(f"error for tree 007ae878:\n  id {TREE} not found in repository\npack {PACK}: does not exist")
    second = parsed(f"pack {PACK}: does not exist")
    both = first.common(second)
    assert list(both.packs) == [PACK]
    assert both.trees == ()


def test_the_answer_to_find_is_read_where_text_stands_between_its_objects() -> None:
    text = (
        '[{"object_type":"tree","id":"f2","path":"/srv/a","snapshot":"35a97f17f64c","time":"x"}Unable to load tree '
        "debbc42abf7e31fa9610\n ... which belongs to snapshot 6d2191e2dccd\n,"
        '{"object_type":"blob","id":"d6","path":"/srv/b/\\u0007c","snapshot":"35a97f17f64c"},{"object_type"'
    )
    found = Touched(("/srv/b/\x07c",), ("/srv/a",), ("6d2191e2", "35a97f17"), ("debbc42a",))
    assert uses(text.encode()) == found
    assert uses(b"") == Touched((), (), (), ())
    in_pieces = uses(text.encode(), 1)
    assert in_pieces._replace(snapshots=()) == found._replace(snapshots=())
    assert set(in_pieces.snapshots) == set(found.snapshots)


def uses(data: bytes, piece: int = 1 << 16) -> Touched:
    taken = Uses()
    for at in range(0, len(data), piece):
        taken.feed(data[at : at + piece])
    return taken.end()


def test_beyond_what_is_named_all_snapshots_are_and_the_count_says_that_it_is_none() -> None:
    # As restic tells them: all names of one snapshot, then those of the next.
    found = [
        {"object_type": "blob", "path": f"/srv/{name}", "snapshot": f"{snapshot:064x}"[::-1]}
        for snapshot in (1, 2, 3)
        for name in range(KEPT + 93)
    ]
    told = uses(json.dumps(found, separators=(",", ":")).encode(), 1000)
    assert (len(told.files), len(told.snapshots), told.more) == (KEPT, 3, True)
    review = Review("backup")
    judge(review, "office", (0, 19, 1), Broken(NONE._replace(packs={PACK: ("damaged", "")}), {"": told}))
    (finding,) = review.findings
    assert f"at least {KEPT} files touched, in 3 snapshots" in finding["summary"]
    assert finding["facts"]["more_than_named"] is True


def test_exactly_as_many_as_are_named_is_a_count() -> None:
    found = [{"object_type": "blob", "path": f"/srv/{name}", "snapshot": "35a97f17"} for name in range(KEPT)] * 2
    assert not uses(json.dumps(found, separators=(",", ":")).encode()).more

# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One snapshot restored on trial: list it, choose, see to the room, restore, compare, clean up.

What this gives is judged by :mod:`judge_restore`. restic runs in the main thread, as it dies with the thread that
started it; while restic compares the bytes of the files, a second thread compares all the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import threading
import time
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar

from .._findings import CannotCheck
from . import sample as sampling
from .listing import Disorder, Listing, escaped, parsed
from .restic import pattern
from .restic_errors import Kind, ResticError
from .scratch import NoRoom, Scratch, Unfit
from .verify import Abilities, Links, Selection, Verified, Verifier
from .verify_source import Source
from .verify_walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .model import Entry, Snapshot
    from .restic import Restic
    from .sample import Sample

BLOCK = 4096
"""Bytes that a file's last block, its name and its inode take at the most on the average, beside its content."""
MOST_DIGESTS = 20
DIGEST_BYTES = 64 * 1024**2
"""Files whose SHA-256 stands in the proof, and their bytes together: anybody can compute it again."""
MOST_ERRORS = 200
"""Files that restic could not restore, of which the names are kept."""

# 0.14 to 0.16 say the one when they begin to compare, later ones the other as soon as all is written.
_WRITTEN = (b"verifying files in ", b'{"message_type":"summary"')
_IGNORED = re.compile(r"ignoring error for (.*?): (.*)")
_WRONG_CONTENT = re.compile(r"Unexpected content in|Invalid file size for|file size mismatch")


_T = TypeVar("_T")


def there(value: _T | None) -> _T:
    """A step's result, which is there where this is called. Raises ValueError where a step was left out."""
    if value is None:
        raise ValueError("a step of the trial restore was left out")
    return value


class Timing(NamedTuple):
    """Seconds: restic's start until it knows the repository, until all is listed, until all is written, the whole."""

    start: float
    listing: float
    restoring: float
    total: float


class Outcome:
    """What came of one trial restore; what is None was not reached."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.listing: Listing | None = None
        self.sample: Sample | None = None
        self.seed = 0
        self.needs_bytes = 0
        self.needs_names = 0
        self.disorder: Disorder | None = None
        self.no_room: NoRoom | None = None
        self.error: ResticError | None = None
        self.error_names: dict[str, str] = {}
        """The files that restic could not restore, and why."""
        self.verified: Verified | None = None
        self.source: Source | None = None
        self.source_why = ""
        """Why the live tree was not compared; empty when it was."""
        self.unproven: list[str] = []
        """What of the metadata cannot be proven here, and why."""
        self.left: tuple[str, ...] = ()
        self.timing: Timing | None = None

    @property
    def bytes(self) -> int:
        """What is to be restored."""
        return there(self.listing).bytes if self.whole else self.sample.bytes if self.sample else 0

    @property
    def files(self) -> int:
        return there(self.listing).files if self.whole else self.sample.files if self.sample else 0

    @property
    def whole(self) -> bool:
        return self.sample is None or self.sample.whole

    @property
    def wrong_content(self) -> list[str]:
        """What restic said of files that it wrote and that are not what they should be."""
        said = list(self.error_names.values()) + (self.error.evidence if self.error else [])
        return [message for message in dict.fromkeys(said) if _WRONG_CONTENT.search(message)]


class Live(NamedTuple):
    """Where the live tree is: ``top`` corresponds to the root of the snapshot's tree; ``above`` see walk()."""

    top: str | None
    above: frozenset[bytes]
    why_not: str


class Trial:
    """One trial restore, step by step. ``state`` is what the last one of this series left (see sample.after)."""

    def __init__(
        self, restic: Restic, snapshot: Snapshot, options: Mapping[str, Any], state: Mapping[str, Any], now: float
    ) -> None:
        self.restic = restic
        self.options = options
        self.state = state
        self.now = now
        self.outcome = Outcome(snapshot)
        self.started = time.monotonic()
        self.root = restic.host.is_root() and not restic.repository.user
        seed = options.get("seed")
        self.outcome.seed = int(now) if seed is None else int(seed)

    def plan(self, spool: IO[bytes], start: float, compare: bool, why_not: str) -> Live:
        """List the snapshot, choose what to restore, and say how much room that takes. ``spool`` holds the list.

        Raises ResticError. A tree that is in disorder ends the plan: see Outcome.disorder.
        """
        outcome, options = self.outcome, self.options
        snapshot = outcome.snapshot
        listing = Listing(spool)
        budget = max(1, options["sample_mib"]) << 20
        extremes = sampling.Extremes(outcome.seed, budget)
        roots = _Roots(snapshot.paths)

        def take(entry: Entry) -> None:
            listing.add(entry)
            if entry.type == "file":
                extremes.add_file(entry.path, entry.size, entry.mtime)
            roots.look(entry.path)

        began = time.monotonic()
        try:
            self.restic.ls(snapshot.id, take)
        except Disorder as disorder:
            outcome.disorder = disorder
        outcome.listing = listing
        self.start, self.listed = start, time.monotonic() - began
        if outcome.disorder is None and options["mode"] == "sample":
            bounds = sampling.Bounds(budget, max(1, options["sample_files"]), listing.bytes, listing.entries)
            turn = self._turn(listing, bounds)
            outcome.sample = sampling.choose(listing, bounds, turn, extremes, options["paths"])
        chosen = outcome.sample
        names = listing.entries if chosen is None or chosen.whole else chosen.names
        outcome.needs_names = names
        outcome.needs_bytes = outcome.bytes + names * BLOCK
        if not compare:
            return Live(None, frozenset(), why_not)
        return roots.live(options["source_root"])

    def _turn(self, listing: Listing, bounds: sampling.Bounds) -> sampling.Turn:
        count = sum(1 for _unit in sampling.units(listing, bounds.unit_bytes, bounds.unit_files))
        return sampling.next_turn(self.state, bounds, count)

    def carry_out(self, live: Live) -> Outcome:
        """Restore, compare and clean up. Raises Unfit where there is no place to restore into."""
        outcome, options = self.outcome, self.options
        reserve = options.get("reserve_mib")
        place = Scratch(
            options["scratch"],
            "files",
            outcome.needs_bytes,
            needs_files=outcome.needs_names,
            reserve=None if reserve is None else reserve << 20,
            run=options["run"],
            account=self.restic.repository.user or None,
        )
        try:
            with place:
                self._restore(place, live)
        except NoRoom as no_room:
            outcome.no_room = no_room
        except KeyError as unknown:
            raise Unfit(
                "There is no account %s on this host." % unknown, "Name one that exists (option user)."
            ) from None
        finally:
            outcome.left = place.left
        return outcome

    def _restore(self, place: Scratch, live: Live) -> None:
        outcome = self.outcome
        listing = there(outcome.listing)
        units = () if outcome.whole or outcome.sample is None else outcome.sample.units
        outcome.source_why = live.why_not
        stop = threading.Event()
        if live.top is not None:
            turns = self._source_turns()
            runs = self.state.get("runs")
            turn = runs % turns if isinstance(runs, int) and not isinstance(runs, bool) else 0
            outcome.source = Source(outcome.snapshot.time, self.root, stop.is_set, turn, turns)
        abilities = self._abilities(place)
        digests = _digests(outcome)
        verifier = Verifier(abilities, Selection(unit.path for unit in units), outcome.source, digests)
        comparing = _Comparing(
            lambda: verifier.run(listing, place.path, live.top, live.above, stop.is_set, place.root), stop
        )
        began = time.monotonic()
        written: list[float] = []

        def on_line(line: bytes) -> None:
            if not written and line.startswith(_WRITTEN):
                written.append(time.monotonic() - began)
                comparing.start()

        try:
            self.restic.restore(
                outcome.snapshot.id,
                place.path,
                [pattern(unit.path) for unit in units],
                verify=True,
                on_line=on_line,
                on_error_line=self._on_error_line,
            )
        except ResticError as error:
            outcome.error = error
            if error.kind in (Kind.TIMED_OUT, Kind.LOCKED):
                comparing.cancel()
                return
        except BaseException:
            comparing.cancel()
            raise
        ended = time.monotonic() - began
        outcome.verified = comparing.result()
        if outcome.verified.links_open and outcome.verified.ended and outcome.error is None:
            self._links(place, outcome.verified)
        total = time.monotonic() - self.started
        outcome.timing = Timing(self.start, self.listed, written[0] if written else ended, total)

    def _links(self, place: Scratch, verified: Verified) -> None:
        """Compare the targets of symbolic links with the snapshot: where the live tree cannot vouch for all of them.

        restic tells them in another listing only, which takes as long as the first one.
        """
        walked = walk(place.path, None, frozenset(), lambda: False, place.root)
        with contextlib.closing(walked):
            links = Links(verified, walked)
            why = "their names, or what they lead to, are not told apart in restic's listing"
            try:
                self.restic.ls_links(self.outcome.snapshot.id, links.take)
            except ResticError as error:
                why = error.why
            links.end()
        if verified.links_open:
            self.outcome.unproven.append("the targets of %d symbolic links: %s" % (verified.links_open, why))

    def _source_turns(self) -> int:
        """In how many runs the bytes of all files are compared with the live ones."""
        budget = self.options["source_mib"] << 20
        return max(1, -(-self.outcome.bytes // budget)) if budget > 0 else 1

    def _on_error_line(self, line: bytes) -> None:
        """Names of files that could not be restored, as they are told; ``ResticError`` has only the last lines."""
        names = self.outcome.error_names
        if len(names) >= MOST_ERRORS:
            return
        text = line.decode("utf-8", "replace").rstrip("\r")
        if text.startswith("{"):
            with contextlib.suppress(ValueError, RecursionError, AttributeError):
                made = json.loads(text)
                if made.get("message_type") == "error" and made.get("item"):
                    names[str(made["item"])] = str((made.get("error") or {}).get("message", ""))
            return
        ignored = _IGNORED.match(text)
        if ignored:
            names[ignored.group(1)] = ignored.group(2)
        elif _WRONG_CONTENT.search(text):
            names[text] = text

    def _abilities(self, place: Scratch) -> Abilities:
        """What of the metadata can be proven in this place, by trying it on a file beside the content."""
        unproven = self.outcome.unproven
        if not self.root:
            unproven.append("owners, capabilities and device nodes: restic does not run as root")
        probe = os.path.join(place.root, "probe")
        wanted = 1_000_000_000_123_456_789
        granularity = 2
        with open(probe, "wb"):
            pass
        os.utime(probe, ns=(wanted, wanted))
        off = abs(os.stat(probe).st_mtime_ns - wanted) // 1000
        if off > granularity:
            granularity = 2_000_000 if off > 1_000_000 else 1_000_000
            unproven.append("times: the scratch place keeps them by the second only")
        try:
            os.setxattr(probe, "user.upkeep", b"1")
        except OSError as error:
            unproven.append("extended attributes and ACLs: the scratch place has none (%s)" % error.strerror)
        owner = self.root
        if owner:
            try:
                os.chown(probe, 1, 1)
                owner = os.stat(probe).st_uid == 1
            except OSError:
                owner = False
            if not owner:
                unproven.append("owners: the scratch place does not keep them")
        os.unlink(probe)
        return Abilities(owner, granularity)


class _Comparing:
    """The comparison, in a thread of its own or, where that was never started, here."""

    def __init__(self, compare: Any, stop: threading.Event) -> None:
        self._compare = compare
        self._stop = stop
        self._thread: threading.Thread | None = None
        self._made: list[Verified] = []
        self._failed: list[BaseException] = []

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="compare", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._made.append(self._compare())
        except BaseException as error:  # noqa: BLE001 - it is raised again in the main thread
            self._failed.append(error)

    def result(self) -> Verified:
        """What came of it. A signal that comes while we wait stops it."""
        try:
            if self._thread is None:
                return self._compare()  # type: ignore[no-any-return]
            while self._thread.is_alive():
                self._thread.join(0.1)  # join() without a time would hold signals back on old Pythons
        except BaseException:
            self.cancel()
            raise
        if self._failed:
            raise self._failed[0]
        return self._made[0]

    def cancel(self) -> None:
        """Stop it, and wait until it has let go of the scratch place."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(60)


class _Roots:
    """How the snapshot's tree lies in the live one: restic keeps a relative path as it was given."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self.paths = paths
        self.suffixes: set[str] = set()
        self.seen: set[str] = set()
        for path in paths:
            parts = path.strip("/").split("/")
            self.suffixes.update("/" + "/".join(parts[start:]) for start in range(len(parts)))

    def look(self, path: str) -> None:
        if path in self.suffixes:
            self.seen.add(path)

    def live(self, source_root: str) -> Live:
        """Where the live tree is, below ``source_root``."""
        tops = set()
        above: set[bytes] = set()
        for path in self.paths:
            if not path.startswith("/"):
                return Live(None, frozenset(), "the snapshot's path %s is not one of this system" % path)
            parts = path.strip("/").split("/")
            for start in range(len(parts)):
                suffix = "/" + "/".join(parts[start:])
                if suffix in self.seen or suffix == "/":
                    tops.add("/" + "/".join(parts[:start]))
                    above.update(escaped("/" + "/".join(parts[start:end])) for end in range(start + 1, len(parts)))
                    break
        if len(tops) != 1:
            return Live(None, frozenset(), "where the snapshot's files come from cannot be told")
        top = os.path.normpath(source_root + "/" + tops.pop())
        return Live(top, frozenset(above), "")


def _digests(outcome: Outcome) -> list[str]:
    """The files whose SHA-256 is to stand in the proof."""
    candidates: list[tuple[str, int]] = []
    if outcome.sample is not None and not outcome.sample.whole:
        sizes = {unit.path: unit.bytes for unit in outcome.sample.units if unit.files == unit.names == 1}
        why = outcome.sample.why
        wanted = [path for what in ("important", "newest", "random", "largest", "turn") for path in why[what]]
        candidates = [(path, sizes[path]) for path in dict.fromkeys(wanted) if path in sizes]
    else:
        # Of the whole: some, evenly spread.
        listing = there(outcome.listing)
        step = max(1, listing.entries // (MOST_DIGESTS * 2))
        for number, data in enumerate(listing.lines()):
            if number % step == 0:
                entry = parsed(data)
                if entry.kind == "f":
                    candidates.append((entry.path, entry.size))
    chosen: list[str] = []
    left = DIGEST_BYTES
    for path, size in candidates:
        if size <= left and len(chosen) < MOST_DIGESTS:
            chosen.append(path)
            left -= size
    return chosen


def spool_folder(base: str) -> str:
    """Where the names of a snapshot are kept while it is tried."""
    return base if os.path.isdir(base) and os.access(base, os.W_OK) else tempfile.gettempdir()


@contextlib.contextmanager
def spool(base: str) -> Iterator[IO[bytes]]:
    """A file without a name for the listing, beside the scratch places if possible: it is gone with this process."""
    try:
        stream = tempfile.TemporaryFile(dir=spool_folder(base))  # noqa: SIM115 - below, where its own errors are not caught
    except OSError as error:
        raise CannotCheck(
            "no temporary file could be made: %s" % (error.strerror or error), "See to the room in /tmp and %s." % base
        ) from None
    with stream:
        yield stream

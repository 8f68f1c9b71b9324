# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One restored name against the live one that it is a copy of, where that has not changed since.

Others may change the live tree at any time, on purpose too: a file is opened in its open folder, without following a
link and without waiting for a pipe, and looked at again after it was opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .verify_walk import Seen

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_BUFFER = 1 << 18

FOREIGN_ATTRIBUTES = (
    *("security.selinux", "security.ima", "security.evm", "security.SMACK", "security.apparmor"),
    *("trusted.overlay.", "user.overlay.", "btrfs.", "system.nfs4_acl", "system.cifs_acl", "trusted.glusterfs."),
)
"""Extended attributes that belong to the place where a file lies, not to the file (the policy, the file system)."""
PRIVILEGED_ATTRIBUTES = ("security.", "trusted.")
"""Those that only root can set: without root nothing is said of them."""

SAME = "same"
CHANGED = "changed"
GONE = "gone"
DIFFERS = "differs"
UNREAD = "unread"


class Source:
    """Compares restored names with live ones. ``before``: the snapshot's time; what is older has not changed since.

    Of the files' bytes, those are read whose turn it is: ``turn`` of ``turns``, so that this many runs read all. The
    metadata of all are compared. Only what restic restored can be compared, so a byte that is read costs two.

    ``compared`` counts the names that were the same or differed, ``compared_bytes`` what was read of each of two files,
    and ``metadata_only`` the files whose turn it was not; ``attributes``, ``acls`` and
    ``capabilities`` the files that have such, and ``sparse`` those with holes in the live tree, with the bytes that a
    restored copy takes more.
    """

    def __init__(self, before: float, root: bool, stopped: Any = None, turn: int = 0, turns: int = 1) -> None:
        self.before_ns = int(before * 1e9)
        self.root = root
        self.stopped = stopped or (lambda: False)
        self.turn = turn
        self.turns = turns
        self.metadata_only = 0
        self.compared = 0
        self.compared_bytes = 0
        self.attributes = 0
        self.acls = 0
        self.capabilities = 0
        self.links = 0
        self.sparse = 0
        self.sparse_bytes = 0
        self._noatime = getattr(os, "O_NOATIME", 0)
        self._one = bytearray(_BUFFER)
        self._other = bytearray(_BUFFER)
        # Hard links: live inode -> restored inode.
        self._linked: dict[tuple[int, int], tuple[int, int]] = {}

    def compare(self, seen: Seen) -> tuple[str, list[str]]:
        """One of SAME, CHANGED, GONE, DIFFERS, UNREAD, and what of the metadata differs (a few words each)."""
        try:
            live = os.stat(seen.name, dir_fd=seen.source, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return GONE, []
        except OSError:
            return UNREAD, []
        restored = seen.stat
        if stat.S_IFMT(live.st_mode) != stat.S_IFMT(restored.st_mode) or live.st_ctime_ns >= self.before_ns:
            return CHANGED, []
        if seen.kind == b"f":
            # Not changed by its ctime, but another size or mtime: its clock was set, or the backup is older than told.
            if live.st_size != restored.st_size or abs(live.st_mtime_ns - restored.st_mtime_ns) > 2000:
                return CHANGED, []
            outcome = self._content(seen, live)
            if outcome in (CHANGED, GONE, UNREAD):
                return outcome, []
        else:
            outcome = self._special(seen, live)
            if outcome == GONE:
                return GONE, []
        self.compared += 1
        return outcome, self._metadata(seen, live)

    def _special(self, seen: Seen, live: os.stat_result) -> str:
        if seen.kind == b"l":
            try:
                same = os.readlink(seen.name, dir_fd=seen.source) == os.readlink(seen.name, dir_fd=seen.folder)
            except OSError:
                return GONE
            return SAME if same else DIFFERS
        if seen.kind in (b"b", b"c"):
            return SAME if live.st_rdev == seen.stat.st_rdev else DIFFERS
        return SAME

    def _content(self, seen: Seen, live: os.stat_result) -> str:
        size = live.st_size
        if size == 0:
            return SAME
        if self.turns > 1 and zlib.crc32(seen.raw) % self.turns != self.turn:
            self.metadata_only += 1
            return SAME
        mine = theirs = -1
        try:
            try:
                theirs = self._open_live(seen)
            except FileNotFoundError:
                return GONE
            except OSError:
                return UNREAD
            opened = os.fstat(theirs)
            if (opened.st_ino, opened.st_dev, opened.st_ctime_ns) != (live.st_ino, live.st_dev, live.st_ctime_ns):
                return CHANGED
            mine = os.open(seen.name, _READ, dir_fd=seen.folder)
            same = self._equal(mine, theirs, size)
            if not same and os.fstat(theirs).st_ctime_ns != live.st_ctime_ns:
                return CHANGED
        except OSError:
            return UNREAD
        finally:
            for descriptor in (mine, theirs):
                if descriptor >= 0:
                    os.close(descriptor)
        self.compared_bytes += size
        if live.st_blocks * 512 < size - 4096 and live.st_blocks < seen.stat.st_blocks:
            self.sparse += 1
            self.sparse_bytes += (seen.stat.st_blocks - live.st_blocks) * 512
        return SAME if same else DIFFERS

    def _open_live(self, seen: Seen) -> int:
        """Without changing when it was last read, where the system lets us."""
        try:
            return os.open(seen.name, _READ | self._noatime, dir_fd=seen.source)
        except PermissionError:
            if not self._noatime:
                raise
            return os.open(seen.name, _READ, dir_fd=seen.source)

    def _equal(self, mine: int, theirs: int, size: int) -> bool:
        if size <= _BUFFER:
            return os.read(mine, size) == os.read(theirs, size)
        one, other = self._one, self._other
        offset = 0
        while offset < size and not self.stopped():
            read = os.preadv(mine, [one], offset)
            if read <= 0 or os.preadv(theirs, [other], offset) != read:
                return False
            # Comparing whole buffers takes no copy.
            if one != other if read == _BUFFER else one[:read] != other[:read]:
                return False
            offset += read
        return offset >= size

    def _metadata(self, seen: Seen, live: os.stat_result) -> list[str]:
        restored = seen.stat
        differs = []
        if seen.kind != b"l" and stat.S_IMODE(live.st_mode) != stat.S_IMODE(restored.st_mode):
            differs.append("mode %04o instead of %04o" % (stat.S_IMODE(restored.st_mode), stat.S_IMODE(live.st_mode)))
        if self.root and (live.st_uid, live.st_gid) != (restored.st_uid, restored.st_gid):
            differs.append(
                "owner %d:%d instead of %d:%d" % (restored.st_uid, restored.st_gid, live.st_uid, live.st_gid)
            )
        if seen.kind == b"f" and live.st_nlink > 1:
            self.links += 1
            twin = self._linked.setdefault((live.st_dev, live.st_ino), (restored.st_dev, restored.st_ino))
            if twin != (restored.st_dev, restored.st_ino):
                differs.append("no hard link to the file that it is one with")
        differs += self._attributes_differ(seen)
        return differs

    def _attributes_differ(self, seen: Seen) -> list[str]:
        wanted = self._attributes(seen.source, seen.name)
        found = self._attributes(seen.folder, seen.name)
        if not wanted and not found:
            return []
        self.attributes += 1
        self.acls += any(name.startswith("system.posix_acl") for name in wanted)
        self.capabilities += "security.capability" in wanted
        differs = []
        for name in sorted(set(wanted) | set(found)):
            if wanted.get(name) != found.get(name):
                what = "lacks" if name not in found else "has got" if name not in wanted else "differs in"
                differs.append("%s %s" % (what, _attribute_name(name)))
        return differs

    def _attributes(self, folder: int, name: str) -> dict[str, bytes]:
        path = "/proc/self/fd/%d/%s" % (folder, name)
        try:
            names = os.listxattr(path, follow_symlinks=False)
        except OSError:
            return {}
        found = {}
        for attribute in names:
            if attribute.startswith(FOREIGN_ATTRIBUTES) or (
                not self.root and attribute.startswith(PRIVILEGED_ATTRIBUTES)
            ):
                continue
            with contextlib.suppress(OSError):
                found[attribute] = os.getxattr(path, attribute, follow_symlinks=False)
        return found


def _attribute_name(name: str) -> str:
    told = {
        "system.posix_acl_access": "the ACL",
        "system.posix_acl_default": "the default ACL",
        "security.capability": "the capabilities",
    }
    return told.get(name, "the attribute %s" % name)


def digest(seen: Seen) -> str:
    """The SHA-256 of a restored regular file, empty when it cannot be read."""
    sha256 = hashlib.sha256()
    try:
        descriptor = os.open(seen.name, _READ, dir_fd=seen.folder)
    except OSError:
        return ""
    try:
        while True:
            chunk = os.read(descriptor, 1 << 20)
            if not chunk:
                return sha256.hexdigest()
            sha256.update(chunk)
    except OSError:
        return ""
    finally:
        os.close(descriptor)

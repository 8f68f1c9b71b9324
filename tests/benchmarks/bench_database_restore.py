# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restore test of a PostgreSQL dump (server, load, checks) against pg_restore -j1 into a default server."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.backups.postgresqls import Production, place, production

from .measure import Contender, Row, arguments, by_turns, ratio, show

ORDERS = 3_000_000

_OURS = """
import sys
from pathlib import Path
from tests.backups.postgresqls import restored
result = restored(Path(sys.argv[1]), {"name": "shop", "path": sys.argv[2], "roles": ["app", "Read Only"]})
sys.exit(bool(result["findings"]))
"""
_BARE = """
import subprocess, sys
bin, socket, dump = sys.argv[1:]
words = ["-h", socket, "-U", "postgres"]
for name in ("DROP DATABASE IF EXISTS again", "CREATE DATABASE again TEMPLATE template0"):
    subprocess.run([bin + "/psql", "-Xq", *words, "-d", "postgres", "-c", name], check=True)
subprocess.run([bin + "/pg_restore", "-j1", *words, "-d", "again", dump], check=True)
"""


def main() -> None:
    args = arguments(__doc__, 3)
    root = str(Path(__file__).parents[2])
    with production(ORDERS) as live, place() as folder, place() as scratch, place() as other:
        dump = live.dump(folder / "shop.dump", "-Fc")
        dump.chmod(0o644)
        live.stop()
        # A default server: what initdb makes, with its defaults. Its start is not counted.
        default = Production(other)
        default.start(fsync="on")
        try:
            default.sql('CREATE ROLE app; CREATE ROLE "Read Only"')
            env = {"PYTHONPATH": root}
            bare = Contender(
                "pg_restore -j1",
                lambda: [sys.executable, "-c", _BARE, str(default.bin), str(default.socket), str(dump)],
                env=env,
            )
            ours = Contender("restore test", lambda: [sys.executable, "-c", _OURS, str(scratch), str(dump)], env=env)
            by_turns([bare, ours], args.runs)
        finally:
            default.stop()
        size = os.path.getsize(dump) / 1e6
    detail = f"{ours.median('wall'):.2f} s against {bare.median('wall'):.2f} s"
    rows = [Row("restore test / pg_restore -j1", ratio(ours, bare), 1.0, f"{detail}, {ORDERS} rows, {size:.0f} MB")]
    rows.append(
        Row("memory of ours", ours.median("peak") / bare.median("peak"), None, f"{ours.median('peak') / 1e6:.0f} MB")
    )
    show("a PostgreSQL dump restored on trial", rows, args.json)


if __name__ == "__main__":
    main()

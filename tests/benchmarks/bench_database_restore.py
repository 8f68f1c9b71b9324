# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore tests of database dumps, against the loader alone into a server that runs already, as it comes by default.

The test counts whole: the server is made and started, the dump read through and loaded, indexes and tables checked,
rows counted, all cleared away. The loader (``pg_restore -j1``; ``mariadb < dump``) loads into a default server, whose
start is not counted: fsync, full pages and a flush at each commit, as its makers deliver it. Neither yields to other
programs (nice 0).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.backups.mysqls import Live
from tests.backups.postgresqls import SHOP, Production, place

from .measure import Contender, Row, by_turns, ratio, show

ORDERS = 400_000
"""Orders in the PostgreSQL shop: some 450 MB with its indexes, in seven tables as a shop has them."""
ONE_TABLE = 3_000_000
"""Rows of the database that is one table, which no second session can help with."""
MARIADB_ORDERS = 100_000

POSTGRESQL = """
CREATE ROLE app;
CREATE DATABASE shop;
\\connect shop
CREATE TABLE customers (id int PRIMARY KEY, email text NOT NULL UNIQUE, name text NOT NULL, address text,
  since date NOT NULL, credit numeric(10,2) CHECK (credit >= 0));
CREATE TABLE products (id int PRIMARY KEY, sku text NOT NULL UNIQUE, title text NOT NULL, price numeric(10,2) NOT NULL);
CREATE TABLE orders (id bigint PRIMARY KEY, customer int NOT NULL REFERENCES customers, placed timestamptz NOT NULL,
  state text NOT NULL, total numeric(10,2));
CREATE TABLE lines (orders bigint REFERENCES orders, line int, product int NOT NULL REFERENCES products,
  amount int NOT NULL CHECK (amount > 0), price numeric(10,2) NOT NULL, PRIMARY KEY (orders, line));
CREATE TABLE payments (id bigint PRIMARY KEY, orders bigint NOT NULL REFERENCES orders, reference uuid NOT NULL UNIQUE,
  paid timestamptz, amount numeric(10,2));
CREATE TABLE moves (id bigint PRIMARY KEY, product int NOT NULL REFERENCES products, moved timestamptz NOT NULL,
  amount int NOT NULL, note text);
CREATE TABLE visits (id bigint PRIMARY KEY, customer int, at timestamptz NOT NULL, agent text, data jsonb);
INSERT INTO customers SELECT g, 'customer' || g || '@example.com', 'Customer number ' || g, repeat('street ', 6) || g,
  date '2015-01-01' + g %% 4000, g %% 1000 FROM generate_series(1, %(orders)d / 5) g;
INSERT INTO products SELECT g, 'sku-' || md5(g::text), 'Product ' || g, g %% 500 FROM generate_series(1, 10000) g;
INSERT INTO orders SELECT g, g * 7919 %% (%(orders)d / 5) + 1, now() - g * interval '1 minute',
  (ARRAY['open', 'paid', 'sent', 'done'])[g %% 4 + 1], g %% 900 FROM generate_series(1::bigint, %(orders)d) g;
INSERT INTO lines SELECT g / 3 + 1, g %% 3, g * 104729 %% 10000 + 1, g %% 9 + 1, g %% 500
  FROM generate_series(0::bigint, %(orders)d * 3 - 1) g;
INSERT INTO payments SELECT g, g, md5(g::text)::uuid, now() - g * interval '1 minute', g %% 900
  FROM generate_series(1, %(orders)d) g;
INSERT INTO moves SELECT g, g %% 10000 + 1, now() - g * interval '1 minute', g %% 20, 'shelf ' || g %% 400
  FROM generate_series(1, %(orders)d) g;
INSERT INTO visits SELECT g, g %% (%(orders)d / 5) + 1, now() - g * interval '10 seconds', 'Mozilla/5.0 (X11; Linux)',
  jsonb_build_object('page', '/product/' || g %% 10000, 'ms', g %% 700) FROM generate_series(1, %(orders)d * 3 / 2) g;
CREATE INDEX ON orders (customer); CREATE INDEX ON orders (placed); CREATE INDEX ON orders (state) WHERE state = 'open';
CREATE INDEX ON lines (product); CREATE INDEX ON payments (orders); CREATE INDEX ON moves (product, moved);
CREATE INDEX ON visits (customer); CREATE INDEX ON visits (at); CREATE INDEX ON customers (lower(name));
CREATE VIEW open AS SELECT * FROM orders WHERE state = 'open';
ALTER TABLE orders OWNER TO app;
"""
MARIADB = """
CREATE DATABASE shop; USE shop;
CREATE TABLE customers (id INT PRIMARY KEY, email VARCHAR(80) NOT NULL UNIQUE, name VARCHAR(80) NOT NULL,
  address TEXT, since DATE NOT NULL, KEY (name));
CREATE TABLE orders (id INT PRIMARY KEY, customer INT NOT NULL, placed DATETIME NOT NULL, state VARCHAR(10) NOT NULL,
  total DECIMAL(10,2), KEY (placed), FOREIGN KEY (customer) REFERENCES customers (id));
CREATE TABLE `lines` (orders INT, line INT, product INT NOT NULL, amount INT NOT NULL, price DECIMAL(10,2),
  PRIMARY KEY (orders, line), KEY (product), FOREIGN KEY (orders) REFERENCES orders (id));
INSERT INTO customers SELECT seq, CONCAT('customer', seq, '@example.com'), CONCAT('Customer number ', seq),
  REPEAT('street ', 6), DATE'2015-01-01' + INTERVAL seq %% 4000 DAY FROM mysql.seq_1_to_%(customers)d;
INSERT INTO orders SELECT seq, seq * 7919 %% %(customers)d + 1, NOW() - INTERVAL seq MINUTE,
  ELT(seq %% 4 + 1, 'open', 'paid', 'sent', 'done'), seq %% 900 FROM mysql.seq_1_to_%(orders)d;
INSERT INTO `lines` SELECT seq DIV 3 + 1, seq %% 3, seq * 104729 %% 10000 + 1, seq %% 9 + 1, seq %% 500
  FROM mysql.seq_0_to_%(lines)d;
"""

_OURS = """
import sys
from pathlib import Path
from tests.backups import mysqls, postgresqls
engine, scratch, path = sys.argv[1:]
dump = {"name": "shop", "path": path}
if engine == "postgresql":
    dump["roles"] = ["app", "Read Only"]
    result = postgresqls.restored(Path(scratch), dump, nice=0)
else:
    result = mysqls.restored(Path(scratch), dump, nice=0)
assert result["dumps"][0]["outcome"] == "passed" and not result["findings"], result["findings"]
"""
_PG_RESTORE = """
import subprocess, sys
bin, socket, dump = sys.argv[1:]
words = ["-h", socket, "-U", "postgres"]
for name in ("DROP DATABASE IF EXISTS again", "CREATE DATABASE again TEMPLATE template0"):
    subprocess.run([bin + "/psql", "-Xq", *words, "-d", "postgres", "-c", name], check=True)
subprocess.run([bin + "/pg_restore", "-j1", *words, "-d", "again", dump], check=True)
"""
_MARIADB = """
import subprocess, sys
socket, dump = sys.argv[1:]
words = ["mariadb", "--no-defaults", "--user=root", "--socket=" + socket]
subprocess.run([*words, "-e", "DROP DATABASE IF EXISTS again; CREATE DATABASE again"], check=True)
with open(dump, "rb") as stream:
    subprocess.run([*words, "again"], stdin=stream, check=True)
"""
ENV = {"PYTHONPATH": str(Path(__file__).parents[2])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each command (default: %(default)s)")
    parser.add_argument("--one-table", action="store_true", help="also a database that is one table")
    args = parser.parse_args()
    rows = postgresql(POSTGRESQL % {"orders": ORDERS}, "seven tables", args.runs)
    if args.one_table:
        rows += postgresql(SHOP % {"orders": ONE_TABLE}, "one table", args.runs)
    rows += mariadb(args.runs)
    show("database dumps restored on trial", rows, args.json)


def postgresql(script: str, what: str, runs: int) -> list[Row]:
    with place() as folder, place() as live, place() as scratch, place() as other:
        production = Production(live)
        production.start()
        try:
            production.sql(script)
            dump = production.dump(folder / "shop.dump", "-Fc")
            size = production.sql("SELECT pg_database_size('shop')")
        finally:
            production.stop()
        dump.chmod(0o644)
        default = Production(other)
        default.start(fsync="on")
        try:
            default.sql('CREATE ROLE app; CREATE ROLE "Read Only"')
            words = [sys.executable, "-c", _PG_RESTORE, str(default.bin), str(default.socket), str(dump)]
            told = f"{what}, {int(size) / 1e6:.0f} MB, dump {os.path.getsize(dump) / 1e6:.0f} MB"
            return compared("postgresql", "pg_restore -j1", words, scratch, dump, told, runs, 1.0)
        finally:
            default.stop()


def mariadb(runs: int) -> list[Row]:
    with place() as folder, place() as scratch:
        # It makes the dump, and is what the bare client loads it into: as it comes, and not slowed by what it holds.
        server = Live(folder / "server", default=True)
        try:
            server.sql(
                MARIADB % {"customers": MARIADB_ORDERS // 5, "orders": MARIADB_ORDERS, "lines": MARIADB_ORDERS * 3 - 1}
            )
            dump = folder / "shop.sql"
            dump.write_bytes(server.dump("shop"))
            words = [sys.executable, "-c", _MARIADB, server.socket, str(dump)]
            told = f"three tables, dump {os.path.getsize(dump) / 1e6:.0f} MB"
            # One session loads it either way: what the test adds is its server's start and its checks.
            return compared("mysql", "mariadb < dump", words, scratch, dump, told, runs, None)
        finally:
            server.stop()


def compared(
    engine: str, name: str, words: list[str], scratch: Path, dump: Path, told: str, runs: int, aim: float | None
) -> list[Row]:
    ours = Contender(f"{engine} test", lambda: [sys.executable, "-c", _OURS, engine, str(scratch), str(dump)], env=ENV)
    bare = Contender(name, lambda: words, env=ENV)
    # No round is left out: the dump was just written, so that both find it in memory, and each makes its database anew.
    # What others wrote to the disk before is not to be paid for by the first of them that waits for it.
    subprocess.run(["sync"], check=True)
    by_turns([bare, ours], runs, warm_up=0)
    detail = f"{ours.median('wall'):.2f} s against {bare.median('wall'):.2f} s: {told}"
    memory = f"{ours.median('peak') / 1e6:.0f} MB"
    return [
        Row(f"{ours.name} / {name}", ratio(ours, bare), aim, detail),
        Row(f"{ours.name}, memory", ours.median("peak") / bare.median("peak"), None, memory),
    ]


if __name__ == "__main__":
    main()

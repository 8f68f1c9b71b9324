# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server that plays production, its dumps, and a caller for the restore test with its defaults."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import options_postgresql, postgresql_sql
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import postgresql as area
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host

SHOP = """
CREATE ROLE app; CREATE ROLE "Read Only";
CREATE DATABASE shop;
\\connect shop
CREATE EXTENSION hstore;
CREATE SCHEMA "s p";
CREATE TABLE customers (id int PRIMARY KEY, name varchar(40) NOT NULL, kind varchar(10) CHECK (kind IN ('a', 'b')),
  note text, more hstore);
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int NOT NULL REFERENCES customers,
  total numeric(10,2), placed timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON orders (customer); CREATE INDEX ON orders (placed);
CREATE TABLE "s p"."Odd ""name" (t text);
CREATE VIEW big AS SELECT * FROM orders WHERE total > 500;
CREATE FUNCTION twice(x int) RETURNS int LANGUAGE sql AS $$ SELECT 2 * x; $$;
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN NEW.note := coalesce(NEW.note, ''); RETURN NEW; END $$;
INSERT INTO customers SELECT g, 'name ' || g, (ARRAY['a', 'b'])[g %% 2 + 1], E'\\\\ tab\\t \\n line \\\\. ' || g, 'a=>1'
  FROM generate_series(1, 500) g;
INSERT INTO orders (customer, total, placed) SELECT g %% 500 + 1, g %% 1000, now() - g * interval '1 minute'
  FROM generate_series(1, %(orders)d) g;
INSERT INTO "s p"."Odd ""name" VALUES (E'\\\\N'), (NULL), (E'\\\\.'), (E'\\\\connect x'), ('');
CREATE TRIGGER note BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION noted();
ALTER TABLE customers OWNER TO app;
GRANT SELECT ON orders TO "Read Only";
ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA public GRANT SELECT ON TABLES TO "Read Only";
CREATE POLICY mine ON customers TO app USING (true);
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
COMMENT ON SCHEMA "s p" IS 'a comment';
SELECT lo_from_bytea(0, 'large');
ANALYZE;
"""


def programs() -> Path:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    assert folders, "expected PostgreSQL's server programs; to do: apt-get install postgresql"
    return folders[-1]


class Production:
    """A server in ``folder``, on a socket in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.socket = folder / "socket"
        self.bin = programs()
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.socket.mkdir()
        if os.geteuid() == 0:
            shutil.chown(folder, self.user)
            shutil.chown(self.socket, self.user)

    def call(self, program: str, *words: str, text: str | None = None, check: bool = True) -> str:
        become = ["setpriv", "--reuid", self.user, "--regid", self.user, "--init-groups"] if os.geteuid() == 0 else []
        command = [*become, "env", "LC_ALL=C.UTF-8", str(self.bin / program), *words]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as given:
            given.write((text or "").encode())
            given.seek(0)
            done = subprocess.run(command, stdin=given, stdout=out, stderr=subprocess.STDOUT, cwd=self.folder)
            out.seek(0)
            said = out.read().decode(errors="replace")
        assert not check or done.returncode == 0, said
        return said

    def start(self, **settings: str) -> None:
        if not self.data.exists():
            self.call("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = {"listen_addresses": "", "unix_socket_directories": str(self.socket), "fsync": "off", **settings}
        words = " ".join(f"-c {key}={value!r}" if value else f"-c {key}=" for key, value in options.items())
        self.call("pg_ctl", "-D", str(self.data), "-w", "-l", str(self.folder / "log"), "-o", words, "start")

    def stop(self) -> None:
        self.call("pg_ctl", "-D", str(self.data), "-w", "-m", "immediate", "stop", check=False)

    def sql(self, text: str, database: str = "postgres", *words: str) -> str:
        where = ("-h", str(self.socket), "-U", "postgres", "-d", database)
        return self.call("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *where, *words, "-f", "-", text=text)

    def dump(self, path: Path, *words: str, database: str = "shop", program: str = "pg_dump") -> Path:
        """A dump as root would find it: not to be read by others."""
        where = self.folder / path.name
        named = (database,) if program == "pg_dump" else ()
        self.call(program, "-h", str(self.socket), "-U", "postgres", "-f", str(where), *words, *named)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(where, path)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "root:root", path], check=True)
        return path

    def baseline(self, database: str = "shop") -> str:
        return self.sql(postgresql_sql.BASELINE, database)


@contextlib.contextmanager
def production(orders: int = 3000, **settings: str) -> Iterator[Production]:
    """A server with the database ``shop``."""
    with place() as folder:
        server = Production(folder)
        try:
            server.start(**settings)
            server.sql(SHOP % {"orders": orders})
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """A folder that every account may pass through, and nobody else write to."""
    folder = Path(tempfile.mkdtemp(prefix="upkeep-test-", dir="/var/tmp"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def options(spec: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What Ansible makes of ``given`` by an argument spec: defaults filled in, all the way down."""
    unknown = set(given) - set(spec)
    assert not unknown, unknown
    made: dict[str, Any] = {}
    for name, rule in spec.items():
        value = given.get(name, rule.get("default"))
        inner = rule.get("options")
        if inner and isinstance(value, dict):
            value = options(inner, value)
        elif inner and isinstance(value, list):
            value = [options(inner, one) for one in value]
        made[name] = value
    return made


def restored(scratch: Path, *dumps: Mapping[str, Any], check_mode: bool = False, **others: Any) -> dict[str, Any]:
    """The result of the restore test."""
    given = {"dumps": list(dumps), "scratch": str(scratch), **others}
    return area.review(Host(), dict(options(options_postgresql.ARGUMENT_SPEC, given), check_mode=check_mode))


def processes(folder: Path) -> list[str]:
    """The command lines of the processes that work below a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if f"{folder}/" in words and int(path.parent.name) != os.getpid():
                found.append(words)
    return found

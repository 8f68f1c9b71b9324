# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A MariaDB server that stands for the customer's, in a folder of its own, and dumps of it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import mysql
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.options_mysql import ARGUMENT_SPEC
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host

SHOP = r"""
CREATE DATABASE shop CHARACTER SET utf8mb4;
USE shop;
CREATE TABLE customer (id INT PRIMARY KEY, name VARCHAR(50) NOT NULL, created DATETIME NOT NULL, UNIQUE KEY (name));
CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer INT NOT NULL, total DECIMAL(10,2), note TEXT,
  created DATETIME NOT NULL, KEY (created), FOREIGN KEY (customer) REFERENCES customer (id));
CREATE TABLE `odd``name'd
§line` (`key` VARBINARY(20) PRIMARY KEY, `select` BLOB);
INSERT INTO customer SELECT seq, CONCAT('name ', seq), NOW() - INTERVAL seq MINUTE FROM mysql.seq_1_to_500;
INSERT INTO orders (customer, total, note, created) SELECT 1 + seq % 500, seq / 7,
  CONCAT('a;\n-- Dump completed\nDELIMITER x\\', seq, '''"\0\r\n'), NOW() - INTERVAL seq SECOND
  FROM mysql.seq_1_to_5000;
INSERT INTO `odd``name'd
§line` VALUES (X'00FF0A0D09275C', X'1B5B324A'), ('', NULL);
CREATE VIEW big AS SELECT o.id, c.name FROM orders o JOIN customer c ON c.id = o.customer WHERE total > 100;
CREATE TRIGGER blank BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = COALESCE(NEW.note, '');
CREATE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN 2 * x;
CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY DO DELETE FROM orders WHERE id < 0;
"""


class Live:
    """The customer's server. As root it runs as the account that Debian's package makes, as a customer's does.

    ``default``: with the settings that its maker delivers, durable and all; else with those that make tests short.
    """

    def __init__(self, folder: Path, default: bool = False) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.socket = str(folder / "s")
        folder.mkdir(parents=True, exist_ok=True)
        self.become: list[str] = []
        if os.geteuid() == 0:
            pwd.getpwnam("mysql")
            shutil.chown(folder, "mysql")
            self.become = ["setpriv", "--reuid", "mysql", "--regid", "mysql", "--clear-groups"]
        made = [*self.become, "mariadb-install-db", "--no-defaults", f"--datadir={self.data}", "--skip-test-db"]
        made += ["--auth-root-authentication-method=normal", "--skip-name-resolve", "--debug-no-sync=1"]
        done = subprocess.run(made, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        options = ["--skip-networking"]
        if not default:
            options += ["--innodb-log-file-size=16M", "--performance-schema=OFF", "--debug-no-sync=1"]
        argv = [
            *self.become,
            "/usr/sbin/mariadbd",
            "--no-defaults",
            f"--datadir={self.data}",
            f"--socket={self.socket}",
        ]
        with open(folder / "log", "wb") as log:
            if self.become:
                shutil.chown(folder / "log", "mysql")
            self.process = subprocess.Popen([*argv, *options], stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while self.sql("SELECT 1", check=False).returncode != 0:
            assert self.process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)

    def sql(self, text: str, database: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        argv = ["mariadb", "--no-defaults", "--user=root", "--socket=" + self.socket, "--batch", "--raw"]
        argv += ["--skip-column-names", "--default-character-set=utf8mb4", *([database] if database else [])]
        done = subprocess.run(argv, input=text, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stderr
        return done

    def dump(self, *options: str, program: str = "mariadb-dump") -> bytes:
        argv = [program, "--no-defaults", "--user=root", "--socket=" + self.socket, "--single-transaction", *options]
        done = subprocess.run(argv, capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


class Result(dict[str, Any]):
    """A module's result."""

    def checks(self) -> list[str]:
        return sorted(one["check"] for one in self["findings"] if one["severity"] != "info")

    def finding(self, check: str) -> dict[str, Any]:
        found = [one for one in self["findings"] if one["check"] == check]
        assert len(found) == 1, self["findings"]
        return dict(found[0])

    def covers(self, check: str) -> bool:
        return any(one["check"] == check for one in self["coverage"])


def options(**params: Any) -> dict[str, Any]:
    """The options of the module, with their defaults."""
    checked = ArgumentSpecValidator(ARGUMENT_SPEC).validate(params)
    assert not checked.error_messages, checked.error_messages
    return dict(checked.validated_parameters)


def restored(scratch: Path, dump: dict[str, Any], check_mode: bool = False, **more: Any) -> Result:
    """The module's review of one dump on this machine. Nothing stays, whatever came of it."""
    chosen = options(dumps=[{"name": "shop", **dump}], scratch=str(scratch), **more)
    result = Result(mysql.review(Host(), dict(chosen, check_mode=check_mode)))
    left = [path.name for path in scratch.iterdir()] if scratch.exists() else []
    assert left == [], left
    return result


def needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin") is None:
            pytest.fail(f"expected {program}, found none; to do: apt-get install mariadb-server mariadb-backup")

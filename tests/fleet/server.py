# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The web server of a fleet's package repository, with the faults that a mirror can have."""

from __future__ import annotations

import http.server
import json
import os
import socketserver
import time
from functools import partial
from pathlib import Path
from typing import NoReturn


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    control: Path

    def __init__(self, *args: object, control: Path, **more: object) -> None:
        self.control = control
        super().__init__(*args, **more)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        for prefix, fault in read_faults(self.control).items():
            if self.path.startswith(prefix):
                if fault == "hang":
                    time.sleep(3600)
                elif fault.isdigit():
                    self.send_error(int(fault))
                    return
        # Always the whole file: two publications within one second have one Last-Modified.
        del self.headers["If-Modified-Since"]
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        stamp = time.strftime("%H:%M:%S")
        line = f"{stamp} {self.client_address[0]} {format % args}\n"
        with (self.control.parent / "repository.log").open("a") as log:
            log.write(line.encode("ascii", "backslashreplace").decode())


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def server_bind(self) -> None:
        # HTTPServer asks for our full name here: a DNS question that nobody answers.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]


def read_faults(control: Path) -> dict[str, str]:
    """What is wrong now: path prefix -> "down", "hang" or a status. {"": "down"} closes the door itself."""
    try:
        return dict(json.loads(control.read_text()))
    except FileNotFoundError:
        return {}


def write_faults(control: Path, faults: dict[str, str]) -> None:
    """Change what is wrong, in one step."""
    new = control.with_name(control.name + ".new")
    new.write_text(json.dumps(faults))
    os.replace(new, control)


def serve(address: tuple[str, int], folder: Path, control: Path) -> NoReturn:
    """Serve a folder for ever. `<control>.applied` repeats the faults that are in force, for who waits."""
    applied = control.with_suffix(".applied")
    listening: _Server | None = None
    handler = partial(_Handler, directory=str(folder), control=control)
    while True:
        faults = read_faults(control)
        down = faults.get("") == "down"
        if down and listening:
            listening.server_close()
            listening = None
        elif not down and not listening:
            listening = _Server(address, handler)
            listening.timeout = 0.1
        if not applied.exists() or read_faults(applied) != faults:
            write_faults(applied, faults)
        if listening:
            listening.handle_request()
        else:
            time.sleep(0.1)

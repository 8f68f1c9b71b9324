# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificates lie on the host, who uses them, until when they are valid. Input through Host, nothing judged."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._host import Host

FILES = 300
"""Certificate files that are read, at the most."""
CONFIGS = 400
CONFIG_LIMIT = 512 * 1024
"""Bytes of a configuration file that are read."""
FILE_LIMIT = 1024 * 1024
BUNDLE = 20
"""A file with more certificates than this is a store of authorities, not a certificate in use."""

# (who, files, what names a certificate; relative paths begin at this folder)
_SERVICES = (
    (
        "nginx",
        (
            "/etc/nginx/nginx.conf",
            "/etc/nginx/conf.d/*.conf",
            "/etc/nginx/sites-enabled/*",
            "/etc/nginx/snippets/*.conf",
        ),
        r"^\s*ssl_certificate\s+[\"']?([^\s;\"']+)",
        "/etc/nginx",
    ),
    (
        "apache",
        (
            "/etc/apache2/apache2.conf",
            "/etc/apache2/sites-enabled/*.conf",
            "/etc/apache2/conf-enabled/*.conf",
            "/etc/httpd/conf/httpd.conf",
            "/etc/httpd/conf.d/*.conf",
        ),
        r"(?i)^\s*SSLCertificateFile\s+[\"']?([^\s\"']+)",
        "/etc/httpd",
    ),
    (
        "postfix",
        ("/etc/postfix/main.cf",),
        r"^\s*(?:smtpd?_tls_(?:ec)?cert_file|smtpd?_tls_chain_files)\s*=\s*([^\s,]+)",
        "/etc/postfix",
    ),
    (
        "dovecot",
        ("/etc/dovecot/dovecot.conf", "/etc/dovecot/conf.d/*.conf"),
        r"^\s*ssl_(?:server_)?cert(?:_file)?\s*=\s*<?\s*(\S+)",
        "/etc/dovecot",
    ),
    ("haproxy", ("/etc/haproxy/haproxy.cfg", "/etc/haproxy/conf.d/*.cfg"), r"\scrt\s+([^\s\[]+)", "/etc/haproxy"),
    (
        "postgresql",
        (
            "/etc/postgresql/*/*/postgresql.conf",
            "/var/lib/pgsql/data/postgresql.conf",
            "/var/lib/pgsql/*/data/postgresql.conf",
        ),
        r"^\s*ssl_cert_file\s*=\s*'([^']+)'",
        "",
    ),
    (
        "mysql",
        ("/etc/mysql/my.cnf", "/etc/mysql/*.conf.d/*.cnf", "/etc/my.cnf", "/etc/my.cnf.d/*.cnf"),
        r"^\s*ssl[-_]cert\s*=\s*[\"']?([^\s\"']+)",
        "/var/lib/mysql",
    ),
    ("openldap", ("/etc/ldap/slapd.conf", "/etc/openldap/slapd.conf"), r"^\s*TLSCertificateFile\s+(\S+)", "/etc/ldap"),
    ("openvpn", ("/etc/openvpn/*.conf", "/etc/openvpn/server/*.conf"), r"^\s*cert\s+(\S+)", "/etc/openvpn"),
    ("docker", ("/etc/docker/daemon.json",), r"\"tlscert\"\s*:\s*\"([^\"]+)\"", "/etc/docker"),
)


def gather_certificates(host: Host, options: dict[str, Any], _facts: dict[str, Any]) -> dict[str, Any]:
    """``files``: each ``{path, used_by, certificates, error}``; ``unread``: how many more there are than are read.

    ``denied``: the files and folders that may hold certificates, or name them, and that this account may not read.
    """
    users: dict[str, set[str]] = {}
    denied: set[str] = set()
    for pattern in options["certificate_paths"]:
        for path in _matches(host, pattern, denied):
            users.setdefault(path, set()).add(pattern)
    if options["certificates_of_services"]:
        _of_services(host, users, denied)
    found = set(users)
    for pattern in options["certificate_scan"]:
        found.update(_matches(host, pattern, denied))
    paths = sorted(found, key=lambda path: (path not in users, path))
    files = []
    for path in paths[:FILES]:
        entry: dict[str, Any] = {"path": path, "used_by": sorted(users.get(path, ())), "certificates": [], "error": ""}
        data = host.read_bytes(path, FILE_LIMIT)
        if data is None:
            if host.denied(path):
                denied.add(path)
                continue
            # What a configuration names and is not there: the service has it switched off, or has failed.
            if not entry["used_by"] or not host.exists(path):
                continue
            entry["error"] = "it cannot be read"
        else:
            from . import x509  # here, since most hosts have no certificate to read

            try:
                entry["certificates"] = x509.read_certificates(data, BUNDLE + 1)
            except ValueError as error:
                entry["error"] = str(error)
            if len(entry["certificates"]) > BUNDLE or not (entry["certificates"] or entry["used_by"]):
                continue
            if not entry["certificates"] and not entry["error"]:
                entry["error"] = "there is no certificate in it"
        files.append(entry)
    return {"files": files, "unread": len(paths[FILES:]), "denied": sorted(denied)}


def _matches(host: Host, pattern: str, denied: set[str]) -> list[str]:
    """The paths that match a shell pattern; the folders that hide others from this account go into ``denied``."""
    parts = pattern.split("/")
    for depth in range(2, len(parts)):
        folder, name = "/".join(parts[:depth]), parts[depth]
        if "*" in name:
            hidden = [path for path in (host.glob(folder) if "*" in folder else [folder]) if host.denied(path)]
        elif "*" in folder:  # the folder is entered, not listed
            hidden = [path for path in host.glob(folder) if host.denied("%s/%s" % (path, name))]
        else:
            hidden = [pattern] if depth == len(parts) - 1 and host.denied(pattern) else []
        denied.update(hidden)
    return host.glob(pattern)


def _of_services(host: Host, users: dict[str, set[str]], denied: set[str]) -> None:
    """Add the certificates that the configurations of known services name."""
    left = CONFIGS
    for service, patterns, directive, folder in _SERVICES:
        for pattern in patterns:
            for config in _matches(host, pattern, denied) if "*" in pattern else [pattern]:
                if left <= 0:
                    return
                text = host.read(config, CONFIG_LIMIT)
                if text is None:
                    denied.update([config] if host.denied(config) else [])
                    continue
                left -= 1
                active = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
                for named in re.findall(directive, active, re.M):
                    if not (named.startswith("/") or folder):
                        continue
                    path = posixpath.normpath(posixpath.join(folder, named))
                    # haproxy takes a folder of certificates as well.
                    denied.update([path] if host.denied(path) else [])
                    inside = ["%s/%s" % (path, name) for name in host.listdir(path) if name.endswith((".pem", ".crt"))]
                    for each in inside or [path]:
                        users.setdefault(each, set()).add(service)

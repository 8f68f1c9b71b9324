# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The customer's own probes, carried out from this host: HTTP, TCP, TLS, SQL, commands.

Each has a limit of time that no server can stretch by answering slowly: whoever is not ready then is left behind, in
a thread that ends with this process. What servers say is cut and cleaned.
"""

from __future__ import annotations

import base64
import calendar
import contextlib
import http.client
import os
import pwd
import re
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from .. import _process
from .._findings import clean_line, clean_lines
from .._tls import Unusable
from .._tls import context as tls_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

AT_ONCE = 8
"""Probes that run side by side: enough that one which hangs does not hold the rest up, few enough for a small host."""
BODY = 1024 * 1024
"""Bytes of an HTTP answer in which ``contains`` is looked for, and of what a command may print."""
_LATE = 1.0
"""Seconds beyond a probe's own limit for it to say so itself."""
_LOCAL = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1")


class Answer(NamedTuple):
    """``passed`` is None when the probe could not be made at all."""

    passed: bool | None
    summary: str
    evidence: Sequence[str] = ()


class _NotMade(Exception):  # noqa: N818 - an outcome, not a bug
    """The probe cannot be made on this host: why."""


def probe_all(
    specs: Sequence[Mapping[str, Any]], seconds: float, check_mode: bool, now: float
) -> dict[str, dict[str, Any]]:
    """Make the probes, within ``seconds`` together; ``now`` is the time by which certificates are judged.

    A command is not run in check mode, since only who wrote it knows that it changes nothing.
    """
    found: dict[str, dict[str, Any]] = {}
    end = time.monotonic() + seconds
    waiting = list(specs)
    while waiting:
        batch, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
        running = []
        for spec in batch:
            box: list[tuple[Answer, float]] = []
            limit = min(float(spec["timeout"]), end - time.monotonic())
            thread = threading.Thread(
                target=_in_thread, args=(spec, limit, check_mode, now, box), name="probe", daemon=True
            )
            if limit > 0:
                thread.start()
            running.append((spec, thread, limit, box))
        stop = time.monotonic() + max(limit for _spec, _thread, limit, _box in running) + _LATE
        for spec, thread, limit, box in running:
            if limit > 0:
                thread.join(max(0.0, stop - time.monotonic()))
            late = Answer(False, "no answer within %d s" % spec["timeout"])
            if limit < spec["timeout"]:
                late = Answer(None, "the time for all probes (%d s) was over before it had its own" % seconds)
            answer, took = box[0] if box else (late, max(limit, 0.0))
            found[spec["name"]] = _told(spec, answer, took)
    return found


def _in_thread(
    spec: Mapping[str, Any], limit: float, check_mode: bool, now: float, box: list[tuple[Answer, float]]
) -> None:
    began = time.monotonic()
    try:
        if spec["kind"] == "command" and check_mode:
            answer = Answer(None, "commands are not run in check mode")
        else:
            answer = _KINDS[spec["kind"]](spec, began + limit, now)
    except _NotMade as why:
        answer = Answer(None, str(why))
    except (OSError, http.client.HTTPException, ValueError) as error:
        answer = Answer(False, _why(error, spec["timeout"]))
    except Exception as error:  # noqa: BLE001 - a bug in one probe must not hide the others, nor pass for an answer
        answer = Answer(None, "the probe itself failed with %s" % type(error).__name__, [str(error)])
    box.append((answer, time.monotonic() - began))


def _told(spec: Mapping[str, Any], answer: Answer, took: float) -> dict[str, Any]:
    told: dict[str, Any] = {
        "kind": spec["kind"],
        "target": clean_line(target(spec), 200),
        "passed": answer.passed,
        "summary": clean_line(answer.summary, 240),
        "seconds": round(took, 3),
    }
    if answer.evidence:
        told["evidence"] = clean_lines(answer.evidence, 5, 200)
    if spec["unit"]:
        told["unit"] = spec["unit"]
    host, port = _place(spec)
    if port and (_LOCAL.fullmatch(host) or host == socket.gethostname()):
        told["port"] = port
    return told


def _place(spec: Mapping[str, Any]) -> tuple[str, int]:
    """Where a probe connects to; port 0 where it does not."""
    if spec["kind"] == "http":
        parts = urlsplit(spec["url"])
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if spec["kind"] == "sql":
        return spec["host"], spec["port"] or (5432 if spec["engine"] == "postgresql" else 3306)
    return (spec["host"], spec["port"]) if spec["kind"] in ("tcp", "tls") else ("", 0)


def target(spec: Mapping[str, Any]) -> str:
    """What a probe goes to, as a person reads it; no secret is part of it."""
    if spec["kind"] == "http":
        return str(spec["url"])
    if spec["kind"] == "command":
        return " ".join(spec["argv"])
    host, port = _place(spec)
    if spec["kind"] == "sql":
        where = spec["socket"] or "%s:%d" % (host, port)
        return "%s %s on %s: %s" % (spec["engine"], spec["database"] or "(its default database)", where, spec["query"])
    return "%s:%d" % (host, port)


def _why(error: BaseException, seconds: float) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted: %s" % error.verify_message
    if isinstance(error, ssl.SSLError):
        return "TLS failed: %s" % (error.reason or error)
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "no answer within %d s" % seconds
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there (connection refused)"
    if isinstance(error, http.client.RemoteDisconnected):
        return "it closed the connection without an answer"
    if isinstance(error, http.client.BadStatusLine):
        return "what listens there does not speak HTTP"
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved: %s" % (error.strerror or error)
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return "%s: %s" % (type(error).__name__, error)


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _trust(spec: Mapping[str, Any], verify: bool) -> ssl.SSLContext:
    try:
        return tls_context(verify=verify, ca_file=spec["ca_file"])
    except Unusable as error:
        raise _NotMade("%s (%s)" % (error.what, spec["ca_file"])) from None


# -- kinds ---------------------------------------------------------------------------------------------------------


def _http(spec: Mapping[str, Any], end: float, _now: float) -> Answer:
    parts = urlsplit(spec["url"])
    host, port = _place(spec)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = _trust(spec, spec["verify"])
        connection = http.client.HTTPSConnection(host, port, timeout=_left(end), context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_left(end))
    headers = {"User-Agent": "upkeep-health", "Accept": "*/*", "Connection": "close"}
    headers.update({str(key): str(value) for key, value in spec["headers"].items()})
    if spec["user"]:
        pair = "%s:%s" % (spec["user"], spec["password"] or "")
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    try:
        connection.request("GET", path, headers=headers)
        if connection.sock is not None:
            connection.sock.settimeout(_left(end))
        response = connection.getresponse()
        body = b""
        while len(body) < BODY and (not spec["contains"] or spec["contains"].encode() not in body):
            _left(end)
            piece = response.read1(65536)
            if not piece:
                break
            body += piece
            if not spec["contains"] and len(body) > 4096:
                break
    finally:
        connection.close()
    evidence = ["HTTP %d %s" % (response.status, response.reason), *body[:2000].decode("utf-8", "replace").split("\n")]
    if response.getheader("Location"):
        evidence.insert(1, "Location: %s" % response.getheader("Location"))
    if response.status not in spec["status"]:
        wanted = " or ".join(str(status) for status in spec["status"])
        return Answer(False, "it answers %d, expected was %s" % (response.status, wanted), evidence)
    if spec["contains"] and spec["contains"].encode() not in body:
        return Answer(False, "its answer does not contain %r" % spec["contains"][:80], evidence)
    return Answer(True, "it answers %d" % response.status)


def _tcp(spec: Mapping[str, Any], end: float, _now: float) -> Answer:
    with socket.create_connection((spec["host"], spec["port"]), timeout=_left(end)):
        return Answer(True, "it accepts connections")


def _tls(spec: Mapping[str, Any], end: float, now: float) -> Answer:
    name = spec["server_name"] or spec["host"]
    with _handshake(spec, name, False, end) as session:
        der = session.getpeercert(binary_form=True) or b""
    left = (not_after(der) - now) / 86400
    validity = "its certificate %s" % (
        "is valid for %d more days" % left if left >= 0 else "expired %d days ago" % -left
    )
    if spec["verify"]:
        try:
            with _handshake(spec, name, True, end):
                pass
        except ssl.SSLCertVerificationError as error:
            return Answer(False, "its certificate is not trusted: %s" % error.verify_message, [validity])
    if left < spec["days"]:
        return Answer(False, "%s, expected were at least %d" % (validity, spec["days"]))
    return Answer(True, validity)


@contextlib.contextmanager
def _handshake(spec: Mapping[str, Any], name: str, verify: bool, end: float) -> Iterator[ssl.SSLSocket]:
    context = _trust(spec, verify)
    with socket.create_connection((spec["host"], spec["port"]), timeout=_left(end)) as plain:
        plain.settimeout(_left(end))
        with context.wrap_socket(plain, server_hostname=name) as session:
            yield session


def not_after(der: bytes) -> float:
    """Until when a certificate is valid, in seconds since the epoch: Validity of RFC 5280, 4.1.

    Read by hand, since Python's ssl tells it of trusted certificates only. Raises ValueError when it is none.
    """
    try:
        tbs = _inside(_inside(der, 0), 0)
        at = 0
        if tbs[0] == 0xA0:  # the version, which is optional
            at = _element(tbs, at)[2]
        for _skipped in ("serialNumber", "signature", "issuer"):
            at = _element(tbs, at)[2]
        validity = _inside(tbs, at)
        begin, stop, _next = _element(validity, _element(validity, 0)[2])
        text = validity[begin:stop].decode("ascii")
        if len(text) == 13:  # UTCTime: years 50 to 99 are of the last century
            text = ("19" if text[:2] >= "50" else "20") + text
        return float(calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ")))
    except (IndexError, ValueError) as error:
        raise ValueError("its certificate cannot be read") from error


def _element(data: bytes, at: int) -> tuple[int, int, int]:
    """Where the content of a DER element begins and ends, and where the next one begins."""
    length = data[at + 1]
    begin = at + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4:
            raise ValueError("length")
        length = int.from_bytes(data[begin : begin + count], "big")
        begin += count
    if begin + length > len(data):
        raise ValueError("length")
    return begin, begin + length, begin + length


def _inside(data: bytes, at: int) -> bytes:
    begin, end, _next = _element(data, at)
    return data[begin:end]


def _sql(spec: Mapping[str, Any], end: float, _now: float) -> Answer:
    ended = (_postgresql if spec["engine"] == "postgresql" else _mysql)(spec, end)
    out = ended.out.decode("utf-8", "replace").strip()
    told = ended.err.decode("utf-8", "replace").strip().splitlines()
    if ended.rc != 0:
        if ended.ended_by:
            return Answer(False, _ended(ended, spec), told)
        # mariadb prints the query before what is wrong with it.
        errors = [line for line in told if re.search(r"ERROR|FATAL|error:", line)] or told
        return Answer(False, "the query failed: %s" % (errors[0] if errors else "exit code %s" % ended.rc), errors)
    if spec["expected"] is not None and out != spec["expected"].strip():
        return Answer(False, "the query gives %r, expected was %r" % (out[:80], spec["expected"][:80]))
    return Answer(True, "the query is answered as expected" if spec["expected"] is not None else "it is answered")


def _postgresql(spec: Mapping[str, Any], end: float) -> _process.Ended:
    extra = {"PGCONNECT_TIMEOUT": str(max(2, int(spec["timeout"]))), "PGAPPNAME": "upkeep-health"}
    if spec["password"] is not None:
        # Not in a word of the command line, which everybody sees: the environment only its own account and root do.
        extra["PGPASSWORD"] = spec["password"]
    words = ["psql", "-X", "-q", "-A", "-t", "--no-password", "-v", "ON_ERROR_STOP=1", "-f", "-"]
    where = os.path.dirname(spec["socket"]) if spec["socket"] and "PGSQL" in spec["socket"] else spec["socket"]
    words += ["--host=" + (where or spec["host"])]
    words += ["--port=%d" % spec["port"]] if spec["port"] else []
    words += ["--username=" + spec["user"]] if spec["user"] else []
    words += ["--dbname=" + (spec["database"] or "postgres")]
    text = "SET default_transaction_read_only = on;\n%s\n;\n" % spec["query"]
    return _client(words, text, spec, end, extra, ())


def _mysql(spec: Mapping[str, Any], end: float) -> _process.Ended:
    words = {"user": spec["user"], "password": spec["password"]}
    text = "[client]\n" + "".join('%s="%s"\n' % (key, _quoted(value)) for key, value in words.items() if value)
    with _process.secret_fd(text.encode()) as descriptor:
        os.fchmod(descriptor, 0o600)  # the client ignores a file of options that others could write
        if spec["account"] and os.geteuid() == 0:
            os.fchown(descriptor, _user(spec["account"]).pw_uid, -1)
        option = "--defaults-extra-file=/proc/self/fd/%d" % descriptor
        argv = [
            "mariadb" if _has("mariadb") else "mysql", option, "--batch", "--raw", "--skip-column-names",
            "--binary-mode", "--connect-timeout=%d" % max(1, int(spec["timeout"])),
        ]  # fmt: skip
        if spec["socket"]:
            argv += ["--protocol=socket", "--socket=" + spec["socket"]]
        elif spec["host"] != "localhost" or spec["port"]:
            # For "localhost" the client would take the socket, whatever the port.
            host = "127.0.0.1" if spec["host"] == "localhost" else spec["host"]
            argv += ["--protocol=tcp", "--host=" + host, "--port=%d" % (spec["port"] or 3306)]
        argv += ["--database=" + spec["database"]] if spec["database"] else []
        query = "SET SESSION TRANSACTION READ ONLY;\n%s\n;\n" % spec["query"].rstrip().rstrip(";")
        return _client(argv, query, spec, end, {}, (descriptor,))


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError as error:
        raise _NotMade("there is no account %s on this host" % name) from error


def _has(program: str) -> bool:
    return any(os.access(folder + "/" + program, os.X_OK) for folder in ("/usr/bin", "/usr/local/bin", "/bin"))


def _client(
    argv: Sequence[str], text: str, spec: Mapping[str, Any], end: float, extra: Mapping[str, str], fds: tuple[int, ...]
) -> _process.Ended:
    if spec["account"]:
        _user(spec["account"])
    env = {
        key: value for key, value in _process.environment(spec["account"]).items()
        if not key.startswith(("PG", "MYSQL_", "MARIADB_"))
    }  # fmt: skip
    env.update(extra)
    try:
        return _process.run(
            argv, env=env, stdin=text.encode(), timeout=_left(end), account=spec["account"], pass_fds=fds, limit=BODY
        )
    except FileNotFoundError as error:
        raise _NotMade("%s is not installed on this host" % argv[0]) from error
    except PermissionError as error:
        raise _NotMade(
            "%s cannot be started as %s: %s" % (argv[0], spec["account"] or "this account", error)
        ) from error


def _command(spec: Mapping[str, Any], end: float, _now: float) -> Answer:
    if spec["account"]:
        _user(spec["account"])
    try:
        env = _process.environment(spec["account"])
        ended = _process.run(spec["argv"], env=env, timeout=_left(end), account=spec["account"], limit=BODY)
    except OSError as error:
        return Answer(False, "it cannot be started: %s" % (error.strerror or error))
    out = ended.out.decode("utf-8", "replace")
    lines = [*ended.err.decode("utf-8", "replace").splitlines(), *out.splitlines()]
    if ended.ended_by:
        return Answer(False, _ended(ended, spec), lines)
    if ended.rc != spec["rc"]:
        return Answer(False, "it ends with %s, expected was %d" % (ended.rc, spec["rc"]), lines)
    if spec["contains"] and spec["contains"] not in out:
        return Answer(False, "its output does not contain %r" % spec["contains"][:80], lines)
    if spec["expected"] is not None and out.strip() != spec["expected"].strip():
        return Answer(False, "it prints %r, expected was %r" % (out.strip()[:80], spec["expected"][:80]))
    return Answer(True, "it ends with %d, as expected" % spec["rc"])


def _ended(ended: _process.Ended, spec: Mapping[str, Any]) -> str:
    if ended.ended_by == "limit":
        return "it printed more than %d KiB and was ended" % (BODY >> 10)
    return "no answer within %d s" % spec["timeout"]


_KINDS: dict[str, Callable[[Mapping[str, Any], float, float], Answer]] = {
    "http": _http, "tcp": _tcp, "tls": _tls, "sql": _sql, "command": _command,
}  # fmt: skip

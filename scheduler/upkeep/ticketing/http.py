# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP to a ticket system: bounded in time and size, no secret in any error, and every outcome one of three.

Refused (the request itself is wrong), Held (our credentials are), Later (the rest; ``unknown`` when a write may have
been carried out nevertheless).
"""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import MASK, clean_line, redact

from .protocol import Held, Later, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

CONNECT_TIMEOUT = 10.0
"""Seconds to reach the server."""
RESPONSE_LIMIT = 10_000_000
"""Bytes of an answer, unpacked."""
BODY_PATIENCE = 4
"""Times the configured time-out that a whole answer may take: each part of it comes within one."""
REDIRECTS = 5
SAID_LIMIT = 400
"""Characters of a server's words in an error."""
_BUSY = (408, 409, 423, 425, 429)


class Missing(Refused):
    """404 or 410: it is not there, or we may not see it."""


@dataclass(frozen=True)
class Answer:
    """What came back. ``data`` is the JSON, or None when there was no body."""

    status: int
    headers: Mapping[str, str]
    data: Any


class Http:
    """One system's connections. Not for several threads at once."""

    def __init__(
        self,
        url: str,
        *,
        secrets: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float = 30.0,
        ca_file: str = "",
        proxy: str = "",
    ) -> None:
        import requests
        from requests.utils import get_environ_proxies

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Refused(f"no address of a ticket system: {clean_line(redact(url), 200)}")
        self.base = url.rstrip("/")
        self.wrote = False
        """Whether a write of the operation under way was carried out; the operation's begin sets it back."""
        self._timeout = timeout
        self._headers = dict(headers or {})
        self._secrets = _shapes((*secrets, *((":".join(auth),) if auth else ())))
        self._session = requests.Session()
        # Otherwise ~/.netrc gives its credentials to whom it pleases; the environment's proxies are asked for below.
        self._session.trust_env = False
        self._session.auth = auth
        self._session.verify = ca_file or True
        self._session.proxies = {"http": proxy, "https": proxy} if proxy else get_environ_proxies(url)
        self._session.headers["User-Agent"] = "upkeep"

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """The JSON of a page."""
        return self.request("GET", path, params=params, **more).data

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        """Write; the JSON of the answer."""
        return self.request("POST", path, body=body, **more).data

    def put(self, path: str, body: Any = None, **more: Any) -> Any:
        """Write; the JSON of the answer."""
        return self.request("PUT", path, body=body, **more).data

    def patch(self, path: str, body: Any = None, **more: Any) -> Any:
        """Write; the JSON of the answer."""
        return self.request("PATCH", path, body=body, **more).data

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        data: bytes | None = None,
        files: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        reads: bool = False,
        text: bool = False,
    ) -> Answer:
        """One request. ``reads``: it changes nothing there though it is no GET. ``text``: the answer need not be JSON.

        Raises Missing, Refused, Held, Later.
        """
        writes = method != "GET" and not reads
        sent = dict(self._headers) | dict(headers or {})
        if body is not None:
            data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
            sent["Content-Type"] = "application/json"
        url = f"{self.base}{path}" + (f"?{urlencode(params, doseq=True)}" if params else "")
        for _ in range(REDIRECTS + 1):
            answer = self._send(method, url, data, files, sent, writes)
            with answer:
                if not answer.is_redirect:
                    return self._judge(answer, writes, text)
                url = self._redirected(url, answer, method)
        raise Later(f"{self._place()} redirects in a circle")

    # -- the request ---------------------------------------------------------

    def _send(
        self,
        method: str,
        url: str,
        data: bytes | None,
        files: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        writes: bool,
    ) -> requests.Response:
        import requests
        from requests import exceptions

        try:
            return self._session.request(
                method,
                url,
                data=data,
                files=files,
                headers=dict(headers),
                timeout=(CONNECT_TIMEOUT, self._timeout),
                allow_redirects=False,
                stream=True,
            )
        except exceptions.SSLError as error:
            # Also of a line that breaks after the request went out; only a refused certificate is surely before that.
            unsent = "CERTIFICATE_VERIFY_FAILED" in str(error)
            raise Later(
                f"{self._place()} cannot be reached: {self._clean(_reason(error))}", unknown=writes and not unsent
            ) from None
        except (exceptions.ProxyError, exceptions.ConnectTimeout) as error:
            # Before the request was sent.
            raise Later(f"{self._place()} cannot be reached: {self._clean(_reason(error))}") from None
        except exceptions.Timeout:
            raise Later(f"{self._place()} did not answer within {self._timeout:g} s", unknown=writes) from None
        except requests.ConnectionError as error:
            unsent = "NewConnectionError" in repr(error) or "NameResolutionError" in repr(error)
            raise Later(
                f"{self._place()} "
                + ("cannot be reached" if unsent else "broke the connection")
                + f": {self._clean(_reason(error))}",
                unknown=writes and not unsent,
            ) from None
        except (exceptions.InvalidHeader, UnicodeEncodeError):
            # Its words show the header as Python writes it, where no secret is recognised: they are not told.
            raise Held(
                f"the credentials of {self._place()} cannot be sent: a token or user with line breaks, or with letters "
                "that are not of ISO 8859-1"
            ) from None
        except (requests.RequestException, ValueError, UnicodeError) as error:
            raise Refused(f"no request that can be sent to {self._place()}: {self._clean(error)}") from None

    def _redirected(self, url: str, answer: requests.Response, method: str) -> str:
        """Where a reading goes on: never to another server, who would get our credentials."""
        target = urljoin(url, answer.headers.get("Location", ""))
        shown = self._clean(target)
        if method != "GET":
            raise Later(f"{self._place()} redirects to {shown}: put the right address into url")
        if _origin(target) != _origin(url):
            raise Later(f"{self._place()} redirects to {shown}, another server (a login page?): not followed")
        return target

    # -- the answer ----------------------------------------------------------

    def _judge(self, answer: requests.Response, writes: bool, text: bool) -> Answer:
        status = answer.status_code
        raw = self._body(answer, writes and status < 400)
        said = self._said(raw)
        if status in (401, 403):
            raise Held(f"{self._place()} refuses our credentials or rights ({status}){said}")
        if status in (404, 410) and "text/html" in answer.headers.get("Content-Type", ""):
            raise Later(f"{self._place()} answers {status} with a web page: a wrong address, or a proxy before it")
        if status in (404, 410):
            raise Missing(f"{self._place()} does not have it ({status}){said}")
        if status in _BUSY or status >= 500:
            unknown = writes and (status >= 500 or status == 408)
            raise Later(f"{self._place()} answers {status}{said}", _retry_after(answer.headers), unknown=unknown)
        if not 200 <= status < 300:
            raise Refused(f"{self._place()} refuses it ({status}){said}")
        if writes:
            self.wrote = True
        kind = answer.headers.get("Content-Type", "")
        if "text/html" in kind or raw[:200].lstrip().lower().startswith((b"<!doctype html", b"<html")):
            raise Later(f"{self._place()} answers with a web page instead of data (maintenance, a login page?)")
        if not raw.strip():
            return Answer(status, answer.headers, None)
        try:
            return Answer(status, answer.headers, json.loads(raw))
        except (ValueError, RecursionError):
            if text:
                return Answer(status, answer.headers, raw.decode("utf-8", "replace"))
            raise Later(f"{self._place()} answers with something that is not JSON{said}") from None

    def _body(self, answer: requests.Response, unknown: bool) -> bytes:
        import requests
        from urllib3.exceptions import HTTPError

        raw = bytearray()
        ends = time.monotonic() + BODY_PATIENCE * self._timeout
        try:
            while part := answer.raw.read1(65536, decode_content=True):
                raw += part
                if len(raw) > RESPONSE_LIMIT:
                    raise Later(f"{self._place()} answers with more than {RESPONSE_LIMIT} bytes", unknown=unknown)
                if time.monotonic() > ends:
                    raise Later(f"{self._place()} answers too slowly", unknown=unknown)
        except (HTTPError, requests.RequestException, OSError) as error:
            raise Later(f"{self._place()} broke off its answer: {self._clean(error)}", unknown=unknown) from None
        return bytes(raw)

    def _said(self, raw: bytes) -> str:
        """The server's own words, cleaned and short; nothing of a web page."""
        text = raw[:20_000].decode("utf-8", "replace").strip()
        if not text or text[:1] == "<":
            return ""
        return f": {self._clean(text)}"

    def _place(self) -> str:
        return self._clean(self.base)

    def _clean(self, what: object) -> str:
        text = str(what)
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return clean_line(redact(text), SAID_LIMIT)


def _reason(error: Exception) -> str:
    """The innermost cause in few words; the libraries wrap it into several layers of their own names."""
    text = str(error)
    certificate = re.search(r"certificate verify failed: ([^(]*)", text)
    if certificate:
        return f"its certificate is not trusted: {certificate[1].strip()} (ca_file names a CA of one's own)"
    system = re.search(r"\[Errno -?\d+\] ([^'\")]*)", text) or re.search(r"\(\d+, '([^']*)'\)", text)
    return system[1] if system else text


def quoted(part: str) -> str:
    """An identifier as one step of a path; ``$`` stays, Naumen's are written with it."""
    return quote(part, safe="$")


def _shapes(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """Each secret in the shapes in which an error may show it, the longest first."""
    shapes = set()
    for secret in secrets:
        shapes |= {secret, quote(secret, safe=""), quote(secret), base64.b64encode(secret.encode()).decode()}
    return tuple(sorted((one for one in shapes if one), key=len, reverse=True))


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from a number or a date (RFC 9110, 10.2.3); the outbox says how many are too many."""
    given = headers.get("Retry-After", "").strip()
    if not given:
        return None
    try:
        seconds = float(given) if given.isdigit() else parsedate_to_datetime(given).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(seconds, 0.0)

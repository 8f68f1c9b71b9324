# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON over HTTP as a client that bears secrets must: with limits, no redirects, and errors that say what to do."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from .. import _tls
from .._findings import MASK, clean_line
from .outcome import Failed, of_bug

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER = 32 * 1024 * 1024
"""Bytes of an answer that are read: some 50,000 silences of Alertmanager."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the credentials to whoever it names."""

    def redirect_request(self, *_args: Any, **_named: Any) -> None:
        return None


class Client:
    """One server. ``options`` are user, password, token, verify, ca_file, client_cert and client_key, as the modules
    have them. Raises :class:`Failed` when certificates cannot be read.
    """

    def __init__(self, url: str, timeout: float, options: Mapping[str, Any], logs_in: bool = True) -> None:
        self.url, self.timeout = url.rstrip("/"), timeout
        self._headers = {"Accept": "application/json", "User-Agent": "upkeep"}
        self._secrets = [secret for secret in (options["password"], options.get("token")) if secret]
        if logs_in and options.get("token"):
            self.bear(options["token"])
        elif logs_in and options["user"]:
            pair = "%s:%s" % (options["user"], options["password"] or "")
            blob = base64.b64encode(pair.encode("utf-8")).decode("ascii")
            self.hide(blob)
            self._headers["Authorization"] = "Basic " + blob
        try:
            context = _tls.context(
                **{name: options[name] for name in ("verify", "ca_file", "client_cert", "client_key")}
            )
        except _tls.Unusable as error:
            raise Failed(error.what, error.remedy) from None
        self._opener = urllib.request.build_opener(_NoRedirects(), urllib.request.HTTPSHandler(context=context))

    def hide(self, secret: str) -> None:
        """Show it nowhere, should the server repeat it."""
        self._secrets.append(secret)

    def bear(self, token: str) -> None:
        """Send it with every question, and nowhere else."""
        self.hide(token)
        self._headers["Authorization"] = "Bearer " + token

    def ask(self, method: str, path: str, body: Any = None, plain: bool = False) -> Any:
        """What the server answers, as JSON, or as text where that is ``plain``; None for an answer without a body.

        The limit of time holds whatever the server does: one that answers a byte a second is left behind in a thread
        that ends with this process.
        """
        box: list[tuple[Any, Failed | None]] = []

        def work() -> None:
            try:
                box.append((self._ask(method, path, body, plain), None))
            except Failed as failed:
                box.append((None, failed))
            except (OSError, http.client.HTTPException, ValueError) as error:
                box.append((None, self._failed(error)))
            except Exception as error:  # noqa: BLE001 - brackets without end, for instance; told by who asked
                box.append((None, of_bug(error)))

        thread = threading.Thread(target=work, name="http-request", daemon=True)
        thread.start()
        thread.join(self.timeout + 1.0)
        if not box:
            raise self._late()
        answer, failed = box[0]
        if failed is not None:
            raise failed
        return answer

    def _ask(self, method: str, path: str, body: Any, plain: bool) -> Any:
        headers = dict(self._headers)
        data = None
        if body is not None:
            data = json.dumps(body).encode("utf-8")
            headers["Content-Type"] = "application/json"
        # The options let pass http and https only.
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310
        try:
            with self._opener.open(request, timeout=self.timeout) as answer:
                told = answer.read(ANSWER + 1)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error.code, error.read(2000)) from None
        if len(told) > ANSWER:
            raise Failed("it answered with more than %d MiB" % (ANSWER >> 20), "Is url that of the right server?")
        if not told.strip():
            return None
        if plain:
            return self.clean(told[:2000].decode("utf-8", "replace"))
        try:
            return json.loads(told)
        except ValueError:
            start = self.clean(told[:200].decode("utf-8", "replace"))
            raise Failed(
                "JSON was expected, it answered: %s" % start,
                "Give the url under which the server's own pages begin, with its path prefix if it has one.",
            ) from None

    def clean(self, text: str) -> str:
        """What the server said, on one line, without what must not be shown should it repeat that."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return clean_line(text, 240)

    def _refused(self, status: int, told: bytes) -> Failed:
        text = self.clean(told.decode("utf-8", "replace"))
        what = "it answered %d%s" % (status, ": " + text if text else "")
        if status in (401, 403):
            remedy = "Give user and password, or a token, that may do this."
        elif status == 404:
            remedy = "Give the url under which the server's own pages begin, with its path prefix if it has one."
        elif 300 <= status < 400:
            remedy = "It points elsewhere, and redirects are not followed: give the url that it points to."
        elif status == 400:
            remedy = "It did not take what was asked for: see its answer."
        else:
            remedy = "Look at the server's own log."
        return Failed(what, remedy, status=status)

    def _late(self) -> Failed:
        return Failed("there was no answer within %d s" % self.timeout, "Is the server well? Otherwise raise timeout.")

    def _failed(self, error: Exception) -> Failed:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failed(
                "its certificate is not trusted: %s" % self.clean(cause.verify_message),
                "Give ca_file with the certificate that signed it, and the name that it bears in url.",
            )
        if isinstance(cause, ssl.SSLError):
            return Failed(
                "TLS failed: %s" % self.clean(str(cause)), "Does it ask for a client_cert, or speak plain http?"
            )
        if isinstance(cause, TimeoutError) or "timed out" in str(cause):
            return self._late()
        if isinstance(cause, ConnectionRefusedError):
            return Failed("nobody listens there", "Is the server running, and its port that of url?")
        return Failed("it could not be asked: %s" % self.clean(str(cause)), "Check url from the machine that ran this.")

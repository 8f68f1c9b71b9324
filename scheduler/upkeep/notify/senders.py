# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages out through apprise: one sender for each URL of each channel, for the outbox.

Apprise says only yes or no; why, it writes into its log, at some levels with the URL's tokens. So its log is read here,
line by line for one delivery, and goes nowhere else.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import MASK, clean_line

from ..errors import UpkeepError
from ..outbox import Held, Item, Later, Refused, Sent
from . import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from apprise import NotifyBase

    from ..config import Config
    from ..outbox import Sender
    from ..secret import SecretPlace
    from ..store import Store

TIME_LIMIT = 60.0
"""Seconds that a delivery may take as a whole; apprise's own limits (4 to 15 s) are for each connection and answer."""
ASKED = 60.0
"""Seconds to wait after a 429: apprise does not tell what the service asked for."""

_HELD_STATUS = {401, 403, 404, 407, 410, *range(300, 400)}
"""HTTP: the URL itself is not (or no longer) good: whatever is sent to it fails."""
_LATER_STATUS = {408, 425, 429, *range(500, 600)}
_SMTP_HELD = {530, 534, 535, 538}
"""SMTP: authentication (RFC 4954)."""

_STATUS = re.compile(r"error=(\d{3})\b")
_SMTP = re.compile(r"\((\d{3}), b?['\"]")
_REFUSED_BY: dict[str, str] = {}
"""Digests of the URLs that were refused, by queue: such a URL is not tried again by itself."""


def senders(store: Store, config: Config) -> dict[str, Callable[[], Sender]]:
    """What makes the sender of each queue of each channel."""
    assert config.notify is not None
    return {
        queue: partial(AppriseSender, queue, place, config.notify.templates)
        for channel in config.notify.channels.values()
        for queue, place in zip(channel.queues(), channel.urls, strict=True)
    }


@dataclass
class Outcome:
    """What became of one delivery."""

    ok: bool
    lines: list[str] = field(default_factory=list)
    """Apprise's log of it: may hold secrets."""

    def status(self) -> int | None:
        """The HTTP status that the service answered, if it did."""
        found = [int(status) for line in self.lines for status in _STATUS.findall(line)]
        return found[-1] if found else None

    def smtp(self) -> int | None:
        """The code with which a mail server refused."""
        # The first is of apprise 2, the second of 1.9.
        lines = [line for line in self.lines if "Socket Exception:" in line or "Reason:" in line]
        found = [int(code) for line in lines for code in _SMTP.findall(line)]
        return found[-1] if found else None

    def answer(self) -> str:
        """What the service said, as far as apprise kept it."""
        for line in reversed(self.lines):
            for mark in ("Response Details:", "Socket Exception:", "Reason:"):
                if mark in line:
                    return line.partition(mark)[2].strip().removeprefix("b'").strip("'")
        return ""


class AppriseSender:
    """One URL."""

    settle = 5.0
    """Seconds: nothing can be looked up at these services, only a connection that hangs be waited for."""

    def __init__(self, queue: str, place: SecretPlace, templates: Path | None) -> None:
        self.queue = queue
        self.place = place
        self.templates = templates

    def send(self, item: Item, first: bool) -> Sent:
        """Deliver a message. One whose earlier outcome is unknown goes out again: twice is better than not at all."""
        self.send_now(item.payload)
        return Sent()

    def send_now(self, payload: Mapping[str, Any]) -> int:
        """As :meth:`send`, past the outbox; returns how many targets the URL has."""
        url = self._url()
        plugin = instantiate(url, self.place)
        form = _format(plugin)
        outcome = self._deliver(plugin, payload, form)
        if not outcome.ok and outcome.status() == 400 and form != "text":
            # Many services answer so to marks that they do not like: the same as plain text.
            outcome = self._deliver(plugin, payload, "text")
        if not outcome.ok:
            raise self._why(outcome, url)
        _REFUSED_BY.pop(self.queue, None)
        return max(1, len(plugin))

    def probe(self) -> None:
        """Whether a held queue may go on: when its URL is another one, or has not been refused by this process."""
        url = self._url()
        instantiate(url, self.place)
        if _REFUSED_BY.get(self.queue) == _digest(url):
            raise Held("the URL is the one that was refused")

    def _url(self) -> str:
        try:
            return self.place.read()
        except UpkeepError as error:
            raise Held(f"{error.what}: expected {error.expected}, found {error.found}; {error.remedy}") from error

    def _deliver(self, plugin: NotifyBase, payload: Mapping[str, Any], form: messages.Format) -> Outcome:
        rendered = compose(plugin, payload, form, time.time(), self.templates)
        return deliver(plugin, rendered, payload)

    def _why(self, outcome: Outcome, url: str) -> Exception:
        status, smtp = outcome.status(), outcome.smtp()
        said = scrubbed(outcome.answer(), url)
        more = f": {said}" if said else ""
        if status is not None:
            why = f"the service answered {status}{more}"
            if status in _HELD_STATUS:
                _REFUSED_BY[self.queue] = _digest(url)
                return Held(f"{why}; correct the URL in {self.place}, then: upkeep notify test {_channel(self.queue)}")
            if status in _LATER_STATUS:
                return Later(why, ASKED if status == 429 else None, unknown=status in (502, 504))
            return Refused(why)
        if smtp is not None:
            why = f"the mail server answered {smtp}{more}"
            if smtp in _SMTP_HELD:
                _REFUSED_BY[self.queue] = _digest(url)
                return Held(f"{why}; correct the URL in {self.place}, then: upkeep notify test {_channel(self.queue)}")
            return Refused(why) if smtp >= 500 else Later(why)
        # Requests nests its errors; what the system said stands in the middle of them.
        cause = re.search(r"\[Errno -?\d+\] ([\w ,.'-]{3,80})|(timed out|CERTIFICATE_VERIFY_FAILED)", outcome.answer())
        reason = (cause[1] or cause[2]) if cause else said
        return Later(
            f"not delivered: {reason or 'apprise does not say why'}", unknown=bool(cause and cause[2] == "timed out")
        )


def _channel(queue: str) -> str:
    return queue.removeprefix("notify:").partition("/")[0]


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


def instantiate(url: str, place: SecretPlace) -> NotifyBase:
    """Apprise's plugin for a URL. Raises Held, which does not show the URL."""
    import apprise

    asset = apprise.AppriseAsset(
        async_mode=False,
        secure_logging=True,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        app_id="Upkeep",
        app_desc="Upkeep",
        app_url="",
        image_url_mask="",
        image_url_logo="",
    )
    with _Capture() as capture:
        plugin = apprise.Apprise.instantiate(url, asset=asset)
    if plugin is None:
        schema = re.match(r"([A-Za-z0-9]{1,20}):/", url)
        begins = f"one that begins with {schema[1]}:" if schema else "a text without a schema"
        said = scrubbed("; ".join(line for level, line in capture.lines if level >= logging.WARNING), url)
        raise Held(
            f"the URL in {place} is not one of apprise's: expected a URL as tgram://TOKEN/CHAT, see "
            f"https://appriseit.com; found {begins}{f' ({said})' if said else ''}; correct it there"
        )
    return plugin


def _format(plugin: NotifyBase) -> messages.Format:
    """The format that a service wants, or that the URL asks for (``?format=``)."""
    resolve = getattr(plugin, "resolve_format", None)  # since apprise 2; before, a service had one format
    wanted = str(getattr(resolve(None) if resolve else plugin.notify_format, "value", plugin.notify_format))
    return "html" if wanted == "html" else "markdown" if wanted == "markdown" else "text"


def compose(
    plugin: NotifyBase, payload: Mapping[str, Any], form: messages.Format, sent: float, templates: Path | None
) -> messages.Rendered:
    """The message within the service's limits; where it has no titles, ours stands in the body, escaped by us."""
    most = int(plugin.body_maxlen)
    if plugin.title_maxlen > 0:
        # Some services count both together.
        title = min(int(plugin.title_maxlen), messages.TITLE_LIMIT, most // 3)
        return messages.render(payload, form, sent, title_limit=title, body_limit=most - title, folder=templates)
    if payload.get("total") == 1 and payload["kind"] == "alarm":
        made = messages.render(payload, form, sent, body_limit=most, folder=templates)
        return messages.Rendered("", made.body, form, made.notes)  # its first line says the same
    title = min(messages.TITLE_LIMIT, most // 3)
    room = most - title * 2 - 16 if most > 1000 else most - title - 2  # escaped, a title may grow; an SMS has no marks
    made = messages.render(payload, form, sent, title_limit=title, body_limit=room, folder=templates)
    return messages.Rendered("", messages.with_title(made), form, made.notes)


def deliver(plugin: NotifyBase, rendered: messages.Rendered, payload: Mapping[str, Any]) -> Outcome:
    """Send, within TIME_LIMIT. Raises Later when it takes longer: what became of it nobody knows then."""
    done: list[Outcome] = []
    errors: list[Exception] = []

    def work() -> None:
        try:
            with _Capture() as capture:
                # Nothing but title and body: no file of this machine is ever attached.
                ok = plugin.notify(
                    body=rendered.body,
                    title=rendered.title,
                    notify_type=_type(payload),
                    body_format=rendered.format,
                )
            done.append(Outcome(bool(ok), [line for _level, line in capture.lines]))
        except Exception as error:  # noqa: BLE001 - told below, without what may hold the URL
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True, name="apprise")
    thread.start()
    thread.join(TIME_LIMIT)
    if errors:
        raise Later(f"a fault in apprise: {type(errors[0]).__name__}", unknown=True)
    if not done:
        raise Later(f"no answer within {TIME_LIMIT:.0f} seconds", unknown=True)
    return done[0]


def _type(payload: Mapping[str, Any]) -> str:
    if payload["kind"] != "alarm":
        return "info"
    if not payload["open"]:
        return "success"
    return "failure" if payload["priority"] == "P1" else "warning"


def scrubbed(text: str, url: str) -> str:
    """A text of a service, in one line, without anything that stands in the URL after its schema."""
    text = text.replace(url, MASK)
    parts = {part for part in re.split(r"[/:@?&=,#+\s]+", url.partition(":")[2] or url) if len(part) >= 3}
    for part in sorted(parts | {unquote(part) for part in parts}, key=len, reverse=True):
        text = text.replace(part, MASK)
    return clean_line(text.replace("\\r", " ").replace("\\n", " "), 200)


class _Capture(logging.Handler):
    """Apprise's log lines of this thread, while it is open."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[int, str]] = []
        self.thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        if record.thread == self.thread and len(self.lines) < 200:
            self.lines.append((record.levelno, record.getMessage()[:4000]))

    def __enter__(self) -> _Capture:
        logger = logging.getLogger("apprise")
        # Its lines hold tokens: nobody else hears them, whatever the service's own log is set to.
        logger.propagate = False
        logger.setLevel(logging.DEBUG)
        logging.getLogger("urllib3").setLevel(logging.WARNING)  # it logs paths, where tokens stand
        logger.addHandler(self)
        return self

    def __exit__(self, *_error: object) -> None:
        logging.getLogger("apprise").removeHandler(self)

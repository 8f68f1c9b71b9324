# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vCenter by pyvmomi: every question with a limit of time, every fault with what to do, the session always ended.

Properties are read by name and together. A property that may not be read is an error: taken for empty, it would make a
machine without snapshots of one whose snapshots are hidden.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib
import socket
import ssl
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError
from xml.sax.saxutils import escape

from .. import _tls
from .._findings import MASK, clean_line
from .vsphere_model import Machine, Snapshot, Store, Work, fault_words, last_name, plain_name, store_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

LIBRARY_ERROR = ""
"""Why pyvmomi cannot be used, as a traceback; empty when it can."""
_pyvmomi: Any = None
try:
    _pyvmomi = importlib.import_module("pyVmomi")
except ImportError:
    LIBRARY_ERROR = traceback.format_exc()

PAGE = 500
"""Machines in one answer."""
CANCEL = 30.0
"""Seconds that a task may take to end once it was cancelled."""
_AGAIN = (0.5, 1.0, 2.0)
"""Seconds between the attempts to read, when the connection is lost."""
_LOOK = 2.0
"""Seconds between two looks at a task, at the most."""
_MACHINE = (
    "name", "parent", "config.uuid", "config.files", "config.template", "config.hardware.memoryMB",
    "config.hardware.device", "capability.snapshotOperationsSupported", "runtime.powerState", "runtime.connectionState",
    "runtime.consolidationNeeded", "runtime.question", "guest.toolsRunningStatus", "snapshot", "datastore",
    "recentTask",
)  # fmt: skip

_ABOVE = {"VirtualMachine": ("parent", "parentVApp"), "VirtualApp": ("parentFolder", "parent")}
"""What an object is in, where that is not simply its ``parent``."""


class Failed(Exception):  # noqa: N818 - an outcome, not a bug
    """vCenter did not do what was asked: what was met, and what to do."""

    def __init__(self, what: str, remedy: str, kind: str = "", message: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy, self.kind, self.message = what, remedy, kind, message

    @property
    def lost(self) -> bool:
        """Whether nobody knows if what was asked for has begun."""
        return self.kind == LOST


LOST = "connection lost"


class Client:
    """A session with the vCenter that the options of vsphere_snapshot name; to be used in ``with``."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._stub: Any = None
        self._content: Any = None
        self._paths: dict[str, str] = {}

    def __enter__(self) -> Client:
        try:
            context = _tls.context(verify=self._options["verify"], ca_file=self._options["ca_file"])
        except _tls.Unusable as error:
            raise Failed(error.what, error.remedy) from None
        self._stub = _pyvmomi.SoapStubAdapter(
            host=self._options["hostname"],
            port=self._options["port"],
            sslContext=context,
            httpConnectionTimeout=self._options["answer_timeout"],
        )
        try:
            instance = _pyvmomi.vim.ServiceInstance("ServiceInstance", self._stub)
            self._content = self.ask(instance.RetrieveContent)
            self._log_in()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        # Of a session that cannot be ended, vCenter takes care by itself, half an hour later.
        with contextlib.suppress(Failed):
            if self._content is not None and self._stub.cookie:
                self.ask(self._content.sessionManager.Logout)
        self._stub.DropConnections()

    def _log_in(self) -> None:
        # In English, as some faults are told apart only by what they say.
        manager = self._content.sessionManager
        self.ask(manager.Login, self._options["username"], self._options["password"], "en_US")

    # -- one question --------------------------------------------------------------------------------------------------

    def ask(self, method: Callable[..., Any], *words: Any, **named: Any) -> Any:
        """What vCenter answers, once. Raises :class:`Failed`.

        The limit of time holds whatever the server does: one that answers a byte a second is left behind in a thread
        that ends with this process.
        """
        box: list[tuple[Any, BaseException | None]] = []

        def work() -> None:
            try:
                box.append((method(*words, **named), None))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told by the thread that asked
                box.append((None, error))

        thread = threading.Thread(target=work, name="vsphere-request", daemon=True)
        thread.start()
        thread.join(self._options["answer_timeout"] + 1.0)
        if not box:
            raise self._late()
        answer, error = box[0]
        if error is not None:
            raise self._failed(error) from None
        return answer

    def read(self, method: Callable[..., Any], *words: Any, **named: Any) -> Any:
        """As :meth:`ask`, for what can be asked again: a lost connection or session is made anew."""
        pauses = iter(_AGAIN)
        while True:
            try:
                return self.ask(method, *words, **named)
            except Failed as failed:
                pause = next(pauses, None)
                if pause is None or not (failed.lost or failed.kind == "NotAuthenticated"):
                    raise
                time.sleep(pause)
                if failed.kind == "NotAuthenticated":
                    self._stub.cookie = ""
                    with contextlib.suppress(Failed):
                        self._log_in()

    def clean(self, text: Any, limit: int = 240) -> str:
        """What vCenter said, on one line, without the password should it repeat that."""
        words = str(text)
        password = self._options["password"]
        for secret in (password, escape(password)) if password else ():
            words = words.replace(secret, MASK)
        return clean_line(words, limit)

    def _late(self) -> Failed:
        return Failed(
            "there was no answer within %d s" % self._options["answer_timeout"],
            "Is vCenter well? Otherwise raise answer_timeout.", LOST,
        )  # fmt: skip

    def _failed(self, error: BaseException) -> Failed:
        if isinstance(error, _pyvmomi.vmodl.MethodFault):
            return self.fault(error)
        if isinstance(error, ssl.SSLCertVerificationError):
            return Failed(
                "its certificate is not trusted: %s" % self.clean(error.verify_message),
                "Give ca_file with the certificate that signed it, and in hostname the name that it bears; of one that "
                "has expired, have a new one made.",
            )
        if isinstance(error, ssl.SSLError):
            return Failed("TLS failed: %s" % self.clean(error), "Is port that of vCenter's HTTPS?", LOST)
        if isinstance(error, socket.gaierror):
            return Failed("its name is not known: %s" % self.clean(error), "Check hostname, and the name service.")
        if isinstance(error, ConnectionRefusedError):
            return Failed("nobody listens there", "Is vCenter running, and port its port?", LOST)
        if isinstance(error, TimeoutError):
            return self._late()
        if isinstance(error, (OSError, http.client.HTTPException)):
            what = "the connection was lost (%s)" % self.clean("%s: %s" % (type(error).__name__, error))
            return Failed(what, "Look at vCenter's health and at the network between, and run it again.", LOST)
        if isinstance(error, ExpatError):
            return Failed("what it answered is not vSphere's API", "Is hostname a vCenter or an ESXi host?")
        raise error  # a fault of ours, which must not look like one of vCenter

    def fault(self, fault: Any) -> Failed:
        """A fault of vCenter, raised or of a task, in words."""
        kind = type(fault).__name__.rsplit(".", 1)[-1]
        texts = [fault.msg, *(one.message for one in fault.faultMessage or [])]
        message = self.clean("; ".join(dict.fromkeys(text for text in texts if text)))
        lacks = [getattr(fault, "privilegeId", None) or ""]
        lacks += [name for one in getattr(fault, "missingPrivileges", None) or [] for name in one.privilegeIds or []]
        what, remedy = fault_words(kind, message, self.clean(", ".join(dict.fromkeys(name for name in lacks if name))))
        return Failed(what, remedy, kind, message)

    # -- properties ----------------------------------------------------------------------------------------------------

    def properties(self, refs: Iterable[Any], kind: Any, names: Iterable[str]) -> list[tuple[Any, dict[str, Any]]]:
        """The objects with their properties, unset ones left out. Raises :class:`Failed` for one that is hidden."""
        collector = _pyvmomi.vmodl.query.PropertyCollector
        objects = [collector.ObjectSpec(obj=ref) for ref in refs]
        if not objects:
            return []
        wanted = collector.PropertySpec(type=kind, pathSet=list(names), all=False)
        spec = collector.FilterSpec(objectSet=objects, propSet=[wanted])
        found = self.read(self._content.propertyCollector.RetrieveContents, [spec])
        return [(one.obj, self._values(one)) for one in found]

    def _values(self, content: Any) -> dict[str, Any]:
        for missing in content.missingSet or []:
            failed = self.fault(missing.fault)
            raise Failed("%s cannot be read: %s" % (self.clean(missing.path), failed.what), failed.remedy, failed.kind)
        return {one.name: one.val for one in content.propSet or [] if getattr(one, "val", None) is not None}

    def _all_of(self, kind: Any, root: Any, names: Iterable[str]) -> Iterator[tuple[Any, dict[str, Any]]]:
        """All objects of a kind below a folder, page by page."""
        collector, service = _pyvmomi.vmodl.query.PropertyCollector, self._content.propertyCollector
        view = self.read(self._content.viewManager.CreateContainerView, root, [kind], True)
        try:
            walk = collector.TraversalSpec(name="all", path="view", skip=False, type=type(view))
            start = collector.ObjectSpec(obj=view, skip=True, selectSet=[walk])
            wanted = collector.PropertySpec(type=kind, pathSet=list(names), all=False)
            spec = collector.FilterSpec(objectSet=[start], propSet=[wanted])
            page = self.read(service.RetrievePropertiesEx, [spec], collector.RetrieveOptions(maxObjects=PAGE))
            while page is not None:
                for one in page.objects:
                    yield one.obj, self._values(one)
                page = self.read(service.ContinueRetrievePropertiesEx, page.token) if page.token else None
        finally:
            with contextlib.suppress(Failed):
                self.ask(view.DestroyView)

    # -- the machine ---------------------------------------------------------------------------------------------------

    def find(self) -> Any:
        """The machine that the options name. Raises :class:`Failed` when there is none, or more than one."""
        options, vim = self._options, _pyvmomi.vim
        root = self._content.rootFolder
        if options["datacenter"]:
            names = {self._name(found): ref for ref, found in self._all_of(vim.Datacenter, root, ["name"])}
            if options["datacenter"] not in names:
                raise Failed(
                    "there is no datacenter %s (the account sees: %s)"
                    % (options["datacenter"], self.clean(", ".join(sorted(names)) or "none")),
                    "Give datacenter as vCenter shows it.",
                )
            root = names[options["datacenter"]]
        refs = self._by_uuid(root) if options["uuid"] else self._by_name(root)
        if len(refs) == 1:
            return refs[0]
        asked = options["uuid"] or options["vm"]
        if not refs:
            raise Failed(
                "no machine %s is there, or the account may not see it" % asked,
                "Give vm as vCenter shows it, or its uuid, and the account the right to read it.",
            )
        paths = sorted(self._path(ref) for ref in refs[:10])
        raise Failed(
            "%d machines are called %s: %s" % (len(refs), asked, self.clean(", ".join(paths), 400)),
            "Say which by its path in vm, or by datacenter; or give its instance uuid.",
        )

    def _by_name(self, root: Any) -> list[Any]:
        asked = self._options["vm"]
        name = last_name(asked)
        machines = self._all_of(_pyvmomi.vim.VirtualMachine, root, ["name"])
        found = [ref for ref, values in machines if self._name(values) == name]
        if asked.startswith("/"):
            found = [ref for ref in found if self._path(ref) == asked]
        return found

    def _by_uuid(self, root: Any) -> list[Any]:
        search = self._content.searchIndex
        within = root if isinstance(root, _pyvmomi.vim.Datacenter) else None
        found: dict[str, Any] = {}
        for instance in (True, False):
            for ref in self.read(search.FindAllByUuid, within, self._options["uuid"].lower(), True, instance) or []:
                found[ref._moId] = ref
        return list(found.values())

    def _name(self, values: Mapping[str, Any]) -> str:
        return plain_name(values.get("name", ""))

    def _path(self, ref: Any) -> str:
        """Where an object is, as vCenter's client shows it, from the datacenter's folder on."""
        first: str = ref._moId
        names: list[str] = []
        if first in self._paths:
            return self._paths[first]
        while ref is not None and ref._moId != self._content.rootFolder._moId and len(names) < 100:
            kind = type(ref).__name__.rsplit(".", 1)[-1]
            up = _ABOVE.get(kind, ("parent",))
            [(_ref, values)] = self.properties([ref], type(ref), ["name", *up])
            names.insert(0, self._name(values))
            ref = next((values[name] for name in up if name in values), None)
        self._paths[first] = "/" + "/".join(names)
        return self._paths[first]

    def machine(self, ref: Any, stores: bool = False) -> Machine:
        """How the machine stands now; with its datastores only when asked for."""
        [(_ref, values)] = self.properties([ref], type(ref), _MACHINE)
        instance = _pyvmomi.vim.ServiceInstance("ServiceInstance", self._stub)
        now = self.read(instance.CurrentTime).timestamp()
        tree = values.get("snapshot")
        question = values.get("runtime.question")
        files = values.get("config.files")
        return Machine(
            ref=ref._moId,
            name=self._name(values),
            path=self._path(ref),
            uuid=values.get("config.uuid", ""),
            power=str(values.get("runtime.powerState", "")),
            connection=str(values.get("runtime.connectionState", "")),
            now=now,
            template=values.get("config.template", False),
            snapshots_supported=values.get("capability.snapshotOperationsSupported", True),
            tools=str(values.get("guest.toolsRunningStatus", "")),
            memory_mib=values.get("config.hardware.memoryMB", 0),
            snapshots=tuple(_flat(tree.rootSnapshotList, 1)) if tree else (),
            current=tree.currentSnapshot._moId if tree and tree.currentSnapshot else "",
            consolidation_needed=values.get("runtime.consolidationNeeded", False),
            left_out=tuple(_left_out(values.get("config.hardware.device", []))),
            stores=tuple(self._stores(values.get("datastore", []))) if stores else (),
            at_work=tuple(self._at_work(values.get("recentTask", []))),
            home=store_of(files.snapshotDirectory or files.vmPathName or "") if files else "",
            question=self.clean(question.text) if question else "",
        )

    def _stores(self, refs: Iterable[Any]) -> Iterator[Store]:
        refs = list(refs)
        for ref in refs:
            # What vCenter shows may be half an hour old. Of one that cannot be refreshed, that is what is known.
            with contextlib.suppress(Failed):
                self.ask(ref.RefreshDatastore)
        for _ref, values in self.properties(refs, _pyvmomi.vim.Datastore, ["name", "summary"]):
            summary = values["summary"]
            yield Store(self._name(values), bool(summary.accessible), summary.capacity or 0, summary.freeSpace or 0)

    def _at_work(self, refs: Iterable[Any]) -> Iterator[Work]:
        for ref in refs:
            info = self._info(ref)
            if info is not None and info.state in ("queued", "running"):
                reason = info.reason
                who = getattr(reason, "userName", None) or (type(reason).__name__.rsplit(".", 1)[-1] if reason else "")
                yield Work(ref._moId, self.clean(info.descriptionId), self.clean(who))

    def snapshot_ref(self, snapshot: Snapshot) -> Any:
        return _pyvmomi.vim.vm.Snapshot(snapshot.ref, self._stub)

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def begin(self, method: Callable[..., Any], *words: Any, **named: Any) -> Any:
        """Begin a task. None when the connection was lost meanwhile, so that only the machine can tell what came of it.

        What changes something is never asked twice by itself.
        """
        try:
            return self.ask(method, *words, **named)
        except Failed as failed:
            if failed.lost:
                return None
            raise

    def wait(self, task: Any, seconds: float) -> bool:
        """Wait until a task has ended well. False when vCenter does not know it any more, as after its own restart.

        Raises :class:`Failed` when it failed, or has not ended in time: cancelled then, where that can be.
        """
        end = time.monotonic() + seconds
        pause = 0.05
        while True:
            info = self._info(task, end)
            if info is None:
                return False
            if info.state == "success":
                return True
            if info.state == "error":
                raise self._task_fault(info)
            if time.monotonic() >= end:
                raise self._overdue(task, info, seconds)
            time.sleep(min(pause, max(0.0, end - time.monotonic())))
            pause = min(pause * 1.5, _LOOK)

    def _task_fault(self, info: Any) -> Failed:
        if info.error is None:
            return Failed("the task failed without a reason", "Look at the machine's tasks and events in vCenter.")
        return self.fault(info.error)

    def _overdue(self, task: Any, info: Any, seconds: float) -> Failed:
        what = "its task (%s) had not ended after %d s" % (self.clean(info.descriptionId), seconds)
        if info.progress is not None:
            what += ", at %d %%" % info.progress
        if info.cancelable:
            with contextlib.suppress(Failed):
                self.ask(task.CancelTask)
                end = time.monotonic() + CANCEL
                while time.monotonic() < end:
                    now = self._info(task)
                    if now is None or now.state not in ("queued", "running"):
                        return Failed(what + ", and was cancelled", "Look at the machine's host and its datastores.")
                    time.sleep(0.2)
        return Failed(
            what + "; it is left at work, as it cannot be cancelled",
            "Wait for it in vCenter's list of tasks, or raise timeout. The next call waits for it first.",
        )

    def _info(self, task: Any, end: float = 0.0) -> Any:
        """What vCenter knows of a task, None when nothing. A vCenter that is away is waited for until ``end``."""
        while True:
            try:
                [(_ref, values)] = self.properties([task], type(task), ["info"])
                return values.get("info")
            except Failed as failed:
                if failed.kind == "ManagedObjectNotFound":
                    return None
                if not failed.lost or time.monotonic() >= end:
                    raise
                time.sleep(_LOOK)

    def is_at_work(self, one: Work) -> bool:
        info = self._info(_pyvmomi.vim.Task(one.ref, self._stub))
        return info is not None and info.state in ("queued", "running")


def _flat(trees: Iterable[Any], depth: int) -> Iterator[Snapshot]:
    """All snapshots of a tree. A chain of vSphere has at most 32."""
    pending = [(tree, depth) for tree in trees]
    while pending:
        one, level = pending.pop(0)
        yield Snapshot(
            one.snapshot._moId, plain_name(one.name or ""), one.description or "", one.createTime.timestamp(),
            bool(one.quiesced), level, str(one.state or ""),
        )  # fmt: skip
        pending += [(child, level + 1) for child in one.childSnapshotList or []]


def _left_out(devices: Iterable[Any]) -> Iterator[str]:
    """The disks that a snapshot does not hold: independent ones, and raw ones in physical mode."""
    for device in devices:
        backing = device.backing
        mode = getattr(backing, "diskMode", None) or ""
        raw = getattr(backing, "compatibilityMode", None) == "physicalMode"
        if isinstance(device, _pyvmomi.vim.vm.device.VirtualDisk) and (mode.startswith("independent") or raw):
            label = device.deviceInfo.label if device.deviceInfo else "disk %s" % device.key
            yield "%s (%s)" % (label, "raw, physical mode" if raw else mode)

# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``./run-tests``: choose the parts, prepare the machine, run them, and say what came of it."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from .lanes import default_command, run_beside, write_report
from .machine import CACHE, ROOT, SetupError, install_packages, run, say
from .parts import PARTS, REPORTS, Part, bench_json
from .report import FAILED, PartReport, Test, read_allowed_skips, refuse_skips, summary

_EPILOG = """examples:
  ./run-tests                            everything but the benchmarks, three parts at a time
  ./run-tests --lanes 1                  the same, one after another, with their output as it comes
  ./run-tests static unit                two parts
  ./run-tests static mypy                one check
  ./run-tests unit plugins -- -k disk    a folder under tests/unit, with options for pytest
  ./run-tests molecule weekly            one scenario
  ./run-tests bench --json               the benchmarks, as one JSON document
  ./run-tests lock [PACKAGE…]            write requirements/*.txt anew (all packages, or these, to their newest)

With several lanes, a part's output is shown when it has ended; until then it is in .cache/reports/PART.log.
With CI=true a skipped test is a failure, unless tests/allowed-skips.txt allows it.
Exit codes: 0 all passed; 1 something failed; 2 wrong use, or the machine lacks something; 130 interrupted.
"""


def _parse(arguments: Sequence[str]) -> tuple[dict[str, list[str]], Sequence[str], argparse.Namespace]:
    """The chosen parts in their order, each with the names after it; the options after ``--``; our own options."""
    chosen, _, options = _partition(arguments)
    parser = argparse.ArgumentParser(
        prog="run-tests",
        description="Run the project's tests:\n\n"
        + "\n".join(f"  {p.name:<12} {p.about}{'' if p.default else ' (only when named)'}" for p in PARTS.values()),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("selection", nargs="*", metavar="PART [NAME…]", help="parts, each with names within it")
    parser.add_argument("--json", action="store_true", help="with bench: one JSON document on standard output")
    parser.add_argument(
        "--lanes", type=int, choices=range(1, 9), metavar="N", help="parts at a time (3; 1 for named parts)"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="one part's report as JSON, and no summary")
    known = parser.parse_args(chosen)
    selection: dict[str, list[str]] = {}
    current: list[str] | None = None
    for word in known.selection:
        if word in PARTS:
            current = selection.setdefault(word, [])
        elif current is None:
            parser.error(f"no part {word!r}; the parts are {', '.join(PARTS)}")
        else:
            current.append(word)
    if known.json and set(selection) != {"bench"}:
        parser.error("--json goes with bench alone")
    if options and len(selection) != 1:
        parser.error("options after -- go to one part: name it")
    if known.report and len(selection) != 1:
        parser.error("--report goes with one part")
    if known.lanes and known.lanes > 1 and (options or any(selection.values())):
        parser.error("--lanes goes with whole parts: leave out the names and options after them")
    if known.lanes is None:
        known.lanes = 1 if selection else 3
    if not selection:
        selection = {part.name: [] for part in PARTS.values() if part.default}
    return {name: selection[name] for name in PARTS if name in selection}, options, known


def _partition(arguments: Sequence[str]) -> tuple[Sequence[str], bool, Sequence[str]]:
    if "--" not in arguments:
        return arguments, False, []
    at = arguments.index("--")
    return arguments[:at], True, arguments[at + 1 :]


def _run_part(part: Part, names: list[str], options: Sequence[str]) -> PartReport:
    say(f"\n== {part.name}: {part.about}")
    report = PartReport(part.name)
    start = time.monotonic()
    try:
        report.tests = part.function(part, names, list(options))
    except SetupError as error:
        report.tests = [Test(part.name, FAILED, str(error))]
    report.seconds = time.monotonic() - start
    return report


def _lock(packages: list[str]) -> int:
    """Write the lock files anew. They name no index, so that each machine uses its own."""
    compile_lock = ["uv", "pip", "compile", "--universal", "--python-version=3.11", "--generate-hashes", "--quiet"]
    compile_lock += ["--no-emit-index-url", *(f"--upgrade-package={name}" for name in packages)]
    compile_lock += [] if packages else ["--upgrade"]
    bootstrap, runtime, dev = (f"requirements/{name}.txt" for name in ("bootstrap", "runtime", "dev"))
    settings = {"UV_CUSTOM_COMPILE_COMMAND": "./run-tests lock", "UV_SYSTEM_CERTS": "1"}
    for command in (
        [*compile_lock, "requirements/bootstrap.in", "-o", bootstrap],
        [*compile_lock, "pyproject.toml", "-o", runtime],
        # Constrained by the other two: the developers' environment must hold the users' one.
        [*compile_lock, "pyproject.toml", "--all-extras", "--group=dev", "-c", runtime, "-c", bootstrap, "-o", dev],
    ):
        code, _ = run(command, limit=600, env=settings)
        if code != 0:
            return 1
    say("run-tests: the locks are written; ./upkeep and ./run-tests follow them at their next start")
    return 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    """Run the chosen parts; the exit code says whether all is well."""
    if arguments[:1] == ["lock"]:
        return _lock(arguments[1:])
    selection, options, known = _parse(arguments)
    signal.signal(signal.SIGTERM, _stop)
    # A shell starts what it puts in the background deaf to Ctrl-C, and the tests' own programs would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    REPORTS.mkdir(parents=True, exist_ok=True)
    in_ci = os.environ.get("CI") == "true"
    start = time.monotonic()
    reports: list[PartReport] = []
    interrupted = False
    try:
        allowed = read_allowed_skips((ROOT / "tests" / "allowed-skips.txt").read_text(encoding="utf-8"))
        install_packages(set(selection))
        if known.json:
            documents, tests = bench_json(PARTS["bench"], selection["bench"])
            failed = [test.name for test in tests if test.outcome == FAILED]
            print(json.dumps({"benchmarks": documents, "failed": failed}, indent=2))
            return int(bool(failed))
        if known.lanes > 1:
            run_beside([PARTS[name] for name in selection], known.lanes, default_command, reports)
            reports.sort(key=lambda report: list(selection).index(report.name))
        else:
            for name, names in selection.items():
                reports.append(_run_part(PARTS[name], names, options))
        for report in reports if in_ci else ():
            refuse_skips(report, allowed)
        if known.report:
            write_report(known.report, reports[0])
            return int(not reports[0].ok)
    except SetupError as error:
        say(f"run-tests: {error}")
        return 2
    except KeyboardInterrupt:
        interrupted = True
        reports.append(PartReport("interrupted", [Test("interrupted", FAILED, "the run was ended before its end")]))
    sys.stderr.flush()
    text = summary(reports, time.monotonic() - start)
    (REPORTS / "summary.txt").write_text(text + "\n", encoding="utf-8")
    print(text, flush=True)
    return 130 if interrupted else int(not all(report.ok for report in reports))


if __name__ == "__main__":
    CACHE.mkdir(exist_ok=True)
    sys.exit(main(sys.argv[1:]))

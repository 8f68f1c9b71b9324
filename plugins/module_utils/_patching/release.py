# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Until when a release of a distribution gets security fixes. Pure.

TABLE is the last resort: a host's own distro-info-data, or SUPPORT_END in os-release(5), is asked first.
Its rows for Debian and Ubuntu are those of distro-info-data 0.58+deb12u7. The others follow the pages below as far as
they were known when they were written down; of these only Rocky Linux 8 and 9 and CentOS were compared again (2026-11):
RHEL https://access.redhat.com/support/policy/updates/errata (end of maintenance support);
AlmaLinux https://wiki.almalinux.org/release-notes/; Rocky Linux https://wiki.rockylinux.org/rocky/version/;
Oracle Linux https://www.oracle.com/a/ocom/docs/elsp-lifetime-069338.pdf (premier support);
CentOS https://www.centos.org/cl-vs-cs/#end-of-life; Fedora https://fedorapeople.org/groups/schedule/;
Amazon Linux https://aws.amazon.com/amazon-linux-2/faqs/ and …/linux/al2023/ug/release-cadence.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# ID of os-release, VERSION_ID or its major part: (end of the distributor's support, end of long-term support by others)
TABLE: dict[str, dict[str, tuple[str, str]]] = {
    "debian": {
        "8": ("2018-06-17", "2020-06-30"),
        "9": ("2020-07-18", "2022-06-30"),
        "10": ("2022-09-10", "2024-06-30"),
        "11": ("2024-08-14", "2026-08-31"),
        "12": ("2026-07-11", "2028-06-30"),
        "13": ("2028-08-09", "2030-06-30"),
    },
    "ubuntu": {
        "16.04": ("2021-04-30", ""),
        "18.04": ("2023-05-31", ""),
        "20.04": ("2025-05-29", ""),
        "22.04": ("2027-06-01", ""),
        "24.04": ("2029-05-31", ""),
        "24.10": ("2025-07-10", ""),
        "25.04": ("2026-01-15", ""),
        "25.10": ("2026-07-09", ""),
        "26.04": ("2031-05-29", ""),
        "26.10": ("2027-07-15", ""),
    },
    "rhel": {"7": ("2024-06-30", ""), "8": ("2029-05-31", ""), "9": ("2032-05-31", ""), "10": ("2035-05-31", "")},
    "almalinux": {"8": ("2029-03-01", ""), "9": ("2032-05-31", ""), "10": ("2035-05-31", "")},
    "rocky": {"8": ("2029-05-31", ""), "9": ("2032-05-31", ""), "10": ("2035-05-31", "")},
    "ol": {"7": ("2024-12-31", ""), "8": ("2029-07-31", ""), "9": ("2032-06-30", "")},
    "fedora": {
        "38": ("2024-05-21", ""),
        "39": ("2024-11-26", ""),
        "40": ("2025-05-13", ""),
        "41": ("2025-12-15", ""),
        "42": ("2026-05-13", ""),
        "43": ("2026-12-09", ""),
    },
    "amzn": {"2": ("2026-06-30", ""), "2023": ("2029-06-30", "")},
}
_CENTOS = {"7": ("2024-06-30", ""), "8": ("2021-12-31", "")}
_CENTOS_STREAM = {"8": ("2024-05-31", ""), "9": ("2027-05-31", ""), "10": ("2030-01-01", "")}


@dataclass
class Support:
    """``end`` and ``long_term_end``: the last moment of each kind of support, in seconds since the epoch."""

    name: str
    end: float | None = None
    long_term_end: float | None = None
    source: str = ""


def support(os_release: Mapping[str, str], distro_info: str = "") -> Support:
    """Until when this release is supported; ``end`` is None when that is not known.

    ``os_release`` are the fields of os-release(5), ``distro_info`` the text of distro-info-data's table for it.
    """
    distribution, version = os_release.get("ID", ""), os_release.get("VERSION_ID", "")
    name = os_release.get("PRETTY_NAME", "") or ("%s %s" % (distribution, version)).strip()
    for row in _rows(distro_info):
        # "24.04 LTS" in Ubuntu's table
        if version and (row.get("version") or "").split(" ")[0] == version and row.get("eol"):
            return Support(name, _end_of(row["eol"]), _end_of(row.get("eol-lts") or ""), "distro-info-data")
    if os_release.get("SUPPORT_END"):
        return Support(name, _end_of(os_release["SUPPORT_END"]), None, "os-release")
    table = TABLE.get(distribution, {})
    if distribution == "centos":
        table = _CENTOS_STREAM if "stream" in os_release.get("NAME", "").lower() else _CENTOS
    end, long_term = table.get(version) or table.get(version.split(".")[0]) or ("", "")
    return Support(name, _end_of(end), _end_of(long_term), "the table of Upkeep" if end else "")


def _rows(text: str) -> list[dict[str, str]]:
    """The rows of a table of distro-info-data, which quotes nothing."""
    head, *rows = [line.split(",") for line in text.splitlines()] or [[]]
    return [dict(zip(head, row)) for row in rows]


def _end_of(day: str) -> float | None:
    """The last second of a day in UTC ("2028-06-30"), None when this is no date."""
    try:
        year, month, number = (int(part) for part in day.strip().split("-"))
        return datetime(year, month, number, 23, 59, 59, tzinfo=timezone.utc).timestamp()
    except (ValueError, OverflowError):
        return None

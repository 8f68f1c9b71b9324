# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories are found in what a host runs; what is not understood is told; nothing hostile is followed."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.discover import Discovery, found
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.discover_model import Job
from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.info import discovered, repositories
from tests.unit.fake_host import FakeHost


def look(files: dict[str, str], **more: Any) -> Discovery:
    texts: dict[str, str | bytes] = {
        path: textwrap.dedent(text[1:] if text.startswith("\n") else text) for path, text in files.items()
    }
    return Discovery(FakeHost(texts, **more), "web1").look()


def one(seen: Discovery) -> Job:
    assert seen.unclear == []
    assert len(seen.jobs) == 1, seen.jobs
    return seen.jobs[0]


def unclear(seen: Discovery) -> list[tuple[str, str]]:
    return [(str(entry.place), entry.why) for entry in seen.unclear]


# resticprofile

PROFILES_YAML = """
    version: "1"
    global:
      restic-lock-retry-after: 1m
    base:
      repository: "local:/srv/restic/{{ .Profile.Name }}"
      password-file: key
      env:
        AWS_ACCESS_KEY_ID: me
      retention:
        after-backup: true
        keep-daily: 7
        keep-weekly: 4
    web:
      inherit: base
      backup:
        source: [/etc, /srv/www]
        tag: [web]
        schedule: "02:00"
    """
PROFILES_TOML = """
    version = "2"
    includes = ["more.yaml"]
    [profiles.base]
    repository = "sftp:backup@store:/srv/restic"
    password-command = "pass restic"   # never run by us
    [profiles.base.backup]
    source = ["/etc"]
    [profiles.web]
    inherit = "base"
    [profiles.web.backup]
    "source..." = "/srv/www"
    """


def test_resticprofile_in_yaml_with_inheritance_templates_and_relative_paths() -> None:
    seen = look({"/etc/resticprofile/profiles.yaml": PROFILES_YAML})
    web = one(seen)  # the base is what others are made of, and no job
    assert (web.name, web.access.location) == ("web", "/srv/restic/web")
    assert web.access.password_file == "/etc/resticprofile/key"
    assert web.access.environment == {"AWS_ACCESS_KEY_ID": "me"}
    assert (web.paths, web.tags, web.keep, web.schedule) == (
        ("/etc", "/srv/www"),
        ("web",),
        {"daily": 7, "weekly": 4},
        "02:00",
    )
    assert str(web.place) == "/etc/resticprofile/profiles.yaml:13"


def test_resticprofile_in_toml_with_an_include_in_yaml() -> None:
    more = "profiles:\n  web:\n    backup:\n      tag: nightly\n"
    seen = look({"/etc/resticprofile/profiles.toml": PROFILES_TOML, "/etc/resticprofile/more.yaml": more})
    assert unclear(seen) == []
    web = seen.jobs[1]
    assert (web.paths, web.tags) == (("/etc", "/srv/www"), ("nightly",))
    assert web.access.password_command == "pass restic"
    assert [str(item.location) for item in found(seen.jobs)] == ["sftp:backup@store:/srv/restic"]


def test_format_1_inherits_lists_element_by_element() -> None:
    seen = look(
        {
            "/etc/profiles.json": """
    {"base": {"repository": "/r", "password-file": "/k", "backup": {"source": ["/a", "/b"]}},
     "web": {"inherit": "base", "backup": {"source": ["/c"]}}}
    """
        }
    )
    assert seen.jobs[1].paths == ("/c", "/b")


@pytest.mark.parametrize(
    ("name", "text", "line", "why"),
    [
        ("profiles.hcl", 'default {\n repository = "/r"\n}\n', 0, "the format hcl is not read here"),
        ("profiles.yaml", "web:\n  repository: backup\n  password-file: k\n", 1, "is relative, and it has no base-dir"),
        ("profiles.yaml", "web:\n  inherit: nobody\n  repository: /r\n", 1, "inherits from nobody, which is not there"),
        ("profiles.yaml", "a:\n  inherit: b\nb:\n  inherit: a\n  repository: /r\n", 1, "inherits from itself"),
        ("profiles.yaml", 'web:\n  repository: "{{ .Env.REPO }}"\n', 2, "holds {{ .Env.REPO }}"),
        ("profiles.yaml", "web:\n  {{ if x }}\n  repository: /r\n", 2, "a template that is more than a value"),
        ("profiles.yaml", "web:\n  repository: $WHERE/x\n", 1, "the variable WHERE is not set"),
        ("profiles.yaml", "web:\n  repository: [\n", 2, "not closed"),
        ("profiles.yaml", "web:\n\trepository: /r\n", 2, ""),
        ("profiles.toml", "[web]\nrepository = /r\n", 2, ""),
        ("profiles.yaml", "web:\n  backup:\n    source: /etc\n    repository: no\n", 1, "names no repository"),
        ("profiles.yaml", "web:\n  use: mixin\n  repository: /r\n", 2, "mixins"),
    ],
)
def test_what_is_not_understood_of_resticprofile_is_told_with_its_line(
    name: str, text: str, line: int, why: str
) -> None:
    path = "/etc/resticprofile/" + name
    seen = look({path: text})
    assert not any(job.paths for job in seen.jobs)
    places = unclear(seen)
    assert places, seen.jobs
    assert places[0][0] == (f"{path}:{line}" if line else path)
    assert why in places[0][1]


def test_a_configuration_that_a_cron_line_names_is_read_too() -> None:
    seen = look(
        {
            "/etc/cron.d/backup": "0 2 * * * root resticprofile -c /opt/backup/profiles.toml --name web backup\n",
            "/opt/backup/profiles.toml": '[web]\nrepository = "/srv/r"\npassword-file = "k"\n',
        }
    )
    assert one(seen).access.password_file == "/opt/backup/k"
    missing = look({"/etc/cron.d/backup": "0 2 * * * root resticprofile -c /nowhere/x.yaml backup\n"})
    assert unclear(missing) == [("/etc/cron.d/backup:1", "resticprofile's configuration /nowhere/x.yaml is not there")]


# autorestic

AUTORESTIC = """
    version: 2
    extras:
      policies: &keep
        keep-daily: 14
    locations:
      home:
        from: [/home, data]
        to: [remote, disk]
        cron: '0 3 * * *'
        options:
          forget:
            <<: *keep
    backends:
      remote:
        type: rest
        path: https://store:8000/web1
        key: "a: b#c"
        rest:
          user: me
          password: p/w
      disk:
        type: local
        path: ../disk
    """


def test_autorestic() -> None:
    files = {"/root/.autorestic.yml": AUTORESTIC, "/root/.autorestic.env": "AUTORESTIC_DISK_RESTIC_PASSWORD=secret\n"}
    seen = look(files)
    assert unclear(seen) == []
    remote, disk = seen.jobs
    assert remote.access.location == "rest:https://me:p%2Fw@store:8000/web1"
    assert remote.access.password == "a: b#c"
    assert (disk.access.location, disk.access.password) == ("/disk", "secret")
    assert remote.paths == ("/home", "/root/data")
    assert (remote.tags, remote.keep, remote.schedule) == (("ar:location:home",), {"daily": 14}, "0 3 * * *")
    shown = discovered(found(seen.jobs)[0]).shown
    assert "p%2Fw" not in shown and "me:" in shown


# systemd

SERVICE = """
    [Unit]
    Description=Backup
    [Service]
    Type=oneshot
    User=root
    Environment="RESTIC_REPOSITORY=s3:https://s3.example.com/bucket" LD_PRELOAD=/evil.so
    Environment=RESTIC_PASSWORD_FILE=%d/password
    EnvironmentFile=-/etc/restic/s3.env
    LoadCredential=password:/etc/restic/password
    ExecStart=/usr/bin/nice -n 10 /usr/bin/restic backup --verbose \\
        --one-file-system --tag daily,system --exclude '*.o' /etc /home
    ExecStartPost=-/usr/bin/restic forget --keep-daily 7 --keep-weekly=4 --prune
    """
TIMER = "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n"


def test_a_service_with_its_timer_environment_and_credentials() -> None:
    seen = look(
        {
            "/etc/systemd/system/restic.service": SERVICE,
            "/etc/systemd/system/restic.timer": TIMER,
            "/etc/restic/s3.env": "AWS_SECRET_ACCESS_KEY='a b$c'\nAWS_ACCESS_KEY_ID=x\n",
        },
        links={"/etc/systemd/system/timers.target.wants/restic.timer": "/etc/systemd/system/restic.timer"},
    )
    assert unclear(seen) == []
    backup, forget = seen.jobs
    assert str(backup.place) == "/etc/systemd/system/restic.service:10"
    assert backup.access.location == "s3:https://s3.example.com/bucket"
    assert backup.access.password_file == "/etc/restic/password"
    assert backup.access.environment == {
        "RESTIC_REPOSITORY": "s3:https://s3.example.com/bucket",
        "AWS_SECRET_ACCESS_KEY": "a b$c",
        "AWS_ACCESS_KEY_ID": "x",
    }
    assert (backup.paths, backup.tags, backup.schedule) == (("/etc", "/home"), ("daily", "system"), "daily")
    assert forget.keep == {"daily": 7, "weekly": 4}
    (repository,) = found(seen.jobs)
    assert "LD_PRELOAD" not in discovered(repository).environment


def test_an_instance_of_a_template_with_a_drop_in() -> None:
    seen = look(
        {
            "/etc/systemd/system/restic@.service": "[Service]\nEnvironmentFile=/etc/restic/%i.env\n"
            "ExecStart=restic backup /srv\n",
            "/etc/systemd/system/restic@.service.d/host.conf": "[Service]\nExecStart=\n"
            "ExecStart=restic backup --host %H-x /srv/%i\n",
            "/etc/restic/web.env": "RESTIC_REPOSITORY=/srv/a b\nRESTIC_PASSWORD=p$x\n",
        },
        links={"/etc/systemd/system/timers.target.wants/restic@web.service": "../restic@.service"},
    )
    job = one(seen)
    assert (job.access.location, job.access.password) == ("/srv/a b", "p$x")  # systemd expands nothing in such a file
    assert (job.paths, job.host) == (("/srv/web",), "web1-x")
    idle = look({"/etc/systemd/system/restic@.service": "[Service]\nExecStart=restic backup /srv\n"})
    assert unclear(idle) == [
        ("/etc/systemd/system/restic@.service:2", "a template of a unit of which no instance is enabled")
    ]


SCRIPT = r"""
    #!/bin/bash
    set -euo pipefail
    . /etc/restic/env
    # restic -r /old backup /never
    export RESTIC_PASSWORD_COMMAND="gpg -d /etc/pw.gpg"
    PATHS=(/etc "/srv/my data")
    OPTS="--one-file-system --exclude-caches"
    restic backup $OPTS --tag "$(date +%F)" "${PATHS[@]}" 2>&1 | logger -t backup
    if [ $? -eq 0 ]; then
      restic forget --keep-within 7d -d 7 --keep-monthly 6
    fi
    cat <<EOT
    restic -r /heredoc backup /
    EOT
    """


def test_a_script_that_a_timer_runs() -> None:
    seen = look(
        {
            "/etc/systemd/system/nightly.service": "[Service]\nExecStart=/usr/local/sbin/nightly.sh\n",
            "/usr/local/sbin/nightly.sh": SCRIPT,
            "/etc/restic/env": "BASE=/srv\nexport RESTIC_REPOSITORY=$BASE/restic\n",
        }
    )
    assert unclear(seen) == []
    backup, forget = seen.jobs
    assert str(backup.place) == "/usr/local/sbin/nightly.sh:8"
    assert backup.access.location == "/srv/restic"
    assert backup.access.password_command == "gpg -d /etc/pw.gpg"
    assert (backup.paths, backup.tags) == (("/etc", "/srv/my data"), ())
    assert forget.keep == {"daily": 7, "monthly": 6}


# cron


def test_cron_in_all_its_places() -> None:
    seen = look(
        {
            "/etc/crontab": "RESTIC_PASSWORD_FILE=/root/pw\n*/5 * * * * root /usr/bin/true\n"
            "0 2 * * 1-5 root cd /srv && sudo -E restic -r ./r --password-file pw backup /etc >/dev/null 2>&1\n",
            "/etc/cron.d/x": "@daily backup RESTIC_PASSWORD=a\\%b restic --repo=/srv/two backup '/a b'\n",
            "/etc/cron.daily/y": "#!/bin/sh\nRESTIC_PASSWORD=x restic -r/srv/three backup ~\n",
            "/var/spool/cron/crontabs/root": "1 1 * * * sh -c 'restic -r rclone:x:y -p /k backup /etc'\n",
            "/var/spool/cron/anna": "1 1 * * * /home/anna/bin/mail\n",
        }
    )
    assert unclear(seen) == []
    table = {job.access.location: job for job in seen.jobs}
    assert set(table) == {"/srv/r", "/srv/two", "/srv/three", "rclone:x:y"}
    assert table["/srv/r"].access.password_file == "/srv/pw"
    assert table["/srv/r"].schedule == "0 2 * * 1-5"
    assert (table["/srv/two"].access.password, table["/srv/two"].paths) == ("a%b", ("/a b",))
    assert table["/srv/three"].paths == ("/root",)


@pytest.mark.parametrize(
    ("script", "line", "why"),
    [
        ("restic backup /etc\n", 2, "the repository is not named in what could be read"),
        ('restic -r "$1" backup /etc\n', 2, "the variable 1 is not set"),
        ("restic -r $(cat /etc/where) backup /etc\n", 2, "the output of a command"),
        ("for r in a b; do\n restic -r /srv/$r backup /etc\ndone\n", 3, "a loop over several values"),
        ('restic -r /r backup "${X%/}"\n', 2, "a change of a variable"),
        ("RESTIC_PASSWORD=$(pass x) restic -r /r backup /etc\n", 2, "RESTIC_PASSWORD: it is the output of a command"),
        ("echo 'not closed\nrestic -r /r backup /etc\n", 2, "a quote that is not closed"),
        (". /etc/gone\nrestic backup /etc\n", 3, "/etc/gone is sourced, and cannot be read"),
        ('eval "restic -r /r backup /etc"\n', 2, "how it is called is not understood"),
    ],
)
def test_what_is_not_understood_of_a_script_is_told_with_its_line(script: str, line: int, why: str) -> None:
    seen = look({"/etc/cron.daily/backup": "#!/bin/sh\n" + script})
    (place, said) = unclear(seen)[0]
    assert place == f"/etc/cron.daily/backup:{line}"
    assert why in said


def test_a_program_in_another_language_is_told() -> None:
    seen = look({"/etc/cron.daily/backup": "#!/usr/bin/python3\nsubprocess.run(['restic', 'backup'])\n"})
    assert unclear(seen) == [("/etc/cron.daily/backup:2", "a program that is no script of a shell names restic")]


def test_mentions_of_restic_that_are_no_backup_are_not_told() -> None:
    seen = look(
        {
            "/etc/cron.daily/apt": "#!/bin/sh\n# restic backup\napt-get install restic\n/usr/bin/restic self-update\n",
            "/etc/cron.d/z": "# restic backup /\n0 0 * * * root command -v restic >/dev/null && restic version\n",
            "/usr/lib/systemd/system/restic-rest-server.service": "[Service]\nExecStart=/usr/bin/rest-server\n",
        }
    )
    assert (seen.jobs, unclear(seen)) == ([], [])


# Files of variables


def test_a_file_of_variables_that_nothing_else_names() -> None:
    seen = look({"/etc/restic/offsite.env": "export RESTIC_REPOSITORY=b2:bucket\nexport RESTIC_PASSWORD='x y'\n"})
    job = one(seen)
    assert (job.by, job.access.location, job.access.password) == ("environment", "b2:bucket", "x y")
    assert str(job.place) == "/etc/restic/offsite.env:1"


def test_one_repository_that_many_name_is_one() -> None:
    env = "RESTIC_REPOSITORY=/srv/r\nRESTIC_PASSWORD=x\n"
    seen = look(
        {
            "/etc/restic/a.env": env,
            "/etc/cron.d/b": "0 1 * * * root restic -r /srv/r/ backup /etc\n",
        }
    )
    (repository,) = found(seen.jobs)
    assert repository.access.password == "x" and len(repository.jobs) == 2


# Hostile


@pytest.mark.parametrize("owner", [(1000, 1000, 0o100644), (0, 0, 0o100666), (0, 1000, 0o100664)])
def test_what_somebody_else_may_have_written_is_told_and_not_followed(owner: tuple[int, int, int]) -> None:
    command = "RESTIC_REPOSITORY=/srv/r\nRESTIC_PASSWORD_COMMAND='rm -rf /'\n"
    for path, text in (
        ("/etc/restic/x.env", command),
        ("/etc/cron.daily/x", "#!/bin/sh\nrestic -r /r --password-command 'rm -rf /' backup /\n"),
        ("/etc/systemd/system/x.service", "[Service]\nExecStart=restic -r /r backup /\n"),
        ("/var/spool/cron/crontabs/anna", "1 1 * * * restic -r /r backup /\n"),
        ("/home/anna/.autorestic.yml", AUTORESTIC),
        ("/etc/resticprofile/profiles.yaml", PROFILES_YAML),
    ):
        seen = look({path: text}, owners={path: owner})
        assert seen.jobs == []
        assert "is not followed with this account's rights" in unclear(seen)[0][1], path


def test_hostile_files_end_and_say_what_they_are() -> None:
    bombs = {
        "/etc/resticprofile/profiles.yaml": "a: &a [x, x]\n"
        + "".join(f"b{n}: &b{n} [*b{n - 1}, *b{n - 1}]\n" if n else "b0: &b0 [*a, *a]\n" for n in range(60))
        + "repository: 1\n",
        "/etc/cron.daily/long": "#!/bin/sh\nrestic backup " + "x" * 300_000,
        "/etc/cron.daily/nested": "#!/bin/sh\nrestic -r " + "$(" * 5000 + " backup\n",
        "/etc/cron.daily/self": "#!/bin/sh\n. /etc/cron.daily/self\n/etc/cron.daily/self\nrestic -r /r backup /etc\n",
        "/etc/restic/\x1b[31m.env": "RESTIC_REPOSITORY=\x1b]0;x\x07/r\nRESTIC_PASSWORD=x\n",
        "/root/.autorestic.yml": "[" * 10_000,
    }
    files: dict[str, str | bytes] = dict(bombs)
    listed, findings = repositories(FakeHost(files))
    assert listed[0].location == "/r"
    told = {finding["subject"] for finding in findings}
    assert {"/etc/cron.daily/long", "/etc/cron.daily/nested", "/root/.autorestic.yml"} <= told
    assert all("\x1b" not in str(finding) for finding in findings)


def test_a_host_without_restic_is_looked_through_without_a_process() -> None:
    host = FakeHost(
        {"/etc/crontab": "0 * * * * root /usr/bin/true\n", "/etc/systemd/system/a.service": "[Service]\nExecStart=/x\n"}
    )
    assert repositories(host) == ([], [])
    assert host.ran == []

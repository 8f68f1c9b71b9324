#!/bin/sh
# A repository whose newest snapshot is ten days old, with a damaged pack, and in it a dump that was cut off.
set -eu
export LC_ALL=C.UTF-8

pg_createcluster --start 15 main > /dev/null
install -d -o postgres /var/backups/postgresql
su postgres -c 'createdb shop && psql -q -v ON_ERROR_STOP=1 shop' <<'SQL'
CREATE TABLE orders (id int PRIMARY KEY, total numeric NOT NULL);
INSERT INTO orders SELECT n, n * 1.5 FROM generate_series(1, 5000) n;
SQL
# Cut in the middle of the rows: what a full disk leaves of a dump.
su postgres -c 'pg_dump shop' | head -c 20000 > /var/backups/postgresql/shop.sql

install -d /srv/site /etc/restic
for number in $(seq 1 40); do
    head -c 200000 /dev/urandom > "/srv/site/page-$number.bin"
done
umask 077
printf 'molecule-password-db2\n' > /etc/restic/password
export RESTIC_REPOSITORY=/srv/restic RESTIC_PASSWORD_FILE=/etc/restic/password
restic --quiet init
restic --quiet backup --time "$(date -d '10 days ago' '+%Y-%m-%d %H:%M:%S')" /etc /srv/site /var/backups

# One byte in the middle of the largest pack: data, which a plain check does not read.
pack=$(find /srv/restic/data -type f -printf '%s %p\n' | sort -n | tail -n 1 | cut -d' ' -f2)
chmod u+w "$pack"
printf '\377\000\377' | dd of="$pack" bs=1 seek=70000 conv=notrunc status=none

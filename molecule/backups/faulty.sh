#!/bin/sh
# A repository whose newest snapshot is ten days old, with a damaged pack; a dump that was cut off, one that lost rows, and a
# database without any dump.
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

# Of this one nobody ever made a dump, and no job names its folder.
install -d /srv/crm
python3 -c 'import sqlite3; sqlite3.connect("/srv/crm/crm.db").executescript("CREATE TABLE people AS SELECT zeroblob(99999) AS photo")'

# Ten rows did not come along. The server that was dumped is at work no more when the dump is tried.
mariadb-install-db --user=mysql > /dev/null
systemctl start mariadb.service
install -d /var/backups/mysql
mariadb <<'SQL'
CREATE DATABASE shop;
USE shop;
CREATE TABLE orders (id int PRIMARY KEY);
INSERT INTO orders SELECT seq FROM seq_1_to_3000;
SQL
mariadb --batch --raw --skip-column-names shop < /usr/local/share/baseline-mysql.sql > /var/backups/mysql/shop.baseline.json
mariadb-dump --single-transaction --where='id <= 2990' shop > /var/backups/mysql/shop.sql
systemctl stop mariadb.service

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

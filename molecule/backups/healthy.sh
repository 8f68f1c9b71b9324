#!/bin/sh
# Databases with dumps and baselines beside them, and a repository that a unit writes every day.
set -eu
export LC_ALL=C.UTF-8

pg_createcluster --start 15 main > /dev/null
install -d -o postgres /var/backups/postgresql
su postgres -c 'createdb shop && psql -q -v ON_ERROR_STOP=1 shop' <<'SQL'
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (
    id int PRIMARY KEY,
    customer int NOT NULL REFERENCES customers,
    total numeric NOT NULL,
    placed timestamptz NOT NULL DEFAULT now()
);
INSERT INTO customers SELECT n, 'customer ' || n FROM generate_series(1, 200) n;
INSERT INTO orders SELECT n, 1 + n % 200, n * 1.5 FROM generate_series(1, 5000) n;
SQL
su postgres -c 'pg_dump --format=custom --file=/var/backups/postgresql/shop.dump shop'
su postgres -c 'psql -XAtq -f /usr/local/share/baseline-postgresql.sql shop' > /var/backups/postgresql/shop.dump.baseline.json

mariadb-install-db --user=mysql > /dev/null
systemctl start mariadb.service
install -d /var/backups/mysql
mariadb <<'SQL'
CREATE DATABASE shop;
USE shop;
CREATE TABLE customers (id int PRIMARY KEY, name varchar(60) NOT NULL);
CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, FOREIGN KEY (customer) REFERENCES customers (id));
INSERT INTO customers SELECT seq, CONCAT('customer ', seq) FROM seq_1_to_200;
INSERT INTO orders SELECT seq, 1 + seq % 200 FROM seq_1_to_3000;
SQL
mariadb-dump --single-transaction shop | zstd --quiet > /var/backups/mysql/shop.sql.zst
mariadb --batch --raw --skip-column-names shop < /usr/local/share/baseline-mysql.sql > /var/backups/mysql/shop.baseline.json

install -d /srv/site /etc/restic
for number in $(seq 1 300); do
    head -c "$((number * 40))" /dev/urandom > "/srv/site/page-$number.bin"
done
mkfifo /srv/site/pipe
ln -s /etc/hostname /srv/site/link
ln /srv/site/page-1.bin /srv/site/hardlink.bin
setfattr -n user.origin -v fleet /srv/site/page-2.bin
setfacl -m u:ops:r /srv/site/page-3.bin
truncate -s 4M /srv/site/sparse.bin
printf 'odd\n' > "/srv/site/$(printf 'a\033[31mb\377c')"

umask 077
printf 'molecule-password-db1\n' > /etc/restic/password
cat > /etc/systemd/system/backup.service <<'UNIT'
[Service]
Type=oneshot
Environment=RESTIC_REPOSITORY=/srv/restic RESTIC_PASSWORD_FILE=/etc/restic/password HOME=/root
ExecStart=/usr/bin/restic backup --quiet /etc /srv/site /var/backups
UNIT
cat > /etc/systemd/system/backup.timer <<'UNIT'
[Timer]
OnCalendar=daily
[Install]
WantedBy=timers.target
UNIT
systemctl daemon-reload
restic --quiet --repo /srv/restic --password-file /etc/restic/password init
systemctl start backup.service
systemctl enable --quiet --now backup.timer

printf 'molecule-password-borg\n' > /etc/restic/borg-passphrase
export BORG_PASSPHRASE=molecule-password-borg
borg init --encryption repokey /srv/borg
borg create /srv/borg::first /srv/site

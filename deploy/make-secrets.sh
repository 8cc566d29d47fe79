#!/bin/sh
# make-secrets.sh [FOLDER]: the passwords of compose.yaml, random, made once; what is there is kept.
#
# The folder is closed to other users; the files in it are not, because the users inside the containers are others.
set -eu
folder=${1:-"$(dirname "$0")/secrets"}
mkdir -p "$folder"
chmod 700 "$folder"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
put() { # name, content
    [ -e "$folder/$1" ] && return
    printf '%s\n' "$2" >"$folder/$1"
    chmod 444 "$folder/$1"
}

put mariadb_root_password "$(random)"
put mariadb_password "$(random)"
put redis_password "$(random)"
put database_url "mysql+aiomysql://streamd:$(cat "$folder/mariadb_password")@mariadb/streamd"
put redis_url "redis://:$(cat "$folder/redis_password")@redis:6379/0"
put redis.conf "requirepass $(cat "$folder/redis_password")
appendonly yes
maxmemory-policy noeviction"

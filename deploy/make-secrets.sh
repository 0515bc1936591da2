#!/bin/sh
# Makes the secrets of docker-compose.yml in deploy/secrets, once: what is there stays as it is.
# The folder is closed to others; the files are readable, since each container has its own user.
set -eu
folder="$(dirname "$0")/secrets"
mkdir -p "$folder"
chmod 0700 "$folder"

# keep NAME CONTENT: a file that is there already stays.
keep() {
    if [ ! -s "$folder/$1" ]; then
        printf '%s\n' "$2" > "$folder/$1"
        chmod 0444 "$folder/$1"
    fi
}

new() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# dsn ROLE FILE: where that role finds the database. Its network is the compose file's own.
dsn() {
    printf 'postgresql://%s:%s@postgres:5432/jobledger?sslmode=disable' "$1" "$(cat "$folder/$2")"
}

keep postgres_password "$(new)"
keep node_password "$(new)"
keep admin_token "$(new)"
keep grafana_password "$(new)"
keep owner_dsn "$(dsn postgres postgres_password)"
keep node_dsn "$(dsn jobledger_node node_password)"

#!/bin/sh
# Makes the secrets of docker-compose.yml in deploy/secrets; existing ones stay.
# The folder is private; its files are readable, because each container has its own user.
set -eu
folder="$(dirname "$0")/secrets"
mkdir -p "$folder"
chmod 0700 "$folder"

# create NAME CONTENT: write the file unless it exists.
create() {
    if [ ! -s "$folder/$1" ]; then
        printf '%s\n' "$2" > "$folder/$1"
        chmod 0444 "$folder/$1"
    fi
}

new() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# dsn ROLE FILE: the role's DSN. TLS is off because the network belongs to the compose file.
dsn() {
    printf 'postgresql://%s:%s@postgres:5432/jobledger?sslmode=disable' "$1" "$(cat "$folder/$2")"
}

create postgres_password "$(new)"
create node_password "$(new)"
create admin_token "$(new)"
create grafana_password "$(new)"
create owner_dsn "$(dsn postgres postgres_password)"
create node_dsn "$(dsn jobledger_node node_password)"

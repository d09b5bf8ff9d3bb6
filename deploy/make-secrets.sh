#!/bin/sh
# Makes the secrets that compose.yaml names, each once: what is there stays.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

for name in postgres_password api_token metrics_token grafana_password; do
  [ -s "secrets/$name" ] || random >"secrets/$name"
done
[ -s secrets/database_url ] ||
  printf 'postgres://engramd:%s@postgres:5432/engramd' "$(cat secrets/postgres_password)" >secrets/database_url

# Mounted one by one into containers whose users are others; the folder above keeps everybody else of this machine out.
chmod 0644 secrets/*

#!/bin/sh
# engramd as the image runs it. Reachable from other machines it needs a token, and an image that starts without one set
# makes its own, once, in its volume: docker exec CONTAINER cat /var/lib/engramd/api-token
set -eu

if [ -z "${ENGRAMD_API_TOKEN:-}" ] && [ -z "${ENGRAMD_API_TOKEN_FILE:-}" ]; then
  file=$ENGRAMD_DATA_DIR/api-token
  if ! [ -s "$file" ]; then
    part=$file.$$
    if ! (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$part") 2>/dev/null; then
      echo "engramd: $ENGRAMD_DATA_DIR cannot be written by uid $(id -u): mount a volume that it owns, or set ENGRAMD_API_TOKEN_FILE" >&2
      exit 2
    fi
    # A link does not replace: of two that start at once, both go on with the token of the first.
    ln "$part" "$file" 2>/dev/null || true
    rm -f "$part"
    if ! [ -s "$file" ]; then
      echo "engramd: $file is empty: remove it, and another token is made" >&2
      exit 2
    fi
  fi
  export ENGRAMD_API_TOKEN_FILE="$file"
fi

exec node /opt/engramd/dist/main.js "$@"

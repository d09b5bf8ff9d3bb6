#!/bin/bash
# GET /healthz without starting a Node for it: 3 ms of processor time every half minute instead of 40.
exec 3<>"/dev/tcp/127.0.0.1/${ENGRAMD_HTTP_PORT:-7766}" || exit 1
printf 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
IFS= read -r -t 4 status <&3
case $status in
  'HTTP/1.1 200 '*) exit 0 ;;
  *) echo "answered ${status:-nothing}"; exit 1 ;;
esac

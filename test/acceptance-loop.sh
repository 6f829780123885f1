#!/usr/bin/env bash
# Runs the mission tests many times while other processes keep the machine busy. They have ports of their own in a network
# namespace, where that is allowed. Stops at the first failure and says where the logs of the peers are.
#   test/acceptance-loop.sh [TIMES] [any pytest flag]
# SEXTANT_BIN: the server (built if missing) · ACCEPTANCE: the folder of the mission tests · BUSY: processes beside (one a core)
set -euo pipefail
cd "$(dirname "$0")/.."
times=${1:-30}; shift || true
tests=$(realpath "${ACCEPTANCE:-../shared/acceptance}")
[ -x "$tests/run.sh" ] || { echo "there are no mission tests in $tests"; exit 1; }
[ -n "${SEXTANT_BIN:-}" ] || { make --no-print-directory build; SEXTANT_BIN=bin/sextant; }
SEXTANT_BIN=$(realpath "$SEXTANT_BIN"); export SEXTANT_BIN
logs=$(mktemp -d -t acceptance-XXXXXX)
busy=()
trap 'kill "${busy[@]}" 2>/dev/null || true' EXIT
for _ in $(seq "${BUSY:-$(nproc)}"); do
  sh -c 'while :; do :; done' & busy+=($!)
done
apart=()
if unshare -rn ip link set lo up 2>/dev/null; then
  apart=(unshare -rn sh -c 'ip link set lo up && exec "$@"' sh)
fi
for n in $(seq "$times"); do
  if SEXTANT_TEST_LOGS=$logs/peers "${apart[@]}" "$tests/run.sh" --basetemp "$logs/tmp" "$@" >"$logs/out" 2>&1; then
    echo "$n of $times passed: $(tail -1 "$logs/out")"
  else
    tail -60 "$logs/out"
    echo "run $n of $times failed; see $logs"
    exit 1
  fi
done
rm -rf "$logs"

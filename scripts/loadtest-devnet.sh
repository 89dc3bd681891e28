#!/usr/bin/env bash
# A whole load test against devnet: makes a fleet of wallets, funds and prepares it from one treasury, starts the daemon on
# it, gives the load, writes the report, and sends everything back, also when it is interrupted.
#
#   scripts/loadtest-devnet.sh [options] [-- OPTIONS OF swapd loadtest]
#
#   --wallets N        how many (10)
#   --sol S            SOL for each of them (0.05)
#   --give TOKEN=N     tokens for each of them, from the treasury; may be given more than once
#   --treasury NAME    the key file that pays, in the keys' folder (treasury); made when it is not there, and funded by the
#                      faucet as far as that gives
#   --rpc URL          another endpoint of the cluster, and
#   --ws URL           its WebSocket
#   --profile NAME     another profile (devnet). With `localnet` it runs against `swapd localnet`, to try it out:
#                      cargo run -- localnet &
#                      scripts/loadtest-devnet.sh --profile localnet --rpc http://127.0.0.1:8899 --ws ws://127.0.0.1:8900
#   --keys DIR         where the key files are (keys, or data/loadtest-keys with another profile)
#   --out DIR          where reports, log and store go (data/loadtest)
#   --port PORT        where the daemon listens (3900)
#
# Without options of its own the load is 100 orders a minute for a minute. A second run finds the wallets of the first one.
# SWAPD_BIN names a binary that is built already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

wallets=10 sol=0.05 treasury=treasury profile=devnet keys='' out=data/loadtest port=3900 gifts=()
while (($# > 0)); do
    case $1 in
        --wallets) wallets=${2:-} ;;
        --sol) sol=${2:-} ;;
        --give) gifts+=(--give "${2:-}") ;;
        --treasury) treasury=${2:-} ;;
        --rpc) export SWAPD_CHAIN__RPC_URL=${2:-} ;;
        --ws) export SWAPD_CHAIN__WS_URL=${2:-} ;;
        --profile) profile=${2:-} ;;
        --keys) keys=${2:-} ;;
        --out) out=${2:-} ;;
        --port) port=${2:-} ;;
        --) shift && break ;;
        *) fail "there is no option $1: the first lines of this script say what there is" ;;
    esac
    (($# > 1)) || fail "$1 needs a value"
    shift 2
done
load=("$@")
((${#load[@]} > 0)) || load=(--rate 1.667 --orders 100)

if [[ -z $keys ]]; then
    keys=keys
    [[ $profile == devnet ]] || keys=data/loadtest-keys
fi
[[ $profile != localnet ]] || export SWAPD_LOCALNET__EMBED=false
mkdir -p "$out"
export SWAPD_CONFIG=$profile SWAPD_WALLETS__DIR=$keys SWAPD_STORE__URL=sqlite:$out/swapd.db SWAPD_API__LISTEN=127.0.0.1:$port

if [[ -n ${SWAPD_BIN:-} ]]; then
    swapd=$SWAPD_BIN
else
    scripts/install build
    find_cargo
    step "Build"
    cargo build --locked --release
    swapd=${CARGO_TARGET_DIR:-target}/release/swapd
fi

daemon='' child='' fleet='' interrupted=''

# Runs a command in a session of its own, so that a signal comes to it from here, once, and not from the terminal, too.
run() {
    local code=0
    setsid "$@" &
    child=$!
    while :; do
        wait "$child" && code=0 || code=$?
        kill -0 "$child" 2>/dev/null || break # a signal ends the wait, not the command
    done
    child=''
    return "$code"
}

# Stops the daemon and brings everything home, whatever has happened.
finish() {
    local code=$?
    trap '' INT TERM
    if [[ -n $daemon ]]; then
        step "Stop the daemon"
        kill -TERM "$daemon" 2>/dev/null || true
        wait "$daemon" || true
    fi
    if [[ -n $fleet ]]; then
        step "Sweep"
        if ! "$swapd" wallet fleet sweep --treasury "$treasury"; then
            code=1
            echo "Not everything came back. Once the cause is gone, this goes on where it stopped:" >&2
            echo "  SWAPD_CONFIG=$profile SWAPD_WALLETS__DIR=$keys SWAPD_STORE__URL=sqlite:$out/swapd.db \\" >&2
            echo "    $swapd wallet fleet sweep --treasury $treasury" >&2
        fi
        "$swapd" wallet fleet balances --treasury "$treasury" || true
    fi
    exit "$code"
}
trap finish EXIT
# Ends what is under way, and with it the script; a load test reports what it has.
trap 'interrupted=1; [[ -z $child ]] || kill -TERM "$child" 2>/dev/null || true' INT TERM
go_on() { [[ -z $interrupted ]] || exit 130; }

step "Make $wallets wallets"
[[ -e $keys/$treasury.json ]] || "$swapd" wallet new "$treasury"
"$swapd" wallet fleet create "$wallets"
fleet=made
go_on

step "Fund them"
run "$swapd" wallet fleet fund "$sol" --treasury "$treasury" --faucet
go_on

step "Open their token accounts"
run "$swapd" wallet fleet prepare --treasury "$treasury" ${gifts[@]+"${gifts[@]}"}
go_on

step "Start the daemon"
# A Ctrl-C is not for the daemon: the load test still needs it then.
SWAPD_WALLETS__ONLY='fleet-*' setsid "$swapd" serve 2>"$out/daemon.log" &
daemon=$!
for ((tries = 0; ; tries++)); do
    scripts/probe 127.0.0.1 "$port" 2>/dev/null && break
    go_on
    kill -0 "$daemon" 2>/dev/null || fail "the daemon ended: $(tail -n 3 "$out/daemon.log")"
    ((tries < 120)) || fail "the daemon is not ready: see $out/daemon.log"
    sleep 0.5
done
go_on

step "Load"
run "$swapd" loadtest --url "http://127.0.0.1:$port" --fleet --json "$out/report.json" --html "$out/report.html" "${load[@]}"

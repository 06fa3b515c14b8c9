#!/bin/sh
# Runs a test with Trunkgate in a CI job, and keeps its results: JUnit, the report, and of each call the ladder (text and
# SVG) and the SIP messages (pcapng). docs/operate/ci.md explains it. One file without dependencies but a POSIX shell; Linux.
#
#     trunkgate-ci.sh loadtest [FLAG…]
#     trunkgate-ci.sh twilio --app URL [FLAG…] SCRIPT…
#
# Variables:
#   TRUNKGATE_BINARY   path or URL of the binary, or of a .tar.gz or .deb that has it [default: trunkgate in PATH]
#   TRUNKGATE_SHA256   SHA-256 of that file; required for a URL that is not https
#   TRUNKGATE_IMAGE    container image, instead of TRUNKGATE_BINARY: the binary is copied out of it by docker
#   TRUNKGATE_CONFIG   loadtest: configuration of the edge to start [default: one between callers and callees on loopback]
#   TRUNKGATE_ARGS     arguments in front of those of the command line, one a line
#   TRUNKGATE_RESULTS  folder for the results [default: trunkgate-results]
#   TRUNKGATE_TRACES   maximum number of calls with ladder and pcapng, failed ones first [default: 50]
#
# The exit code is that of `trunkgate loadtest` or `trunkgate twilio`, and 2 if the test cannot be run.
set -u

die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# Ends what this script has started, and removes its folder.
work=
edge=
verb=
# shellcheck disable=SC2329 # by trap
clean() {
    for process in $verb $edge; do
        kill -TERM "$process" 2>/dev/null && wait "$process" 2>/dev/null
    done
    verb=
    edge=
    [ -z "$work" ] || rm -rf "$work"
}
trap clean EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# download URL FILE
download() {
    case $1 in
    https://*) ;;
    *) [ -n "${TRUNKGATE_SHA256:-}" ] || die "TRUNKGATE_BINARY: $1 is not https: set TRUNKGATE_SHA256" ;;
    esac
    if command -v curl >/dev/null; then
        curl -fsSL --retry 3 -o "$2" "$1"
    else
        wget -q -O "$2" "$1"
    fi || die "TRUNKGATE_BINARY: $1 cannot be downloaded"
}

# Prints the program below a folder.
program_below() {
    find "$1" -type f -name trunkgate -perm -0100 | head -n 1
}

# Sets `trunkgate` to the binary of a path or URL.
binary() {
    file=$1
    plain=${1%%[?#]*}
    case $1 in
    http://* | https://*)
        file=$work/download
        download "$1" "$file"
        ;;
    esac
    [ -f "$file" ] || die "TRUNKGATE_BINARY: $file: no such file"
    if [ -n "${TRUNKGATE_SHA256:-}" ]; then
        printf '%s  %s\n' "$TRUNKGATE_SHA256" "$file" | sha256sum -c - >/dev/null 2>&1 ||
            die "TRUNKGATE_SHA256: $1 has another checksum"
    fi
    mkdir "$work/program" || die "$work cannot be written"
    case $plain in
    *.tar.gz | *.tgz) tar -xzf "$file" -C "$work/program" || die "$1 cannot be unpacked" ;;
    *.deb) dpkg-deb -x "$file" "$work/program" || die "$1 cannot be unpacked" ;;
    *) cp "$file" "$work/program/trunkgate" && chmod +x "$work/program/trunkgate" ;;
    esac
    trunkgate=$(program_below "$work/program")
    [ -n "$trunkgate" ] || die "$1 has no program trunkgate"
}

# Sets `trunkgate` to the binary of an image.
image() {
    command -v docker >/dev/null || die "TRUNKGATE_IMAGE is set, and docker is not installed: unset it where this job runs in that image"
    container=$(docker create "$1") || die "TRUNKGATE_IMAGE: $1 cannot be had"
    docker cp "$container:/usr/bin/trunkgate" "$work/trunkgate" >/dev/null
    copied=$?
    docker rm "$container" >/dev/null
    [ "$copied" -eq 0 ] || die "TRUNKGATE_IMAGE: $1 has no /usr/bin/trunkgate"
    trunkgate=$work/trunkgate
}

# keep FLAG…: keeps the calls of the edge that the flags of `trunkgate calls` name, failed ones first.
keep() {
    "$trunkgate" calls "$@" --json --limit 1000 >"$results/calls.json" 2>"$work/why" || {
        printf 'warning: calls are not kept: %s\n' "$(cat "$work/why")" >&2
        return
    }
    for filter in '--outcome failed' '--outcome refused' '--flag one_way' '--flag app_error' ''; do
        # shellcheck disable=SC2086 # two words or none
        "$trunkgate" calls "$@" $filter --csv --limit 1000 2>/dev/null | sed -n 's/^\(CA[0-9a-f]*\),.*/\1/p'
    done | awk '!seen[$0]++' | head -n "${TRUNKGATE_TRACES:-50}" >"$work/kept"
    mkdir -p "$results/calls"
    while IFS= read -r sid; do
        {
            "$trunkgate" trace "$@" "$sid" >"$results/calls/$sid.txt" &&
                "$trunkgate" trace "$@" --svg "$results/calls/$sid.svg" "$sid" >/dev/null &&
                "$trunkgate" pcap "$@" --output "$results/calls/$sid.pcapng" "$sid" >/dev/null
        } 2>>"$results/stderr.log" || printf 'warning: call %s is not kept whole\n' "$sid" >&2
    done <"$work/kept"
}

# start_edge FILE: starts an edge with this configuration, and waits until it takes calls.
start_edge() {
    mkfifo "$work/ready" || die "$work cannot be written"
    "$trunkgate" --config "$1" run --drain 1s >"$work/ready" 2>"$results/edge.log" &
    edge=$!
    exec 3<"$work/ready"
    if ! IFS= read -r line <&3; then
        wait "$edge"
        edge=
        cat "$results/edge.log" >&2
        die "the edge with $1 has not started"
    fi
    printf 'edge: %s\n' "$line" >&2
}

# own_edge: starts an edge between callers and callees on addresses of loopback that other jobs of the machine do not have.
own_edge() {
    last=$(($$ / 256 % 256)).$(($$ % 256))
    cat >"$work/trunkgate.toml" <<END
[edge]
name = "ci"
data_directory = "$work"

[[listen]]
transport = "udp"
address = "127.101.$last:5060"

[media]
address = ["127.101.$last"]

[limits]
calls_per_second = 1000

[http]
address = "127.101.$last:8080"

[trunk.callers]
peers = ["sip:127.102.$last"]
options_interval = "0s"

[trunk.callees]
peers = ["sip:127.103.$last:5080"]
options_interval = "0s"

[[route]]
from = ["callers"]
connect = ["trunk:callees"]
END
    start_edge "$work/trunkgate.toml"
}

# Runs the load test through the edge of TRUNKGATE_CONFIG or one of its own; without either if the flags name an edge.
loadtest() {
    is_elsewhere=
    for argument; do
        case $argument in --to | --to=*) is_elsewhere=1 ;; esac
    done
    config=${TRUNKGATE_CONFIG:-}
    unset TRUNKGATE_CONFIG
    if [ -n "$config" ]; then
        [ -n "$is_elsewhere" ] || die "TRUNKGATE_CONFIG: name what is called by --to, and the callees by --answer"
        start_edge "$config"
    elif [ -z "$is_elsewhere" ]; then
        own_edge
        config=$work/trunkgate.toml
        set -- --to "sip:+14155550123@127.101.$last:5060" --bind "127.102.$last:0" --answer "127.103.$last:5080" "$@"
    fi
    mkfifo "$work/report" || die "$work cannot be written"
    tee "$results/report.txt" <"$work/report" &
    tee=$!
    "$trunkgate" loadtest --junit "$results/junit.xml" "$@" >"$work/report" 2>"$results/stderr.log" &
    verb=$!
    wait "$verb"
    code=$?
    verb=
    wait "$tee"
    cat "$results/stderr.log" >&2
    [ -z "$config" ] || keep --config "$config"
}

# Runs the calls to an application. Its edge lasts until the calls are kept.
twilio() {
    unset TRUNKGATE_CONFIG
    mkfifo "$work/report" "$work/errors" || die "$work cannot be written"
    tee "$results/report.txt" <"$work/report" &
    tee=$!
    "$trunkgate" twilio --serve --junit "$results/junit.xml" "$@" >"$work/report" 2>"$work/errors" &
    verb=$!
    is_over=
    while IFS= read -r line; do
        printf '%s\n' "$line" >>"$results/stderr.log"
        case $line in
        'the sandbox keeps running: '*' at http://'*)
            is_over=1
            keep --url "http://${line##*http://}"
            kill -TERM "$verb"
            ;;
        esac
        # Its instructions for a person at a terminal are of no use here.
        [ -n "$is_over" ] || printf '%s\n' "$line" >&2
    done <"$work/errors"
    wait "$verb"
    code=$?
    verb=
    wait "$tee"
    [ -n "$is_over" ] || return
    # A sandbox that is slow to end by our signal has finished its calls all the same.
    if [ "$code" -eq 143 ]; then
        code=0
        grep -q '<failure\|<error' "$results/junit.xml" && code=1
    fi
    grep -q '<testcase' "$results/junit.xml" || die "no call was made: name scripts of calls, or --step"
}

kind=${1:-}
case $kind in
loadtest | twilio) shift ;;
*) die "usage: trunkgate-ci.sh loadtest|twilio [FLAG…]" ;;
esac
if [ -n "${TRUNKGATE_ARGS:-}" ]; then
    own=$#
    while IFS= read -r line; do
        [ -z "$line" ] || set -- "$@" "$line"
    done <<END
$TRUNKGATE_ARGS
END
    # Those of the command line follow them.
    while [ "$own" -gt 0 ]; do
        set -- "$@" "$1"
        shift
        own=$((own - 1))
    done
fi
work=$(mktemp -d) || die "no folder for temporary files"
results=${TRUNKGATE_RESULTS:-trunkgate-results}
mkdir -p "$results" || die "TRUNKGATE_RESULTS: $results cannot be made"
rm -rf "$results/calls" "$results/junit.xml" "$results/stderr.log"
case ${TRUNKGATE_TRACES:-50} in *[!0-9]*) die "TRUNKGATE_TRACES: not a number" ;; esac
if [ -n "${TRUNKGATE_BINARY:-}" ]; then
    binary "$TRUNKGATE_BINARY"
elif [ -n "${TRUNKGATE_IMAGE:-}" ]; then
    image "$TRUNKGATE_IMAGE"
else
    trunkgate=$(command -v trunkgate) || die "no program trunkgate in PATH: set TRUNKGATE_BINARY or TRUNKGATE_IMAGE"
fi
"$trunkgate" --version >&2 || die "$trunkgate does not run on this machine"
code=2
case $kind in
loadtest) loadtest "$@" ;;
twilio) twilio "$@" ;;
esac
exit "$code"

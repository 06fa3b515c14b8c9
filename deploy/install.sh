#!/bin/sh
# Installs a release of trunkgate: fetches the archive for this machine, verifies its checksum, and copies the binary, its manual pages
# and the shells' completions.
#
#   TRUNKGATE_URL=https://downloads.example.com/trunkgate/0.1.0 sh install.sh
#
# TRUNKGATE_URL      folder of the release: an https:// or http:// address, or a path; required
# TRUNKGATE_PREFIX   where to install [default: /usr/local]
# TRUNKGATE_KEYRING  OpenPGP keyring of the publisher, not armored (gpg --export): SHA256SUMS must then be signed by a key of it
#                    (SHA256SUMS.asc, gpgv)
set -eu

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

url=${TRUNKGATE_URL:-}
prefix=${TRUNKGATE_PREFIX:-/usr/local}
[ -n "$url" ] || fail "set TRUNKGATE_URL to the folder of the release, for example https://downloads.example.com/trunkgate/0.1.0"
url=${url%/}

# Fetches a file of the release: name, place.
fetch() {
    case $url in
    http://* | https://*)
        if command -v curl > /dev/null 2>&1; then
            curl -fsSL --retry 3 -o "$2" "$url/$1"
        elif command -v wget > /dev/null 2>&1; then
            wget -q -O "$2" "$url/$1"
        else
            fail "neither curl nor wget is installed"
        fi
        ;;
    *) cp "$url/$1" "$2" 2> /dev/null ;;
    esac
}

system=$(uname -s)
[ "$system" = Linux ] || fail "there is no archive for $system: trunkgate runs on Linux"
case $(uname -m) in
x86_64 | amd64) machine=x86_64 ;;
aarch64 | arm64) machine=aarch64 ;;
*) machine=$(uname -m) ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fetch SHA256SUMS "$work/SHA256SUMS" || fail "$url/SHA256SUMS cannot be fetched: is TRUNKGATE_URL the folder of a release?"
if [ -n "${TRUNKGATE_KEYRING:-}" ]; then
    command -v gpgv > /dev/null 2>&1 || fail "TRUNKGATE_KEYRING is set and gpgv is not installed"
    fetch SHA256SUMS.asc "$work/SHA256SUMS.asc" || fail "the release has no SHA256SUMS.asc, and TRUNKGATE_KEYRING asks for a signature"
    [ -r "$TRUNKGATE_KEYRING" ] || fail "TRUNKGATE_KEYRING: $TRUNKGATE_KEYRING cannot be read"
    # gpgv looks for a name without a slash in its own folder.
    case $TRUNKGATE_KEYRING in */*) keyring=$TRUNKGATE_KEYRING ;; *) keyring=./$TRUNKGATE_KEYRING ;; esac
    gpgv --keyring "$keyring" "$work/SHA256SUMS.asc" "$work/SHA256SUMS" 2> "$work/gpgv" || {
        cat "$work/gpgv" >&2
        fail "SHA256SUMS is not signed by a key of $TRUNKGATE_KEYRING: nothing is installed"
    }
fi

# A line is "SUM  NAME" or "SUM *NAME", and may end as those of Windows do. A name has no slash and nothing that sed would interpret.
sum='[0-9a-f]\{64\}'
tr -d '\r' < "$work/SHA256SUMS" | sed -n "s/^\($sum\) [ *]\([0-9A-Za-z._+~-]*\)\$/\1  \2/p" > "$work/sums"
[ -s "$work/sums" ] || fail "$url/SHA256SUMS has no checksum: is TRUNKGATE_URL the folder of a release?"
archive=$(sed -n "s/^$sum  \(trunkgate-[0-9][^ ]*-$machine-linux\.tar\.gz\)\$/\1/p" "$work/sums" | head -n 1)
if [ -z "$archive" ]; then
    offered=$(sed -n "s/^$sum  trunkgate-[0-9][^ ]*-\([^-]*\)-linux\.tar\.gz\$/\1/p" "$work/sums" | tr '\n' ' ')
    fail "the release has no archive for $machine; it has: ${offered:-none}"
fi
fetch "$archive" "$work/$archive" || fail "$url/$archive cannot be fetched"
expected=$(sed -n "s/^\($sum\)  $archive\$/\1/p" "$work/sums" | head -n 1)
found=$(sha256sum "$work/$archive" | cut -d ' ' -f 1)
[ "$expected" = "$found" ] || fail "the checksum of $archive is $found, and SHA256SUMS says $expected: nothing is installed"

tar -xzf "$work/$archive" -C "$work" || fail "$archive cannot be unpacked: nothing is installed"
folder=$work/${archive%.tar.gz}
# A binary that does not run here is found before the one that does is replaced.
[ -f "$folder/trunkgate" ] || fail "$archive has no ${archive%.tar.gz}/trunkgate: nothing is installed"
"$folder/trunkgate" -V > /dev/null ||
    fail "the binary of $archive does not run on this machine: nothing is installed. If $work is mounted noexec, set TMPDIR to another folder"
mkdir -p "$prefix/bin" "$prefix/share/man/man1" "$prefix/share/bash-completion/completions" || fail "$prefix cannot be written: run this as root, or set TRUNKGATE_PREFIX"
cp "$folder/trunkgate" "$prefix/bin/.trunkgate.new" || fail "$prefix/bin cannot be written: run this as root, or set TRUNKGATE_PREFIX"
chmod 755 "$prefix/bin/.trunkgate.new"
# In one step: a running edge keeps its binary.
mv "$prefix/bin/.trunkgate.new" "$prefix/bin/trunkgate"
cp "$folder"/man/*.1 "$prefix/share/man/man1/"
cp "$folder/completions/trunkgate.bash" "$prefix/share/bash-completion/completions/trunkgate"
echo "installed $("$prefix/bin/trunkgate" -V) in $prefix/bin; next: $prefix/bin/trunkgate demo"

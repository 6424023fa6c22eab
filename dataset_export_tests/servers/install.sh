#!/bin/sh
# Installs the test servers that only the system's packages have: OpenSSH, proftpd with mod_sftp, GnuPG. Does nothing when
# they are there. Debian and Ubuntu; elsewhere it says what is missing.
set -eu

PATH="$PATH:/usr/sbin:/sbin"
missing=""
command -v sshd >/dev/null || missing="$missing openssh-server"
command -v sftp >/dev/null || missing="$missing openssh-client"
command -v openssl >/dev/null || missing="$missing openssl"
command -v gpg >/dev/null || missing="$missing gnupg"
command -v proftpd >/dev/null || missing="$missing proftpd-core"
# Of its own package since proftpd 1.3.7.
find /usr/lib -name mod_sftp.so -path '*proftpd*' 2>/dev/null | grep -q . || missing="$missing proftpd-mod-crypto"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "the tests need the system packages$missing; install them with this system's package manager" >&2
    exit 1
fi
run=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "the tests need the system packages$missing; run as root: apt-get install$missing" >&2
        exit 1
    fi
    run="sudo"
fi
echo "installing the system packages$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The lists may be missing or old, so they are fetched only when an install without them fails.
# shellcheck disable=SC2086
if ! { $run apt-get install -qq -y --no-install-recommends $missing ||
    { $run apt-get update -qq && $run apt-get install -qq -y --no-install-recommends $missing; }; } >"$log" 2>&1; then
    cat "$log" >&2
    echo "these packages could not be installed:$missing" >&2
    exit 1
fi

# Sourced by the checks: the programs, a folder, the two local servers, and tools that the machine may lack.
# shellcheck shell=bash
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
name=$(basename "$(cd "$(dirname "$0")" && pwd)")
work=$(mktemp -d)
servers=()

stop_servers() {
    local server
    for server in "${servers[@]}"; do
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    done
    servers=()
}
trap 'stop_servers; rm -rf "$work"' EXIT

# The shell's own settings must neither help nor disturb; a proxy would swallow loopback.
for variable in $(compgen -e | grep -E '^(AMP|AWS)_' || true); do unset "$variable"; done
export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost

passed() { printf '%-11s ok: %s\n' "$name" "$*"; }
fail() {
    printf '%-11s FAILED: %s\n' "$name" "$*" >&2
    exit 1
}
# 77 is how test harnesses say "skipped".
leave_out() {
    printf '%-11s LEFT OUT: %s\n' "$name" "$*"
    exit 77
}

# quietly COMMAND...: its output only if it fails.
quietly() {
    "$@" >"$work/quietly.log" 2>&1 || {
        local status=$?
        cat "$work/quietly.log" >&2
        return "$status"
    }
}

# install PACKAGE: Debian's, where that is possible.
install() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1"; } \
            >"$work/apt.log" 2>&1 || true
    fi
}

# need COMMAND PACKAGE
need() {
    command -v "$1" >/dev/null || install "$2"
    command -v "$1" >/dev/null || leave_out "needs $1 (Debian's package $2)"
}

# python_with ENVIRONMENT REQUIREMENTS_FILE: a virtual environment in the target directory; sets $python.
python_with() {
    local home=$target/examples/$1
    python=$home/bin/python
    cmp -s "$2" "$home/installed" && "$python" -c "" && return
    # Debian splits off what an environment with pip is made of.
    python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
    quietly python3 -m venv --clear "$home" || leave_out "needs python3 -m venv (Debian's package python3-venv)"
    quietly "$python" -m pip install --quiet --disable-pip-version-check -r "$2" ||
        leave_out "pip cannot install $(basename "$(dirname "$2")")/$(basename "$2")"
    cp "$2" "$home/installed"
}

need python3 python3
target=$(cd "$repo" && cargo metadata --no-deps --format-version 1 | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')
bin=$target/debug
(cd "$repo" && cargo build --quiet --locked -p amp-extract -p amp-load -p amp-sandbox)
export PATH="$bin:$PATH"

# sandbox FOLDER [FLAGS OF SERVE]: both servers, their .env in the folder and their bucket in FOLDER/lake/amplitude-lake.
sandbox() {
    local folder=$1
    shift
    mkdir -p "$folder"
    : >"$folder/.env"
    amp-sandbox serve --lake "$folder/lake" "$@" >"$folder/.env" 2>"$folder/sandbox.log" &
    servers+=($!)
    local tries=100
    until grep -q '^AWS_ENDPOINT_URL_S3=' "$folder/.env"; do
        if ! kill -0 "$!" 2>/dev/null || [ $((tries -= 1)) = 0 ]; then
            cat "$folder/sandbox.log" >&2
            fail "the local servers do not start"
        fi
        sleep 0.1
    done
}

# sums FOLDER: name and SHA-256 of every object below it.
sums() { (cd "$1" && find . -type f -exec sha256sum {} + | sort -k 2); }

# lines FOLDER [PATTERN]: lines of all objects below it, or of those with such a name.
lines() { find "$1" -type f -name "${2:-*}" -exec cat {} + | wc -l; }

yesterday=$(date -u -d yesterday +%F)

# Shared by the scripts beside it; sourced, never run.
# shellcheck shell=bash

# Says which step begins.
step() { printf '\n==> %s\n' "$*"; }

# Ends the script with one sentence.
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Whether a command exists.
has() { command -v "$1" >/dev/null 2>&1; }

# Puts cargo into PATH where rustup has installed it but the shell does not know it yet.
find_cargo() {
    has cargo && return
    local bin="${CARGO_HOME:-${HOME:-}/.cargo}/bin"
    [[ -x $bin/cargo ]] || fail "there is no cargo: install Rust 1.95 or newer, https://rustup.rs says how"
    PATH="$bin:$PATH"
}

# The folders where PostgreSQL's programs may be, the newest version first: Debian keeps them out of PATH.
postgres_dirs() {
    local dirs=(/usr/lib/postgresql/*/bin)
    printf '%s\n' "${dirs[@]}" | sort -rV
}

# Whether one of PostgreSQL's programs exists.
has_postgres() {
    local dir
    has "$1" && return
    while read -r dir; do
        [[ -x $dir/$1 ]] && return
    done < <(postgres_dirs)
    return 1
}

# Passes cargo's output on, but of its lines about single crates only every hundredth, as a sign of life. Fails when
# there was a warning about this crate: cargo repeats them for a build that is up to date.
condense() {
    local line count=0 warned=0
    local crate='^ +(Compiling|Checking|Documenting|Downloaded|Downloading|Adding|Locking) '
    # shellcheck disable=SC2016 # the back-ticks are cargo's own
    local warning='^warning: `swapd` .* generated [0-9]+ warning'
    while IFS= read -r line; do
        if [[ $line =~ $crate && $line != *' swapd '* ]]; then
            count=$((count + 1))
            ((count % 100 != 0)) || printf '    %4d crates ...\n' "$count"
        else
            [[ ! $line =~ $warning ]] || warned=1
            printf '%s\n' "$line"
        fi
    done
    return "$warned"
}

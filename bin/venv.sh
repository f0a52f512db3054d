# Sourced by bin/start, bin/test and bin/bench: makes .venv in the checkout what a lock file says.
# Needs uv, or a Python of at least 3.12. Sets $python.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
python=$root/.venv/bin/python

say() { printf '%s\n' "$*" >&2; }

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1
}

find_python() {
    for candidate in python3.14 python3.13 python3.12 python3 python \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
        # A name on the PATH may be a shim of pyenv's with nothing behind it: ask it.
        if is_new_enough "$candidate"; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    say 'Broadsheet needs Python 3.12 or newer, or uv, and found neither.'
    say 'Install one of them: apt-get install python3 python3-venv, brew install python,'
    say 'pyenv install 3.12, or uv from https://docs.astral.sh/uv/'
    return 1
}

make_venv() {
    rm -rf "$root/.venv"
    if command -v uv >/dev/null 2>&1; then
        uv venv --quiet --python '>=3.12' "$root/.venv"
    else
        base=$(find_python) || return 1
        "$base" -m venv --without-pip "$root/.venv"
    fi
}

install() {
    if command -v uv >/dev/null 2>&1; then
        uv pip install --quiet --python "$python" --require-hashes -r "$1"
        return
    fi
    base=$("$python" -c 'import sys; print(sys._base_executable)')
    if "$base" -m pip --version >/dev/null 2>&1; then
        "$base" -m pip --python "$python" install --quiet --disable-pip-version-check \
            --no-compile --require-hashes -r "$1"
    elif "$python" -m ensurepip >/dev/null 2>&1; then
        "$python" -m pip install --quiet --disable-pip-version-check \
            --no-compile --require-hashes -r "$1"
    else
        say "$base can install nothing: it has neither pip nor ensurepip."
        say 'Install them (apt-get install python3-venv), or uv.'
        return 1
    fi
}

# ensure_venv requirements.txt: installs only if the file differs from what was installed last.
ensure_venv() {
    stamp=$root/.venv/$1
    is_new_enough "$python" || make_venv || exit 1
    if ! cmp -s "$root/$1" "$stamp"; then
        say "Installing what $1 lists into .venv ..."
        install "$root/$1" || { say "Installing failed; see above."; exit 1; }
        cp "$root/$1" "$stamp"
        # What the tests need holds all that a start needs.
        [ "$1" != requirements-dev.txt ] || cp "$root/requirements.txt" "$root/.venv/"
    fi
}

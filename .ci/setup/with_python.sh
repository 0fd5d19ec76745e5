# Runs its arguments with the newest Python here that is 3.11 or later and has venv. PYTHON overrides.
# Each candidate is run, because version managers put names on the PATH that fail when they are called.

fits='import sys; sys.exit(0 if sys.version_info >= (3, 11) else 3)'
venv='import ensurepip, venv'

without_venv=''
for python in ${PYTHON:-python3.14 python3.13 python3.12 python3.11 python3 python}; do
    "$python" -c "$fits" 2>/dev/null || continue
    if "$python" -c "$venv" 2>/dev/null; then
        exec "$python" "$@"
    fi
    without_venv=$python
done

if [ -n "$without_venv" ]; then
    echo "$without_venv has no venv module: install it (Debian, Ubuntu: apt install python3-venv)," \
        'or name another Python with make PYTHON=...' >&2
elif [ -n "${PYTHON:-}" ]; then
    echo "PYTHON=$PYTHON does not run, or is not Python 3.11 or newer: name another." >&2
else
    echo 'No Python 3.11 or newer is on the PATH: install one, or name it with make PYTHON=...' >&2
fi
exit 1

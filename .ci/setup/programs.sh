# Installs the programs that tests use, where they are missing: a browser for GraphiQL, a pooler for PostgreSQL,
# proxies and clients. For CI, which is root on Debian; without these programs their tests are skipped.

missing=
for program in chromium pgbouncer nginx haproxy curl; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
[ -n "$missing" ] || exit 0
echo "Installing$missing ..."
export DEBIAN_FRONTEND=noninteractive
quiet='-qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0'
if apt-get $quiet update && apt-get $quiet install -y --no-install-recommends $missing >/dev/null; then
    exit 0
fi
echo "These could not be installed; see the output of apt above:$missing" >&2
exit 1

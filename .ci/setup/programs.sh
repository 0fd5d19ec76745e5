# Installs the programs that Tandem is tried with, where they are missing: a browser for GraphiQL, a pooler for
# PostgreSQL, proxies and clients. For CI, which is root on Debian; a developer who has none sees those tests skipped.

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
echo "It could not be installed; see what apt says above:$missing" >&2
exit 1

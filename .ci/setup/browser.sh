# Installs the browser that GraphiQL is tried in, where there is none yet. For CI, which is root on Debian;
# a developer who has none sees that one test skipped.

command -v chromium >/dev/null && exit 0
echo 'Installing Chromium ...'
export DEBIAN_FRONTEND=noninteractive
quiet='-qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0'
if apt-get $quiet update && apt-get $quiet install -y --no-install-recommends chromium >/dev/null; then
    exit 0
fi
echo 'Chromium could not be installed; see what apt says above.' >&2
exit 1

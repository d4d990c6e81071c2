#!/usr/bin/env bash
# Installs the Chromium that tests of pages click through, where that is possible: root on Debian or Ubuntu. Elsewhere says so and ends well.
set -euo pipefail

for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "note: not root on Debian or Ubuntu, so Chromium is not installed; tests of pages in a browser will be skipped" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1
if ! { apt-get update -qq && apt-get install -qq --no-install-recommends chromium >/dev/null; }; then
    echo "note: apt-get could not install chromium; tests of pages in a browser will be skipped" >&2
fi

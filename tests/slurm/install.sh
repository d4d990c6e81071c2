#!/usr/bin/env bash
# Installs what tests/slurm needs, where that is possible: root on Debian or Ubuntu. Elsewhere says so and ends well.
set -euo pipefail

packages=(slurmctld slurmd slurm-client munge slurmdbd mariadb-server)
missing=()
for package in "${packages[@]}"; do
    dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
elif [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "note: not root on Debian or Ubuntu, so SLURM is not installed; tests/slurm will be skipped" >&2
    exit 0
elif [ -e /etc/slurm/slurm.conf ]; then
    echo "note: this machine has a /etc/slurm/slurm.conf; it is left alone" >&2
    exit 0
fi
# SYSTEMD_OFFLINE: the packages' own services are not started; the tests start daemons of their own.
export DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1
if ! { apt-get update -qq && apt-get install -qq --no-install-recommends "${missing[@]}" >/dev/null; }; then
    echo "note: apt-get could not install ${missing[*]}; tests/slurm will be skipped" >&2
fi

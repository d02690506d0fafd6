#!/bin/bash
# Boots systemd in a container on a copy-on-write view of this machine, with kubelatch installed
# as docs/operators.md says, and lets machine_story.py happen there. Run it in a mount namespace
# of its own; nothing outlasts that.
#
# Arguments: an empty directory, the wheel, uv, the project, the file for the results.
set -euo pipefail
base=$1 wheel=$2 uv=$3 project=$4 results=$5
here=$project/tests/package

mount -t tmpfs -o mode=755 machine "$base"
mkdir "$base"/{changes,work,root}
root=$base/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/changes,workdir=$base/work" "$root"

mount --bind /proc "$root/proc"
mount --rbind /dev "$root/dev"
cp "$wheel" "$uv" "$root/opt/"
chroot "$root" "/opt/$(basename "$uv")" venv --quiet --python /usr/bin/python3 /opt/kubelatch
chroot "$root" "/opt/$(basename "$uv")" pip install --quiet --link-mode copy \
    --python /opt/kubelatch/bin/python "/opt/$(basename "$wheel")"
umount -R "$root/dev" "$root/proc"

install -D -m 644 -t "$root/etc/systemd/system" "$project"/systemd/system/*
install -D -m 644 -t "$root/etc/systemd/user" "$project"/systemd/user/*
install -D -m 644 "$here/machine_story.py" "$root/opt/story.py"
cat >"$root/etc/systemd/system/story.service" <<'UNIT'
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
TimeoutStartSec=120
ExecStart=/opt/kubelatch/bin/python /opt/story.py /opt/story.json
StandardOutput=file:/opt/story.log
StandardError=file:/opt/story.log
ExecStopPost=systemctl --no-block exit 0
UNIT

SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout 150 systemd-nspawn --quiet --directory="$root" \
    --register=no --keep-unit --private-network --boot --link-journal=no \
    --machine=kubelatch-test systemd.unit=story.service >"$base/console" </dev/null || true
cat "$root/opt/story.log" >&2
cp "$root/opt/story.json" "$results"

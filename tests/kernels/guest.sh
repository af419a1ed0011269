#!/bin/bash
# What the emulated machine does after it has its disk: mount what a node mounts, run the payload, switch off.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2> /dev/null
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracing /sys/kernel/tracing
ip link set lo up
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PYTHONDONTWRITEBYTECODE=1
cd /payload || exit 1
python3 -m tests.kernels.payload
echo "PAYLOAD EXIT $?"
echo o > /proc/sysrq-trigger
sleep 10

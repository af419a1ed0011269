#!/bin/busybox sh
# First process of the emulated machine: reach the disk, put the payload (unpacked beside this file) on it, go over to it.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in $($b cat /modules/order); do $b insmod "/modules/$module"; done
tries=0
until [ -b /dev/vda ] || [ $tries -eq 100 ]; do $b sleep 0.1; tries=$((tries + 1)); done
$b mount -t ext4 /dev/vda /mnt
$b cp -a /payload /mnt/payload
exec $b switch_root /mnt /payload/tests/kernels/guest.sh

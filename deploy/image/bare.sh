#!/bin/sh
# Take out of an image what its programs never use: no package manager, no Perl, no log-in, no tools,
# no file that changes rights. dpkg's own list stays true. Runs once, when the image is made; removes itself.
set -eu
dpkg --purge --force-remove-essential --force-depends \
    tzdata util-linux-extra e2fsprogs logsave login passwd mount adduser gpgv libgnutls30 apt libapt-pkg6.0 > /dev/null 2>&1
dpkg --purge --force-remove-essential --force-depends debconf perl-base bash > /dev/null 2>&1
rm -rf /usr/share/zoneinfo /usr/share/doc /usr/share/man /usr/share/locale /usr/share/perl5 /usr/share/bash-completion \
    /usr/share/python-wheels /usr/lib/*/gconv /usr/lib/*/perl-base /usr/lib/apt /usr/lib/python3.11/pydoc_data \
    /usr/lib/python3.11/lib2to3 /usr/lib/python3.11/ensurepip /var/cache/* /var/lib/apt /var/log/*
rm -f /usr/lib/*/libicui18n.so.* /usr/lib/*/libicutest.so.* /usr/lib/*/libicutu.so.*
find / -xdev -perm /6000 -type f -exec chmod a-s {} +
ln -s /usr/lib/ipseity/bin/ipseity /usr/local/bin/ipseity
rm -- "$0"
# Last, since what is above needs them.
exec dpkg --purge --force-remove-essential --force-depends \
    diffutils findutils grep sed util-linux gzip mawk libdb5.3 libsqlite3-0 bsdutils hostname ncurses-bin sysvinit-utils \
    init-system-helpers tar coreutils > /dev/null 2>&1

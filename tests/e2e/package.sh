#!/bin/bash
# package.sh BUILD SOURCE - the Debian packages: made, looked at, and installed in a root of their own over this machine's, where the server runs as its
# unit says, a device syncs with it, a program is compiled against the library, and all goes again. Nothing of the machine changes.
#
# Exit status 77 (skipped) where no such root can be mounted.
set -euo pipefail

die() {
  echo "package.sh: $*" >&2
  exit 1
}

# ---- made ----

make_packages() {
  local log=$build.log
  cmake -S "$source" -B "$build" -G Ninja -DCMAKE_INSTALL_PREFIX=/usr -DSATCHEL_TESTS=OFF >"$log" 2>&1 || { cat "$log"; die "cannot configure"; }
  cmake --build "$build" -j "$(nproc)" >"$log" 2>&1 || { tail -50 "$log"; die "cannot build"; }
  rm -f "$build"/*.deb
  (cd "$build" && cpack) >"$log" 2>&1 || { cat "$log"; die "cannot pack"; }
  if grep -q "^CPack.*[Ww]arning" "$log"; then cat "$log"; die "cpack warns"; fi
}

look_at_packages() {
  [ "$(cd "$build" && ls *.deb | sed 's/_.*//' | tr '\n' ' ')" = "libsatchel-dev libsatchel0 satchel-server satchel-tools " ] || die "other packages: $(ls "$build"/*.deb)"
  dpkg-deb -f "$build"/satchel-server_*.deb Depends | grep -q "libwebsockets-evlib-uv.*libwebsockets17" || die "the server's dependencies"
  dpkg-deb -I "$build"/satchel-server_*.deb conffiles | grep -qx /etc/satchel/satcheld.conf || die "satcheld.conf is no conffile"
  command -v lintian >/dev/null || { echo "package.sh: no lintian here, so it is not asked"; return; }
  lintian --fail-on error --suppress-tags bogus-mail-host "$build"/*.deb || die "lintian finds errors"
}

# ---- installed: in the root of its own ----

fetch_port() { sed "s/.*\"$1\":\([0-9]*\).*/\1/" /var/lib/satchel/ports.json; }

# As systemd would: the unit's command, as the unit's user.
start_server() {
  local unit=/usr/lib/systemd/system/satcheld.service
  runuser -u "$(sed -n 's/^User=//p' $unit)" -- $(sed -n 's/^ExecStart=//p' $unit) >/tmp/out 2>/tmp/err &
  server=$!
  for _ in $(seq 300); do
    [ -e /var/lib/satchel/ports.json ] && return
    kill -0 $server 2>/dev/null || break
    sleep 0.1
  done
  cat /tmp/out /tmp/err
  die "the server does not start"
}

stop_server() {
  pkill -TERM -P $server # runuser's child: this root has process numbers of its own
  wait $server || { cat /tmp/err; die "the server ended with $?"; }
}

use_it() {
  satchelctl --data /var/lib/satchel device add --profile full phone | tail -1 | satchel --db /tmp/phone.db enroll - --name phone
  satchel --db /tmp/phone.db sync
  satchel --db /tmp/phone.db sql "INSERT INTO contact(id, given) VALUES(uuid7(), 'Ada')"
  satchel --db /tmp/phone.db sync
  crm --db /tmp/phone.db search ada | grep "^contact .* Ada"
  satchelctl --data /var/lib/satchel verify
}

compile_against_it() {
  cat >/tmp/hello.c <<'END'
#include <satchel.h>
int main(void) {
    satchel *s;
    int rc = satchel_open("/tmp/phone.db", 0, &s);
    while (!rc) rc = satchel_poll(s, 1000);
    satchel_close(s);
    return rc != 1;
}
END
  cc /tmp/hello.c -o /tmp/hello $(pkg-config --cflags --libs satchel)
  /tmp/hello || die "the library of the package does not sync"
}

installed() {
  set -x
  export DEBIAN_FRONTEND=noninteractive
  dpkg -i /tmp/debs/*.deb
  [ "$(stat -c '%a %U' /var/lib/satchel)" = "700 satchel" ] || die "the data directory: $(stat -c '%a %U' /var/lib/satchel)"
  [ -L /etc/systemd/system/multi-user.target.wants/satcheld.service ] || die "the service is not enabled"
  if command -v systemd-analyze >/dev/null; then
    # What it says of other units is not for us.
    ! systemd-analyze verify --man=no /usr/lib/systemd/system/satcheld.service 2>&1 | grep -i satchel || die "systemd-analyze finds fault with the unit"
  fi
  # Ports of its own: the machine's network is this root's.
  printf 'sync-port = 0\nhttps-port = 0\n' >>/etc/satchel/satcheld.conf
  runuser -u satchel -- satcheld --config /etc/satchel/satcheld.conf --check
  start_server
  use_it
  compile_against_it
  sed -i "s/^sync-port = 0/sync-port = $(fetch_port sync_port)/; s/^https-port = 0/https-port = $(fetch_port https_port)/" /etc/satchel/satcheld.conf
  # The same again is an upgrade: settings and data stay, and the device finds both where they were.
  dpkg -i /tmp/debs/satchel-server_*.deb
  stop_server
  start_server
  satchel --db /tmp/phone.db sql "INSERT INTO contact(id, given) VALUES(uuid7(), 'Bob')"
  satchel --db /tmp/phone.db sync
  stop_server
  dpkg --purge satchel-server satchel-tools libsatchel-dev libsatchel0
  [ ! -e /etc/satchel ] && [ ! -e /usr/bin/satcheld ] || die "something is left of the packages"
  [ -e /var/lib/satchel/store.db ] || die "the data went with the package"
}

# ---- the root of its own: this machine's files beneath, what changes in memory ----

in_root() {
  local place=$1
  mount -t tmpfs tmpfs "$place"
  mkdir "$place/upper" "$place/work" "$place/root"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" "$place/root"
  mount -t proc proc "$place/root/proc"
  mount --rbind /dev "$place/root/dev"
  mount -t tmpfs -o mode=1777 tmpfs "$place/root/tmp"
  mkdir "$place/root/tmp/debs"
  cp "$build"/*.deb "$place/root/tmp/debs"
  cp "$0" "$place/root/tmp/package.sh"
  chroot "$place/root" /bin/bash /tmp/package.sh --installed >"$place/log" 2>&1 || { cat "$place/log"; die "the installed packages failed"; }
}

case ${1:-} in
--installed)
  installed
  exit
  ;;
--in-root)
  build=$2
  in_root "$3"
  exit
  ;;
esac

build=$1/packages source=$2
place=$(mktemp -d)
trap 'rmdir "$place"' EXIT
make_packages
look_at_packages
own=(unshare --mount --propagation private --pid --fork --kill-child)
if ! "${own[@]}" bash -c "mount -t tmpfs tmpfs $place && cd $place && mkdir u w r && mount -t overlay overlay -o lowerdir=/,upperdir=u,workdir=w r" 2>/dev/null; then
  echo "package.sh: the packages are made, but no root of their own can be mounted here (needs root), so they are not installed"
  exit 77
fi
"${own[@]}" bash "$0" --in-root "$build" "$place"
echo "package.sh: made, installed, run, upgraded, purged"

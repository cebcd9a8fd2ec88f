#!/usr/bin/env bash
# Installs, upgrades, removes and purges the package in a fresh Debian, and looks at what that leaves: prove.sh OLD.deb NEW.deb
#
# Needs root and debootstrap. NEW is the same program with a higher version.
set -euo pipefail
old=$(realpath "$1") new=$(realpath "$2")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/root

fail() {
    echo "prove.sh: $*" >&2
    exit 1
}
in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
# What the package left, apart from the notes of dpkg itself.
left() { find "$root" -xdev -name '*autotune*' -not -path '*/var/lib/dpkg/*' -not -path '*/var/log/*'; }

debootstrap --variant=minbase bookworm "$root" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; fail "debootstrap failed"; }
users=$(cat "$root/etc/passwd" "$root/etc/group")
cp "$old" "$root/old.deb"
cp "$new" "$root/new.deb"
settings=/etc/autotune/autotune.toml

in_root dpkg --install /old.deb >/dev/null
in_root autotune --version
in_root autotune validate "$settings"
for file in bash-completion/completions/autotune zsh/vendor-completions/_autotune fish/vendor_completions.d/autotune.fish; do
    [ -s "$root/usr/share/$file" ] || fail "no $file"
done
for page in autotune autotune-init autotune-trace-convert; do
    zcat "$root/usr/share/man/man1/$page.1.gz" | grep '^\.TH autotune' >/dev/null || fail "no page of $page in the manual"
done
[ "$users" = "$(cat "$root/etc/passwd" "$root/etc/group")" ] || fail "the package made a user"
cmp "$root/usr/lib/systemd/system/autotune.service" "$here/../systemd/autotune.service" || fail "the unit is another one"
enabled() { find "$root/etc/systemd" -path '*.wants/autotune.service'; }
[ -z "$(enabled)" ] || fail "the service is enabled without being asked: $(enabled)"
grep -qx "$settings" "$root/var/lib/dpkg/info/autotune.conffiles" || fail "$settings is no conffile"

echo 'region = "eu-west-1"' | cat - "$root$settings" >"$work/settings" && cp "$work/settings" "$root$settings"
mkdir -p "$root/var/lib/private/autotune"
touch "$root/var/lib/private/autotune/autotune.journal"
in_root dpkg --install /new.deb >/dev/null
cmp "$work/settings" "$root$settings" || fail "an upgrade changed the settings"
[ -z "$(enabled)" ] || fail "an upgrade enabled the service"
[ -e "$root/var/lib/private/autotune/autotune.journal" ] || fail "an upgrade took the journal"
grep -q restart "$root"/var/lib/dpkg/info/autotune.p* && fail "an upgrade restarts the service"

in_root dpkg --remove autotune >/dev/null
[ ! -e "$root/usr/bin/autotune" ] || fail "the program is still there"
cmp "$work/settings" "$root$settings" || fail "a removal took the settings"
in_root dpkg --purge autotune >/dev/null
[ -z "$(left)" ] || fail "a purge left $(left)"
echo "installed, upgraded, removed and purged in Debian bookworm"

#!/bin/bash
# Builds what is quick to build of the demo and test guest: its own modules and
# the initial RAM disk.
#
#   guest.sh KERNEL OUT
#
# KERNEL is what kernel.sh made. OUT receives initrd.gz, modules/*.ko with debug
# information (the RAM disk has stripped copies; the build-ids are the same),
# src/hgfs, and links to the kernel's vmlinux, bzImage and sources, so that OUT
# is all a debugger needs.
#
# Progress lines as in kernel.sh; all other output goes to OUT/build.log.
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "$(dirname "$0")" && pwd)
kernel=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
log=$out/build.log
busybox=$(command -v busybox)
# Where the debug information says kernel and module were built.
seen=/build/linux-kgdbtui

export LC_ALL=C ARCH=x86
unset MAKEFLAGS CFLAGS LDFLAGS

step() { printf '@step %s/2 %s %s\n' "$1" "$2" "$3"; }
fail() { printf '@error %s\n' "$1"; exit 1; }
: >"$log"

step 1 0 'compiling the demo modules'
mkdir -p "$out/src" "$out/modules" "$out/scratch"
cp -r "$here/hgfs" "$out/scratch/hgfs"
maps="-ffile-prefix-map=$kernel/linux-6.1=$seen/linux-6.1 -ffile-prefix-map=$out/scratch/hgfs=$seen/hgfs"
make -C "$kernel/linux-6.1" M="$out/scratch/hgfs" KCFLAGS="$maps" modules >>"$log" 2>&1 ||
    fail 'the demo modules do not compile'
cp "$out"/scratch/hgfs/*.ko "$out/modules/"
cp -r "$here/hgfs" "$out/src/hgfs"
for file in modules/fuse.ko modules/dummy.ko vmlinux bzImage; do
    ln -f "$kernel/$file" "$out/$file" 2>>"$log" || cp "$kernel/$file" "$out/$file"
done
ln -sfn "../../$(basename "$kernel")/linux-6.1" "$out/src/linux-6.1"

step 2 0 'packing the initial RAM disk'
# gen_init_cpio writes the time of each file, so each gets the same.
cp "$here/init" "$busybox" "$out/scratch/"
for module in "$out"/modules/*.ko; do
    strip --strip-debug -o "$out/scratch/$(basename "$module")" "$module"
done
touch -d @0 "$out"/scratch/{init,busybox,*.ko}
{
    for dir in bin dev etc lib lib/modules proc root sbin sys tmp; do
        echo "dir /$dir 755 0 0"
    done
    echo 'nod /dev/console 600 0 0 c 5 1'
    echo "file /init $out/scratch/init 755 0 0"
    echo "file /bin/busybox $out/scratch/busybox 755 0 0"
    "$busybox" --list | grep -v '^busybox$' | sed 's|.*|slink /bin/& busybox 777 0 0|'
    for module in "$out"/modules/*.ko; do
        name=$(basename "$module")
        echo "file /lib/modules/$name $out/scratch/$name 644 0 0"
    done
} >"$out/scratch/list"
gcc -O1 -o "$out/scratch/gen_init_cpio" "$kernel/linux-6.1/usr/gen_init_cpio.c" >>"$log" 2>&1 ||
    fail 'gen_init_cpio does not compile'
"$out/scratch/gen_init_cpio" -t 0 "$out/scratch/list" 2>>"$log" | gzip -9n >"$out/initrd.gz"
rm -rf "$out/scratch"
step 2 1 'the guest is built'

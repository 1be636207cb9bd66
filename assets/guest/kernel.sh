#!/bin/bash
# Builds the kernel of the demo and test guest.
#
#   kernel.sh OUT [SOURCE.tar.xz]
#
# OUT receives vmlinux, bzImage, modules/*.ko (all with debug information) and
# linux-6.1/: the sources the line tables name, and what `make M=…` needs to
# build one more module.
#
# Progress lines on standard output: "@step N/OF FRACTION TITLE", fraction
# within the step; "@error TEXT" before a failure. All else goes to
# OUT/build.log. The result depends on this script, kernel.config, the source
# and the compiler; no path, name or time of this machine gets in.
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
archive=${2:-/usr/src/linux-source-6.1.tar.xz}
log=$out/build.log
work=$out/work
tree=$work/linux-6.1
# Where the debug information says the kernel was built, as a distribution does.
seen=/build/linux-kgdbtui/linux-6.1
# Lines that make prints for this configuration (measured), for the fraction.
lines=1700

export LC_ALL=C ARCH=x86
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970'
export KBUILD_BUILD_USER=kgdb-tui KBUILD_BUILD_HOST=guest KBUILD_BUILD_VERSION=1
unset MAKEFLAGS CFLAGS LDFLAGS KCONFIG_CONFIG LOCALVERSION CROSS_COMPILE

step() { printf '@step %s/4 %s %s\n' "$1" "$2" "$3"; }
fail() { printf '@error %s\n' "$1"; exit 1; }
: >"$log"

step 1 0 'unpacking the kernel source'
[ -r "$archive" ] || fail "$archive is not there: install linux-source-6.1"
rm -rf "$work"
mkdir -p "$tree"
# Other architectures keep their Kconfig and Makefile files, because x86 reads
# some of them; their code and the documentation stay packed.
skip=(--exclude='*/Documentation/*/*' --exclude='*/tools/testing/*' --exclude='*/tools/perf/*'
    --exclude='*/drivers/gpu/drm/amd/include/*')
for arch in alpha arc arm arm64 csky hexagon ia64 loongarch m68k microblaze mips nios2 openrisc \
    parisc powerpc riscv s390 sh sparc um xtensa; do
    skip+=(--exclude="*/arch/$arch/*.[chS]" --exclude="*/arch/$arch/*.dts*")
done
tar -xJf "$archive" -C "$tree" --strip-components=1 "${skip[@]}" 2>>"$log" ||
    fail "cannot unpack $archive"
cd "$tree"

step 2 0 'configuring the kernel'
make KCONFIG_ALLCONFIG="$here/kernel.config" allnoconfig >>"$log" 2>&1 ||
    fail 'make allnoconfig failed'
while read -r line; do
    case $line in
    '# CONFIG_'*) ! grep -q "^${line:2:-11}=" .config || fail "kernel.config: lost: $line" ;;
    CONFIG_*) grep -qxF "$line" .config || fail "kernel.config: lost: $line" ;;
    esac
done <"$here/kernel.config"

step 3 0 'compiling the kernel'
map=-ffile-prefix-map=$tree=$seen
make -j"$(nproc)" KCFLAGS="$map" KAFLAGS="$map" bzImage modules 2>&1 | tee -a "$log" |
    awk -v total="$lines" '{
        f = int(200 * NR / total); if (f > 199) f = 199
        if (f != last) { last = f; printf "@step 3/4 %.3f compiling the kernel\n", f / 200; fflush() }
    }' || fail 'the kernel does not compile'

step 4 0 'keeping what a debugger needs'
mkdir -p "$out/modules" "$out/linux-6.1"
mv vmlinux "$out/vmlinux"
mv arch/x86/boot/bzImage "$out/bzImage"
mv fs/fuse/fuse.ko drivers/net/dummy.ko "$out/modules/"
step 4 0.1 'keeping what a debugger needs'
# kbuild notes for every object which files it was made from.
find . -name '.*.cmd' -print0 | xargs -0 cat | tr -s ' \t\\()' '\n' | sed "s|^$tree/||" |
    grep -E '^[A-Za-z].*\.[A-Za-z0-9_]+$' | sort -u | while read -r file; do
    case $file in *.o | *.a | *.ko | *.so | *.cmd | *.bin) continue ;; esac
    [ ! -f "$file" ] || printf '%s\n' "$file"
done | xargs -d '\n' realpath -s --relative-to=. | sort -u >"$work/used"
step 4 0.5 'keeping what a debugger needs'
{
    cat "$work/used"
    find . -name 'Makefile*' -o -name 'Kbuild*' -o -path './scripts/*' -type f ! -name '*.o' \
        -o -path './include/*' -type f -o -path './arch/x86/include/*' -type f
    printf '%s\n' .config Module.symvers COPYING tools/objtool/objtool
} | sed 's|^\./||' | sort -u | tar -cf - -T - | tar -xf - -C "$out/linux-6.1"
step 4 0.8 'keeping what a debugger needs'
cd "$out"
rm -rf "$work"
step 4 1 'the kernel is built'

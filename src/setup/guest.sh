root=${KGDB_ROOT:-}
release=${KGDB_RELEASE:-$(uname -r)}
bad=0
ok() { echo "ok       $*"; }
warn() { echo "warning  $*"; }
wrong() { echo "WRONG    $*"; bad=1; }
cure() { echo "         cure: $*"; }

# The configuration of the running kernel, where it is kept.
config() {
  for f in "$root/boot/config-$release" "$root/lib/modules/$release/config" \
    "$root/lib/modules/$release/build/.config"; do
    [ -r "$f" ] && cat "$f" && return 0
  done
  [ -r "$root/proc/config.gz" ] && gzip -dc "$root/proc/config.gz"
}

# option NAME wrong|warning WHAT-IT-IS-FOR
option() {
  case $(echo "$options" | sed -n "s/^CONFIG_$1=//p") in
    y) ok "CONFIG_$1=y" ;;
    m) ok "CONFIG_$1=m (it is loaded by: modprobe kgdboc; no kgdbwait then)" ;;
    *) if [ "$2" = wrong ]; then wrong "CONFIG_$1 is not set: $3"; else warn "CONFIG_$1 is not set: $3"; fi
       case $1 in
         KGDB*) cure "another kernel: Ubuntu's have it, Debian's do not; or build one with CONFIG_$1=y" ;;
         *) cure "a kernel that is built with CONFIG_$1=y" ;;
       esac ;;
  esac
}

check() {
  ok "kernel $release"
  if options=$(config) && [ -n "$options" ]; then
    option KGDB wrong "there is no kgdb in this kernel"
    option KGDB_SERIAL_CONSOLE wrong "kgdb can't use a serial port"
    option KGDB_KDB warning "no kdb commands (monitor), and the vmlinux is not found by itself"
    option MAGIC_SYSRQ warning "echo g > /proc/sysrq-trigger does not stop this kernel"
    option MAGIC_SYSRQ_SERIAL warning "a BREAK on the serial console does not stop it"
  elif [ -d "$root/sys/module/kgdboc" ]; then
    ok "kgdb with a serial port is in this kernel (its configuration is kept nowhere)"
  else
    wrong "no kgdboc in this kernel, and its configuration is kept nowhere"
    cure "modprobe kgdboc; if there is no such module, a kernel with CONFIG_KGDB_SERIAL_CONSOLE"
  fi
  number=${tty#ttyS}
  ports=$(cat "$root/proc/tty/driver/serial" 2>/dev/null)
  case $tty,$ports in
    ttyS*,) ;;
    ttyS*"
$number: uart:unknown"*) wrong "$tty has no hardware"
      cure "add the port to the machine (kgdb-tui vmx FILE), or use another: grep -v unknown /proc/tty/driver/serial" ;;
    ttyS*"
$number: uart:"*) ok "$tty is a serial port of this machine" ;;
  esac
  now=$(cat "$root/sys/module/kgdboc/parameters/kgdboc" 2>/dev/null)
  case $now in
    "$tty"|"$tty",*) ok "kgdboc is $now" ;;
    '') warn "kgdboc is not set: the kernel can't be stopped for a debugger"
      cure "sh THIS now; for every boot: sh THIS grub" ;;
    *) warn "kgdboc is $now, not $tty"; cure "sh THIS now" ;;
  esac
  case " $(cat "$root/proc/cmdline" 2>/dev/null) " in
    *" kgdboc="*) ok "kgdboc is on the kernel's command line" ;;
    *) ok "kgdboc is not on the kernel's command line: it is gone after a restart (sh THIS grub)" ;;
  esac
  mask=$(cat "$root/proc/sys/kernel/sysrq" 2>/dev/null)
  case $mask in
    1) ok "kernel.sysrq is 1" ;;
    *) warn "kernel.sysrq is ${mask:-not there}: BREAK and Alt-SysRq with g do nothing (echo g > /proc/sysrq-trigger does)"
      cure "sh THIS now, or: sysctl kernel.sysrq=1" ;;
  esac
  case $(cat "$root/sys/kernel/security/lockdown" 2>/dev/null) in
    *"[integrity]"*|*"[confidentiality]"*) wrong "the kernel is locked down: kgdb may not be used"
      cure "turn Secure Boot off in the firmware, and take lockdown= off the command line" ;;
  esac
}

# kgdboc and sysrq, until the next boot.
now() {
  p=$root/sys/module/kgdboc/parameters/kgdboc
  [ -e "$p" ] || modprobe kgdboc 2>/dev/null
  if [ ! -e "$p" ]; then
    wrong "there is no $p"
    cure "a kernel with CONFIG_KGDB_SERIAL_CONSOLE"
  elif ! [ -w "$p" ] || [ "$(id -u)" != 0 ] && [ -z "$root" ]; then
    wrong "$p can't be written"
    cure "run this as root"
  elif (echo "$tty,$baud" > "$p") 2>/dev/null && [ "$(cat "$p")" = "$tty,$baud" ]; then
    ok "kgdboc is $tty,$baud until the next boot"
  else
    wrong "kgdboc does not take $tty,$baud"
    cure "grep -v unknown /proc/tty/driver/serial lists the ports; it can't be changed while a debugger is connected"
  fi
  p=$root/proc/sys/kernel/sysrq
  if (echo 1 > "$p") 2>/dev/null && [ "$(cat "$p")" = 1 ]; then
    ok "kernel.sysrq is 1 until the next boot"
  else
    warn "$p can't be written; echo g > /proc/sysrq-trigger works all the same"
  fi
}

# A line to each serial port, which tells its name to who listens at the other
# end. At the rate of kgdb: a port that nobody has used has 9600.
mark() {
  none=1
  for t in "$root"/dev/ttyS[0-9]; do
    [ -e "$t" ] || continue
    name=${t##*/}
    if (exec 3<>"$t" && { stty "$baud" <&3 2>/dev/null || true; } &&
      printf '\nkgdb-tui-marker %s\n' "$name" >&3) 2>/dev/null; then
      none=
      ok "wrote a marker to $name"
    fi
  done
  [ -z "$none" ] || { wrong "no serial port could be written to"; cure "run this as root"; }
}

# The running kernel's own entry of the boot menu, with other words at the end of
# its command line: whatever it needs (root, LUKS, btrfs) is in it.
entry() {
  awk -v release="$release" -v words="$words" -v title="$title" '
    !inside && $1 == "menuentry" {
      inside = 1; depth = 0; text = ""; hit = 0
      other = /kgdb-tui/ || /recovery/
      open = /--unrestricted/ ? " --unrestricted" : ""
      first = 1
    }
    inside {
      line = $0
      depth += gsub(/[{]/, "{", line) - gsub(/[}]/, "}", line)
      if (first) {
        line = "menuentry \047" title "\047 --class linux" open " --id kgdb-tui {"
        first = 0
      } else if ($1 ~ /^linux(16|efi)?$/) {
        name = $2; sub(/.*\//, "", name)
        if (name == "vmlinuz-" release || name == "vmlinux-" release) hit = 1
        if (/ (single|recovery)( |$)/) other = 1
        line = "\t" $1
        for (i = 2; i <= NF; i++)
          if ($i !~ /^(kgdboc=.*|kgdbwait|sysrq_always_enabled.*)$/) line = line " " $i
        line = line " " words
      }
      text = text line "\n"
      if (depth == 0) {
        inside = 0
        if (hit && !other) { printf "%s", text; exit }
      }
    }' "$1"
}

update() {
  if [ -n "$root" ]; then return 0
  elif command -v update-grub >/dev/null; then update-grub
  elif command -v grub-mkconfig >/dev/null; then grub-mkconfig -o "$cfg"
  elif command -v grub2-mkconfig >/dev/null; then grub2-mkconfig -o "$cfg"
  else warn "no update-grub here: make $cfg anew by hand"
  fi
}

# put FILE: writes what comes in, unless the file has it already.
put() {
  new=$(cat; echo .)
  if [ -e "$1" ] && [ "$(cat "$1"; echo .)" = "$new" ]; then
    ok "$1 is there already"
  elif printf %s "${new%.}" > "$1.new" && chmod "$2" "$1.new" && mv "$1.new" "$1"; then
    ok "wrote $1"
    changed=1
  else
    wrong "$1 can't be written"
    cure "run this as root"
  fi
}

find_grub() {
  cfg=
  for f in "$root/boot/grub/grub.cfg" "$root/boot/grub2/grub.cfg"; do
    [ -r "$f" ] && cfg=$f && break
  done
  generator=$root/etc/grub.d/42_kgdb-tui
  entries=$root/boot/loader/entries
}

grub() {
  find_grub
  words="kgdboc=$tty,$baud sysrq_always_enabled"
  [ -z "$wait" ] || words="$words kgdbwait"
  title="Linux $release with kgdb on $tty"
  changed=
  found=
  [ -z "$cfg" ] || found=$(entry "$cfg")
  if [ -n "$found" ] && [ -d "$root/etc/grub.d" ]; then
    put "$generator" 755 <<EOT
#!/bin/sh
# Made by the script of kgdb-tui guest-setup, whose ungrub takes it away.
exec tail -n +4 "\$0"
$found
EOT
    [ -z "$changed" ] || update
  else
    # Entries that are files of their own (Fedora).
    for f in "$entries"/*"-$release.conf"; do
      [ -r "$f" ] || continue
      found=1
      text=$(sed -e "s/^title .*/title $title/" -e "s/^options .*/& $words/" "$f")
      put "$entries/kgdb-tui.conf" 644 <<EOT
$text
EOT
      break
    done
  fi
  if [ -z "$found" ]; then
    wrong "no entry for $release was found in GRUB's menu"
    cure "add these words to the kernel's command line in your boot loader: $words"
  elif [ "$bad" = 0 ]; then
    ok "choose '$title' at the next boot (hold Shift or Esc for the menu), or, with GRUB_DEFAULT=saved: grub-reboot kgdb-tui"
  fi
}

ungrub() {
  find_grub
  for f in "$generator" "$entries/kgdb-tui.conf"; do
    [ -e "$f" ] || continue
    if rm "$f"; then ok "removed $f"; else wrong "$f can't be removed"; cure "run this as root"; fi
  done
  [ -z "$cfg" ] || update
}

sections() {
@SECTIONS@
}

case ${1:-} in
  '') check; now ;;
  check|now|mark|grub|ungrub) "$1" ;;
  sections) shift; sections "$@" ;;
  *) echo "no '$1' here; check, now, mark, grub, ungrub, sections" >&2; exit 2 ;;
esac
exit "$bad"
)

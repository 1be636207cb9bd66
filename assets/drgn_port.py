#!/usr/bin/env python3
"""drgn on a stopped guest, through the port that kgdb-tui opens with --gdb-port.

    drgn_port.py PORT VMLINUX [SLIDE]

SLIDE is what `info target` calls the KASLR slide. Lists modules and tasks; after
that it is a program to change: `prog` is drgn's.
"""

import socket
import sys

import drgn
from drgn.helpers.linux.list import list_for_each_entry

# Where x86_64 kernels are linked to, and where modules begin.
KERNEL, MODULES = 0xFFFFFFFF81000000, 0xFFFFFFFFC0000000
# Bytes in one packet.
MOST = 1024


class Port:
    """Reads memory with gdb's `m` packets."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, text):
        self.socket.sendall(b"$%s#%02x" % (text, sum(text) & 0xFF))
        data = b""
        # `+`, then `$`, the answer, `#` and two digits.
        while b"#" not in data[:-2]:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError("kgdb-tui closed the port: the guest runs")
            data += more
        self.socket.sendall(b"+")
        return data[data.index(b"$") + 1 : data.index(b"#")]

    def read(self, address, count, offset, physical):
        found = b""
        while len(found) < count:
            at = address + len(found)
            answer = self.ask(b"m%x,%x" % (at, min(count - len(found), MOST)))
            if not answer or answer.startswith(b"E"):
                raise drgn.FaultError("kgdb can't read there", at)
            found += bytes.fromhex(answer.decode())
        return found


def program(port, vmlinux, slide):
    prog = drgn.Program(drgn.Platform(drgn.Architecture.X86_64))
    prog.add_memory_segment(1 << 63, 1 << 63, Port(port).read)
    kernel = prog.extra_module("vmlinux", create=True)
    kernel.address_ranges = ((KERNEL + slide, MODULES),)
    kernel.try_file(vmlinux, force=True)
    return prog


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    slide = int(sys.argv[3], 16) if len(sys.argv) == 4 else 0
    prog = program(int(sys.argv[1]), sys.argv[2], slide)
    print(prog["linux_banner"].string_().decode().strip())
    modules = prog["modules"].address_of_()
    for module in list_for_each_entry("struct module", modules, "list"):
        print("module", module.name.string_().decode())
    tasks = prog["init_task"].tasks.address_of_()
    for task in list_for_each_entry("struct task_struct", tasks, "tasks"):
        print("task", task.pid.value_(), task.comm.string_().decode())


if __name__ == "__main__":
    main()

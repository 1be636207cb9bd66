# What gdb shows of a stop, as lines of JSON after "@ ".
import json

import gdb

REGISTERS = "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split()


def say(value):
    print("@ " + json.dumps(value), flush=True)


def arguments(frame):
    try:
        block = frame.block()
    except RuntimeError:
        return []
    while block and not block.function:
        block = block.superblock
    found = []
    for symbol in block or []:
        if symbol.is_argument:
            try:
                value = symbol.value(frame)
                text = None if value.is_optimized_out else value.format_string(symbols=False)
            except gdb.error as error:
                text = "error: %s" % error
            found.append({"name": symbol.name, "value": text})
    return found


def place(frame):
    sal = frame.find_sal()
    return {
        "function": frame.name(),
        "inlined": frame.type() == gdb.INLINE_FRAME,
        "pc": frame.pc(),
        "line": sal.line,
        "file": sal.symtab.filename if sal.symtab else None,
    }


def dump():
    frame = gdb.newest_frame()
    mask = (1 << 64) - 1
    registers = {name: int(frame.read_register(name)) & mask for name in REGISTERS}
    frames = []
    while frame and len(frames) < 40:
        # A frame that ended in a jump to the next one is not on the stack; gdb
        # knows of it by the caller's DWARF.
        if frame.type() != gdb.TAILCALL_FRAME:
            frames.append({**place(frame), "args": arguments(frame)})
        try:
            frame = frame.older()
        except gdb.error:
            break
    say({"registers": registers, "frames": frames})


def steps(command, count):
    for _ in range(count):
        gdb.execute(command, to_string=True)
        say(place(gdb.newest_frame()))


def values(expressions):
    for expression in expressions:
        try:
            text = gdb.execute("print " + expression, to_string=True)
            say(text.split(" = ", 1)[1].rstrip("\n"))
        except gdb.error as error:
            say("error: %s" % error)

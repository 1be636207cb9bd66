# What gdb shows of a stop, as lines of JSON after "@ ".
import json

import gdb
import gdb.unwinder
from gdb.unwinder import Unwinder

REGISTERS = "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split()
MASK = (1 << 64) - 1


def say(value):
    print("@ " + json.dumps(value), flush=True)


SCALARS = (
    gdb.TYPE_CODE_INT,
    gdb.TYPE_CODE_ENUM,
    gdb.TYPE_CODE_PTR,
    gdb.TYPE_CODE_BOOL,
    gdb.TYPE_CODE_CHAR,
)


def text_of(symbol, frame):
    try:
        value = symbol.value(frame)
        return None if value.is_optimized_out else value.format_string(symbols=False)
    except gdb.error as error:
        return "error: %s" % error


def blocks(frame):
    try:
        block = frame.block()
    except RuntimeError:
        return
    while block:
        yield block
        if block.function:
            return
        block = block.superblock


def arguments(frame):
    found = []
    for block in blocks(frame):
        if block.function:
            for symbol in block:
                if symbol.is_argument:
                    found.append({"name": symbol.name, "value": text_of(symbol, frame)})
    return found


# Numbers, by the first of each name from inside out.
def locals_of(frame):
    found = {}
    for block in blocks(frame):
        for symbol in block:
            if not symbol.is_variable or symbol.is_argument or symbol.name in found:
                continue
            if symbol.addr_class == gdb.SYMBOL_LOC_LABEL:
                continue
            code = symbol.type.strip_typedefs().code
            shown = {"name": symbol.name, "value": text_of(symbol, frame)}
            shown["static"] = symbol.addr_class == gdb.SYMBOL_LOC_STATIC
            found[symbol.name] = shown if code in SCALARS else None
    return [shown for shown in found.values() if shown]


def place(frame):
    sal = frame.find_sal()
    return {
        "function": frame.name(),
        "inlined": frame.type() == gdb.INLINE_FRAME,
        "pc": frame.pc(),
        "line": sal.line,
        "file": sal.symtab.filename if sal.symtab else None,
    }


def stack(frame, locals):
    frames = []
    while frame and len(frames) < 40:
        # A frame that ended in a jump to the next one is not on the stack; gdb
        # knows of it by the caller's DWARF.
        if frame.type() != gdb.TAILCALL_FRAME:
            shown = {**place(frame), "args": arguments(frame)}
            if shown["pc"] == ENTRY.resumes:
                shown["pc"] -= 1
            if locals:
                shown["locals"] = locals_of(frame)
            frames.append(shown)
        elif frames:
            frames[-1]["jumped"] = True
        # What is beyond entry code gdb makes up.
        if (frame.name() or "").startswith(("entry_SYSCALL", "asm_")):
            break
        try:
            frame = frame.older()
        except gdb.error:
            break
    return frames


def dump(locals=False):
    frame = gdb.newest_frame()
    registers = {name: int(frame.read_register(name)) & MASK for name in REGISTERS}
    say({"registers": registers, "frames": stack(frame, locals)})


# gdb has no rule for entry code and for the interrupt stack. This is one for a
# pc, with the registers at an address. gdb takes what comes next for a caller and looks at the byte
# before its pc, so the pc of interrupted code is given one too far.
class Entry(Unwinder):
    def __init__(self):
        super().__init__("entry code")
        self.pc = None
        self.saved = None
        self.resumes = None

    def __call__(self, pending):
        pc = int(pending.read_register("rip"))
        if self.pc is None or pc & MASK != self.pc:
            return None
        sp = pending.read_register("rsp")
        info = pending.create_unwind_info(FrameId(sp, pending.read_register("rip")))
        regs = gdb.parse_and_eval("*(struct pt_regs *) %d" % self.saved)
        for name in REGISTERS:
            value = regs[name if name[1:].isdigit() else name[1:]]
            if name == "rip":
                value = value + 1
                self.resumes = int(value) & MASK
            info.add_saved_register(name, value)
        return info


class FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


ENTRY = Entry()
gdb.unwinder.register_unwinder(None, ENTRY, True)


# The stack of what was interrupted, with its registers there.
def dump_through(pc, saved):
    ENTRY.pc, ENTRY.saved = pc, saved
    gdb.execute("maint flush register-cache", to_string=True)
    frames = stack(gdb.newest_frame(), False)
    while frames and frames[0]["pc"] != ENTRY.resumes - 1:
        frames.pop(0)
    say({"registers": {}, "frames": frames})
    ENTRY.pc = ENTRY.resumes = None


def steps(command, count):
    for _ in range(count):
        gdb.execute(command, to_string=True)
        say(place(gdb.newest_frame()))


def texts(commands):
    """What each command prints, or why it fails."""
    for command in commands:
        try:
            text = gdb.execute(command, to_string=True)
        except gdb.error as error:
            text = "error: %s" % error
        say(text.rstrip("\n"))


def values(expressions):
    for expression in expressions:
        try:
            text = gdb.execute("print " + expression, to_string=True)
            say(text.split(" = ", 1)[1].rstrip("\n"))
        except gdb.error as error:
            say("error: %s" % error)


# How often the breakpoint that was set last was hit, by gdb's count, and an
# expression.
def hit(expression):
    value = gdb.parse_and_eval(expression).format_string(symbols=False)
    say({"hits": gdb.breakpoints()[-1].hit_count, "value": value})

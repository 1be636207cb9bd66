//! What an instruction does, worked out without the CPU, against the CPU of the
//! real guest: one step after another through its own code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "the guest can more")]

mod live;
mod support {
    pub mod guest;
    pub mod kernel;
    pub mod tools;
}

use kgdb_tui::{
    arch::{Registers, emulate::Plain, insn::MAX_LEN, x86_64::X86_64},
    base::memory::Memory,
};
use live::Guest;
use support::{guest::built, kernel::loaded};

/// Steps of each walk: into functions and out of them.
const STEPS: usize = 150;

/// TF, which is there after a step, and RF, which a debugger does not see.
const STEP_FLAGS: u64 = 0x1_0100;

/// The registers that differ from what was told.
fn differences(told: &Registers, real: &Registers) -> Vec<String> {
    let pairs = told.iter().zip(real.iter());
    pairs
        .filter_map(|((def, told), (_, real))| {
            let mask = if def.name == "eflags" { !STEP_FLAGS } else { u64::MAX };
            let differs = told.map(|v| v & mask) != real.map(|v| v & mask);
            differs.then(|| format!("{} is {real:x?}, told {told:x?}", def.name))
        })
        .collect()
}

#[test]
fn as_the_cpu_does() {
    let symbols = loaded(&built().vmlinux);
    let mut guest = Guest::boot("nokaslr");
    guest.shell("(while :; do cat /proc/self/maps | wc > /dev/null; done) &");
    guest.break_in();
    let (mut told, mut left, mut wrong) = (0, 0, Vec::new());
    for place in ["vfs_read", "handle_mm_fault", "kernel_clone", "pipe_write", "do_sys_openat2"] {
        guest.run_to(symbols.symbol_addr(place).unwrap());
        for _ in 0..STEPS {
            guest.forget();
            let before = guest.registers();
            let pc = before.pc().unwrap();
            let Ok(code) = guest.bytes(pc, MAX_LEN) else { break };
            let plain = Plain::new(&X86_64, pc, &code);
            let effect = plain.and_then(|plain| plain.effect(&before, &guest).ok().flatten());
            // Where other tasks would take over, or a step would be lost.
            if code[0] == 0xf4 || symbols.symbol_addr("__switch_to_asm") == Some(pc) {
                break;
            }
            let stop = guest.ask("s");
            assert!(stop.starts_with("T05"), "{stop} after {pc}");
            guest.forget();
            let Some(effect) = effect else {
                left += 1;
                continue;
            };
            told += 1;
            let real = guest.registers();
            let mut expected = before.clone();
            for (register, value) in &effect.registers {
                expected.set(*register, Some(*value));
            }
            expected.set(X86_64.pc, Some(effect.next.0));
            let mut found = differences(&expected, &real);
            if let Some((addr, bytes)) = &effect.store
                && code[0] != 0x9c
                && guest.bytes(*addr, bytes.len()).as_ref() != Ok(bytes)
            {
                found.push(format!("{bytes:x?} is not stored at {addr}"));
            }
            if !found.is_empty() {
                wrong.push(format!("{pc} {code:02x?}: {found:?}"));
            }
        }
    }
    eprintln!("{told} instructions told, {left} left to the CPU");
    eprintln!("{wrong:#?}");
    // The other CPU runs during a step, and may change what was loaded.
    assert!(wrong.len() <= 2, "{wrong:#?}");
    assert!(told > 4 * left, "{told} of {}", told + left);
    guest.ask("D");
}

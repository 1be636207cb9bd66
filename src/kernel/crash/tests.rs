use super::*;
use crate::{arch::x86_64::X86_64, base::memory::Sparse};
use proptest::prelude::*;

const AT: Addr = Addr(0xffff_ffff_c000_0340);

fn frame(function: &str, file: &str, depth: usize, inlined: bool) -> CodeFrame {
    CodeFrame {
        function: function.into(),
        file: Some(crate::symbols::answer::SourceFile { name: file.into(), comp_dir: None }),
        line: Some(12),
        column: None,
        inlined,
        module: None,
        entry: AT,
        depth,
    }
}

fn oops(error_code: u64) -> Trap {
    Trap { said: "Oops".into(), error_code, vector: 0 }
}

struct Case<'a> {
    code: &'a [u8],
    registers: &'a [(&'a str, u64)],
    signal: u8,
    trap: Option<Trap>,
    held: Option<Held>,
}

fn told(case: Case<'_>) -> Explained {
    let mut registers = Registers::unknown(&X86_64);
    registers.set(X86_64.pc, Some(AT.0));
    for (name, value) in case.registers {
        registers.set(X86_64.reg(name).unwrap(), Some(*value));
    }
    let mut code = case.code.to_vec();
    code.resize(32, 0x90);
    let mut memory = Sparse::new();
    memory.insert(AT, &code);
    let at = [frame("HgfsFind", "/b/hgfs/main.c", 0, false)];
    let seen = Seen {
        registers: &registers,
        signal: case.signal,
        trap: case.trap.as_ref(),
        gs_base: None,
        at: &at,
        callers: &["HgfsOpen at main.c:40".to_owned()],
        source: Some("BUG_ON(!file);"),
        stack: Some((0xffff_c900_0000_0000, 0xffff_c900_0000_4000)),
        held: &|_, _| case.held.clone(),
    };
    explain(&Symbols::new(), &memory, &seen).unwrap()
}

#[test]
fn a_null_pointer_names_the_member() {
    let held = Held {
        variable: "file".into(),
        type_name: "struct HgfsFile *".into(),
        member: Some("handle".into()),
    };
    let explained = told(Case {
        code: &[0x8b, 0x40, 0x38],
        registers: &[("rax", 0)],
        signal: 11,
        trap: Some(oops(0)),
        held: Some(held),
    });
    assert_eq!(
        explained.reason,
        "NULL pointer: HgfsFind reads 4 bytes at 0x38: member `handle` of a NULL \
         `struct HgfsFile *` (`file`, in rax)"
    );
    assert_eq!(explained.operand.as_deref(), Some("0x38(%rax) with rax = 0x0"));
    assert_eq!(explained.error.as_deref(), Some("read in kernel mode; no page is there"));
    assert_eq!(explained.expression.as_deref(), Some("file->handle"));
    assert_eq!((explained.vector, explained.address), (Some(14), Some(Addr(0x38))));
}

#[test]
fn other_pointers_are_told_by_what_they_are() {
    let bad = |rax: u64, signal, trap: Option<Trap>| {
        let code: &[u8] = &[0x48, 0x89, 0x48, 0x08];
        told(Case { code, registers: &[("rax", rax)], signal, trap, held: None })
    };
    let poison = bad(0xdead_0000_0000_0100, 11, None);
    assert_eq!(poison.kind, Kind::ListPoison);
    assert!(poison.reason.contains("writes 8 bytes at 0xdead000000000108"), "{poison:?}");
    let error = bad((-2i64) as u64, 11, Some(oops(2)));
    assert_eq!(error.kind, Kind::ErrorPointer);
    assert!(error.reason.ends_with("the pointer in rax is ERR_PTR(-ENOENT)"), "{error:?}");
    let user = bad(0x7f00_0000_1000, 11, Some(oops(3)));
    assert!(user.reason.contains("SMAP"), "{user:?}");
    let only_read = bad(0xffff_ffff_c000_1000, 11, Some(oops(3)));
    assert_eq!(only_read.kind, Kind::ReadOnly);
    // A good address at a general protection fault is not what was wrong.
    let trap = Trap { said: "general protection fault".into(), error_code: 0, vector: 13 };
    assert_eq!(bad(0xffff_8880_0000_1000, 11, Some(trap)).kind, Kind::Protection);
}

#[test]
fn calls_divisions_and_bugs() {
    let ud2 = told(Case { code: &[0x0f, 0x0b], registers: &[], signal: 4, trap: None, held: None });
    assert_eq!(ud2.reason, "BUG in HgfsFind at main.c:12: BUG_ON(!file);");
    let zero = told(Case {
        code: &[0xf7, 0xf1],
        registers: &[("rcx", 0xffff_0000_0000)],
        signal: 8,
        trap: None,
        held: None,
    });
    assert_eq!(zero.reason, "divide error: HgfsFind divides by ecx, which is 0");
    let fetch = told(Case {
        code: &[0x90],
        registers: &[],
        signal: 11,
        trap: Some(oops(0x11)),
        held: None,
    });
    assert_eq!(fetch.kind, Kind::BadCall);
    assert!(fetch.reason.ends_with("it was called by HgfsOpen at main.c:40"), "{fetch:?}");
    let guard = Trap { said: "stack guard page".into(), error_code: 0, vector: 8 };
    let full = told(Case {
        code: &[0x53],
        registers: &[("rsp", 0xffff_c8ff_ffff_fff8)],
        signal: 11,
        trap: Some(guard),
        held: None,
    });
    assert_eq!(full.kind, Kind::StackOverflow);
    assert!(full.reason.contains("0xffffc90000000000 to 0xffffc90000004000"), "{full:?}");
}

#[test]
fn who_is_to_blame_is_named() {
    let at = [
        frame("__list_del", "./include/linux/list.h", 0, true),
        frame("HgfsForget", "/b/hgfs/main.c", 1, false),
    ];
    let callers = ["HgfsOpen at main.c:40".to_owned()];
    let registers = Registers::unknown(&X86_64);
    let seen = |at| Seen {
        registers: &registers,
        signal: 11,
        trap: None,
        gs_base: None,
        at,
        callers: &callers,
        source: None,
        stack: None,
        held: &|_, _| None,
    };
    assert_eq!(who(&seen(&at)), "__list_del, inlined in HgfsForget");
    let at = [frame("strlen", "lib/string.c", 0, false)];
    assert_eq!(who(&seen(&at)), "strlen");
    let at = [frame("strlen", "/b/lib/string.c", 0, false)];
    assert_eq!(who(&seen(&at)), "strlen, called by HgfsOpen at main.c:40");
    assert_eq!(who(&seen(&[])), "code at 0x0");
}

proptest! {
    #[test]
    fn any_instruction_is_explained(
        code in prop::collection::vec(any::<u8>(), 16),
        rax in any::<u64>(),
        signal in prop::sample::select(vec![0u8, 4, 7, 8, 11]),
        error in any::<Option<u64>>(),
    ) {
        let trap = error.map(oops);
        let explained =
            told(Case { code: &code, registers: &[("rax", rax), ("rsp", rax)], signal, trap, held: None });
        prop_assert!(!explained.reason.is_empty());
    }
}

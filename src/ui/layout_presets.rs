//! The layouts there are, each for a kind of work. A preset says what its panes
//! are on a wide screen; on smaller ones all of them have the same few shapes,
//! and differ in what is in the main place.

use super::layout::{
    PaneId::{
        self, Breakpoints, Console, Cpus, Disassembly, Dmesg, Log, Memory, Modules, Packets,
        Registers, Source, Stack, Tasks, Variables, Watches,
    },
    Size, WANTED,
};
use super::layout_tree::{
    Node::{self, Beside, Under},
    Share, Split, Tabs,
};
use serde::{Deserialize, Serialize};

/// A layout for a kind of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Reading and stepping through C.
    #[default]
    Code,
    /// Reading and stepping through instructions.
    Asm,
    /// Looking at values.
    Data,
    /// What the guest says.
    Console,
    /// Finding out what hangs.
    Triage,
}

/// All of them, in the order they come with the key.
pub const PRESETS: [Preset; 5] =
    [Preset::Code, Preset::Asm, Preset::Data, Preset::Console, Preset::Triage];

impl Preset {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Code => "code",
            Preset::Asm => "asm",
            Preset::Data => "data",
            Preset::Console => "console",
            Preset::Triage => "triage",
        }
    }

    /// What it is for.
    pub fn words(self) -> &'static str {
        match self {
            Preset::Code => "source large, stack, variables and registers beside it",
            Preset::Asm => "instructions large, registers beside them",
            Preset::Data => "variables, watches and memory large",
            Preset::Console => "what the guest prints large",
            Preset::Triage => "tasks, the stack of one, what the guest printed",
        }
    }

    /// The preset of a name.
    pub fn of(name: &str) -> Option<Preset> {
        PRESETS.into_iter().find(|preset| preset.name() == name)
    }

    /// The next one, round.
    pub fn next(self) -> Preset {
        let at = PRESETS.iter().position(|preset| *preset == self).unwrap_or(0);
        PRESETS[(at + 1) % PRESETS.len()]
    }

    /// What is in the main place where there is little room.
    fn main(self) -> &'static [PaneId] {
        match self {
            Preset::Code => &[Source],
            Preset::Asm => &[Disassembly],
            Preset::Data => &[Variables],
            Preset::Console => &[Console],
            Preset::Triage => &[Tasks],
        }
    }

    /// What gets the keys when it is chosen.
    pub fn about(self) -> PaneId {
        self.main()[0]
    }

    /// What is beside it where there is a little more.
    fn second(self) -> PaneId {
        match self {
            Preset::Code | Preset::Triage => Stack,
            Preset::Asm => Registers,
            Preset::Data => Watches,
            Preset::Console => Dmesg,
        }
    }

    /// The tree for a kind of screen.
    pub fn tree(self, size: Size) -> &'static Node {
        match (size, self) {
            (Size::Wide, Preset::Code) => &CODE,
            (Size::Wide, Preset::Asm) => &ASM,
            (Size::Wide, Preset::Data) => &DATA,
            (Size::Wide, Preset::Console) => &CONSOLE,
            (Size::Wide, Preset::Triage) => &TRIAGE,
            (Size::Broad, _) => &BROAD,
            (Size::Tall, _) => &TALL,
            (Size::Narrow, _) => &NARROW,
            (Size::Small | Size::Tiny, _) => &SMALL,
        }
    }

    /// The panes of a place, in the order of their tabs.
    pub fn panes(self, tabs: Tabs) -> Vec<PaneId> {
        let rest = || WANTED.into_iter().filter(|pane| !self.main().contains(pane));
        match tabs {
            Tabs::These(panes) => panes.to_vec(),
            Tabs::Main => self.main().to_vec(),
            Tabs::Second => vec![self.second()],
            Tabs::Rest => rest().filter(|pane| *pane != self.second()).collect(),
            Tabs::AllButMain => {
                let second = self.second();
                [second].into_iter().chain(rest().filter(|pane| *pane != second)).collect()
            }
        }
    }
}

const fn these(panes: &'static [PaneId]) -> Node {
    Node::Tabs(Tabs::These(panes))
}

/// Source needs most; the registers' two columns need 45.
const RIGHT: Share = Share::new(370, 46, 72);
const HALF: Share = Share::new(500, 0, u16::MAX);

/// 120x35 and more. Rows of tasks and of memory are long: they go under the
/// source.
static CODE: Node = Beside(&Split {
    share: RIGHT,
    first: Under(&Split {
        share: Share::new(250, 7, 14),
        first: these(&[Source]),
        second: these(&[Console, Dmesg, Log, Packets, Tasks, Memory, Disassembly]),
    }),
    second: Under(&Split {
        share: Share::new(167, 5, 10),
        first: Under(&Split {
            share: Share::up_to(12, 12),
            first: Under(&Split {
                share: Share::new(450, 0, u16::MAX),
                first: these(&[Stack]),
                second: these(&[Variables, Watches]),
            }),
            second: these(&[Registers]),
        }),
        second: these(&[Breakpoints, Cpus, Modules]),
    }),
});

static ASM: Node = Beside(&Split {
    share: RIGHT,
    first: Under(&Split {
        share: Share::new(300, 8, 18),
        first: these(&[Disassembly]),
        second: these(&[Source, Memory, Console, Dmesg, Log, Packets, Tasks]),
    }),
    second: Under(&Split {
        share: Share::up_to(u16::MAX, 14),
        first: these(&[Registers]),
        second: Under(&Split {
            share: HALF,
            first: these(&[Stack]),
            second: these(&[Variables, Watches, Breakpoints, Cpus, Modules]),
        }),
    }),
});

static DATA: Node = Beside(&Split {
    share: HALF,
    first: Under(&Split {
        share: Share::new(450, 0, u16::MAX),
        first: these(&[Source]),
        second: these(&[Memory, Console, Dmesg, Log, Packets, Tasks, Disassembly]),
    }),
    second: Under(&Split {
        share: Share::new(600, 0, u16::MAX),
        first: these(&[Variables]),
        second: Under(&Split {
            share: HALF,
            first: these(&[Watches]),
            second: these(&[Stack, Registers, Breakpoints, Cpus, Modules]),
        }),
    }),
});

static CONSOLE: Node = Beside(&Split {
    share: RIGHT,
    first: Under(&Split {
        share: Share::new(300, 7, 18),
        first: these(&[Console]),
        second: these(&[Dmesg, Log, Packets, Tasks, Memory, Disassembly]),
    }),
    second: Under(&Split {
        share: HALF,
        first: these(&[Source]),
        second: these(&[Stack, Variables, Watches, Registers, Breakpoints, Cpus, Modules]),
    }),
});

static TRIAGE: Node = Beside(&Split {
    share: Share::new(420, 50, 90),
    first: Under(&Split {
        share: HALF,
        first: these(&[Tasks]),
        second: these(&[Dmesg, Console, Log, Packets, Memory, Disassembly]),
    }),
    second: Under(&Split {
        share: Share::new(650, 0, u16::MAX),
        first: these(&[Stack]),
        second: Under(&Split {
            share: HALF,
            first: these(&[Source]),
            second: these(&[Cpus, Modules, Variables, Watches, Registers, Breakpoints]),
        }),
    }),
});

/// Wide, but low.
static BROAD: Node = Beside(&Split {
    share: RIGHT,
    first: Node::Tabs(Tabs::Main),
    second: Under(&Split {
        share: Share::up_to(13, 8),
        first: Node::Tabs(Tabs::Second),
        second: Node::Tabs(Tabs::Rest),
    }),
});

const LOWER: Share = Share::new(400, 11, 16);

/// High, with room for two panes side by side under the main one.
static TALL: Node = Under(&Split {
    share: LOWER,
    first: Node::Tabs(Tabs::Main),
    second: Beside(&Split {
        share: HALF,
        first: Node::Tabs(Tabs::Second),
        second: Node::Tabs(Tabs::Rest),
    }),
});

/// High, without that.
static NARROW: Node = Under(&Split {
    share: LOWER,
    first: Node::Tabs(Tabs::Main),
    second: Node::Tabs(Tabs::AllButMain),
});

/// 80x24.
static SMALL: Node = Under(&Split {
    share: Share::new(400, 7, 10),
    first: Node::Tabs(Tabs::Main),
    second: Node::Tabs(Tabs::AllButMain),
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::layout_tree::place;
    use ratatui::layout::Rect;

    #[test]
    fn every_pane_has_one_place_in_every_tree() {
        use Size::{Broad, Narrow, Small, Tall, Wide};
        for preset in PRESETS {
            assert_eq!(Preset::of(preset.name()), Some(preset));
            for size in [Wide, Broad, Tall, Narrow, Small] {
                let placed = place(preset.tree(size), Rect::new(0, 0, 160, 48), None);
                let places = placed.places.iter();
                let panes: Vec<PaneId> = places.flat_map(|(tabs, _)| preset.panes(*tabs)).collect();
                let firsts = placed.places.iter().map(|(tabs, _)| preset.panes(*tabs)[0]);
                assert_eq!(firsts.filter(|pane| *pane == preset.about()).count(), 1);
                for pane in WANTED {
                    let count = panes.iter().filter(|other| **other == pane).count();
                    assert_eq!(count, 1, "{pane:?} in {preset:?} {size:?}");
                }
            }
        }
        assert_eq!(Preset::Triage.next(), Preset::Code);
        assert_eq!(Preset::of("cod"), None);
        let typed = crate::command::arranging::LAYOUTS.into_iter();
        let named = typed.filter_map(Preset::of).count();
        assert_eq!((named, named + 2), (PRESETS.len(), crate::command::arranging::LAYOUTS.len()));
    }
}

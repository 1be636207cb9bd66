//! When what is shown is shown anew: at once, or in a moment when that may be
//! over by then.

use super::{
    modules::Module,
    request::Update,
    run::Session,
    view::{Cost, LinkView, View},
};
use crate::base::addr::Addr;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A running guest is shown as running only after this long, so that a step
/// does not flicker.
const FLICKER: Duration = Duration::from_millis(120);

impl Session {
    /// Something that is shown has changed.
    pub(super) fn touch(&mut self) {
        self.dirty = true;
    }

    /// Like [`Session::touch`], for a state that may be over in a moment.
    pub(super) fn touch_later(&mut self) {
        self.dirty = true;
        // Not later than the first one wants: a step over a call that sleeps
        // resumes over and over when other tasks come by.
        self.quiet_until.get_or_insert_with(|| Instant::now() + FLICKER);
    }

    /// What is shown now must be shown at once.
    pub(super) fn touch_now(&mut self) {
        self.dirty = true;
        self.quiet_until = None;
        self.publish_if_dirty();
    }

    /// The cost of the stop has changed.
    pub(super) fn publish_cost(&mut self) {
        let cost = self.cost_of_stop();
        if let Some(stop) = &mut self.stop {
            stop.cost = cost;
        }
        self.dirty = true;
    }

    pub(super) fn cost_of_stop(&self) -> Cost {
        let (now, base) = (self.wire.cost(), self.cost_base);
        Cost {
            tx: now.tx - base.tx,
            rx: now.rx - base.rx,
            packets: now.packets - base.packets,
            time: now.time.saturating_sub(base.time),
        }
    }

    /// Shows what has changed, unless that may be over in a moment.
    pub(super) fn publish_if_dirty(&mut self) {
        self.tell_state();
        if !self.dirty || self.quiet_until.is_some_and(|until| until > Instant::now()) {
            return;
        }
        self.dirty = false;
        self.quiet_until = None;
        self.keep_breakpoints();
        self.revision += 1;
        self.name_registers();
        self.code.know_modules(self.modules.iter().map(|m| m.found.name.clone()).collect());
        let view = View {
            revision: self.revision,
            state: self.state.clone(),
            target: self.target.clone(),
            symbols: self.symbols_view.clone(),
            stop: self.stop.clone().map(Arc::new),
            breakpoints: self.points.views(),
            hardware: self.points.registers(),
            modules: self.modules.iter().map(Module::view).collect(),
            link: self.link_view(),
            flavor: self.settings.flavor,
            working: self.working(),
            packets: self.panes.wants.packets.then(|| self.wire.log().views()),
        };
        let _ = self.updates().send(Update::View(Arc::new(view)));
    }

    /// Names what the registers of the selected frame point at: only what the
    /// symbols know, nothing is read for it.
    fn name_registers(&mut self) {
        let symbols = self.guest_symbols();
        let Some(stop) = &mut self.stop else { return };
        // Below that are addresses of user programs, and numbers.
        let is_kernels = |value: &u64| value >> 63 == 1;
        let named = stop.frame_registers.iter().filter_map(|(def, value)| {
            let value = value.filter(is_kernels).filter(|_| def.size == 8)?;
            Some((def.name, symbols.describe(Addr(value))?))
        });
        stop.register_names = named.collect();
    }

    /// The link's figures.
    pub(super) fn link_view(&self) -> LinkView {
        let (resends, bad_checksums) = self.wire.troubles();
        LinkView {
            description: self.wire.describe().unwrap_or_else(|| "not connected".into()),
            total: self.wire.cost(),
            rate: self.wire.rate(),
            latency: self.wire.latency().map(|time| (time.as_secs_f64() * 1e4).round() / 10.0),
            queue: self.panes.queue(),
            resends,
            bad_checksums,
            replay: self.replay_view(),
        }
    }
}

//! The loop with a stream of keys for a terminal and a channel for a session.

use super::{App, Bench, fixture};
use crate::session::answer::Answer;
use crate::session::request::{Ask, Handle, Leave, Request, Step, Update};
use crate::session::view::State;
use crate::ui::message::Exit;
use crate::ui::run::{Screen, run};
use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use futures_util::stream::{self, Stream, StreamExt};
use std::{cell::RefCell, io, pin::Pin, rc::Rc, sync::Arc, time::Duration, time::Instant};
use tokio::sync::{Mutex, mpsc};

/// Counts what is asked of it.
#[derive(Default)]
struct Paper {
    drawn: usize,
    forgotten: usize,
    suspended: usize,
    live_streams: Rc<RefCell<usize>>,
    /// From this drawing on the terminal is gone.
    breaks_at: Option<usize>,
}

impl Screen for Paper {
    fn draw(&mut self, app: &App) -> io::Result<()> {
        self.drawn += 1;
        assert_eq!(app.size, (80, 24));
        if self.breaks_at.is_some_and(|at| self.drawn >= at) {
            return Err(io::Error::other("the terminal is gone"));
        }
        Ok(())
    }
    fn forget(&mut self) -> io::Result<()> {
        self.forgotten += 1;
        Ok(())
    }
    fn suspend(&mut self) -> io::Result<()> {
        self.suspended += 1;
        assert_eq!(*self.live_streams.borrow(), 0, "the shell would fight for the keys");
        Ok(())
    }
    fn retake(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn size(&self) -> io::Result<(u16, u16)> {
        Ok((80, 24))
    }
}

struct Counted(Rc<RefCell<usize>>, Pin<Box<dyn Stream<Item = io::Result<Event>>>>);

impl Drop for Counted {
    fn drop(&mut self) {
        *self.0.borrow_mut() -= 1;
    }
}

impl Stream for Counted {
    type Item = io::Result<Event>;
    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<io::Result<Event>>> {
        self.1.poll_next_unpin(context)
    }
}

/// The loop's surroundings.
struct World {
    keys: mpsc::UnboundedSender<Event>,
    updates: mpsc::UnboundedSender<Update>,
    asks: mpsc::UnboundedReceiver<Ask>,
}

impl World {
    fn press(&self, key: char, modifiers: KeyModifiers) {
        let event = Event::Key(KeyEvent::new(KeyCode::Char(key), modifiers));
        self.keys.send(event).unwrap();
    }

    async fn asked(&mut self) -> Ask {
        tokio::time::timeout(Duration::from_secs(5), self.asks.recv()).await.unwrap().unwrap()
    }
}

/// Runs the loop beside `script`; gives how it ended, and the paper.
fn play<F: Future<Output = ()>>(script: impl FnOnce(World) -> F) -> (Exit, Paper) {
    play_on(Paper::default(), script)
}

fn play_on<F: Future<Output = ()>>(
    mut paper: Paper,
    script: impl FnOnce(World) -> F,
) -> (Exit, Paper) {
    let (keys, pressed) = mpsc::unbounded_channel();
    let (updates, news) = mpsc::unbounded_channel();
    let (handle, asks) = Handle::new();
    let pressed = Arc::new(Mutex::new(pressed));
    let live = paper.live_streams.clone();
    let input = move || {
        *live.borrow_mut() += 1;
        let events = stream::unfold(pressed.clone(), |pressed| async move {
            let event = pressed.lock().await.recv().await?;
            Some((Ok(event), pressed))
        });
        Counted(live.clone(), Box::pin(events))
    };
    let app = Bench::new(80, 24).app;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = World { keys, updates, asks };
    let exit = runtime.block_on(async {
        let (exit, ()) = tokio::join!(run(app, handle, news, &mut paper, input), script(world));
        exit.unwrap()
    });
    (exit, paper)
}

fn stopped_view() -> Update {
    Update::View(Arc::new(fixture::view(State::Stopped, Some(fixture::stop(1, 35)))))
}

#[test]
fn keys_become_requests_and_leaving_ends_the_loop() {
    let (exit, paper) = play(|mut world| async move {
        world.updates.send(stopped_view()).unwrap();
        tokio::task::yield_now().await;
        // The view is in before the key: the loop takes keys first.
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.press('n', KeyModifiers::NONE);
        assert_eq!(world.asked().await.request, Request::Step(Step::LineOver, 1));
        world.press('q', KeyModifiers::NONE);
        world.press('c', KeyModifiers::NONE);
        let ask = world.asked().await;
        assert_eq!(ask.request, Request::Leave(Leave::Detach));
        ask.reply.send(Ok(Answer::Done {})).unwrap();
        // The ends stay open until the loop has seen the answer.
        tokio::time::sleep(Duration::from_millis(50)).await;
    });
    assert_eq!(exit, Exit::Left(Leave::Detach));
    assert!(paper.drawn >= 2, "{}", paper.drawn);
}

#[test]
fn a_flood_of_news_is_drawn_thirty_times_a_second() {
    let start = Instant::now();
    let (exit, paper) = play(|world| async move {
        let world = &world;
        for _ in 0..40 {
            for _ in 0..50 {
                world.updates.send(Update::Console(b"spam\r\n".to_vec())).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.updates.send(Update::Ended(None)).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    });
    assert_eq!(exit, Exit::Ended(None));
    let most = start.elapsed().as_millis() as usize / 33 + 2;
    assert!((2..=most).contains(&paper.drawn), "{} drawings, at most {most}", paper.drawn);
}

#[test]
fn suspending_lets_go_of_the_keyboard() {
    let (_, paper) = play(|world| async move {
        let world = &world;
        world.press('z', KeyModifiers::CONTROL);
        world.press('l', KeyModifiers::CONTROL);
        world.press('q', KeyModifiers::NONE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    });
    assert_eq!((paper.suspended, paper.forgotten), (1, 1));
}

#[test]
fn a_terminal_that_goes_away_leaves_the_guest() {
    let (exit, _) = play(|mut world| async move {
        world.updates.send(stopped_view()).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let World { keys, .. } = &mut world;
        drop(std::mem::replace(keys, mpsc::unbounded_channel().0));
        let ask = world.asked().await;
        assert_eq!(ask.request, Request::Leave(Leave::Detach));
        ask.reply.send(Ok(Answer::Done {})).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    });
    assert_eq!(exit, Exit::Left(Leave::Detach));
}

#[test]
fn a_screen_that_cannot_be_drawn_leaves_the_guest() {
    let paper = Paper { breaks_at: Some(2), ..Paper::default() };
    let (exit, paper) = play_on(paper, |mut world| async move {
        // The first drawing is the empty screen.
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.updates.send(stopped_view()).unwrap();
        let ask = world.asked().await;
        assert_eq!(ask.request, Request::Leave(Leave::Detach));
        tokio::time::sleep(Duration::from_millis(100)).await;
        ask.reply.send(Ok(Answer::Done {})).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    });
    assert_eq!((exit, paper.drawn), (Exit::Left(Leave::Detach), 2));
}

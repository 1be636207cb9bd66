//! The loop with a stream of keys for a terminal and a channel for a session.

use super::{App, Bench, fixture};
use crate::session::answer::Answer;
use crate::session::request::{Ask, Handle, Leave, Request, Step, Update};
use crate::session::view::State;
use crate::ui::message::Exit;
use crate::ui::run::{Screen, run};
use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use futures_util::stream::{self, Stream, StreamExt};
use std::os::unix::process::ExitStatusExt;
use std::{
    cell::RefCell, io, path::Path, path::PathBuf, pin::Pin, process::ExitStatus, rc::Rc, sync::Arc,
    time::Duration, time::Instant,
};
use tokio::sync::{Mutex, mpsc};

/// Counts what is asked of it.
#[derive(Default)]
struct Paper {
    drawn: usize,
    forgotten: usize,
    suspended: usize,
    copied: Vec<String>,
    edited: Vec<(PathBuf, u32)>,
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
    fn mouse(&mut self, _: bool) -> io::Result<()> {
        Ok(())
    }
    fn suspend(&mut self) -> io::Result<()> {
        self.suspended += 1;
        assert_eq!(*self.live_streams.borrow(), 0, "the shell would fight for the keys");
        Ok(())
    }
    fn copy(&mut self, text: &str) -> io::Result<()> {
        self.copied.push(text.to_string());
        Ok(())
    }
    fn edit(&mut self, path: &Path, line: u32) -> io::Result<(String, ExitStatus)> {
        assert_eq!(*self.live_streams.borrow(), 0, "the editor would fight for the keys");
        self.edited.push((path.to_path_buf(), line));
        Ok(("vi".into(), ExitStatus::from_raw(0)))
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
    let (_, files) = mpsc::unbounded_channel();
    let world = World { keys, updates, asks };
    let exit = runtime.block_on(async {
        let (exit, ()) =
            tokio::join!(run(app, handle, news, files, &mut paper, input), script(world));
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
fn the_mouse_the_clipboard_and_the_editor() {
    let kind = MouseEventKind::Down(MouseButton::Left);
    let event = |kind, column, row| {
        Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    };
    let (_, paper) = play(|mut world| async move {
        world.updates.send(stopped_view()).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        // What means nothing, and a press on the mark of the line below the pc.
        world.keys.send(event(MouseEventKind::Moved, 3, 3)).unwrap();
        world.keys.send(event(MouseEventKind::Down(MouseButton::Right), 3, 3)).unwrap();
        world.keys.send(event(kind, 0, 8)).unwrap();
        let ask = loop {
            match world.asked().await.request {
                Request::Want(_) => {}
                other => break other,
            }
        };
        assert!(
            matches!(&ask, Request::Toggle(at) if at.starts_with("hgfs/request.c:")),
            "{ask:?}"
        );
        world.press('.', KeyModifiers::NONE);
        world.press('y', KeyModifiers::NONE);
        world.press('e', KeyModifiers::NONE);
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.updates.send(Update::Ended(None)).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    });
    assert_eq!(paper.copied.len(), 1);
    let [(path, line)] = &paper.edited[..] else { panic!("{:?}", paper.edited) };
    assert!(path.ends_with("hgfs/request.c") && *line > 1);
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

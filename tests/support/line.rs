//! Programs, ports and links for the tests that use real ones.

use std::{
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use super::tools::tool;
use kgdb_tui::link::{Link, endpoint::Endpoint};
use tokio::net::TcpListener;

/// A program that ends with the test.
pub struct Program(Child);

impl Program {
    /// Starts it.
    pub fn start(name: &'static str, arguments: &[&str]) -> Program {
        let child = tool(name)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Program(child.unwrap_or_else(|error| panic!("{name}: {error}")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that was free a moment ago.
pub async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// Opens a link that comes up in a moment.
pub async fn open(address: &str) -> Link {
    let endpoint: Endpoint = address.parse().expect("an address");
    let start = Instant::now();
    loop {
        match Link::open(&endpoint).await {
            Ok(link) => return link,
            Err(error) if error.is_temporary() && start.elapsed() < Duration::from_secs(10) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{address}: {error}"),
        }
    }
}

/// Waits until a file is there.
pub async fn wait_for(path: &Path) {
    for _ in 0..500 {
        if path.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} did not appear", path.display());
}

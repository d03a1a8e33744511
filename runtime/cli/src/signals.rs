//! Ctrl-C and SIGTERM.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Those that have come since they are watched. A thread of its own counts them, so that none goes by between
/// two asynchronous runtimes, and one that a failed supervisor took with it is known to the next.
#[derive(Debug, Clone)]
pub struct Signals {
    come: watch::Receiver<u32>,
    seen: u32,
}

impl Signals {
    /// Watches from now on.
    ///
    /// # Errors
    /// When the system gives no handler or no thread.
    pub fn watch() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            )
        };
        let (sender, come) = watch::channel(0);
        let count = async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    () = sender.closed() => return,
                }
                sender.send_modify(|come| *come += 1);
            }
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || runtime.block_on(count))?;
        Ok(Self { come, seen: 0 })
    }

    /// Waits for the next of them.
    pub async fn next(&mut self) {
        let seen = self.seen;
        if self.come.wait_for(|&come| come > seen).await.is_err() {
            // Nobody counts any more: none will come.
            std::future::pending::<()>().await;
        }
        self.seen += 1;
    }
}

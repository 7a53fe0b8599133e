//! The business listener. It has a runtime of its own, so that closing it ends its open connections too: a caller with
//! a kept-alive connection sees the same refusal as a new one.

use anyhow::Context;
use axum::Router;
use parking_lot::Mutex;
use std::net::{SocketAddr, TcpListener};
use tokio::runtime::{Builder, Runtime};

pub struct Door {
    address: SocketAddr,
    runtime: Mutex<Option<Runtime>>,
}

impl Door {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, runtime: Mutex::new(None) }
    }

    pub fn is_open(&self) -> bool {
        self.runtime.lock().is_some()
    }

    /// Listens and serves; an open door stays as it is.
    pub fn open(&self, router: Router) -> anyhow::Result<()> {
        let mut runtime = self.runtime.lock();
        if runtime.is_some() {
            return Ok(());
        }
        let listener = TcpListener::bind(self.address)
            .with_context(|| format!("cannot listen on {} for business", self.address))?;
        listener.set_nonblocking(true)?;
        let fresh = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        {
            let _inside = fresh.enter();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            fresh.spawn(async move { axum::serve(listener, router).await });
        }
        *runtime = Some(fresh);
        Ok(())
    }

    /// Stops listening and drops every connection; requests under way are lost.
    pub fn close(&self) {
        if let Some(runtime) = self.runtime.lock().take() {
            // Not a plain drop: this may be called from the admin runtime, where waiting is not allowed.
            runtime.shutdown_background();
        }
    }
}

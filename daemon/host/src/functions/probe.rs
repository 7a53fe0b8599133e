//! Active probes: reach a named endpoint, without asking it anything.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::or_answer;
use crate::broker::{Asks, CallFacts};
use crate::contract::host::probe as wit;
use crate::contract::host::types::{ErrorKind, HostError};
use crate::http::handshake;
use crate::session::{Session, error};
use crate::text;

/// 10 s: whoever needs longer to accept a connection is down.
const TIMEOUT_MS_MAX: u32 = 10_000;

impl Session {
    fn time_for(&self, timeout_ms: u32) -> Duration {
        let asked = Duration::from_millis(u64::from(timeout_ms.clamp(1, TIMEOUT_MS_MAX)));
        asked.min(self.meter.remaining())
    }
}

fn since_us(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
}

impl wit::Host for Session {
    async fn tcp(
        &mut self,
        endpoint: String,
        timeout_ms: u32,
    ) -> wasmtime::Result<Result<wit::Outcome, HostError>> {
        let asks = Asks::Endpoint { name: &endpoint };
        or_answer!(self.admit(CallFacts { function: "probe.tcp", subject: endpoint.clone(), asks }).await?);
        let plugin = self.plugin.clone();
        let target = or_answer!(plugin.endpoint(&endpoint));
        let timeout = self.time_for(timeout_ms);
        let started = Instant::now();
        let connect = async {
            let addresses = target.addresses().await?;
            TcpStream::connect(addresses.as_slice()).await.map(drop).map_err(|error| error.to_string())
        };
        let (ok, detail) = match tokio::time::timeout(timeout, connect).await {
            Ok(Ok(())) => (true, "connected".to_owned()),
            Ok(Err(why)) => (false, why),
            Err(_) => (false, format!("no connection within {} ms", timeout.as_millis())),
        };
        Ok(Ok(wit::Outcome { ok, latency_us: since_us(started), detail }))
    }

    async fn tls(
        &mut self,
        endpoint: String,
        timeout_ms: u32,
    ) -> wasmtime::Result<Result<wit::Outcome, HostError>> {
        let asks = Asks::Endpoint { name: &endpoint };
        or_answer!(self.admit(CallFacts { function: "probe.tls", subject: endpoint.clone(), asks }).await?);
        let plugin = self.plugin.clone();
        let target = or_answer!(plugin.endpoint(&endpoint));
        let timeout = self.time_for(timeout_ms);
        let started = Instant::now();
        let (ok, detail) = match tokio::time::timeout(timeout, handshake(target)).await {
            Ok(Ok(seen)) => (seen.verified, seen.to_json()),
            Ok(Err(why)) => (false, text::plain(&why, 1024)),
            Err(_) => (false, format!("no handshake within {} ms", timeout.as_millis())),
        };
        or_answer!(self.lend(detail.len()));
        Ok(Ok(wit::Outcome { ok, latency_us: since_us(started), detail }))
    }

    async fn dns(&mut self, name: String) -> wasmtime::Result<Result<Vec<String>, HostError>> {
        let asks = Asks::HostName { name: &name };
        or_answer!(self.admit(CallFacts { function: "probe.dns", subject: name.clone(), asks }).await?);
        let plugin = self.plugin.clone();
        let host = plugin
            .endpoints
            .get(&name)
            .and_then(|endpoint| endpoint.address.base.host_str())
            .unwrap_or(&name);
        let lookup = tokio::time::timeout(self.meter.remaining(), tokio::net::lookup_host((host, 0))).await;
        Ok(match lookup {
            Ok(Ok(found)) => Ok(found.map(|address| address.ip().to_string()).collect()),
            Ok(Err(why)) => {
                Err(error(ErrorKind::NotFound, "DNS_FAILED", format!("cannot resolve {host}: {why}")))
            }
            Err(_) => {
                Err(error(ErrorKind::Timeout, "DNS_TIMEOUT", format!("no answer about {host} in time")))
            }
        })
    }
}

//! Where everything of a lab is: one directory, one block of ports, written down in `<dir>/plan.json` so that every
//! process of the lab, and who comes later, finds the rest.

use crate::{topology::Service, whole_file};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU16, Ordering},
};

/// Ports a lab needs: two a service, Prometheus, Alertmanager.
const PORTS: u16 = 12;
/// Below the range from which the kernel (by default, from 32768) takes the ports of outgoing connections: a port that
/// is free for a moment, because its service restarts, is not taken by one of our own calls.
const PORTS_FROM: u16 = 18_000;
const BLOCKS: u16 = (32_000 - PORTS_FROM) / PORTS;

/// The lab's layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub dir: PathBuf,
    pub seed: u64,
    /// Orders a second.
    pub load_rps: u32,
    /// Prometheus and Alertmanager run too.
    pub prometheus: bool,
    /// The first port of the block.
    pub port: u16,
}

/// What the keeper has started, in `<dir>/keeper.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeeperState {
    pub pid: i32,
    /// Process id of each part as it runs now.
    pub pids: BTreeMap<String, u32>,
    /// How often each part was started.
    pub starts: BTreeMap<String, u32>,
}

impl Plan {
    /// Reads the plan of the lab in the directory.
    pub fn read(dir: &Path) -> anyhow::Result<Self> {
        whole_file::read_json(&dir.join("plan.json"))?
            .with_context(|| format!("there is no lab in {}", dir.display()))
    }

    /// Makes the directories and a fresh admin token, and writes the plan down.
    pub fn write(&self) -> anyhow::Result<()> {
        for part in ["logs", "state", "run", "prometheus", "alertmanager"] {
            let path = self.dir.join(part);
            fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        }
        whole_file::replace(&self.admin_token_path(), random_token()?.as_bytes())?;
        whole_file::replace_json(&self.dir.join("plan.json"), self)
    }

    pub fn log_dir(&self) -> PathBuf {
        self.dir.join("logs")
    }

    pub fn state_dir(&self, service: Service) -> PathBuf {
        self.dir.join("state").join(service.name())
    }

    /// What a part that has no log of its own says on stdout and stderr.
    pub fn output_path(&self, part: &str) -> PathBuf {
        self.dir.join("run").join(format!("{part}.out"))
    }

    pub fn admin_token_path(&self) -> PathBuf {
        self.dir.join("admin-token")
    }

    pub fn read_admin_token(&self) -> anyhow::Result<String> {
        let path = self.admin_token_path();
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    pub fn keeper_path(&self) -> PathBuf {
        self.dir.join("keeper.json")
    }

    /// What the keeper last wrote; nothing before its first start.
    pub fn keeper(&self) -> anyhow::Result<KeeperState> {
        Ok(whole_file::read_json(&self.keeper_path())?.unwrap_or_default())
    }

    pub fn business_address(&self, service: Service) -> SocketAddr {
        self.address(service as u16 * 2)
    }

    pub fn admin_address(&self, service: Service) -> SocketAddr {
        self.address(service as u16 * 2 + 1)
    }

    pub fn prometheus_address(&self) -> SocketAddr {
        self.address(PORTS - 2)
    }

    pub fn alertmanager_address(&self) -> SocketAddr {
        self.address(PORTS - 1)
    }

    pub fn business_url(&self, service: Service) -> String {
        format!("http://{}", self.business_address(service))
    }

    pub fn admin_url(&self, service: Service) -> String {
        format!("http://{}", self.admin_address(service))
    }

    pub fn prometheus_url(&self) -> String {
        format!("http://{}", self.prometheus_address())
    }

    pub fn alertmanager_url(&self) -> String {
        format!("http://{}", self.alertmanager_address())
    }

    fn address(&self, offset: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port + offset))
    }
}

/// The first port of a block that is free now. Labs of different processes, and of one process, look in different
/// places first.
pub fn free_ports() -> anyhow::Result<u16> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let by_process = (std::process::id() % u32::from(BLOCKS)) as u16;
    for _ in 0..BLOCKS {
        // Steps of a prime, so that labs of processes with neighbouring ids keep out of each other's way.
        let step = TAKEN.fetch_add(1, Ordering::SeqCst).wrapping_mul(101) % BLOCKS;
        let port = PORTS_FROM + (by_process + step) % BLOCKS * PORTS;
        let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if (port..port + PORTS).all(is_free) {
            return Ok(port);
        }
    }
    anyhow::bail!("no {PORTS} ports in a row are free on 127.0.0.1 between {PORTS_FROM} and 32000")
}

fn random_token() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 24];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("cannot make an admin token")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, os::unix::fs::PermissionsExt};

    fn plan(dir: &Path) -> Plan {
        Plan { dir: dir.to_owned(), seed: 1, load_rps: 30, prometheus: true, port: 20_000 }
    }

    #[test]
    fn every_address_is_its_own_and_within_the_block() {
        let plan = plan(Path::new("/nowhere"));
        let mut ports: BTreeSet<u16> =
            [plan.prometheus_address(), plan.alertmanager_address()].map(|a| a.port()).into();
        for service in Service::ALL {
            ports.extend([plan.business_address(service).port(), plan.admin_address(service).port()]);
        }
        assert_eq!(ports, (20_000..20_000 + PORTS).collect());
    }

    #[test]
    fn a_plan_is_found_again_and_its_token_is_its_owners() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Plan::read(directory.path()).unwrap_err().to_string().contains("there is no lab"));
        let plan = plan(directory.path());
        plan.write().unwrap();
        assert_eq!(Plan::read(directory.path()).unwrap(), plan);
        assert_eq!(plan.read_admin_token().unwrap().len(), 48);
        assert_eq!(fs::metadata(plan.admin_token_path()).unwrap().permissions().mode() & 0o077, 0);
    }

    #[test]
    fn two_labs_of_a_process_get_different_ports() {
        assert_ne!(free_ports().unwrap(), free_ports().unwrap());
    }
}

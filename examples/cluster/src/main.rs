//! Serves a small shop of two workloads, and writes a kubeconfig to reach it with.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use medic_cluster::{Cluster, Role};
use serde_json::json;

/// A scripted API server to try Kubernetes tools on, without a cluster.
///
/// In namespace `shop` there are Deployment `checkout` (three pods, a disruption budget of two, an older revision) and
/// Deployment `store`. Whoever presents the token may do everything. Nothing is kept when it ends.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 for any
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// File for a kubeconfig; its context is `shop`
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let cluster = Cluster::listen(arguments.listen).await.context("cannot listen")?;
    cluster
        .let_in("shop", "medic", Role::admin())
        .deployment("shop", "checkout", 3, "shop/checkout:1")
        .deployment("shop", "store", 1, "shop/store:1")
        .budget("shop", "checkout", 2)
        .object("v1", "Node", "nodes", None, "node-1", json!({ "spec": {} }));
    let newer = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "main", "image": "shop/checkout:2" }] } } } });
    cluster.touch("apps", "deployments", Some("shop"), "checkout", &newer);
    std::fs::write(&arguments.kubeconfig, cluster.kubeconfig("shop", "shop"))
        .with_context(|| format!("cannot write {}", arguments.kubeconfig.display()))?;
    println!("{}", cluster.url());
    tokio::signal::ctrl_c().await.context("cannot wait for the end")?;
    Ok(())
}

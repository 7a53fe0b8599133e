//! Which addresses a request may go to, asked after the name is resolved: a name is a promise, an address is a fact.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Stands in every refusal, so that it can be told from a failure to connect.
pub const REFUSED: &str = "address refused";

/// Why an address is refused; `None` when a request may go there.
pub fn refused(ip: IpAddr, private: bool) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => refused_v4(ip, private),
        IpAddr::V6(ip) => refused_v6(ip, private),
    }
}

fn refused_v4(ip: Ipv4Addr, private: bool) -> Option<&'static str> {
    let [a, b, ..] = ip.octets();
    if ip.is_link_local() || ip == Ipv4Addr::new(100, 100, 100, 200) || ip == Ipv4Addr::new(192, 0, 0, 192) {
        return Some("link-local and metadata addresses are never reached");
    }
    if a == 0 || a >= 224 {
        return Some("it is no address of one host");
    }
    let shared = a == 100 && (64..128).contains(&b);
    // Networks for measuring devices are some operator's own.
    let bench = a == 198 && (b == 18 || b == 19);
    if (ip.is_loopback() || ip.is_private() || shared || bench) && !private {
        return Some("it is a loopback or private address, and the endpoint does not say `private = true`");
    }
    None
}

fn refused_v6(ip: Ipv6Addr, private: bool) -> Option<&'static str> {
    let [first, second, .., last] = ip.segments();
    let upper_zero = ip.segments().iter().take(6).all(|segment| *segment == 0);
    if ip == Ipv6Addr::LOCALHOST {
        return (!private)
            .then_some("it is a loopback address, and the endpoint does not say `private = true`");
    }
    let carries_v4 = ip.to_ipv4_mapped().is_some() // ::ffff:0:0/96
        || upper_zero                              // ::/96, compatible; :: itself too
        || first == 0x2002                         // 6to4
        || (first == 0x64 && second == 0xff9b)     // NAT64
        || (first == 0x2001 && second == 0) // Teredo
        || matches!(ip.segments(), [.., 0 | 0x200, 0x5efe, _, _]); // ISATAP
    if carries_v4 {
        return Some("an IPv4 address inside an IPv6 one would slip past the rules for IPv4");
    }
    if ip.is_unicast_link_local() || (first == 0xfd00 && second == 0xec2 && last == 0x254) {
        return Some("link-local and metadata addresses are never reached");
    }
    if ip.is_multicast() {
        return Some("it is no address of one host");
    }
    let site_local = first & 0xffc0 == 0xfec0;
    ((ip.is_unique_local() || site_local) && !private)
        .then_some("it is a private address, and the endpoint does not say `private = true`")
}

/// Addresses written in the URL never meet a resolver; they are checked here.
pub fn refused_host(url: &Url, private: bool) -> Option<String> {
    let ip = match url.host()? {
        Host::Ipv4(ip) => IpAddr::V4(ip),
        Host::Ipv6(ip) => IpAddr::V6(ip),
        Host::Domain(_) => return None,
    };
    refused(ip, private).map(|why| format!("{REFUSED}: {ip}: {why}"))
}

/// # Errors
/// The name does not resolve, or any of its addresses is refused: a name that mixes them is up to something.
pub async fn resolve(host: &str, port: u16, private: bool) -> Result<Vec<SocketAddr>, String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((bare, port))
        .await
        .map_err(|error| format!("cannot resolve {host}: {error}"))?;
    let addresses: Vec<_> = found.collect();
    for address in &addresses {
        if let Some(why) = refused(address.ip(), private) {
            return Err(format!("{REFUSED}: {host} is {}: {why}", address.ip()));
        }
    }
    Ok(addresses)
}

pub struct GuardedResolver {
    pub private: bool,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let addresses = resolve(name.as_str(), 0, private).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_and_disguised_addresses_are_refused_even_for_private_endpoints() {
        for ip in [
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::10.0.0.1",
            "::",
            "2002:a00:1::",
            "64:ff9b::a00:1",
            "2001::1",
            "2606:2800:220:1:0:5efe:a00:1",
            "fe80::200:5efe:a00:1",
            "ff02::1",
        ] {
            assert!(refused(ip.parse().unwrap(), true).is_some(), "{ip}");
        }
    }

    #[test]
    fn loopback_and_private_addresses_need_the_operators_word() {
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "::1",
            "fd12::1",
            "fec0::1",
        ] {
            assert!(refused(ip.parse().unwrap(), false).is_some(), "{ip}");
            assert_eq!(refused(ip.parse().unwrap(), true), None, "{ip}");
        }
        for ip in ["93.184.216.34", "2606:2800:220:1::1"] {
            assert_eq!(refused(ip.parse().unwrap(), false), None, "{ip}");
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_resolves_to() {
        assert!(resolve("localhost", 80, false).await.unwrap_err().contains(REFUSED));
        assert!(!resolve("localhost", 80, true).await.unwrap().is_empty());
    }

    #[test]
    fn an_address_in_the_url_is_judged_without_a_resolver() {
        let host = |text: &str, private| refused_host(&Url::parse(text).unwrap(), private);
        assert!(host("http://169.254.169.254/", true).is_some());
        assert!(host("http://[::ffff:7f00:1]/", true).is_some());
        assert!(host("http://2130706433/", false).is_some(), "a number is an address too");
        assert!(host("http://127.0.0.1/", true).is_none());
    }
}

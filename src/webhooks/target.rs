//! Target: where deliveries may be sent.
//!
//! A URL is written by a user, and the request is made by this machine, behind its firewalls. So unless the operator
//! says otherwise only public addresses are reached, and only over TLS. A name is judged by the very addresses that are
//! connected to, when they are looked up: what it pointed to before says nothing.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// The longest URL.
const LONGEST: usize = 2_048;

/// Why a URL is not sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetRefused {
    /// It is none.
    #[error("is not a URL of the form https://host/path")]
    NoUrl,
    /// It is too long.
    #[error("is longer than {LONGEST} characters")]
    TooLong,
    /// It is not HTTPS.
    #[error("must begin with https://")]
    NotTls,
    /// It carries a user's name or password.
    #[error("must not contain a user's name or password")]
    Credentials,
    /// It leads to a private, local or reserved address.
    #[error("leads to a private, local or reserved address, which this daemon does not send to")]
    Private,
}

/// What may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses, over TLS.
    Public,
    /// Every address, also over plain HTTP.
    Anywhere,
}

impl Reach {
    /// The URL, if it may be sent to as far as it says itself. A name is judged again when it is looked up.
    ///
    /// # Errors
    /// Why it may not.
    pub fn admits(self, text: &str) -> Result<Url, TargetRefused> {
        if text.len() > LONGEST {
            return Err(TargetRefused::TooLong);
        }
        let url = Url::parse(text).map_err(|_| TargetRefused::NoUrl)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(TargetRefused::NoUrl);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetRefused::Credentials);
        }
        let host = url.host().ok_or(TargetRefused::NoUrl)?;
        if self == Self::Anywhere {
            return Ok(url);
        }
        if url.scheme() != "https" {
            return Err(TargetRefused::NotTls);
        }
        let public = match host {
            Host::Ipv4(address) => is_public(address.into()),
            Host::Ipv6(address) => is_public(address.into()),
            Host::Domain(name) => {
                let name = name.trim_end_matches('.');
                name != "localhost" && !name.ends_with(".localhost")
            }
        };
        if public { Ok(url) } else { Err(TargetRefused::Private) }
    }
}

/// Looks names up, and gives away only addresses that may be reached.
impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let may: Vec<SocketAddr> = found.filter(|it| reach == Self::Anywhere || is_public(it.ip())).collect();
            if may.is_empty() {
                return Err(io::Error::other(format!("the name {}", TargetRefused::Private)).into());
            }
            Ok(Box::new(may.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the public internet: none of IANA's special-purpose ones.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        (0 | 10 | 127 | 224.., ..) => true, // this network, private, loopback, multicast and reserved
        (100, 64..128, _) => true,          // shared by a provider's customers
        (169, 254, _) => true,              // link-local: also the clouds' metadata
        (172, 16..32, _) | (192, 168, _) => true, // private
        (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113) => true, // protocols, documentation
        (192, 88, 99) => true,              // relays to IPv6
        (198, 18..20, _) => true,           // benchmarks
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Forms that lead to an IPv4 address are what that one is.
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        let [.., a, b, c, d] = address.octets();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    match segments {
        [0x2001, second, ..] if second < 0x200 => false, // protocols, among them Teredo
        [0x2001, 0xdb8, ..] => false,                    // documentation
        [0x2002, ..] => false,                           // 6to4: an IPv4 address in disguise
        [0x3fff, second, ..] if second < 0x1000 => false, // documentation
        [first, ..] => (0x2000..0x4000).contains(&first), // the only block of public ones
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for public in ["1.1.1.1", "100.63.0.1", "172.32.0.1", "192.0.1.1", "198.20.0.1", "223.255.255.255"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for public in ["2606:4700::1111", "2001:4860::8888", "64:ff9b::101:101", "::ffff:1.1.1.1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
        for special in [
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
    }

    #[test]
    fn a_url_is_judged_by_what_it_means_not_by_how_it_is_written() {
        let judge = |url: &str| Reach::Public.admits(url).err();
        assert_eq!(judge("https://hooks.example.com:8443/in?k=v"), None);
        for (url, refused) in [
            ("hooks.example.com", TargetRefused::NoUrl),
            ("ftp://hooks.example.com", TargetRefused::NoUrl),
            ("http://hooks.example.com", TargetRefused::NotTls),
            ("https://user@hooks.example.com", TargetRefused::Credentials),
            ("https://:word@hooks.example.com", TargetRefused::Credentials),
            ("https://127.0.0.1/", TargetRefused::Private),
            ("https://2130706433/", TargetRefused::Private),
            ("https://0x7f.1/", TargetRefused::Private),
            ("https://0177.0.0.1/", TargetRefused::Private),
            ("https://[::1]/", TargetRefused::Private),
            ("https://[::ffff:169.254.169.254]/", TargetRefused::Private),
            ("https://LOCALHOST/", TargetRefused::Private),
            ("https://api.localhost./", TargetRefused::Private),
        ] {
            assert_eq!(judge(url), Some(refused), "{url}");
        }
        assert_eq!(judge(&format!("https://hooks.example.com/{}", "x".repeat(LONGEST))), Some(TargetRefused::TooLong));
        assert!(Reach::Anywhere.admits("http://127.0.0.1:8080/").is_ok());
        assert_eq!(Reach::Anywhere.admits("file:///etc/passwd").err(), Some(TargetRefused::NoUrl));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_not_connected_to() {
        let name = || "localhost".parse::<Name>().unwrap();
        let refused = Reach::Public.resolve(name()).await.err().expect("an error");
        assert!(refused.to_string().contains("private"), "{refused}");
        assert!(Reach::Anywhere.resolve(name()).await.is_ok());
    }
}

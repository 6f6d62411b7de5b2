//! Endpoints as 0MQ writes them: `tcp://host:port`, `tcp://[::1]:port`, `ipc:///path`, `ipc://@name`.
//!
//! Both ends read them here, so that a text means the same to the program that logs and to
//! the daemon. Names are not resolved: that takes time, and is done where it may.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::Error;

/// A Unix socket's path must fit `sockaddr_un`, its closing NUL included.
const PATH_BYTES: usize = 107;

/// A place to connect to or to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A host (name, address without brackets, or `*`) and a port.
    Tcp {
        /// Name or address.
        host: String,
        /// Port; 0 lets the system choose.
        port: u16,
    },
    /// A Unix socket in the file system.
    Path(PathBuf),
    /// A Unix socket in Linux's abstract namespace.
    Abstract(String),
}

impl Endpoint {
    /// Read an endpoint.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        parse(text).map_err(|reason| Error::BadEndpoint { endpoint: text.to_owned(), reason })
    }
}

/// Whether only this machine can reach the endpoint. What cannot be read is not loopback.
///
/// `localhost` counts; other names do not, since they may resolve to anything tomorrow.
#[must_use]
pub fn is_loopback(endpoint: &str) -> bool {
    match parse(endpoint) {
        Ok(Endpoint::Path(_) | Endpoint::Abstract(_)) => true,
        Ok(Endpoint::Tcp { host, .. }) => {
            host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(loops)
        }
        Err(_) => false,
    }
}

fn loops(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback()),
    }
}

fn parse(text: &str) -> Result<Endpoint, &'static str> {
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("it has a space or a control character in it");
    }
    match text.split_once("://") {
        Some(("tcp", rest)) => tcp(rest),
        Some(("ipc", rest)) => ipc(rest),
        Some(_) => Err("only tcp:// and ipc:// are known"),
        None => Err("it must start with tcp:// or ipc://"),
    }
}

fn tcp(rest: &str) -> Result<Endpoint, &'static str> {
    let (host, port) = rest.rsplit_once(':').ok_or("the port is missing")?;
    let port = if port == "*" { 0 } else { digits(port).ok_or("the port is not a number up to 65535")? };
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').ok_or("a closing ] is missing")?,
        None if host.contains(':') => return Err("an IPv6 address needs [ ] around it"),
        None => host,
    };
    if host.is_empty() {
        return Err("the host is missing");
    }
    Ok(Endpoint::Tcp { host: host.to_owned(), port })
}

fn digits(text: &str) -> Option<u16> {
    // `parse` alone would take "+5010".
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn ipc(rest: &str) -> Result<Endpoint, &'static str> {
    if rest.len() > PATH_BYTES {
        return Err("the path is longer than a Unix socket's may be (107 bytes)");
    }
    match rest.strip_prefix('@') {
        Some("") => Err("the name is missing"),
        Some(name) => Ok(Endpoint::Abstract(name.to_owned())),
        None if rest.is_empty() => Err("the path is missing"),
        None => Ok(Endpoint::Path(PathBuf::from(rest))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> &'static str {
        parse(text).expect_err(text)
    }

    #[test]
    fn reads_what_users_write() {
        let tcp = |host: &str, port| Endpoint::Tcp { host: host.to_owned(), port };
        assert_eq!(parse("tcp://127.0.0.1:5010"), Ok(tcp("127.0.0.1", 5010)));
        assert_eq!(parse("tcp://[::1]:5010"), Ok(tcp("::1", 5010)));
        assert_eq!(parse("tcp://*:*"), Ok(tcp("*", 0)));
        assert_eq!(parse("ipc:///run/d.sock"), Ok(Endpoint::Path("/run/d.sock".into())));
        assert_eq!(parse("ipc://@d"), Ok(Endpoint::Abstract("d".to_owned())));
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(reason("127.0.0.1:5010"), "it must start with tcp:// or ipc://");
        assert_eq!(reason("udp://127.0.0.1:5010"), "only tcp:// and ipc:// are known");
        assert_eq!(reason("tcp://127.0.0.1"), "the port is missing");
        for port in ["65536", "-1", "+5010", "http", ""] {
            assert_eq!(reason(&format!("tcp://h:{port}")), "the port is not a number up to 65535");
        }
        assert_eq!(reason("tcp://::1:5010"), "an IPv6 address needs [ ] around it");
        assert_eq!(reason("tcp://[::1:5010"), "a closing ] is missing");
        assert_eq!(reason("tcp://:5010"), "the host is missing");
        assert_eq!(reason("ipc://"), "the path is missing");
        assert_eq!(reason("ipc://@"), "the name is missing");
        assert_eq!(reason("tcp://h:1\n"), "it has a space or a control character in it");
        assert!(reason(&format!("ipc://{}", "p".repeat(108))).contains("107 bytes"));
    }

    #[test]
    fn loopback_is_what_only_this_machine_reaches() {
        for yes in [
            "tcp://127.0.0.1:1",
            "tcp://127.9.9.9:1",
            "tcp://[::1]:1",
            "tcp://LocalHost:1",
            "ipc:///x",
            "tcp://[::ffff:127.0.0.1]:1",
        ] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in [
            "tcp://*:1",
            "tcp://0.0.0.0:1",
            "tcp://[::]:1",
            "tcp://10.0.0.1:1",
            "tcp://localhost.evil.example:1",
            "tcp://127.0.0.1.evil.example:1",
            "nonsense",
        ] {
            assert!(!is_loopback(no), "{no}");
        }
    }
}

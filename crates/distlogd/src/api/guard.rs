//! Who may ask. The loopback is no boundary: any page in a browser can send requests to it, and a name that an
//! attacker owns can be made to point at it (DNS rebinding).
//!
//! - `Host` must be this machine: `localhost`, a loopback address, the address listened on, or a configured name; else 421.
//! - `Origin`, if there is one, must be the page of this very server; else 403.
//! - No CORS header is ever sent, and every answer forbids what the page does not need.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::state::{Parts, Refusal};

const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Turns away who may not ask; adds the headers to every answer.
pub(super) async fn guard(Shared(parts): Shared<Arc<Parts>>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&parts, &request) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn refusal(parts: &Parts, request: &Request) -> Option<Refusal> {
    let host = request
        .uri()
        .authority()
        .map(|authority| authority.as_str())
        .or_else(|| single(request.headers(), &header::HOST));
    let Some(host) = host.filter(|host| is_allowed(parts, host)) else {
        let message =
            "this server does not answer under that name; add it to `http: {hosts: […]}` if it should";
        return Some(Refusal::new(StatusCode::MISDIRECTED_REQUEST, message));
    };
    if !request.headers().contains_key(header::ORIGIN) {
        return None;
    }
    let origin = single(request.headers(), &header::ORIGIN).and_then(|origin| origin.split_once("://"));
    let is_ours = origin.is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
    (!is_ours).then(|| Refusal::new(StatusCode::FORBIDDEN, "pages of other servers may not ask"))
}

/// The header's value, if there is exactly one.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

fn is_allowed(parts: &Parts, authority: &str) -> bool {
    let Some(name) = name_of(authority) else { return false };
    if name == "localhost"
        || parts.state.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(&name))
    {
        return true;
    }
    let Ok(address) = name.parse::<IpAddr>() else { return false };
    let listens = parts.listens.map(|listens| listens.ip());
    // Who listens everywhere has many addresses; a name that points at one of them is still refused.
    address.is_loopback()
        || listens == Some(address)
        || listens.is_some_and(|listens| listens.is_unspecified())
}

/// The name without its port and brackets, in lower case.
fn name_of(authority: &str) -> Option<String> {
    let (name, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_port = port
        .strip_prefix(':')
        .map_or(port.is_empty(), |port| port.bytes().all(|digit| digit.is_ascii_digit()));
    is_port.then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_without_ports() {
        for (authority, name) in [
            ("localhost", Some("localhost")),
            ("LocalHost:5012", Some("localhost")),
            ("[::1]:5012", Some("::1")),
            ("[::1]", Some("::1")),
            ("127.0.0.1:80", Some("127.0.0.1")),
            ("localhost:80@evil.example", None),
            ("[::1", None),
            ("::1", None),
            ("localhost:evil.example", None),
        ] {
            assert_eq!(name_of(authority).as_deref(), name, "{authority}");
        }
    }
}

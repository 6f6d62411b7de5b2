//! `distlog export`: stored records out of the store, as the API gives them, oldest first.
//!
//! Each line is a whole record with its offset, so that an export can be continued: `--from` the last offset and one.

use clap::Args;

use super::client::Client;
use super::{Choice, FOUND, Failure, Screen};

/// What `distlog export` takes.
#[derive(Debug, Args)]
pub struct ExportOptions {
    #[command(flatten)]
    choice: Choice,
    /// Only records since then: an age (10m), a time, today, yesterday
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Only records before then
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Only records from that offset on
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    from: u64,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Writes the records; an export of nothing is no failure.
pub fn run(options: &ExportOptions, client: &Client, screen: &mut Screen) -> Result<u8, Failure> {
    let parameters = vec![
        ("filter", options.choice.text()?),
        ("since", screen.time(options.since.as_deref())?),
        ("until", screen.time(options.until.as_deref())?),
        ("from", options.from.to_string()),
        ("limit", options.limit.map(|limit| limit.to_string()).unwrap_or_default()),
    ];
    for line in client.ask("/api/v1/search", &parameters)?.lines(client) {
        screen.put_line(&line?)?;
    }
    Ok(FOUND)
}

//! The program `distlogd`.

use std::process::ExitCode;

/// See the dependency's reason in `Cargo.toml`.
#[cfg(all(unix, target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    distlogd::main(&[])
}

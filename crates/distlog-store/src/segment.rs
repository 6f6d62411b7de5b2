//! One file of the store.

/// The newest format of files that this program writes and reads.
pub(crate) const FORMAT: u32 = 1;

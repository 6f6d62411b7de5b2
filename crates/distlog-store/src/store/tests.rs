//! Faults that need a hand inside: a full disk.

//! The daemon and the viewer.

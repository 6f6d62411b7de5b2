//! The store's promises, from outside.

mod crash;
mod damage;
mod follow;
mod model;
mod query;
mod retention;
mod scratch;

//! Law: a policy answers what it says, in the scope it says, with what its table, its payload rules
//! and the time make of a question; what was not asked is left alone, what has no value is removed;
//! a NOTIFY is answered by one policy from end to end.

#![cfg(test)]

mod ask;
mod attributes;
mod documented;
#[path = "../model/mmdb.rs"]
mod mmdb;
mod payload;
mod replacing;
mod table;
mod values;

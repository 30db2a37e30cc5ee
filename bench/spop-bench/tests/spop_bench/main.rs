//! `spop-bench` against agents that are right, and against everything that is not.
//!
//! Each test starts the program against a small agent on a port of its own.

#![cfg(test)]

mod agents;
mod program;
mod right;
mod wrong;

//! Nothing: the benches are the package, and what they measure is in `bench/instructions`.

//! Tests of the benchmarks: what they count is what the repository says.
mod instructions;

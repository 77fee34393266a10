//! Reading with templates, compared with reading without: the same fields, to the bit, and the same reasons.

mod decimals;
mod differential;
mod forms;
mod suite;
mod support;

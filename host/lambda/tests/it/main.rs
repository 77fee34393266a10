//! The tests of the function: `event` of its library, the others of the compiled program as Lambda runs it.

mod aggregates;
mod bad_input;
mod deadline;
mod defects;
mod emulators;
mod event;
mod faults;
mod metrics;
mod race;
mod rules;
mod support;
mod template;
mod watch;

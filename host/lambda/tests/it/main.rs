//! The tests of the function: `event` of its library, the others of the compiled program as Lambda runs it;
//! `troubleshooting`: the article on troubleshooting, with the doctor's report.

mod aggregates;
mod bad_input;
mod bad_set_up;
mod deadline;
mod defects;
mod emulators;
mod event;
mod faults;
mod metrics;
mod packaged;
mod race;
mod recreated;
mod rules;
mod support;
mod template;
mod troubleshooting;
mod upgrade;
mod watch;

//! The world `validator`: from a plugin's function to the component's exports.

use alloc::string::String;
use alloc::vec::Vec;

use crate::bindings::common::paceline::plugin::columns::{Batch, Field};
use crate::bindings::validator::exports::paceline::plugin::validation::Rejection;
use crate::panic::report_panics;
use crate::{Columns, Fields, Settings};

/// Exports a function as a validator. The function has one of two forms:
///
/// | function | use |
/// |---|---|
/// | `fn check(row: Row) -> Result<(), String>` | one record at a time |
/// | `fn check(settings: &S, row: Row) -> Result<(), String>` | the same, with settings |
///
/// `Row` derives [`Fields`](macro@crate::Fields), `S` derives [`Settings`](macro@crate::Settings). The error is the
/// reason in the dead letter: name the field, its value and the bound.
#[macro_export]
macro_rules! validator {
    ($check:path) => {
        // A native linker rejects the names that components export. Unit tests don't need them.
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;

            impl $crate::bindings::validator::exports::paceline::plugin::validation::Guest for Component {
                fn describe() -> ::core::result::Result<$crate::glue::Vec<$crate::glue::Field>, $crate::glue::String> {
                    $crate::glue::describe_validator($check)
                }

                fn validate(
                    batch: $crate::glue::Batch,
                ) -> ::core::result::Result<$crate::glue::Vec<$crate::glue::Rejection>, $crate::glue::String> {
                    $crate::glue::validate(&batch, $check)
                }
            }

    $crate::bindings::validator::export_validator!(Component with_types_in $crate::bindings::validator);
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || drop($crate::glue::describe_validator($check));
    };
}

/// A function that [`validator!`] takes. `Form` distinguishes the two forms.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "this function is not a validator",
    note = "a validator takes a struct that derives `Fields`, after a reference to a struct that derives `Settings` if \
            it has settings, and returns `Result<(), String>`"
)]
pub trait Validate<'a, Form> {
    fn fields() -> Result<Vec<Field>, String>;
    fn run(&self, batch: &'a Batch) -> Result<Vec<Rejection>, String>;
}

#[doc(hidden)]
pub struct ByRow<R>(R);
#[doc(hidden)]
pub struct ByRowWith<S, R>(S, R);

impl<'a, F, R> Validate<'a, ByRow<R>> for F
where
    F: Fn(R) -> Result<(), String>,
    R: Fields<'a>,
{
    fn fields() -> Result<Vec<Field>, String> {
        Ok(R::Columns::fields())
    }

    fn run(&self, batch: &'a Batch) -> Result<Vec<Rejection>, String> {
        rejected::<R>(batch, self)
    }
}

impl<'a, F, S, R> Validate<'a, ByRowWith<S, R>> for F
where
    F: Fn(&S, R) -> Result<(), String>,
    S: Settings,
    R: Fields<'a>,
{
    fn fields() -> Result<Vec<Field>, String> {
        S::read().map(|_| R::Columns::fields())
    }

    fn run(&self, batch: &'a Batch) -> Result<Vec<Rejection>, String> {
        let settings = S::read()?;
        rejected::<R>(batch, |row| self(&settings, row))
    }
}

fn rejected<'a, R: Fields<'a>>(
    batch: &'a Batch,
    check: impl Fn(R) -> Result<(), String>,
) -> Result<Vec<Rejection>, String> {
    let columns = R::Columns::read(batch)?;
    Ok((0..columns.rows())
        .filter_map(|row| {
            let reason = check(R::row(&columns, row)).err()?;
            Some(Rejection { row: row as u32, reason: cut(reason) })
        })
        .collect())
}

/// Bytes of a reason that every host takes by default (limit `reason-bytes`). One that names a value of the record may be
/// longer.
const REASON_BYTES: usize = 1 << 10;

/// The beginning of a reason: a host would take a longer one for a fault of the plugin.
fn cut(mut reason: String) -> String {
    const MORE: &str = "…";
    if reason.len() > REASON_BYTES {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES - MORE.len()));
        reason.push_str(MORE);
    }
    reason
}

#[doc(hidden)]
pub fn describe_validator<'a, Form, F: Validate<'a, Form>>(_: F) -> Result<Vec<Field>, String> {
    report_panics();
    F::fields()
}

#[doc(hidden)]
pub fn validate<'a, Form, F: Validate<'a, Form>>(batch: &'a Batch, f: F) -> Result<Vec<Rejection>, String> {
    report_panics();
    f.run(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_is_too_long_is_cut_between_two_characters() {
        assert_eq!(cut("é".repeat(512)), "é".repeat(512));
        let long = cut(format!("x{}", "é".repeat(5_000)));
        assert!(long.len() <= REASON_BYTES && long.ends_with("é…"), "{} bytes", long.len());
    }
}

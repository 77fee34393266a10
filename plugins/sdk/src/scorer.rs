//! The world `scorer`: from a plugin's function to the component's exports.

use alloc::string::String;
use alloc::vec::Vec;

use crate::bindings::common::paceline::plugin::columns::{Batch, Field};
use crate::panic::report_panics;
use crate::{Columns, Fields, Settings};

/// Exports a function as a scorer. The function has one of four forms:
///
/// | function | use |
/// |---|---|
/// | `fn score(row: Row) -> f64` | one record at a time |
/// | `fn score(settings: &S, row: Row) -> f64` | the same, with settings |
/// | `fn score(columns: RowColumns) -> Vec<f64>` | whole columns, for speed |
/// | `fn score(settings: &S, columns: RowColumns) -> Vec<f64>` | the same, with settings |
///
/// `Row` derives [`Fields`](macro@crate::Fields), `S` derives [`Settings`](macro@crate::Settings). A record
/// whose score is not a finite number becomes a dead letter.
#[macro_export]
macro_rules! scorer {
    ($score:path) => {
        // A native linker rejects the names that components export. Unit tests don't need them.
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;

            impl $crate::bindings::scorer::exports::paceline::plugin::scoring::Guest for Component {
                fn describe() -> ::core::result::Result<$crate::glue::Vec<$crate::glue::Field>, $crate::glue::String> {
                    $crate::glue::describe_scorer($score)
                }

                fn score(
                    batch: $crate::glue::Batch,
                ) -> ::core::result::Result<$crate::glue::Vec<f64>, $crate::glue::String> {
                    $crate::glue::score(&batch, $score)
                }
            }

    $crate::bindings::scorer::export_scorer!(Component with_types_in $crate::bindings::scorer);
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || drop($crate::glue::describe_scorer($score));
    };
}

/// A function that [`scorer!`] takes. `Form` distinguishes the four forms.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "this function is not a scorer",
    note = "a scorer takes a struct that derives `Fields` (or its `…Columns`), after a reference to a struct that \
            derives `Settings` if it has settings, and returns `f64` (or `Vec<f64>`)"
)]
pub trait Score<'a, Form> {
    fn fields() -> Result<Vec<Field>, String>;
    fn run(&self, batch: &'a Batch) -> Result<Vec<f64>, String>;
}

#[doc(hidden)]
pub struct ByRow<R>(R);
#[doc(hidden)]
pub struct ByRowWith<S, R>(S, R);
#[doc(hidden)]
pub struct ByColumns<C>(C);
#[doc(hidden)]
pub struct ByColumnsWith<S, C>(S, C);

impl<'a, F, R> Score<'a, ByRow<R>> for F
where
    F: Fn(R) -> f64,
    R: Fields<'a>,
{
    fn fields() -> Result<Vec<Field>, String> {
        Ok(R::Columns::fields())
    }

    fn run(&self, batch: &'a Batch) -> Result<Vec<f64>, String> {
        let columns = R::Columns::read(batch)?;
        Ok((0..columns.rows()).map(|row| self(R::row(&columns, row))).collect())
    }
}

impl<'a, F, S, R> Score<'a, ByRowWith<S, R>> for F
where
    F: Fn(&S, R) -> f64,
    S: Settings,
    R: Fields<'a>,
{
    fn fields() -> Result<Vec<Field>, String> {
        S::read().map(|_| R::Columns::fields())
    }

    fn run(&self, batch: &'a Batch) -> Result<Vec<f64>, String> {
        let settings = S::read()?;
        let columns = R::Columns::read(batch)?;
        Ok((0..columns.rows()).map(|row| self(&settings, R::row(&columns, row))).collect())
    }
}

impl<'a, F, C> Score<'a, ByColumns<C>> for F
where
    F: Fn(C) -> Vec<f64>,
    C: Columns<'a>,
{
    fn fields() -> Result<Vec<Field>, String> {
        Ok(C::fields())
    }

    fn run(&self, batch: &'a Batch) -> Result<Vec<f64>, String> {
        C::read(batch).map(self)
    }
}

impl<'a, F, S, C> Score<'a, ByColumnsWith<S, C>> for F
where
    F: Fn(&S, C) -> Vec<f64>,
    S: Settings,
    C: Columns<'a>,
{
    fn fields() -> Result<Vec<Field>, String> {
        S::read().map(|_| C::fields())
    }

    fn run(&self, batch: &'a Batch) -> Result<Vec<f64>, String> {
        Ok(self(&S::read()?, C::read(batch)?))
    }
}

#[doc(hidden)]
pub fn describe_scorer<'a, Form, F: Score<'a, Form>>(_: F) -> Result<Vec<Field>, String> {
    report_panics();
    F::fields()
}

#[doc(hidden)]
pub fn score<'a, Form, F: Score<'a, Form>>(batch: &'a Batch, f: F) -> Result<Vec<f64>, String> {
    report_panics();
    f.run(batch)
}

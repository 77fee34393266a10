//! The plugin's settings in the rulebook.

use alloc::string::{String, ToString};
use core::fmt::Display;
use core::str::FromStr;

use crate::text::joined;

/// The settings of a plugin: a struct that derives `Settings`.
///
/// The setting of a field has the field's name with dashes (`max_cadence` is `max-cadence`); `#[setting(name = "…")]`
/// gives another name. `#[setting(default = …)]` gives the value where the rulebook has none. Every type that
/// implements `FromStr` can be a setting. Settings are read when the plugin is loaded, so an invalid one refuses the
/// rulebook instead of failing records.
///
/// ```
/// use paceline_plugin::{Settings, testing};
///
/// #[derive(Settings)]
/// struct Bounds {
///     #[setting(default = 90.0)]
///     max_cadence: f64,
/// }
///
/// let bounds = testing::with_settings([("max-cadence", "120")], Bounds::read).unwrap();
/// assert_eq!(bounds.max_cadence, 120.0);
/// ```
pub trait Settings: Sized {
    /// Reads the settings. An error names the setting, its value and what is wrong with it.
    fn read() -> Result<Self, String>;
}

/// Reads and parses one setting.
#[doc(hidden)]
pub fn setting<T>(name: &str, default: Option<T>) -> Result<T, String>
where
    T: FromStr,
    T::Err: Display,
{
    match get(name) {
        Some(text) => {
            let wrong = |error: T::Err| joined(&["setting `", name, "` is `", &text, "`: ", &error.to_string()]);
            text.parse().map_err(wrong)
        }
        None => default.ok_or_else(|| joined(&["setting `", name, "` is missing"])),
    }
}

#[cfg(target_arch = "wasm32")]
fn get(name: &str) -> Option<String> {
    crate::bindings::common::paceline::plugin::settings::get(name)
}

#[cfg(not(target_arch = "wasm32"))]
fn get(name: &str) -> Option<String> {
    testing::get(name)
}

/// Settings for native unit tests, where there is no rulebook.
#[cfg(not(target_arch = "wasm32"))]
pub mod testing {
    use alloc::borrow::ToOwned;
    use alloc::string::String;
    use core::cell::RefCell;
    use std::collections::HashMap;
    use std::thread_local;

    thread_local! {
        static SETTINGS: RefCell<HashMap<String, String>> = RefCell::default();
    }

    /// Runs `f` with these settings, which hold on this thread only.
    pub fn with_settings<T, const N: usize>(settings: [(&str, &str); N], f: impl FnOnce() -> T) -> T {
        /// Restores the old settings, also when `f` panics.
        struct Restore(HashMap<String, String>);
        impl Drop for Restore {
            fn drop(&mut self) {
                SETTINGS.set(core::mem::take(&mut self.0));
            }
        }
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let _restore = Restore(SETTINGS.replace(settings));
        f()
    }

    pub(super) fn get(name: &str) -> Option<String> {
        SETTINGS.with_borrow(|settings| settings.get(name).cloned())
    }
}

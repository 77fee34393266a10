//! The plugin's settings in the rulebook.

use std::fmt::Display;
use std::str::FromStr;

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
        Some(text) => text.parse().map_err(|error| format!("setting `{name}` is `{text}`: {error}")),
        None => default.ok_or_else(|| format!("setting `{name}` is missing")),
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
pub mod testing {
    use std::cell::RefCell;
    use std::collections::HashMap;

    thread_local! {
        static SETTINGS: RefCell<HashMap<String, String>> = RefCell::default();
    }

    /// Runs `f` with these settings, which hold on this thread only.
    pub fn with_settings<T, const N: usize>(settings: [(&str, &str); N], f: impl FnOnce() -> T) -> T {
        /// Restores the old settings, also when `f` panics.
        struct Restore(HashMap<String, String>);
        impl Drop for Restore {
            fn drop(&mut self) {
                SETTINGS.set(std::mem::take(&mut self.0));
            }
        }
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let _restore = Restore(SETTINGS.replace(settings));
        f()
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn get(name: &str) -> Option<String> {
        SETTINGS.with_borrow(|settings| settings.get(name).cloned())
    }
}

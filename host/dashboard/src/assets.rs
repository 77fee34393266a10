//! The static files. They are part of the program, and their addresses contain a hash, so that browsers keep them.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// A static file.
pub(crate) struct Asset {
    /// Its name under `/static/`.
    pub(crate) name: &'static str,
    /// Its media type.
    pub(crate) media_type: &'static str,
    /// Its content.
    pub(crate) bytes: &'static [u8],
    version: LazyLock<String>,
}

macro_rules! asset {
    ($file:literal, $media_type:literal) => {{
        const BYTES: &[u8] = include_bytes!(concat!("../assets/", $file));
        Asset { name: $file, media_type: $media_type, bytes: BYTES, version: LazyLock::new(|| hash(BYTES)) }
    }};
}

/// Draws charts: <https://github.com/leeoniya/uPlot>, under the MIT License.
pub(crate) static UPLOT: Asset = asset!("uPlot.iife.min.js", "text/javascript; charset=utf-8");
pub(crate) static UPLOT_STYLE: Asset = asset!("uPlot.min.css", "text/css; charset=utf-8");
/// The licence of uPlot, which its copies must come with.
static UPLOT_LICENCE: Asset = asset!("uPlot.LICENSE.txt", "text/plain; charset=utf-8");
pub(crate) static SCRIPT: Asset = asset!("dashboard.js", "text/javascript; charset=utf-8");
pub(crate) static STYLE: Asset = asset!("dashboard.css", "text/css; charset=utf-8");
pub(crate) static ICON: Asset = asset!("icon.svg", "image/svg+xml");

impl Asset {
    /// The first digits of the content's SHA-256.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Its address.
    pub(crate) fn address(&self) -> String {
        format!("/static/{}?v={}", self.name, self.version())
    }
}

/// The file with this name.
pub(crate) fn find(name: &str) -> Option<&'static Asset> {
    let all = [&UPLOT, &UPLOT_STYLE, &UPLOT_LICENCE, &SCRIPT, &STYLE, &ICON];
    all.into_iter().find(|asset| asset.name == name)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

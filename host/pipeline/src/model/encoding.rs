//! Formats that a sender may have put around JSON, or in its place, by the first bytes.

use std::fmt;

/// What bytes are that are not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    Zlib,
    Zstandard,
    Bzip2,
    Xz,
    Zip,
    Utf16,
    /// An aggregate of the Kinesis Producer Library. A sound one is unpacked before it gets here.
    Aggregate,
}

/// The beginnings that tell the formats apart. None of them is the beginning of JSON.
const BEGINNINGS: [(&[u8], Encoding); 12] = [
    (b"\x1f\x8b", Encoding::Gzip),
    (b"\x78\x01", Encoding::Zlib),
    (b"\x78\x5e", Encoding::Zlib),
    (b"\x78\x9c", Encoding::Zlib),
    (b"\x78\xda", Encoding::Zlib),
    (b"\x28\xb5\x2f\xfd", Encoding::Zstandard),
    (b"BZh", Encoding::Bzip2),
    (b"\xfd7zXZ", Encoding::Xz),
    (b"PK\x03\x04", Encoding::Zip),
    (b"\xff\xfe", Encoding::Utf16),
    (b"\xfe\xff", Encoding::Utf16),
    (b"\xf3\x89\x9a\xc2", Encoding::Aggregate),
];

impl Encoding {
    /// Bytes that [`Encoding::of`] looks at.
    pub(crate) const LOOKED_AT: usize = 5;

    /// The format that these bytes begin as.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let found = BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning));
        found.map(|(_, encoding)| *encoding)
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "compressed with gzip",
            Self::Zlib => "compressed with zlib",
            Self::Zstandard => "compressed with Zstandard",
            Self::Bzip2 => "compressed with bzip2",
            Self::Xz => "compressed with xz",
            Self::Zip => "a ZIP archive",
            Self::Utf16 => "text in UTF-16",
            Self::Aggregate => {
                "an aggregate of the Kinesis Producer Library that is damaged: its MD5 or its content is wrong"
            }
        })
    }
}

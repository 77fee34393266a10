//! Bugs that are planted on purpose, around the pipeline, to show that the simulation sees them.

use std::fmt;
use std::str::FromStr;

macro_rules! plants {
    ($($name:ident $text:literal $doc:literal)*) => {
        /// A bug that is planted on purpose.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Plant { $(#[doc = $doc] $name,)* }

        impl Plant {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name in arguments.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it does.
            pub fn description(self) -> &'static str {
                match self { $(Self::$name => $doc,)* }
            }
        }
    };
}

plants! {
    DedupAdmitsAll "dedup-admits-all" "Items come back without their dedup state."
    CheckpointBeforeCommit "checkpoint-before-commit" "A batch's checkpoint is stored before the batch is processed; a mapping takes a batch for done once it is invoked."
    DeadLettersAfterGroups "dead-letters-after-groups" "Dead letters are stored when the batch is acknowledged, and lost with the host before that."
    ConflictIsSuccess "conflict-is-success" "A conditional write that failed counts as done."
    WindowClosedTwice "window-closed-twice" "A window is flushed a second time, and its rows are merged whatever their groups hold."
    PinNotConditional "pin-not-conditional" "A host takes the pin that it wrote for the one that holds, although another host was first."
    RedriveForgetsFolded "redrive-forgets-folded" "A redrive does not leave out the groups that hold the record already."
    SubSequenceIgnored "sub-sequence-ignored" "All messages of a stream record have the same position."
    WriteNotConditional "write-not-conditional" "Items are written whatever is in the table."
    LostAnswerIsSuccess "lost-answer-is-success" "A write that the store did not answer counts as done."
    PartialFailureIsSuccess "partial-failure-is-success" "A batch that is committed in part counts as committed."
    DedupNotStored "dedup-not-stored" "An item's state is written with the dedup state before."
    MisroutedIsDropped "misrouted-is-dropped" "A consumer drops messages in aggregates whose hash keys are those of another shard."
    KclCheckpointBeforeCommit "kcl-checkpoint-before-commit" "A process under the KCL checkpoints the records of a message before it commits them."
    ArrivalNotSent "arrival-not-sent" "The mapping's events leave out when records arrived."
    UnprocessedIsDone "unprocessed-is-done" "With the SDK: what DynamoDB leaves unprocessed of a batch counts as done."
    StatementErrorIsSuccess "statement-error-is-success" "With the SDK: a batch of statements that has an answer counts as done, whatever the answer says of each."
    FirstPageIsAll "first-page-is-all" "With the SDK: the first page of a query or a scan is taken for all."
    SharedItemNotConditional "shared-item-not-conditional" "With the SDK: an item of packed groups is written whatever is in the table."
    ResultNotPublished "result-not-published" "With the SDK: a result leaves its shared item, but its own item is not written."
}

impl Plant {
    /// Knobs that bring it out: hosts have to meet at the beginning of a race, or at a group that is nearly full, or to die
    /// between two writes.
    pub fn knobs(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::PinNotConditional => &[
                ("mode", 1),
                ("ordinal", 1),
                ("hosts", 4),
                ("shards", 3),
                ("races", 6),
                ("unpinned", 0),
                ("classes", 2),
                ("factor", 3),
                ("records", 60),
                ("span", 60),
                ("bursts", 8),
                ("batch", 12),
                ("changes", 6),
                ("late", 0),
                ("retires", 0),
                ("slow", 0),
                ("outages", 0),
                ("kills", 0),
            ],
            Self::DeadLettersAfterGroups => &[
                ("mode", 0),
                ("ordinal", 0),
                ("hosts", 2),
                ("records", 60),
                ("span", 20),
                ("batch", 12),
                ("traps", 15),
                ("kills", 6),
                ("volatile", 0),
            ],
            Self::RedriveForgetsFolded => &[
                ("mode", 1),
                ("ordinal", 0),
                ("hosts", 4),
                ("shards", 3),
                ("bursts", 6),
                ("full", 8),
                ("late", 0),
                ("changes", 0),
                ("redrives", 0),
                ("traps", 0),
                ("repeats", 0),
                ("throttled", 0),
                ("lost", 0),
                ("slow", 0),
                ("outages", 0),
                ("kills", 0),
            ],
            Self::MisroutedIsDropped => &[("mode", 3), ("shards", 3), ("aggregates", 60), ("foreign", 50)],
            Self::KclCheckpointBeforeCommit => &[("mode", 4)],
            Self::ArrivalNotSent => &[("mode", 1), ("reshard", 4), ("ordinal", 0), ("odd", 0), ("zombies", 0)],
            Self::UnprocessedIsDone
            | Self::StatementErrorIsSuccess
            | Self::FirstPageIsAll
            | Self::SharedItemNotConditional => &[("tier", 1)],
            Self::ResultNotPublished => &[("tier", 1), ("items", 1)],
            _ => &[],
        }
    }
}

impl fmt::Display for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no [`Plant`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such bug; the bugs are: {}", Plant::ALL.iter().map(|plant| plant.as_str()).collect::<Vec<_>>().join(", "))]
pub struct UnknownPlant;

impl FromStr for Plant {
    type Err = UnknownPlant;

    fn from_str(text: &str) -> Result<Self, UnknownPlant> {
        Self::ALL.iter().copied().find(|plant| plant.as_str() == text).ok_or(UnknownPlant)
    }
}

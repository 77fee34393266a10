//! The plan of a run: everything that a seed decides beforehand, as numbers that can be set one by one.

use fastrand::Rng;

/// A knob can't be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KnobError {
    /// Its name is not one of [`Plan::KNOBS`].
    #[error("there is no knob `{name}`; the knobs are: {}", Plan::KNOBS.iter().map(|knob| knob.name).collect::<Vec<_>>().join(", "))]
    Unknown {
        /// The name.
        name: String,
    },
    /// With so little there is no run.
    #[error("the knob `{name}` is {value}: at least {least} is needed")]
    TooSmall {
        /// The name.
        name: &'static str,
        /// The value.
        value: u32,
        /// The least value.
        least: u32,
    },
}

/// A number of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knob {
    /// Its name.
    pub name: &'static str,
    /// The least value, which is the simplest: the one that shrinking tries first.
    pub least: u32,
    /// What it decides.
    pub text: &'static str,
}

macro_rules! knobs {
    ($($name:ident $least:literal $text:literal)*) => {
        /// Everything that a seed decides beforehand.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Plan {
            /// The seed, from which the rest is drawn while the run goes on.
            pub seed: u64,
            $(#[doc = $text] pub $name: u32,)*
        }

        impl Plan {
            /// All knobs.
            pub const KNOBS: &'static [Knob] =
                &[$(Knob { name: stringify!($name), least: $least, text: $text },)*];

            fn least(seed: u64) -> Self {
                Self { seed, $($name: $least,)* }
            }

            /// A knob's value.
            pub fn get(&self, name: &str) -> Option<u32> {
                match name { $(stringify!($name) => Some(self.$name),)* _ => None }
            }

            /// Sets a knob.
            pub fn set(&mut self, name: &str, value: u32) -> Result<(), KnobError> {
                let mut knobs = Self::KNOBS.iter();
                if let Some(Knob { name, least, .. }) = knobs.find(|knob| knob.name == name && value < knob.least) {
                    return Err(KnobError::TooSmall { name, value, least: *least });
                }
                match name {
                    $(stringify!($name) => self.$name = value,)*
                    _ => return Err(KnobError::Unknown { name: name.to_owned() }),
                }
                Ok(())
            }
        }
    };
}

knobs! {
    tier 0 "Where the hosts' stores are: 0 in memory, 1 in DynamoDB, in memory as well, through the AWS SDK."
    mode 0 "How batches are delivered: 0 readers of shards with checkpoints in the store, 1 an event source mapping, 2 one with tumbling windows, 3 a consumer that polls all shards, 4 workers under the KCL."
    hosts 1 "Hosts that share the store."
    shards 1 "Shards of the stream."
    reshard 0 "What becomes of the first shard halfway: 0 nothing, 1 another shard takes its place, 2 it splits into two, 3 it merges with the second; 4 with a mapping, the stream is deleted when all is read, and created again under its name."
    ordinal 0 "Dedup: 0 by sequence, with partition keys by racer; 1 by ordinals, with random keys and messages that overtake each other."
    classes 1 "Race types."
    unpinned 0 "Race types whose rulebook pins no races: the first so many."
    late 0 "Whether the last race type has no rulebook at the beginning."
    races 1 "Races of each race type. They begin one after another, and some begin before the one before has ended."
    racers 1 "Racers of each race."
    records 1 "Messages."
    span 1 "Seconds in which they arrive."
    bursts 0 "Moments at which they arrive; 0: evenly."
    batch 1 "The most stream records of a batch."
    factor 1 "The mapping's parallelization factor."
    bisect 0 "Whether the mapping splits a batch that failed."
    arn 0 "The stream's ARN in events: 0 as Lambda has it, 1 none, 2 that of a test event, 3 one without `stream/`."
    odd 0 "Records and deadlines that are in events as emulators and tests send them, in percent."
    hurried 0 "Invocations whose deadline is near, in percent."
    early 0 "Windows that the mapping ends early after an event, in percent."
    state 0 "The largest state of a window in bytes of JSON, after which it is committed before its end; 0: Lambda's."
    repeats 0 "Batches that the mapping delivers again after they succeeded, in percent."
    zombies 0 "Second readers of a shard."
    aggregates 0 "Messages that share a stream record with the one before, in percent."
    foreign 0 "Messages in aggregates whose hash keys may be those of another shard, in percent."
    duplicates 0 "Messages that a producer sends twice, in percent: with ordinals only."
    broken 0 "Messages that no rulebook can process, in percent."
    strict 0 "Messages that only the second version of a rulebook rejects, in percent."
    traps 0 "Messages on which an aggregator fails, in percent."
    full 0 "Messages that the item of a team can hold until everything is delivered; 0: all of them."
    throttled 0 "Calls of the store that fail without an effect, in a thousand."
    lost 0 "Calls whose answer is lost, in a thousand: half of them have taken effect."
    partial 0 "Writes of a call that fail although the call succeeds, in a thousand."
    slow 0 "Calls that take up to 45 seconds, in a thousand."
    outages 0 "Times at which one table answers nothing."
    volatile 0 "Whether a death loses what was written since the last flush, as one of a process with the embedded store: with one host only."
    disks 0 "Times at which all writes fail for good, as on a full disk: hosts end, and start again."
    skew 0 "Seconds by which the clock of each host differs from the stream's at most."
    hold 0 "Seconds for which records wait for a rulebook that can't be had; 0: an hour."
    expired 0 "Iterators that expire before they are used, in percent."
    kills 0 "Hosts that die in a call to the store, before or after its effect."
    changes 0 "Changes of the rules."
    retires 0 "Whether race types are retired among the changes."
    migrations 0 "Whether a rulebook whose aggregator migrates states is among the changes."
    redrives 0 "Redrives while the stream flows."
    redrivers 1 "Redrives that are made at the same time."
    fanout 0 "Whether the consumer of mode 3 subscribes to its shards, with the SDK."
    items 0 "Whether items are written by PutItem, one by one, with the SDK."
    cached 0 "Bytes of items that a host caches, with the SDK."
    concurrency 1 "Requests that a call of the store sends at once, with the SDK."
    moves 0 "Looks of a worker at the lease table at which it takes another one's lease, in percent: with the KCL."
    stops 0 "Looks of a worker at which it is told to stop, and starts again, in percent: with the KCL."
    refusals 0 "Checkpoints that the lease table does not write, in percent: with the KCL."
    unwritten 0 "Writes of a change of the rules that fail before or after their effect, in percent."
    deregistered 0 "Times at which the fan-out consumer is deregistered, with the SDK."
}

/// Faults happen within this time after the last message has arrived, in seconds.
pub(crate) const FAULTS_AFTER: u32 = 60;

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x70_6c61_6e00);
        let mut plan = Self::least(seed);
        plan.draw_world(&mut rng);
        let has_faults = plan.draw_faults(&mut rng);
        plan.items = u32::from(rng.u32(0..4) == 0);
        plan.cached = [0, 4_000, 1 << 20, 1 << 26][rng.usize(0..4)];
        plan.concurrency = rng.u32(1..=16);
        plan.foreign = sometimes(&mut rng, 50);
        plan.fanout = rng.u32(0..2);
        if rng.u32(0..5) == 0 {
            plan.draw_kcl(&mut rng, has_faults);
        }
        let (unwritten, deregistered, full) =
            (sometimes(&mut rng, 40), sometimes(&mut rng, 3), sometimes(&mut rng, 40));
        if has_faults {
            (plan.unwritten, plan.deregistered) = (unwritten, deregistered);
        }
        if plan.has_windows() {
            plan.full = full;
        }
        if rng.u32(0..8) == 0 && plan.mode == 1 {
            // By their times of arrival records are told from those before.
            (plan.reshard, plan.odd) = (4, 0);
        }
        plan
    }

    /// Turns the plan into one with the KCL. It is drawn last, so that the other seeds stay what they are without it.
    fn draw_kcl(&mut self, rng: &mut Rng, has_faults: bool) {
        let Self { arn, odd, hurried, early, state, bisect, repeats, zombies, expired, volatile, foreign, .. } = self;
        for knob in [arn, odd, hurried, early, state, bisect, repeats, zombies, expired, volatile, foreign] {
            *knob = 0;
        }
        (self.mode, self.factor, self.hosts) = (4, 1, rng.u32(2..=4));
        let (moves, stops, refusals) = (sometimes(rng, 15), sometimes(rng, 5), sometimes(rng, 40));
        if has_faults {
            (self.moves, self.stops, self.refusals) = (moves, stops, refusals);
        }
    }

    fn draw_world(&mut self, rng: &mut Rng) {
        self.mode = rng.u32(0..4);
        self.hosts = rng.u32(1..=4);
        self.shards = rng.u32(1..=3);
        self.reshard = rng.u32(0..4);
        self.ordinal = rng.u32(0..2);
        self.classes = rng.u32(1..=2);
        self.unpinned = rng.u32(0..=self.classes);
        self.late = u32::from(rng.u32(0..4) == 0);
        self.races = rng.u32(1..=6);
        self.racers = rng.u32(1..=4);
        self.records = rng.u32(10..=60);
        self.span = rng.u32(1..=90);
        self.bursts = sometimes(rng, 12);
        self.batch = rng.u32(1..=12);
        self.factor = if self.mode == 1 { rng.u32(1..=3) } else { 1 };
        self.bisect = rng.u32(0..2);
        self.aggregates = sometimes(rng, 60);
        self.duplicates = if self.ordinal == 1 { sometimes(rng, 20) } else { 0 };
        self.broken = sometimes(rng, 15);
        self.strict = sometimes(rng, 15);
        self.traps = sometimes(rng, 15);
        // With windows it is drawn later.
        self.full = if self.mode == 2 { 0 } else { sometimes(rng, 40) };
        self.changes = sometimes(rng, 5);
        self.retires = rng.u32(0..2);
        self.migrations = rng.u32(0..2);
        self.redrives = sometimes(rng, 3);
        self.redrivers = rng.u32(1..=2);
        if self.has_functions() {
            self.arn = if rng.bool() { 0 } else { rng.u32(1..=3) };
            self.odd = sometimes(rng, 60);
        }
        if self.has_windows() {
            self.early = sometimes(rng, 20);
            self.state = if rng.u32(0..4) == 0 { rng.u32(400..4_000) } else { 0 };
        }
        // In one seed in four, several hosts meet at the same groups and at the beginning of the same races.
        if rng.u32(0..4) == 0 {
            (self.hosts, self.shards, self.races, self.unpinned) = (4, 3, 6, 0);
            (self.bursts, self.changes) = (rng.u32(4..=12), rng.u32(1..=4));
        }
    }

    /// Returns whether there are any.
    fn draw_faults(&mut self, rng: &mut Rng) -> bool {
        // One seed in eight runs without faults, so that what needs none is found without them.
        if rng.u32(0..8) == 0 {
            return false;
        }
        self.repeats = if self.has_functions() { sometimes(rng, 40) } else { 0 };
        self.zombies = if self.has_functions() { 0 } else { sometimes(rng, 2) };
        self.expired = if self.mode == 3 { sometimes(rng, 20) } else { 0 };
        self.throttled = sometimes(rng, 100);
        self.lost = sometimes(rng, 100);
        self.partial = sometimes(rng, 150);
        self.slow = sometimes(rng, 30);
        self.outages = sometimes(rng, 3);
        self.hurried = if self.has_functions() { sometimes(rng, 30) } else { 0 };
        self.skew = sometimes(rng, 300);
        self.hold = if rng.u32(0..4) == 0 { rng.u32(1..=120) } else { 0 };
        self.kills = sometimes(rng, 6);
        // A store in the host's process has one host, and nobody else redrives.
        self.volatile = u32::from(rng.u32(0..6) == 0);
        if self.volatile == 1 {
            (self.hosts, self.redrives) = (1, 0);
        }
        // Tables fail for good as well, as without the permission to write them, but not often.
        if self.volatile == 1 || rng.u32(0..12) == 0 {
            self.disks = sometimes(rng, 2);
        }
        true
    }

    /// Whether dedup is by ordinals.
    pub(crate) fn is_ordinal(&self) -> bool {
        self.ordinal == 1
    }

    /// Whether the mapping has tumbling windows.
    pub(crate) fn has_windows(&self) -> bool {
        self.mode == 2
    }

    /// Whether hosts are functions of an event source mapping.
    pub(crate) fn has_functions(&self) -> bool {
        matches!(self.mode, 1 | 2)
    }

    /// Whether the stream is deleted and created again under its name.
    pub(crate) fn is_recreated(&self) -> bool {
        self.reshard == 4 && self.mode == 1
    }

    /// Whether hosts are processes of the KCL's daemons.
    pub(crate) fn has_kcl(&self) -> bool {
        self.mode == 4
    }

    /// Whether a death loses what was not flushed. Two hosts can't have a store in their process.
    pub(crate) fn is_volatile(&self) -> bool {
        self.volatile == 1 && self.hosts == 1 && !self.has_sdk() && !self.has_kcl()
    }

    /// Whether the hosts' stores are in DynamoDB.
    pub(crate) fn has_sdk(&self) -> bool {
        self.tier == 1
    }

    /// Whether shards are subscribed to. What is polled in memory knows no subscriptions.
    pub(crate) fn has_fan_out(&self) -> bool {
        self.fanout == 1 && self.has_sdk()
    }

    /// When faults end, in milliseconds.
    pub(crate) fn calm_ms(&self) -> u64 {
        u64::from(self.span + FAULTS_AFTER) * 1_000
    }

    /// The knobs that differ from another plan's, as `--set NAME=VALUE`.
    pub fn settings_against(&self, other: &Self) -> String {
        let differs = |knob: &&Knob| self.get(knob.name) != other.get(knob.name);
        let setting = |knob: &Knob| format!(" --set {}={}", knob.name, self.get(knob.name).unwrap_or_default());
        Self::KNOBS.iter().filter(differs).map(setting).collect()
    }
}

/// Zero in half of the cases, and 1 to `most` in the others.
fn sometimes(rng: &mut Rng, most: u32) -> u32 {
    if rng.bool() { rng.u32(1..=most) } else { 0 }
}

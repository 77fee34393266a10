//! A Kinesis stream in memory: shards, their lineage, their records. [`crate::mapping`] reads it.

/// A record of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// A decimal number of 56 digits, as in Kinesis: wider than 128 bits, and ascending in the order of the puts, so
    /// that the numbers ascend within a shard and a child's are above its parents'.
    pub sequence: String,
    /// Determines the shard.
    pub partition_key: String,
    /// The payload.
    pub data: Vec<u8>,
    /// The time of the put, in milliseconds since 1970.
    pub arrival_ms: i64,
}

/// A shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// `shardId-000000000000`.
    pub id: String,
    /// The shards that it was split or merged from.
    pub parents: Vec<String>,
    /// Its first and last hash key.
    pub hash_range: (u128, u128),
    /// In the order of their puts.
    pub records: Vec<StreamRecord>,
    /// It was split or merged and takes no more records.
    pub closed: bool,
}

/// A stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// Its shards, parents before children.
    pub shards: Vec<Shard>,
    /// The number of records put, from which sequence numbers are made.
    puts: u64,
}

impl Stream {
    /// A stream whose shards divide the hash keys evenly.
    ///
    /// # Panics
    ///
    /// If `shards` is 0.
    pub fn new(name: impl Into<String>, shards: usize) -> Self {
        assert!(shards > 0, "a stream has at least one shard");
        let mut stream = Self { name: name.into(), shards: Vec::new(), puts: 0 };
        let width = u128::MAX / shards as u128;
        for shard in 0..shards as u128 {
            let end = if shard + 1 == shards as u128 { u128::MAX } else { (shard + 1) * width - 1 };
            stream.open((shard * width, end), Vec::new());
        }
        stream
    }

    /// Its ARN.
    pub fn arn(&self) -> String {
        format!("arn:aws:kinesis:{}:{}:stream/{}", crate::lambda::REGION, crate::lambda::ACCOUNT, self.name)
    }

    /// The number of the open shard that a key's records go to.
    ///
    /// # Panics
    ///
    /// Never: the open shards have all hash keys.
    pub fn shard_of(&self, partition_key: &str) -> usize {
        let hash = hash_key(partition_key);
        let takes = |shard: &Shard| !shard.closed && (shard.hash_range.0..=shard.hash_range.1).contains(&hash);
        self.shards.iter().position(takes).expect("an open shard for every hash key")
    }

    /// Puts a record into the open shard of its key's hash. Kinesis uses MD5; this uses another hash, because tests
    /// need only its distribution.
    pub fn put(
        &mut self,
        partition_key: impl Into<String>,
        data: impl Into<Vec<u8>>,
        arrival_ms: i64,
    ) -> &StreamRecord {
        let (partition_key, data) = (partition_key.into(), data.into());
        let number = self.shard_of(&partition_key);
        self.puts += 1;
        // As in Kinesis, the numbers have gaps and end with the shard's number.
        let noise = mix(self.puts) % 1_000_000_000_000;
        let sequence = format!("49{:037}{noise:012}{:05}", self.puts, number % 100_000);
        let records = &mut self.shards[number].records;
        records.push(StreamRecord { sequence, partition_key, data, arrival_ms });
        &records[records.len() - 1]
    }

    /// Splits an open shard; the numbers of its children.
    ///
    /// # Panics
    ///
    /// If the shard is not open, or has a single hash key.
    pub fn split(&mut self, shard: usize) -> [usize; 2] {
        let (start, end) = self.shards[shard].hash_range;
        assert!(start < end, "shard {shard} can't be split: it has a single hash key");
        let middle = start + (end - start) / 2;
        let parent = self.close(shard);
        [self.open((start, middle), vec![parent.clone()]), self.open((middle + 1, end), vec![parent])]
    }

    /// Merges two open shards; the number of their child.
    ///
    /// # Panics
    ///
    /// If one of the shards is not open, or they are not adjacent.
    pub fn merge(&mut self, a: usize, b: usize) -> usize {
        let mut ranges = [self.shards[a].hash_range, self.shards[b].hash_range];
        ranges.sort_unstable();
        let [(start, low), (high, end)] = ranges;
        assert!(low.checked_add(1) == Some(high), "shards {a} and {b} can't be merged: they are not adjacent");
        let parents = vec![self.close(a), self.close(b)];
        self.open((start, end), parents)
    }

    fn open(&mut self, hash_range: (u128, u128), parents: Vec<String>) -> usize {
        let number = self.shards.len();
        let id = format!("shardId-{number:012}");
        self.shards.push(Shard { id, parents, hash_range, records: Vec::new(), closed: false });
        number
    }

    fn close(&mut self, shard: usize) -> String {
        assert!(!self.shards[shard].closed, "shard {shard} is closed already");
        self.shards[shard].closed = true;
        self.shards[shard].id.clone()
    }
}

/// A partition key's hash: FNV-1a of 128 bits, mixed, because the high bits of FNV alone are similar for similar keys.
/// The high bits determine the shard, the low ones the queue within the shard.
pub(crate) fn hash_key(key: &str) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = key.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    let low = mix(hash as u64 ^ mix((hash >> 64) as u64));
    (u128::from(mix(low ^ (hash >> 64) as u64)) << 64) | u128::from(low)
}

/// The finalizer of SplitMix64.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(shards: usize, records: usize) -> Stream {
        let mut stream = Stream::new("race", shards);
        for record in 0..records {
            stream.put(format!("racer-{record}"), "{}", 0);
        }
        stream
    }

    #[test]
    fn sequence_numbers_have_56_digits_and_ascend() {
        let stream = filled(1, 1_000);
        let records = &stream.shards[0].records;
        assert!(records.iter().all(|record| record.sequence.len() == 56));
        assert!(records.is_sorted_by(|a, b| a.sequence < b.sequence));
    }

    #[test]
    fn keys_spread_evenly_over_shards() {
        let stream = filled(7, 7_000);
        for shard in &stream.shards {
            assert!((850..1_150).contains(&shard.records.len()), "{}: {}", shard.id, shard.records.len());
        }
    }

    #[test]
    fn resharding_keeps_all_hashes_covered_and_numbers_ascending() {
        let mut stream = filled(2, 100);
        let [left, right] = stream.split(0);
        assert_eq!((left, right), (2, 3));
        let merged = stream.merge(3, 1);
        assert_eq!(stream.shards[merged].parents, ["shardId-000000000003", "shardId-000000000001"]);
        for record in 0..100 {
            stream.put(format!("racer-{record}"), "{}", 0);
        }
        let last = &stream.shards[0].records.last().unwrap().sequence;
        assert!(last < &stream.shards[left].records[0].sequence);
        assert_eq!(stream.shards[left].records.len() + stream.shards[merged].records.len(), 100);
        assert_eq!(stream.shards[left].hash_range.1 + 1, stream.shards[merged].hash_range.0);
        assert_eq!(stream.shards[merged].hash_range.1, u128::MAX);
        assert!(stream.shards[right].records.is_empty());
    }
}

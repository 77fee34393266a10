//! What of an event is not as Lambda sends it, and is processed nevertheless. An event has one warning, however many
//! records it is about.

use std::fmt;

/// Members that are not as Lambda sends them, with what is assumed in their place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks(Vec<Remark>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Remark {
    member: &'static str,
    /// About the first record that it is true of.
    text: String,
    /// How many more records it is true of.
    more: usize,
}

impl Remarks {
    /// Whether the event is as Lambda sends it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a remark about a member, unless there is one already.
    pub(crate) fn add(&mut self, member: &'static str, text: impl FnOnce() -> String) {
        match self.0.iter_mut().find(|remark| remark.member == member) {
            Some(remark) => remark.more += 1,
            None => self.0.push(Remark { member, text: text(), more: 0 }),
        }
    }

    /// The number of records that the remarks are about, counted once for each member.
    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|remark| 1 + remark.more).sum()
    }
}

impl fmt::Display for Remarks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Remark { text, more, .. }) in self.0.iter().enumerate() {
            write!(f, "{}{text}", if at == 0 { "" } else { "; " })?;
            if *more > 0 {
                write!(f, " (the same in {more} more)")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_has_one_remark_and_the_number_of_others() {
        let mut remarks = Remarks::default();
        assert!(remarks.is_empty());
        remarks.add("eventID", || "Records[0].eventID is a number".to_owned());
        remarks.add("data", || "Records[1].kinesis.data is null".to_owned());
        remarks.add("eventID", || unreachable!("there is one already"));
        assert_eq!(
            remarks.to_string(),
            "Records[0].eventID is a number (the same in 1 more); Records[1].kinesis.data is null"
        );
        assert_eq!(remarks.count(), 3);
    }
}

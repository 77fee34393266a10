//! Which templates are tried, and when one is learned. It decides how fast messages are read, never what is read.

use super::learn::learn;
use super::literal::Literal;
use super::message::{Message, Template};
use crate::projection::Projection;
use crate::value::Row;

/// Templates at a time. A stream has a few forms of messages; each one more is tried in vain for those after it.
const MAX_TEMPLATES: usize = 4;
/// Bytes of a message that is tried or learned. A longer one may cost several times its reading if it has nearly the form
/// of each template.
const MAX_BYTES: usize = 2 << 10;
/// The highest score. A form that comes no more is overtaken after twice as many messages.
const MAX_SCORE: u32 = 64;
/// What trying messages is worth. It grows by one with each message that a template takes, and shrinks by what a message
/// costs that none takes, in about the same unit. At 0 templates rest.
const MAX_CREDIT: u32 = 32;
const MISS_COST: u32 = 2;
const LEARNING_COST: u32 = 4;
/// Messages that are read by serde_json alone when templates rest.
const REST: u32 = 32;
/// The credit after a rest: for one message to learn from, and one to see whether it was worth it.
const CREDIT_AFTER_REST: u32 = 8;

/// The templates of the messages before.
#[derive(Debug)]
pub(crate) struct Templates {
    /// In the order in which they are tried.
    scored: Vec<Scored>,
    /// At most [`MAX_CREDIT`].
    credit: u32,
    /// Messages that are not tried.
    rest: u32,
    /// The last message of a batch, with padding behind it.
    padded: Vec<u8>,
}

#[derive(Debug)]
struct Scored {
    template: Template,
    /// Messages taken less messages left to the next template, at most [`MAX_SCORE`].
    score: u32,
}

impl Default for Templates {
    fn default() -> Self {
        Self { scored: Vec::new(), credit: MAX_CREDIT, rest: 0, padded: Vec::new() }
    }
}

impl Templates {
    /// Reads a message by a template, into a row whose values are missing. Returns whether there was one; if not, the row's
    /// values are missing again. `bytes` hold the message from `offset` on.
    pub(crate) fn fill(
        &mut self,
        (projection, bytes): (&Projection, &[u8]),
        json: &str,
        offset: u32,
        row: &mut Row<'_>,
    ) -> bool {
        if self.scored.is_empty() || self.rest > 0 || json.len() > MAX_BYTES {
            return false;
        }
        let start = offset as usize;
        let padded = match bytes.get(start..start + json.len() + Literal::PADDING) {
            Some(padded) => padded,
            None => {
                self.padded.clear();
                self.padded.extend_from_slice(json.as_bytes());
                self.padded.resize(json.len() + Literal::PADDING, 0);
                &self.padded
            }
        };
        let message = Message { json, padded, offset };
        let unescaped_bytes = row.unescaped.len();
        for at in 0..self.scored.len() {
            if self.scored[at].template.fill(projection, message, row) {
                self.reward(at);
                return true;
            }
            row.reset(unescaped_bytes);
        }
        false
    }

    /// Notes that a template took a message. It is tried before one that takes fewer.
    #[inline]
    fn reward(&mut self, at: usize) {
        self.credit = (self.credit + 1).min(MAX_CREDIT);
        self.scored[at].score = (self.scored[at].score + 1).min(MAX_SCORE);
        if let Some(before) = at.checked_sub(1) {
            self.scored[before].score = self.scored[before].score.saturating_sub(1);
            if self.scored[before].score < self.scored[at].score {
                self.scored.swap(before, at);
            }
        }
    }

    /// Notes that no template took a message. If serde_json has read it, its template is learned.
    pub(crate) fn miss(&mut self, projection: &Projection, json: Option<&str>) {
        if self.rest > 0 {
            self.rest -= 1;
            return;
        }
        self.credit = self.credit.saturating_sub(MISS_COST);
        if let Some(json) = json.filter(|json| json.len() <= MAX_BYTES) {
            self.credit = self.credit.saturating_sub(LEARNING_COST);
            if let Some(template) = learn(projection, json) {
                // Never before the others: one odd message costs the next ones nothing.
                self.scored.truncate(MAX_TEMPLATES - 1);
                self.scored.push(Scored { template, score: 0 });
            }
        }
        if self.credit == 0 {
            self.credit = CREDIT_AFTER_REST;
            self.rest = REST;
        }
    }
}

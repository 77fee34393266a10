//! From a message to its template.

use super::literal::Literal;
use super::message::{Slot, Template};
use super::scalar;
use crate::projection::Projection;

/// Values of a template. A message with more is read by serde_json: learning it would take too long.
const MAX_SLOTS: usize = 64;

/// The template of a message that serde_json has read. `None` if the message has a form whose values can't be judged one by
/// one: an array, an escape in a name, or a projected member that comes twice.
pub(super) fn learn(projection: &Projection, json: &str) -> Option<Template> {
    let walk = Walk { json: json.as_bytes(), at: 0 };
    let (slots, objects) = (Vec::new(), Vec::new());
    let mut learner =
        Learner { projection, walk, literal_start: 0, nodes: vec![Some(0)], seen: Vec::new(), slots, objects };
    learner.walk.expect(b'{')?;
    while !learner.nodes.is_empty() {
        match learner.walk.token()? {
            b',' => {}
            b'}' => {
                learner.nodes.pop();
            }
            b'"' => learner.member()?,
            _ => return None,
        }
    }
    let end = Literal::new(&json.as_bytes()[learner.literal_start..]);
    Some(Template { slots: learner.slots, end, objects: learner.objects })
}

/// What is learned of a message.
struct Learner<'a> {
    projection: &'a Projection,
    walk: Walk<'a>,
    /// The end of the last value.
    literal_start: usize,
    /// The projection's nodes of the objects around, outermost first. What is not projected has none.
    nodes: Vec<Option<usize>>,
    /// The projected members so far, as nodes and indexes.
    seen: Vec<(usize, usize)>,
    slots: Vec<Slot>,
    objects: Vec<usize>,
}

impl Learner<'_> {
    /// Learns a member from after the opening quote of its name up to its value, or up to the members of its object.
    fn member(&mut self) -> Option<()> {
        let name = self.walk.name()?;
        let node = self.nodes.last().copied().flatten();
        let member = node.and_then(|node| Some((node, self.projection.find(node, name, 0)?)));
        if let Some(member) = member {
            if self.seen.contains(&member) {
                return None;
            }
            self.seen.push(member);
        }
        let found = member.map(|(node, index)| &self.projection.members(node)[index]);
        let field = found.and_then(|member| member.field).map(|field| usize::from(field.0));
        self.walk.expect(b':')?;
        match self.walk.peek()? {
            b'{' => {
                self.walk.at += 1;
                self.objects.extend(field);
                self.nodes.push(found.and_then(|member| member.node));
            }
            b'[' => return None,
            _ if self.slots.len() == MAX_SLOTS => return None,
            _ => {
                let literal = Literal::new(&self.walk.json[self.literal_start..self.walk.at]);
                self.slots.push(Slot { literal, field: field.unwrap_or(Slot::DROPPED), member });
                self.walk.skip_scalar()?;
                self.literal_start = self.walk.at;
            }
        }
        Some(())
    }
}

/// Where we are in a message. It is JSON, so that what follows what needs no proof.
struct Walk<'j> {
    json: &'j [u8],
    at: usize,
}

impl<'j> Walk<'j> {
    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.json.get(self.at)?, b' ' | b'\n' | b'\t' | b'\r') {
            self.at += 1;
        }
        Some(self.json[self.at])
    }

    /// Takes the next byte that is not white space.
    fn token(&mut self) -> Option<u8> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    fn expect(&mut self, token: u8) -> Option<()> {
        (self.token()? == token).then_some(())
    }

    /// Takes the rest of a name after its opening quote. `None` if it has an escape.
    fn name(&mut self) -> Option<&'j [u8]> {
        let start = self.at;
        let bytes = self.json[start..].iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        self.at += bytes + 1;
        (self.json[self.at - 1] == b'"').then(|| &self.json[start..start + bytes])
    }

    /// Takes a value that is neither an array nor an object.
    fn skip_scalar(&mut self) -> Option<()> {
        self.at = match self.json[self.at] {
            b't' | b'n' => self.at + 4,
            b'f' => self.at + 5,
            _ => scalar::end(self.json, self.at)?,
        };
        Some(())
    }
}

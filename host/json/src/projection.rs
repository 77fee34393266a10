//! The declared fields, as a tree of object members.

use crate::pointer::Pointer;
use crate::value::FieldIndex;

/// The projected pointers as a tree of object members. Each pointer has an index in the projected rows.
#[derive(Debug)]
pub struct Projection {
    nodes: Vec<Vec<Member>>,
    pointers: Vec<Pointer>,
}

/// A member of an object that is a projected field, or on the way to one.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: Box<str>,
    /// The member's own field.
    pub(crate) field: Option<FieldIndex>,
    /// The node of its members.
    pub(crate) node: Option<usize>,
    /// Every field in the tree below it.
    pub(crate) below: Vec<FieldIndex>,
}

impl Projection {
    /// The tree of these pointers.
    pub fn new<'p>(pointers: impl IntoIterator<Item = &'p Pointer>) -> Self {
        let mut projection = Self { nodes: vec![Vec::new()], pointers: Vec::new() };
        for pointer in pointers {
            if !projection.pointers.contains(pointer) {
                projection.add(pointer);
            }
        }
        projection
    }

    fn add(&mut self, pointer: &Pointer) {
        let field = FieldIndex(u16::try_from(self.pointers.len()).expect("fields are bounded far below"));
        self.pointers.push(pointer.clone());
        let mut at = 0;
        for (depth, name) in pointer.members().iter().enumerate() {
            let members = &mut self.nodes[at];
            let index = members.iter().position(|member| member.name == *name).unwrap_or_else(|| {
                members.push(Member { name: name.clone(), field: None, node: None, below: Vec::new() });
                members.len() - 1
            });
            let next = self.nodes.len();
            let member = &mut self.nodes[at][index];
            if depth + 1 == pointer.members().len() {
                member.field = Some(field);
            } else {
                member.below.push(field);
                at = *member.node.get_or_insert(next);
                if at == next {
                    self.nodes.push(Vec::new());
                }
            }
        }
    }

    /// The members of a node. Node 0 is the payload itself.
    pub(crate) fn members(&self, node: usize) -> &[Member] {
        &self.nodes[node]
    }

    /// The index of the member with this name. `guess` is tried first: messages have their members in the same order.
    #[inline]
    pub(crate) fn find(&self, node: usize, name: &[u8], guess: usize) -> Option<usize> {
        let members = &self.nodes[node];
        let is_named = |member: &Member| member.name.as_bytes() == name;
        if members.get(guess).is_some_and(is_named) {
            return Some(guess);
        }
        members.iter().position(is_named)
    }

    /// How many pointers are projected.
    pub fn width(&self) -> usize {
        self.pointers.len()
    }

    /// A pointer's field. Panics if the pointer is not projected.
    pub fn field(&self, pointer: &Pointer) -> FieldIndex {
        let at = self.pointers.iter().position(|other| other == pointer);
        FieldIndex(at.unwrap_or_else(|| panic!("{pointer} is not projected")) as u16)
    }

    /// The pointer of a field.
    pub fn pointer(&self, field: FieldIndex) -> &Pointer {
        &self.pointers[field.0 as usize]
    }
}

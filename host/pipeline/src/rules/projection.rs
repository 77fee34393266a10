//! The fields that all loaded rulebooks read, as a tree of object members.

use crate::model::{FieldIndex, Pointer};

/// The projected pointers as a tree of object members. Each pointer has an index in the projected rows.
#[derive(Debug, Default)]
pub(crate) struct Projection {
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
    pub(crate) fn new<'p>(pointers: impl IntoIterator<Item = &'p Pointer>) -> Self {
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

    /// How many pointers are projected.
    pub(crate) fn width(&self) -> usize {
        self.pointers.len()
    }

    /// A pointer's field. Panics if the pointer is not projected.
    pub(crate) fn field(&self, pointer: &Pointer) -> FieldIndex {
        let at = self.pointers.iter().position(|other| other == pointer);
        FieldIndex(at.unwrap_or_else(|| panic!("{pointer} is not projected")) as u16)
    }

    /// The pointer of a field.
    pub(crate) fn pointer(&self, field: FieldIndex) -> &Pointer {
        &self.pointers[field.0 as usize]
    }
}

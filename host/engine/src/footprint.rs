//! What an instance of a component consists of, counted without compiling it. wasmtime copies a nested component as often
//! as it is instantiated, so that compiling a file of a kilobyte can take all of the machine's memory.

use std::mem;

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, Instance,
    Parser, Payload,
};

use crate::limits;
use crate::load_error::LoadError;

/// How many parts an instance has, those of nested components included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Footprint {
    components: u64,
    core_instances: u64,
    memories: u64,
    tables: u64,
}

impl Footprint {
    const NOTHING: Self = Self { components: 0, core_instances: 0, memories: 0, tables: 0 };
    const COMPONENT: Self = Self { components: 1, ..Self::NOTHING };
    const MODULE: Self = Self { core_instances: 1, ..Self::NOTHING };
    /// Of what a component is given or takes out of an instance. No tool makes such a component.
    const UNKNOWN: Self = Self { components: u64::MAX, core_instances: u64::MAX, memories: u64::MAX, tables: u64::MAX };

    fn add(&mut self, other: Self) {
        self.components = self.components.saturating_add(other.components);
        self.core_instances = self.core_instances.saturating_add(other.core_instances);
        self.memories = self.memories.saturating_add(other.memories);
        self.tables = self.tables.saturating_add(other.tables);
    }
}

/// A component or a module that is being read.
struct Layer {
    is_module: bool,
    /// An instance of it.
    own: Footprint,
    /// Instances of its modules and of its components, each by its index.
    modules: Vec<Footprint>,
    components: Vec<Footprint>,
}

impl Layer {
    fn new(is_module: bool) -> Self {
        let own = if is_module { Footprint::MODULE } else { Footprint::COMPONENT };
        Self { is_module, own, modules: Vec::new(), components: Vec::new() }
    }

    fn module(&self, index: u32) -> Footprint {
        self.modules.get(index as usize).copied().unwrap_or(Footprint::UNKNOWN)
    }

    fn component(&self, index: u32) -> Footprint {
        self.components.get(index as usize).copied().unwrap_or(Footprint::UNKNOWN)
    }

    /// Reads a section that makes instances, or gives an index to a module or a component.
    fn read(&mut self, payload: Payload<'_>, outer: &[Self]) {
        match payload {
            Payload::MemorySection(memories) => self.own.memories += u64::from(memories.count()),
            Payload::TableSection(tables) => self.own.tables += u64::from(tables.count()),
            Payload::InstanceSection(instances) => {
                for instance in instances.into_iter().map_while(Result::ok) {
                    if let Instance::Instantiate { module_index, .. } = instance {
                        self.own.add(self.module(module_index));
                    }
                }
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances.into_iter().map_while(Result::ok) {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance {
                        self.own.add(self.component(component_index));
                    }
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                aliases.into_iter().map_while(Result::ok).for_each(|alias| self.alias(&alias, outer));
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports.into_iter().map_while(Result::ok) {
                    match import.ty {
                        ComponentTypeRef::Module(_) => self.modules.push(Footprint::UNKNOWN),
                        ComponentTypeRef::Component(_) => self.components.push(Footprint::UNKNOWN),
                        _ => {}
                    }
                }
            }
            // What is exported gets another index.
            Payload::ComponentExportSection(exports) => {
                for export in exports.into_iter().map_while(Result::ok) {
                    match export.kind {
                        ComponentExternalKind::Module => self.modules.push(self.module(export.index)),
                        ComponentExternalKind::Component => self.components.push(self.component(export.index)),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>, outer: &[Self]) {
        match *alias {
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. } => {
                self.modules.push(Footprint::UNKNOWN);
            }
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => {
                self.components.push(Footprint::UNKNOWN);
            }
            ComponentAlias::Outer { kind, count, index } => {
                let around = match count {
                    0 => Some(&*self),
                    _ => outer.len().checked_sub(count as usize).and_then(|at| outer.get(at)),
                };
                match kind {
                    ComponentOuterAliasKind::CoreModule => {
                        let module = around.map_or(Footprint::UNKNOWN, |layer| layer.module(index));
                        self.modules.push(module);
                    }
                    ComponentOuterAliasKind::Component => {
                        let component = around.map_or(Footprint::UNKNOWN, |layer| layer.component(index));
                        self.components.push(component);
                    }
                    ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => {}
                }
            }
            _ => {}
        }
    }
}

/// Refuses a component whose instances would have more parts than they may. What is not valid is left to wasmtime, which
/// says best why.
pub(crate) fn check(wasm: &[u8]) -> Result<(), LoadError> {
    let found = footprint(wasm);
    let parts = [
        ("core instances", found.core_instances, limits::CORE_INSTANCES),
        ("instances of components", found.components, limits::COMPONENT_INSTANCES),
        ("memories", found.memories, limits::MEMORIES),
        ("tables", found.tables, limits::TABLES),
    ];
    match parts.into_iter().find(|(_, found, most)| *found > u64::from(*most)) {
        Some((parts, found, most)) => Err(LoadError::TooManyParts { parts, found, most }),
        None => Ok(()),
    }
}

fn footprint(wasm: &[u8]) -> Footprint {
    let mut outer = Vec::new();
    let mut layer = Layer::new(false);
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        match payload {
            Payload::ModuleSection { .. } => outer.push(mem::replace(&mut layer, Layer::new(true))),
            Payload::ComponentSection { .. } => outer.push(mem::replace(&mut layer, Layer::new(false))),
            Payload::End(_) => {
                let Some(around) = outer.pop() else { break };
                let inner = mem::replace(&mut layer, around);
                match inner.is_module {
                    true => layer.modules.push(inner.own),
                    false => layer.components.push(inner.own),
                }
            }
            section => layer.read(section, &outer),
        }
    }
    layer.own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Footprint {
        footprint(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn a_component_that_is_instantiated_twice_counts_twice() {
        let found = of("(component
            (core module $m (memory 1) (table 2 funcref))
            (component $inner (alias outer 1 $m (core module $n)) (core instance (instantiate $n)))
            (component $both (alias outer 1 $inner (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))
            (instance (instantiate $both))
            (core instance (instantiate $m)))");
        assert_eq!(found, Footprint { components: 4, core_instances: 3, memories: 3, tables: 3 });
    }

    #[test]
    fn what_is_exported_has_another_index() {
        let found = of("(component
            (component $small)
            (component $large (core module $m (memory 1)) (core instance (instantiate $m)))
            (export $again \"small\" (component $small))
            (component $last)
            (instance (instantiate $again))
            (instance (instantiate $large))
            (instance (instantiate $last)))");
        assert_eq!(found, Footprint { components: 4, core_instances: 1, memories: 1, tables: 0 });
    }

    #[test]
    fn a_component_that_is_given_counts_as_unknown_where_it_is_instantiated() {
        let given = |instance| of(&format!("(component (import \"c\" (component $c)) {instance})"));
        assert_eq!(given(""), Footprint::COMPONENT);
        assert_eq!(given("(instance (instantiate $c))"), Footprint::UNKNOWN);
    }
}

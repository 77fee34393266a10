//! A plugin in its role, with its settings.

use paceline_engine::{Aggregator, Component, Field, LoadError, Plugin, Role, Scorer, Settings, Validator};

/// A plugin in its role, with its settings.
#[derive(Clone, Debug)]
pub enum Subject {
    /// It rejects records.
    Validator(Validator),
    /// It gives each record a number.
    Scorer(Scorer),
    /// It folds records into the states of groups.
    Aggregator(Aggregator),
}

/// Why a component can't be used as a subject.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// A host would refuse it.
    #[error("the plugin is refused")]
    Refused(#[from] LoadError),
    /// It plays several roles.
    #[error("the component is a {}: name one of them with --role", .0.iter().map(Role::to_string).collect::<Vec<_>>().join(" and a "))]
    SeveralRoles(Vec<Role>),
}

impl Subject {
    /// A component in a role; without one, in the only role that it plays.
    pub fn new(component: &Component, settings: &Settings, role: Option<Role>) -> Result<Self, SubjectError> {
        let role = match (role, component.roles().as_slice()) {
            (Some(role), _) => role,
            (None, [role]) => *role,
            (None, several) => return Err(SubjectError::SeveralRoles(several.to_vec())),
        };
        Ok(match role {
            Role::Validator => Self::Validator(component.validator(settings)?),
            Role::Scorer => Self::Scorer(component.scorer(settings)?),
            Role::Aggregator => Self::Aggregator(component.aggregator(settings)?),
        })
    }

    /// Its role.
    pub fn role(&self) -> Role {
        match self {
            Self::Validator(_) => Role::Validator,
            Self::Scorer(_) => Role::Scorer,
            Self::Aggregator(_) => Role::Aggregator,
        }
    }

    /// It as a plugin.
    pub fn plugin(&self) -> &Plugin {
        match self {
            Self::Validator(validator) => validator.plugin(),
            Self::Scorer(scorer) => scorer.plugin(),
            Self::Aggregator(aggregator) => aggregator.plugin(),
        }
    }

    /// The fields that it reads.
    pub fn fields(&self) -> &[Field] {
        self.plugin().fields()
    }
}

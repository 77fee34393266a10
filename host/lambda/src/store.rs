//! What a function asks of its store beside what the pipeline asks.

use paceline_aws::dynamodb::{Throttles, Usage};
use paceline_config::AnyStore;
use paceline_pipeline::store::Store;

/// A store that a function commits to.
pub trait FunctionStore: Store + 'static {
    /// What it has used of DynamoDB so far.
    fn usage(&self) -> Usage {
        Usage::default()
    }

    /// What DynamoDB has throttled so far.
    fn throttles(&self) -> Throttles {
        Throttles::default()
    }
}

impl FunctionStore for AnyStore {
    fn usage(&self) -> Usage {
        match self {
            Self::DynamoDb(store) => store.usage(),
            Self::Embedded(..) | Self::Remote(_) | Self::Memory(_) => Usage::default(),
        }
    }

    fn throttles(&self) -> Throttles {
        match self {
            Self::DynamoDb(store) => store.throttles(),
            Self::Embedded(..) | Self::Remote(_) | Self::Memory(_) => Throttles::default(),
        }
    }
}

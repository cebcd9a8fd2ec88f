//! How many requests went out and how they were answered: what the daemon shows of its own use of the API.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::FinalizerInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// Service, operation and code.
type Key = (String, String, String);

/// Attempts by (service, operation, code), shared by all clients.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    rows: Arc<Mutex<BTreeMap<Key, u64>>>,
}

impl Calls {
    /// The table, in the order of its keys.
    pub(super) fn rows(&self) -> Vec<(String, String, String, u64)> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.iter()
            .map(|((service, operation, code), count)| (service.clone(), operation.clone(), code.clone(), *count))
            .collect()
    }
}

#[dyn_dispatch_hint]
impl Intercept for Calls {
    fn name(&self) -> &'static str {
        "Calls"
    }

    /// Every attempt counts: that is what the service's throttle counts too. The code is the HTTP status, so that the number of
    /// rows stays small whatever a service says.
    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(metadata) = bag.load::<Metadata>() else {
            return Ok(());
        };
        let code = context
            .response()
            .map_or_else(|| "none".to_owned(), |response| response.status().as_u16().to_string());
        let key = (metadata.service().to_owned(), metadata.name().to_owned(), code);
        *self
            .rows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(key)
            .or_default() += 1;
        Ok(())
    }
}

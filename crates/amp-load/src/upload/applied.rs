//! Whether the server stored an object as it was asked to: encryption must be confirmed, a storage class or tags that it drops are said once.

use std::sync::atomic::Ordering;

use super::Uploader;
use crate::error::LoadError;
use crate::store::{HeldEncryption, HeldObject, ObjectOptions, StoreError, StoreErrorKind};

impl Uploader {
    /// Compares an object that was uploaded with what was asked for, by the answer to the upload, else by asking.
    ///
    /// # Errors
    /// When encryption was asked for and nothing confirms it.
    pub(super) async fn check_applied(&self, key: &str, told: Option<HeldEncryption>) -> Result<(), LoadError> {
        let ObjectOptions { class, encryption, tags, .. } = self.store.object_options();
        let mut held = None;
        if let Some(asked) = encryption
            && !asked.is_confirmed_by(told.as_ref())
        {
            // Some servers tell it here alone.
            let found = self.find(key).await?.unwrap_or_default();
            if !asked.is_confirmed_by(found.encryption.as_ref()) {
                let told = found.encryption.or(told).map_or("no encryption".to_owned(), |told| told.to_string());
                return Err(LoadError::NotEncrypted { asked: asked.to_string(), told });
            }
            held = Some(found);
        }
        if (class.is_some() || tags.is_some()) && !self.looked_for_dropped.swap(true, Ordering::Relaxed) {
            self.warn_of_dropped(key, held).await;
        }
        Ok(())
    }

    /// Warns of what the server drops, as one object shows. Where we may not ask or no answer comes, nothing is said.
    async fn warn_of_dropped(&self, key: &str, held: Option<HeldObject>) {
        let ObjectOptions { class, tags, .. } = self.store.object_options();
        let held = match held {
            Some(held) => held,
            None => match self.find(key).await {
                Ok(Some(held)) => held,
                _ => return,
            },
        };
        let stored = held.class.as_deref().unwrap_or("STANDARD");
        if let Some(class) = class.as_deref().filter(|class| *class != stored) {
            tracing::warn!("the server stored {} as {stored}: it drops --storage-class {class}", self.url(key));
        }
        if tags.is_some() && held.tags.is_none_or(|count| count == 0) {
            match self.requests.run(0, |_| self.store.count_tags(key)).await {
                Ok(0) => tracing::warn!("the server stored {} without tags: it drops --tags", self.url(key)),
                Ok(_) => {}
                // It knows nothing of tags, most likely.
                Err(error @ StoreError { kind: StoreErrorKind::Rejected(_) | StoreErrorKind::NotFound(_), .. }) => {
                    tracing::warn!("the server does not tell whether it keeps --tags, and may drop them: {error}");
                }
                Err(error) => tracing::info!("whether the server keeps --tags is not known: {error}"),
            }
        }
    }
}

//! Wake-ups: the SQS queue that EventBridge feeds.

use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message};
use aws_smithy_types::timeout::TimeoutConfig;

use crate::aws::errors::{failed, unread};
use crate::aws::{Aws, CONNECT, events};
use crate::daemon::cloud::{Hint, Read};

/// How long the service holds the call until something comes; its longest.
const WAIT_SECONDS: i32 = 20;
/// Most messages of one call.
const MESSAGES: i32 = 10;
/// Calls in a row while each brings half as many messages as it may: a burst comes at once, a flood does not hold the caller.
const ROUNDS: usize = 20;

impl Aws {
    /// Messages are deleted before anyone acts on them: a hint that is lost costs one poll, a hint that stays comes again
    /// and again.
    pub(super) async fn receive(&self) -> Read<Vec<Hint>> {
        let Some(url) = &self.settings.events_queue_url else {
            return Err(failed(
                "no events queue is configured; expected the URL of an SQS queue",
            ));
        };
        let mut hints = Vec::new();
        for round in 0..ROUNDS {
            let wait = if round == 0 { WAIT_SECONDS } else { 0 };
            let messages = match self.receive_once(url, wait).await {
                Ok(messages) => messages,
                Err(unread) if hints.is_empty() => return Err(unread),
                // What has come is not lost; the next call will meet the same trouble and tell.
                Err(_) => break,
            };
            // A queue with few messages seldom gives all that it has at once.
            let more = messages.len() * 2 >= 10;
            let told = messages.iter().map(|m| events::parse(m.body().unwrap_or_default()));
            // A rule cannot tell whose Spot Instance is interrupted, and others may have thousands.
            hints.extend(told.filter(|hint| match hint {
                Hint::Interruption { instance } => self.may_be_ours(instance),
                Hint::Job { .. } | Hint::Blocked { .. } | Hint::Instance { .. } | Hint::Malformed => true,
            }));
            self.delete(url, &messages).await;
            if !more {
                break;
            }
        }
        Ok(hints)
    }

    async fn receive_once(&self, url: &str, wait: i32) -> Read<Vec<Message>> {
        let wait_for = Duration::from_secs(u64::from(wait.unsigned_abs()));
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(wait_for + Duration::from_secs(5))
            .operation_timeout(wait_for + Duration::from_secs(10))
            .build();
        let call = self
            .sqs
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(MESSAGES);
        let call = call.wait_time_seconds(wait).customize();
        let call = call.config_override(aws_sdk_sqs::config::Builder::new().timeout_config(timeouts));
        let answer = call.send().await.map_err(|e| unread("sqs:ReceiveMessage", &e))?;
        Ok(answer.messages.unwrap_or_default())
    }

    /// What could not be deleted comes again and is a duplicate. Of failures in a row the first is told.
    async fn delete(&self, url: &str, messages: &[Message]) {
        let receipts = messages.iter().filter_map(Message::receipt_handle).enumerate();
        let entries: Vec<_> = receipts
            .filter_map(|(at, receipt)| {
                let entry = DeleteMessageBatchRequestEntry::builder().id(at.to_string());
                entry.receipt_handle(receipt).build().ok()
            })
            .collect();
        if entries.is_empty() {
            return;
        }
        let call = self
            .sqs
            .delete_message_batch()
            .queue_url(url)
            .set_entries(Some(entries));
        let failed = match call.send().await {
            Ok(answer) => answer.failed.first().map(|first| first.code.clone()),
            Err(error) => Some(unread("sqs:DeleteMessage", &error).message),
        };
        let before = self.hints_stay.swap(failed.is_some(), Ordering::Relaxed);
        if let (Some(error), false) = (failed, before) {
            tracing::warn!(%error, "Wake-ups could not be deleted and will come again");
        }
    }
}

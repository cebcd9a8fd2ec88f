//! What `autotune init --policy` reads: the part of a survey that a policy is written from, and which SQS queues there are.

use std::collections::BTreeSet;

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;

use super::{Named, known};
use crate::account::survey::{Known, SqsListing, Survey, Timestamp, VERSION, name_of};
use crate::aws::Aws;
use crate::aws::errors::unread;
use crate::aws::quota::STORAGE;
use crate::daemon::cloud::Read;

/// As many as SQS gives at once, and so many pages.
const NAMES_A_PAGE: i32 = 1_000;
const PAGES_MOST: usize = 2;
/// Each takes a request: of so many queues it is read where their undeliverable messages go.
const REDRIVES_MOST: usize = 100;

impl Aws {
    /// Compute environments, job queues, types, service quotas, guards and SQS queues. Fails only where not even the account is known:
    /// whatever else cannot be read is said in its place.
    pub async fn discover(&self) -> Read<(Survey, Known<SqsListing>)> {
        let identity = self.who().await?;
        let (compute_environments, job_queues, sqs) =
            tokio::join!(self.survey_environments(), self.survey_plain_queues(), self.list_sqs());
        let environments = compute_environments.read().map_or(&[][..], Vec::as_slice);
        let mut named = Named::of(environments, None);
        named.quotas.retain(|code| !STORAGE.contains(&code.as_str()));
        let (instance_types, quotas, guard, written) = tokio::join!(
            self.survey_types(&named.types),
            self.survey_quotas(&named.quotas),
            self.survey_guard(),
            self.survey_schedules(),
        );
        let survey = Survey {
            version: VERSION,
            taken_at: Some(Timestamp(self.clock.now())),
            account: identity.account,
            region: identity.region,
            compute_environments,
            job_queues,
            instance_types,
            quotas,
            guard,
            bases: written.bases,
            schedules: written.schedules,
            ..Survey::default()
        };
        Ok((survey, known(sqs)))
    }

    async fn list_sqs(&self) -> Read<SqsListing> {
        let mut listing = SqsListing::default();
        let (mut urls, mut cut) = (Vec::new(), Vec::new());
        let call = self.sqs.list_queues().max_results(NAMES_A_PAGE);
        let mut pages = call.into_paginator().send();
        for page_number in 1..=PAGES_MOST {
            let Some(page) = pages.next().await else { break };
            let page = page.map_err(|e| unread("sqs:ListQueues", &e))?;
            urls.extend(page.queue_urls.unwrap_or_default());
            if page.next_token.is_none() {
                break;
            }
            if page_number == PAGES_MOST {
                cut.push(format!("there are more than {}; these were read", urls.len()));
            }
        }
        listing.names = urls.iter().map(|url| name_of(url).to_owned()).collect();
        urls.sort();
        let (dead, unread) = self.dead_letter_queues(&urls).await;
        listing.dead_letter = dead;
        if let Some((count, why)) = unread {
            cut.push(format!(
                "where undeliverable messages go was not read of {count} queues, so some may be dead-letter queues: {why}"
            ));
        }
        if urls.len() > REDRIVES_MOST {
            cut.push(format!(
                "where undeliverable messages go was read of {REDRIVES_MOST} of {}",
                urls.len()
            ));
        }
        listing.cut = (!cut.is_empty()).then(|| cut.join("; "));
        Ok(listing)
    }

    /// Names of queues that take what others could not deliver; of how many that was not read, and why of the first.
    async fn dead_letter_queues(&self, urls: &[String]) -> (BTreeSet<String>, Option<(usize, String)>) {
        let (mut dead, mut unread_of) = (BTreeSet::new(), None);
        for url in urls.iter().take(REDRIVES_MOST) {
            let call = self.sqs.get_queue_attributes().queue_url(url);
            let answer = call.attribute_names(QueueAttributeName::RedrivePolicy).send().await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    let why = || (0, unread("sqs:GetQueueAttributes", &error).message);
                    unread_of.get_or_insert_with(why).0 += 1;
                    continue;
                }
            };
            let attributes = answer.attributes.unwrap_or_default();
            let policy = attributes.get(&QueueAttributeName::RedrivePolicy);
            let policy: Value = policy
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default();
            let target = policy["deadLetterTargetArn"].as_str();
            dead.extend(target.and_then(|arn| arn.rsplit(':').next()).map(str::to_owned));
        }
        (dead, unread_of)
    }
}

//! Jobs as AWS Batch lists and describes them. Plain data; counts for the planner are made of it by the daemon.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::observation::Shape;
use crate::units::{Time, Vcpus, to_u32};

/// The status of a job, as Batch names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobStatus {
    /// Not yet looked at by the scheduler.
    #[default]
    Submitted,
    /// Waits for other jobs; or an array parent whose children have begun.
    Pending,
    /// Waits for capacity.
    Runnable,
    /// Has an instance; its image is being pulled.
    Starting,
    /// Runs.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly, was cancelled or terminated.
    Failed,
}

impl JobStatus {
    /// Nothing follows.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed => true,
            Self::Submitted | Self::Pending | Self::Runnable | Self::Starting | Self::Running => false,
        }
    }
}

/// A job as ListJobs tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSeen {
    /// Its id; children of arrays end in `:index`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its job definition, as named in the listing.
    pub definition: String,
    /// Its status.
    pub status: JobStatus,
    /// Why, in the service's words; empty if it says nothing.
    pub status_reason: String,
    /// When it was submitted.
    pub created: Option<Time>,
    /// When it began to run.
    pub started: Option<Time>,
    /// When it ended.
    pub stopped: Option<Time>,
    /// vCPUs by `capacityUsage`, if the listing has it. Of an array parent nobody knows what it means.
    pub vcpus: Option<Vcpus>,
    /// What is said of an array's children, if this is a parent.
    pub array: Option<ArraySeen>,
    /// Nodes of a multi-node job; 1 for every other.
    pub nodes: u32,
    /// What the latest attempt was placed on, as `CLUSTER/ID` of a container instance, if it is told; listings do not.
    pub instance: Option<String>,
    /// Which attempt the status is of, counted from 1; 0: not told, as in listings.
    pub attempt: u32,
    /// Attempts that are told one by one; see [`JobSeen::begun`].
    pub attempts: Vec<Attempt>,
}

impl JobSeen {
    /// Every attempt that is known to have begun to run, the latest among them, however it is told.
    pub fn begun(&self) -> Vec<Attempt> {
        let mut begun = self.attempts.clone();
        let ran = match self.status {
            JobStatus::Running | JobStatus::Succeeded | JobStatus::Failed => true,
            // What began is an attempt before this one.
            JobStatus::Submitted | JobStatus::Pending | JobStatus::Runnable | JobStatus::Starting => false,
        };
        if let Some(started) = self.started.filter(|_| ran) {
            let stopped = self.stopped.filter(|_| self.status.is_over());
            match begun.iter_mut().find(|attempt| attempt.started == started) {
                Some(latest) => {
                    if latest.number == 0 {
                        latest.number = self.attempt;
                    }
                    // Of a job whose last attempt never began, this is one before: the rest is not said of it.
                    if latest.number == self.attempt {
                        latest.stopped = latest.stopped.or(stopped);
                        latest.instance = latest.instance.take().or_else(|| self.instance.clone());
                    }
                }
                None => begun.push(Attempt {
                    number: self.attempt,
                    started,
                    stopped,
                    instance: self.instance.clone(),
                    environment: None,
                }),
            }
        }
        begun
    }

    /// Which attempt a status is of, counted from 1, where so many have ended.
    pub fn attempt_of(status: JobStatus, ended: usize) -> u32 {
        to_u32(if status.is_over() { ended.max(1) } else { ended + 1 })
    }
}

/// Whether a `type` of dependsOn says that children of this array run one after the other: it names no other job.
pub fn is_sequential(own: &str, kind: Option<&str>, on: Option<&str>) -> bool {
    kind == Some("SEQUENTIAL") && on.is_none_or(|on| on == own)
}

/// An array parent's children.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArraySeen {
    /// How many there are.
    pub size: i64,
    /// How many are in each status.
    pub summary: BTreeMap<JobStatus, i64>,
    /// When the service counted them.
    pub updated: Option<Time>,
    /// They run one after the other. Events and descriptions tell it, listings do not.
    #[serde(default)]
    pub sequential: bool,
}

/// A job as DescribeJobs tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobDescribed {
    /// What a listing would tell.
    pub seen: JobSeen,
    /// `None` for a job that says nothing of its size.
    pub size: Option<JobSize>,
}

/// One attempt at a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which it is, counted from 1, those that never began to run included; 0: not told.
    pub number: u32,
    /// When it began to run.
    pub started: Time,
    /// When it ended.
    pub stopped: Option<Time>,
    /// As [`JobSeen::instance`].
    pub instance: Option<String>,
    /// The compute environment of that instance: the service does not tell, whoever knows the clusters does.
    pub environment: Option<String>,
}

/// What DescribeJobs adds: the size, with container overrides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSize {
    /// The job.
    pub id: String,
    /// What it asks for.
    pub shape: Shape,
    /// Jobs that it waits for.
    pub parents: Vec<String>,
}

//! Jobs: listings, descriptions, the head of a queue.

use std::collections::HashMap;

use aws_sdk_batch::operation::list_jobs::builders::ListJobsFluentBuilder;
use aws_sdk_batch::types::{
    self as batch, JobDetail, JobSummary, KeyValuesPair, NodeRangeProperty, ResourceRequirement,
};

use crate::aws::Aws;
use crate::aws::errors::unread;
use crate::aws::size::Size;
use crate::aws::topology::name_of;
use crate::daemon::cloud::{Head, Page, Read};
use crate::jobs::{ArraySeen, Attempt, JobDescribed, JobSeen, JobSize, JobStatus, is_sequential};
use crate::observation::Shape;
use crate::units::{Time, Vcpus, f64_to_i64, to_u32};

/// Most jobs of a page of ListJobs by status, and of one by filter.
const PAGE: i32 = 1000;
const FILTERED_PAGE: i32 = 100;

/// One page of a listing by status; `call` says of what.
pub(super) async fn list(call: ListJobsFluentBuilder, status: JobStatus, page: Option<String>) -> Read<Page> {
    let call = call.job_status(to_batch(status)).max_results(PAGE).set_next_token(page);
    page_of(call, status).await
}

/// One page of a listing by the time of creation, in milliseconds since 1970; `call` says of what.
pub(super) async fn list_created(call: ListJobsFluentBuilder, after: Time, page: Option<String>) -> Read<Page> {
    let filter = KeyValuesPair::builder()
        .name("AFTER_CREATED_AT")
        .values(after.millis().to_string())
        .build();
    let call = call.filters(filter).max_results(FILTERED_PAGE).set_next_token(page);
    page_of(call, JobStatus::Submitted).await
}

async fn page_of(call: ListJobsFluentBuilder, status: JobStatus) -> Read<Page> {
    let answer = call.send().await.map_err(|e| unread("batch:ListJobs", &e))?;
    let jobs = answer.job_summary_list.unwrap_or_default();
    Ok(Page {
        jobs: jobs.into_iter().filter_map(|job| seen(job, status)).collect(),
        next: answer.next_token.filter(|token| !token.is_empty()),
    })
}

impl Aws {
    /// At most 100 ids a call; more are asked for in several.
    pub(super) async fn read_jobs(&self, ids: &[String]) -> Read<Vec<JobDescribed>> {
        let mut jobs = Vec::with_capacity(ids.len());
        for ids in ids.chunks(100) {
            let call = self.batch.describe_jobs().set_jobs(Some(ids.to_vec()));
            let answer = call.send().await.map_err(|e| unread("batch:DescribeJobs", &e))?;
            jobs.extend(answer.jobs.unwrap_or_default().into_iter().filter_map(described));
        }
        Ok(jobs)
    }

    pub(super) async fn read_head(&self, queue: &str) -> Read<Option<Head>> {
        let answer = self.batch.get_job_queue_snapshot().job_queue(queue).send().await;
        let answer = answer.map_err(|e| unread("batch:GetJobQueueSnapshot", &e))?;
        let first = answer.front_of_queue.and_then(|front| front.jobs?.into_iter().next());
        Ok(first.and_then(|first| {
            Some(Head {
                job: name_of(&first.job_arn?).to_owned(),
                since: first.earliest_time_at_position.and_then(time),
            })
        }))
    }
}

/// `None` for what has no id. A listing by status need not repeat it.
fn seen(job: JobSummary, asked: JobStatus) -> Option<JobSeen> {
    let usage = job.capacity_usage.unwrap_or_default();
    let array = job.array_properties.and_then(|array| {
        let updated = array.status_summary_last_updated_at;
        parent(array.size, array.index, array.status_summary, updated)
    });
    Some(JobSeen {
        id: job.job_id?,
        name: job.job_name.unwrap_or_default(),
        definition: job.job_definition.unwrap_or_default(),
        status: job.status.and_then(|s| status(s.as_str())).unwrap_or(asked),
        status_reason: job.status_reason.unwrap_or_default(),
        created: job.created_at.and_then(time),
        started: job.started_at.and_then(time),
        stopped: job.stopped_at.and_then(time),
        vcpus: usage.iter().find_map(|usage| {
            // The model says `VCPU` and `cpu`, the guide prints `vCPU`.
            let unit = usage.capacity_unit.as_deref()?;
            let counts = unit.eq_ignore_ascii_case("vcpu") || unit.eq_ignore_ascii_case("cpu");
            let quantity = usage.quantity.filter(|q| counts && q.is_finite())?;
            Some(Vcpus::new(f64_to_i64(quantity.ceil())))
        }),
        array,
        nodes: nodes(job.node_properties.and_then(|n| n.num_nodes)),
        instance: None,
        attempt: 0,
        attempts: Vec::new(),
    })
}

/// A child has an index; only a parent has a size.
fn parent(
    size: Option<i32>,
    index: Option<i32>,
    summary: Option<HashMap<String, i32>>,
    updated: Option<i64>,
) -> Option<ArraySeen> {
    let size = size.filter(|size| *size > 0 && index.is_none())?;
    let counts = summary.unwrap_or_default().into_iter();
    Some(ArraySeen {
        size: i64::from(size),
        summary: counts
            .filter_map(|(name, count)| Some((status(&name)?, i64::from(count.max(0)))))
            .collect(),
        updated: updated.and_then(time),
        sequential: false,
    })
}

/// `None` for what has no id or a status that nobody knows.
fn described(mut job: JobDetail) -> Option<JobDescribed> {
    let own = job.job_id.clone()?;
    let array = job.array_properties.take().and_then(|array| {
        let updated = array.status_summary_last_updated_at;
        let told = parent(array.size, array.index, array.status_summary, updated)?;
        let mut waits = job.depends_on().iter();
        let sequential =
            waits.any(|on| is_sequential(&own, on.r#type().map(batch::ArrayJobDependency::as_str), on.job_id()));
        Some(ArraySeen { sequential, ..told })
    });
    let state = job.status.as_ref().and_then(|told| status(told.as_str()))?;
    let seen = JobSeen {
        id: own,
        name: job.job_name.take().unwrap_or_default(),
        definition: job.job_definition.take().unwrap_or_default(),
        status: state,
        status_reason: job.status_reason.take().unwrap_or_default(),
        created: job.created_at.and_then(time),
        started: job.started_at.and_then(time),
        stopped: job.stopped_at.and_then(time),
        vcpus: None,
        array,
        nodes: nodes(job.node_properties.as_ref().and_then(|n| n.num_nodes)),
        instance: placed(&job),
        attempt: JobSeen::attempt_of(
            state,
            job.attempts().iter().filter(|tried| tried.stopped_at.is_some()).count(),
        ),
        attempts: (1..)
            .zip(job.attempts())
            .filter_map(|(number, told)| attempt(number, told))
            .collect(),
    };
    Some(JobDescribed { seen, size: size(job) })
}

/// What a job runs on: in its container or, of one that says `ecsProperties`, in its task.
fn placed(job: &JobDetail) -> Option<String> {
    let container = job.container.as_ref().and_then(|c| c.container_instance_arn());
    let tasks = || {
        job.ecs_properties
            .as_ref()?
            .task_properties()
            .first()?
            .container_instance_arn()
    };
    instance(container.or_else(tasks)?)
}

/// `None` for one that has not begun.
fn attempt(number: u32, attempt: &batch::AttemptDetail) -> Option<Attempt> {
    let container = attempt.container.as_ref().and_then(|c| c.container_instance_arn());
    let task = || attempt.task_properties().first()?.container_instance_arn();
    Some(Attempt {
        number,
        started: time(attempt.started_at?)?,
        stopped: attempt.stopped_at.and_then(time),
        instance: container.or_else(task).and_then(instance),
        environment: None,
    })
}

/// `CLUSTER/ID` of a container instance's ARN. Those of the old format name no cluster, and so tell nothing.
pub(super) fn instance(arn: &str) -> Option<String> {
    let (_, placed) = arn.split_once(":container-instance/")?;
    placed.contains('/').then(|| placed.to_owned())
}

/// `None` for a job that says nothing of its size.
fn size(job: JobDetail) -> Option<JobSize> {
    let mut own = Size::default();
    if let Some(container) = &job.container {
        let requirements = requirements(container.resource_requirements());
        own.container(container.vcpus, container.memory, requirements);
    }
    for task in job
        .ecs_properties
        .iter()
        .flat_map(aws_sdk_batch::types::EcsPropertiesDetail::task_properties)
    {
        for container in task.containers() {
            own.container(None, None, requirements(container.resource_requirements()));
        }
    }
    let pod = job.eks_properties.as_ref().and_then(|e| e.pod_properties.as_ref());
    for container in pod
        .into_iter()
        .flat_map(aws_sdk_batch::types::EksPodPropertiesDetail::containers)
    {
        own.pod_container(wants(container.resources.as_ref()));
    }
    let ranges = job
        .node_properties
        .iter()
        .flat_map(aws_sdk_batch::types::NodeProperties::node_range_properties);
    let own = ranges.map(node).fold(own, Size::larger);
    Some(JobSize {
        id: job.job_id?,
        shape: Shape {
            resources: own.get()?,
            nodes: nodes(job.node_properties.and_then(|n| n.num_nodes)),
        },
        parents: job
            .depends_on
            .unwrap_or_default()
            .into_iter()
            .filter_map(|d| d.job_id)
            .collect(),
    })
}

/// One node of a multi-node job.
fn node(range: &NodeRangeProperty) -> Size {
    let mut own = Size::default();
    if let Some(container) = &range.container {
        #[expect(deprecated, reason = "job definitions of old are still run")]
        let (vcpus, memory) = (container.vcpus, container.memory);
        own.container(vcpus, memory, requirements(container.resource_requirements()));
    }
    for task in range
        .ecs_properties
        .iter()
        .flat_map(aws_sdk_batch::types::EcsProperties::task_properties)
    {
        for container in task.containers() {
            own.container(None, None, requirements(container.resource_requirements()));
        }
    }
    let pod = range.eks_properties.as_ref().and_then(|e| e.pod_properties.as_ref());
    for container in pod
        .into_iter()
        .flat_map(aws_sdk_batch::types::EksPodProperties::containers)
    {
        own.pod_container(wants(container.resources.as_ref()));
    }
    own
}

fn requirements(requirements: &[ResourceRequirement]) -> impl Iterator<Item = (&str, &str)> {
    requirements
        .iter()
        .filter_map(|r| Some((r.r#type.as_ref()?.as_str(), r.value.as_deref()?)))
}

/// Requests first, so that limits replace them.
fn wants(resources: Option<&batch::EksContainerResourceRequirements>) -> impl Iterator<Item = (&str, &str)> {
    let requests = resources.and_then(|r| r.requests.as_ref()).into_iter().flatten();
    let limits = resources.and_then(|r| r.limits.as_ref()).into_iter().flatten();
    requests
        .chain(limits)
        .map(|(kind, value)| (kind.as_str(), value.as_str()))
}

pub(super) fn nodes(count: Option<i32>) -> u32 {
    to_u32(count.unwrap_or(1).max(1))
}

/// AWS Batch writes milliseconds; zero stands for never.
pub(super) fn time(millis: i64) -> Option<Time> {
    (millis > 0).then(|| Time::from_millis(millis))
}

fn to_batch(status: JobStatus) -> batch::JobStatus {
    match status {
        JobStatus::Submitted => batch::JobStatus::Submitted,
        JobStatus::Pending => batch::JobStatus::Pending,
        JobStatus::Runnable => batch::JobStatus::Runnable,
        JobStatus::Starting => batch::JobStatus::Starting,
        JobStatus::Running => batch::JobStatus::Running,
        JobStatus::Succeeded => batch::JobStatus::Succeeded,
        JobStatus::Failed => batch::JobStatus::Failed,
    }
}

/// `None` for a status that AWS may add one day.
pub(super) fn status(name: &str) -> Option<JobStatus> {
    match name {
        "SUBMITTED" => Some(JobStatus::Submitted),
        "PENDING" => Some(JobStatus::Pending),
        "RUNNABLE" => Some(JobStatus::Runnable),
        "STARTING" => Some(JobStatus::Starting),
        "RUNNING" => Some(JobStatus::Running),
        "SUCCEEDED" => Some(JobStatus::Succeeded),
        "FAILED" => Some(JobStatus::Failed),
        _ => None,
    }
}

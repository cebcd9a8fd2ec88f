//! Jobs as AWS Batch lists, describes and orders them.

use serde_json::{Value, json};

use super::batch::most;
use crate::ids::QueueIndex;
use crate::jobs::JobStatus;
use crate::sandbox::describe::spelled;
use crate::sandbox::ids::JobRef;
use crate::sandbox::input::{Input, Taken};
use crate::sandbox::jobs::Seen;
use crate::sandbox::refused::Refused;
use crate::sandbox::state::State;
use crate::units::Time;

/// Most jobs of a page by status, and of one by filters.
pub(in crate::sandbox) const BY_STATUS_MOST: usize = 1_000;
pub(in crate::sandbox) const BY_FILTER_MOST: usize = 100;
/// Most jobs of DescribeJobs, and at the front of a queue.
const JOBS_MOST: usize = 100;

/// What ListJobs asks for.
enum Wanted<'a> {
    Status(JobStatus),
    Name(&'a str),
    Definition(&'a str),
    Before(Time),
    After(Time),
    /// Share identifiers are not simulated: no job has one.
    Nothing,
}

impl State {
    pub(in crate::sandbox) fn queue_or_refuse(&self, wanted: &str) -> Taken<QueueIndex> {
        self.queue(wanted)
            .ok_or_else(|| Refused::client(format!("JobQueue {wanted} not found.")))
    }

    pub(super) fn list_jobs(&mut self, input: Input<'_>) -> Taken<Value> {
        let (queue, array) = (input.text("jobQueue")?, input.text("arrayJobId")?);
        let nodes = input.text("multiNodeJobId")?;
        let wanted = wanted(input)?;
        let all: Vec<JobRef> = match (queue, array, nodes) {
            (Some(queue), None, None) => {
                let queue = self.queue_or_refuse(queue)?;
                self.book.of_queue(queue).to_vec()
            }
            (None, Some(array), None) => {
                let parent = self.names.job_ref(array).filter(|job| matches!(job, JobRef::Array(_)));
                let parent = parent.ok_or_else(|| Refused::client(format!("Job {array} is not an array job")))?;
                let children = self.children_of(parent);
                children.into_iter().map(|child| self.ref_of(child)).collect()
            }
            // Nodes are not told apart.
            (None, None, Some(_)) => Vec::new(),
            // The model wants exactly one; the words are not known.
            _ => {
                return Err(Refused::client(
                    "Exactly one of [jobQueue, arrayJobId, multiNodeJobId] must be specified",
                ));
            }
        };
        let (of, longest) = match &wanted {
            Wanted::Status(status) => (spelled(*status), BY_STATUS_MOST),
            Wanted::Name(_) | Wanted::Definition(_) | Wanted::Before(_) | Wanted::After(_) | Wanted::Nothing => {
                ("filters", BY_FILTER_MOST)
            }
        };
        let of = format!("{of} {}", queue.or(array).or(nodes).unwrap_or_default());
        let start = self.page_begins(&of, input.text("nextToken")?)?;
        let longest = most(input, "maxResults", longest)?;
        let suits = |state: &Self, seen: &Seen| state.suits(seen, &wanted);
        let (page, next) = match &wanted {
            Wanted::Status(status) => self.page_of_jobs(&all, (start.unwrap_or(0), longest), Some(*status), suits),
            Wanted::Name(_) | Wanted::Definition(_) | Wanted::Before(_) | Wanted::After(_) | Wanted::Nothing => {
                self.latest_first(&all, (start, longest), suits)
            }
        };
        let told: Vec<Value> = page.iter().map(|seen| self.job_summary(seen)).collect();
        let next = next.map(|position| self.names.token(&of, position));
        let mut answer = json!({"jobSummaryList": told});
        if let (Some(next), Value::Object(members)) = (next, &mut answer) {
            members.insert("nextToken".to_owned(), json!(next));
        }
        Ok(answer)
    }

    fn suits(&self, seen: &Seen, wanted: &Wanted<'_>) -> bool {
        let matches = |pattern: &str, text: &str| match pattern.strip_suffix('*') {
            Some(start) => text.to_lowercase().starts_with(&start.to_lowercase()),
            None => text.eq_ignore_ascii_case(pattern),
        };
        match wanted {
            Wanted::Status(status) => seen.status == *status,
            Wanted::Name(name) => matches(name, seen.name()),
            Wanted::Definition(definition) => {
                let arn = seen.definition(&self.names);
                let name = arn.rsplit('/').next().unwrap_or_default();
                *definition == arn || *definition == name || matches(definition, name.split(':').next().unwrap_or(name))
            }
            Wanted::Before(at) => seen.created < *at,
            Wanted::After(at) => seen.created > *at,
            Wanted::Nothing => false,
        }
    }

    pub(super) fn describe_jobs(&mut self, input: Input<'_>) -> Taken<Value> {
        let ids = input.texts("jobs")?;
        if input.get("jobs").is_none() {
            return Err(Refused::executing("jobs must not be blank."));
        }
        if ids.len() > JOBS_MOST {
            return Err(Refused::client(format!(
                "Maximum number of jobs supported is  {JOBS_MOST}"
            )));
        }
        let mut told = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(seen) = self.find(id) {
                told.push(self.job_detail(&seen));
            }
        }
        Ok(json!({"jobs": told}))
    }

    pub(super) fn snapshot(&mut self, input: Input<'_>) -> Taken<Value> {
        let queue = self.queue_or_refuse(input.required("jobQueue")?)?;
        let front = self.world.front(queue, JOBS_MOST).into_iter().map(|job| {
            let since = self.world.front_since(job).unwrap_or(self.now);
            json!({"jobArn": self.names.job_arn(self.ref_of(job)), "earliestTimeAtPosition": since.millis()})
        });
        let front: Vec<Value> = front.collect();
        let used = self.world.placed(queue).vcpus().get();
        let at = self.now.millis();
        Ok(json!({
            "frontOfQueue": {"jobs": front, "lastUpdatedAt": at},
            "queueUtilization": {
                "totalCapacityUsage": [{"capacityUnit": "VCPU", "quantity": used}],
                "lastUpdatedAt": at,
            },
        }))
    }
}

/// A filter goes before a status; without either RUNNING is listed.
fn wanted(input: Input<'_>) -> Taken<Wanted<'_>> {
    let filters = input.structures("filters")?;
    if let Some(filter) = filters.first() {
        if filters.len() > 1 {
            return Err(Refused::client("Only one filter can be used at a time"));
        }
        let values = filter.texts("values")?;
        let value = values.first().copied().unwrap_or_default();
        let time = || {
            let millis = value
                .parse()
                .map_err(|_| Refused::client(format!("{value} is not a time")));
            millis.map(Time::from_millis)
        };
        return match filter.required("name")? {
            "JOB_NAME" => Ok(Wanted::Name(value)),
            "JOB_DEFINITION" => Ok(Wanted::Definition(value)),
            "BEFORE_CREATED_AT" => Ok(Wanted::Before(time()?)),
            "AFTER_CREATED_AT" => Ok(Wanted::After(time()?)),
            "SHARE_IDENTIFIER" => Ok(Wanted::Nothing),
            other => Err(Refused::client(format!("Filter {other} is not valid"))),
        };
    }
    let status = match input.text("jobStatus")?.unwrap_or("RUNNING") {
        "SUBMITTED" => JobStatus::Submitted,
        "PENDING" => JobStatus::Pending,
        "RUNNABLE" => JobStatus::Runnable,
        "STARTING" => JobStatus::Starting,
        "RUNNING" => JobStatus::Running,
        "SUCCEEDED" => JobStatus::Succeeded,
        "FAILED" => JobStatus::Failed,
        other => return Err(Refused::executing(&format!("JobStatus {other} is not valid"))),
    };
    Ok(Wanted::Status(status))
}

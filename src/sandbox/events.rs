//! What EventBridge would send to the events queue: changes of jobs and container instances, Spot notices. Late, sometimes lost,
//! sometimes twice, as the view's model says.

use serde_json::{Value, json};

use super::ids::{JobRef, Names};
use super::state::{Due, State};
use crate::ids::{EnvironmentIndex, JobIndex};
use crate::simulate::draws::{Cause, draw};
use crate::simulate::world::InstanceNow;
use crate::units::{Span, Time};

/// A duplicate follows this much later.
const AGAIN: Span = Span::from_seconds(1);

impl State {
    fn send_event(&mut self, source: &str, kind: &str, resources: &[String], at: Time, detail: &Value) {
        let Some(delay) = self.view.hint else { return };
        self.hints += 1;
        let luck = draw(self.names.seed, Cause::Hint, self.hints, 0) % 1000;
        if luck < self.view.hints_lost_permille {
            return;
        }
        let event = json!({
            "version": "0",
            "id": self.names.uuid(3, self.hints),
            "detail-type": kind,
            "source": source,
            "account": self.names.account,
            "time": at.to_string(),
            "region": self.names.region,
            "resources": resources,
            "detail": detail,
        });
        let body = event.to_string();
        if luck >= 1000 - self.view.hints_doubled_permille {
            self.plan(at + delay + AGAIN, Due::Event(body.clone()));
        }
        self.plan(at + delay, Due::Event(body));
    }

    /// "Batch Job State Change" of a single job or child.
    pub(super) fn tell_of_job(&mut self, job: JobIndex, at: Time) {
        let job = self.ref_of(job);
        self.tell_of_ref(job, at);
    }

    /// A parent becomes PENDING with its first child and ends with its last.
    pub(super) fn tell_of_parent(&mut self, child: JobIndex, at: Time) {
        if let Some(array) = self.world.recorded(child).and_then(|recorded| recorded.array) {
            self.tell_of_ref(JobRef::Array(array), at);
        }
    }

    fn tell_of_ref(&mut self, job: JobRef, at: Time) {
        if self.view.hint.is_none() {
            return;
        }
        let Some(seen) = self.see(job) else { return };
        let detail = self.job_detail(&seen);
        let arn = self.names.job_arn(job);
        self.send_event("aws.batch", "Batch Job State Change", &[arn], at, &detail);
    }

    /// "ECS Container Instance State Change".
    pub(super) fn tell_of_instance(&mut self, environment: EnvironmentIndex, instance: &InstanceNow, at: Time) {
        let name = self.environment_name(environment).to_owned();
        let mut detail = self.container_instance(environment, instance, &json!(instance.registered.to_string()));
        if let Value::Object(members) = &mut detail {
            members.insert("clusterArn".to_owned(), json!(self.names.cluster_arn(&name)));
            members.insert("updatedAt".to_owned(), json!(at.to_string()));
        }
        let arn = self.names.instance_arn(&name, instance.entity);
        self.send_event("aws.ecs", "ECS Container Instance State Change", &[arn], at, &detail);
    }

    /// A task that starts or stops changes what remains of its container instance, and ECS tells that too (Amazon ECS developer
    /// guide, container instance state change events).
    pub(super) fn tell_of_room(&mut self, job: JobIndex, at: Time) {
        let Some((environment, entity)) = self.world.job(job).and_then(|now| now.place) else {
            return;
        };
        let mut instances = self.world.instances_of(environment).into_iter();
        if let Some(instance) = instances.find(|instance| instance.entity == entity) {
            self.tell_of_instance(environment, &instance, at);
        }
    }

    /// "EC2 Spot Instance Interruption Warning".
    pub(super) fn tell_of_interruption(&mut self, instance: &InstanceNow, at: Time) {
        let id = Names::ec2_id(instance.entity);
        let arn = self.names.arn("ec2", &format!("instance/{id}"));
        let detail = json!({"instance-id": id, "instance-action": "terminate"});
        self.send_event("aws.ec2", "EC2 Spot Instance Interruption Warning", &[arn], at, &detail);
    }
}

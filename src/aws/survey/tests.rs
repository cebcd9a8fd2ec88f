//! How many requests a look takes, with an account in which ten environments share nothing.

use serde_json::{Value, json};

use crate::account::survey::{Known, told};
use crate::aws::guard::TARGET;
use crate::aws::replay::{Asked, Replay, Reply};
use crate::daemon::cloud::{Cloud as _, Principal};

const ENVIRONMENTS: usize = 10;

const VERSIONS: [&str; 3] = ["1", "$Latest", "$Default"];

/// The promise for ten environments.
const CALLS_MOST: usize = 60;

/// `MEMBER` once for each environment, with its number for `#`.
fn each(member: &str) -> String {
    (0..ENVIRONMENTS)
        .map(|at| member.replace('#', &at.to_string()))
        .collect()
}

fn environment(at: usize) -> Value {
    json!({
        "computeEnvironmentName": format!("e{at}"),
        "computeEnvironmentArn": format!("arn:aws:batch:eu-central-1:111122223333:compute-environment/e{at}"),
        "ecsClusterArn": "c",
        "type": "MANAGED",
        "state": "ENABLED",
        "status": "VALID",
        "serviceRole": format!("arn:aws:iam::111122223333:role/service{at}"),
        "computeResources": {
            "type": if at.is_multiple_of(2) { "SPOT" } else { "EC2" },
            "minvCpus": 8,
            "maxvCpus": 64,
            "instanceTypes": ["m6i.large"],
            "subnets": [format!("subnet-{at}")],
            "instanceRole": format!("arn:aws:iam::111122223333:instance-profile/profile{at}"),
            "launchTemplate": { "launchTemplateId": format!("lt-{at}"), "version": VERSIONS[at % 3] },
        },
    })
}

fn queue(at: usize) -> Value {
    json!({
        "jobQueueName": format!("q{at}"),
        "jobQueueArn": format!("arn:aws:batch:eu-central-1:111122223333:job-queue/q{at}"),
        "state": "ENABLED",
        "status": "VALID",
        "priority": 1,
        "computeEnvironmentOrder": [{ "order": 1, "computeEnvironment": format!("e{at}") }],
    })
}

fn xml(action: &str, result: &str) -> String {
    let end = match action {
        "GetCallerIdentity" | "GetInstanceProfile" | "GetRole" => "",
        _ => "<IsTruncated>false</IsTruncated>",
    };
    format!("<{action}Response><{action}Result>{end}{result}</{action}Result></{action}Response>")
}

fn role(name: &str, service: &str) -> String {
    let trust = json!({"Statement": [{"Effect": "Allow", "Principal": {"Service": service}}]}).to_string();
    let trust = trust.replace('"', "&quot;");
    format!(
        "<member><Path>/</Path><RoleName>{name}</RoleName><RoleId>{name}</RoleId><Arn>arn:aws:iam::111122223333:role/{name}</Arn>\
         <CreateDate>2026-01-01T00:00:00Z</CreateDate><AssumeRolePolicyDocument>{trust}</AssumeRolePolicyDocument></member>"
    )
}

/// Services that take their action as a parameter and answer in XML.
fn query(action: &str) -> String {
    match action {
        "GetCallerIdentity" => xml(
            action,
            "<Account>111122223333</Account><Arn>arn:aws:iam::111122223333:user/x</Arn>",
        ),
        "DescribeLaunchTemplateVersions" => {
            let version = "<item><launchTemplateId>lt-#</launchTemplateId><versionNumber>1</versionNumber>\
                <defaultVersion>true</defaultVersion><launchTemplateData><imageId>ami-#</imageId></launchTemplateData></item>";
            let all = each(version);
            format!("<{action}Response><launchTemplateVersionSet>{all}</launchTemplateVersionSet></{action}Response>")
        }
        "DescribeSubnets" => {
            let all =
                each("<item><subnetId>subnet-#</subnetId><vpcId>vpc-#</vpcId><ownerId>111122223333</ownerId></item>");
            format!("<{action}Response><subnetSet>{all}</subnetSet></{action}Response>")
        }
        "ListInstanceProfiles" => {
            let roles = role("instance#", "ec2.amazonaws.com");
            let profile = "<member><Path>/</Path><InstanceProfileName>profile#</InstanceProfileName><InstanceProfileId>x</InstanceProfileId>\
                <Arn>x</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate><Roles>ROLES</Roles></member>";
            let all = each(&profile.replace("ROLES", &roles));
            xml(action, &format!("<InstanceProfiles>{all}</InstanceProfiles>"))
        }
        "ListRoles" => {
            let all =
                each(&role("service#", "batch.amazonaws.com")) + &role("autotune-guard", "scheduler.amazonaws.com");
            xml(action, &format!("<Roles>{all}</Roles>"))
        }
        "ListEntitiesForPolicy" => {
            let all = each("<member><RoleName>instance#</RoleName></member>");
            xml(action, &format!("<PolicyRoles>{all}</PolicyRoles>"))
        }
        "SimulatePrincipalPolicy" => {
            let one =
                "<member><EvalActionName>batch:ListJobs</EvalActionName><EvalDecision>allowed</EvalDecision></member>";
            xml(action, &format!("<EvaluationResults>{one}</EvaluationResults>"))
        }
        other => format!("<{other}Response/>"),
    }
}

/// An account with ten environments.
pub(in crate::aws) fn answer(asked: &Asked) -> Reply {
    if let Some((_, rest)) = asked.text.split_once("Action=") {
        return Reply::Made(query(rest.split('&').next().unwrap_or_default()));
    }
    let path = asked.path.as_str();
    let is = |part: &str| path.contains(part);
    let many = |one: fn(usize) -> Value| (0..ENVIRONMENTS).map(one).collect::<Value>();
    let document = if is("describecomputeenvironments") {
        json!({ "computeEnvironments": many(environment) })
    } else if is("describejobqueues") {
        json!({ "jobQueues": many(queue) })
    } else if is("listjobs") {
        // Every page has a next one.
        json!({ "jobSummaryList": [], "nextToken": "more" })
    } else if is("describejobdefinitions") {
        json!({ "jobDefinitions": [] })
    } else if is("GetServiceQuota") {
        return Reply::File("get-service-quota");
    } else if is("GetMetricStatistics") {
        return Reply::File("get-metric-statistics-empty");
    } else if is("LookupEvents") {
        // Every page has a next one.
        json!({ "Events": [], "NextToken": "more" })
    } else if is("GetQueueUrl") {
        return Reply::File("get-queue-url");
    } else if is("GetQueueAttributes") {
        return Reply::File("get-queue-attributes");
    } else if is("ListRuleNamesByTarget") {
        json!({ "RuleNames": ["jobs"] })
    } else if is("DescribeRule") {
        json!({ "Name": "jobs", "State": "ENABLED", "EventPattern": "{\"source\":[\"aws.batch\"]}" })
    } else if is("/schedule-groups/") {
        json!({ "Name": "autotune" })
    } else if let Some((_, name)) = path.split_once("/schedules/autotune-") {
        let name = name.split('?').next().unwrap_or_default();
        let input = json!({ "ComputeEnvironment": name, "ComputeResources": { "MinvCpus": 2 } }).to_string();
        json!({ "Target": { "Arn": TARGET, "RoleArn": "r", "Input": input } })
    } else if is("/schedules") {
        let guard =
            |at| json!({ "Name": format!("autotune-e{at}"), "GroupName": "autotune", "Target": { "Arn": TARGET } });
        json!({ "Schedules": many(guard) })
    } else {
        panic!("nobody expects {asked:?}")
    };
    Reply::Made(document.to_string())
}

#[tokio::test]
async fn ten_environments_that_share_nothing_take_sixty_requests_at_most() {
    let (aws, replay) = Replay::answering(answer);
    let role = Principal::Role("arn:aws:iam::111122223333:role/autotune".to_owned());
    let survey = aws.survey(&["work".to_owned()], role).await.unwrap();
    let calls = replay.asked().len();
    assert!(calls <= CALLS_MOST, "{calls} requests: {:?}", aws.calls());
    for at in 0..ENVIRONMENTS {
        let template = VERSIONS[at % 3];
        let template = told(&survey.launch_templates, &format!("lt-{at}:{template}"))
            .unwrap()
            .unwrap();
        assert_eq!(template.launch_template_data.image_id, Some(format!("ami-{at}")));
        let instance = told(&survey.roles, &format!("instance{at}")).unwrap().unwrap();
        assert_eq!(instance.trusted_services, ["ec2.amazonaws.com"]);
        assert!(instance.attached_policies[0].ends_with("/AmazonEC2ContainerServiceforEC2Role"));
        let service = told(&survey.roles, &format!("service{at}")).unwrap().unwrap();
        assert_eq!(service.trusted_services, ["batch.amazonaws.com"]);
        let profile = told(&survey.instance_profiles, &format!("profile{at}"))
            .unwrap()
            .unwrap();
        assert_eq!(profile.roles, [format!("instance{at}")]);
        let subnet = told(&survey.subnets, &format!("subnet-{at}")).unwrap().unwrap();
        assert_eq!(subnet.owner_id, "111122223333");
    }
    let bases = survey.bases.read().unwrap();
    assert_eq!((bases.len(), bases[3].min_vcpus), (ENVIRONMENTS, 2));
    assert_eq!(
        survey.schedules,
        Known::Known(Vec::new()),
        "our own guards are nobody else"
    );
    assert!(survey.permissions.read().is_ok() && survey.cut.is_empty());
}

#[tokio::test]
async fn a_person_says_nothing_of_the_permissions_of_the_daemon() {
    let (aws, replay) = Replay::answering(answer);
    let survey = aws.survey(&[], Principal::Nobody).await.unwrap();
    let why = survey.permissions.read().unwrap_err();
    assert!(why.contains("--role ARN") && survey.may_update.read().is_err(), "{why}");
    let asked = replay.asked();
    assert!(!asked.iter().any(|asked| asked.text.contains("SimulatePrincipalPolicy")));
}

/// Another token: the same one twice would end the pages.
fn after(token: Option<&str>) -> String {
    let digits = token.map(|token| token.chars().take_while(char::is_ascii_digit).collect::<String>());
    let last: u32 = digits.map_or(0, |digits| digits.parse().unwrap());
    (last + 1).to_string()
}

#[tokio::test]
async fn what_is_too_much_to_read_is_said_and_the_definitions_of_recent_jobs_are_read() {
    let (aws, replay) = Replay::answering(|asked| match asked.path.as_str() {
        path if path.contains("listjobs") => {
            let arn = "arn:aws:batch:eu-central-1:111122223333:job-definition/align:7";
            let job = json!({ "jobId": "j", "jobName": "j", "jobDefinition": arn });
            Reply::Made(json!({ "jobSummaryList": [job] }).to_string())
        }
        path if path.contains("describejobdefinitions") => {
            let seen = !asked.body["jobDefinitions"].is_null();
            let name = if seen { "align" } else { "other" };
            let one =
                json!({ "jobDefinitionName": name, "jobDefinitionArn": name, "revision": 7, "type": "container" });
            let next = (!seen).then(|| after(asked.body["nextToken"].as_str()));
            Reply::Made(json!({ "jobDefinitions": [one], "nextToken": next }).to_string())
        }
        path if path.contains("/schedules?") => {
            let next = after(path.split("NextToken=").nth(1));
            let one = json!({ "Name": "nightly", "GroupName": "default", "Target": { "Arn": "arn:aws:lambda" } });
            Reply::Made(json!({ "Schedules": [one], "NextToken": next }).to_string())
        }
        _ => answer(asked),
    });
    let survey = aws.survey(&[], Principal::Nobody).await.unwrap();
    let names: Vec<&str> = (survey.job_definitions.read().unwrap().iter())
        .map(|one| one.job_definition_name.as_str())
        .collect();
    assert_eq!(names, ["align", "other"]);
    let parts: Vec<&str> = survey.cut.keys().map(String::as_str).collect();
    assert_eq!(parts, ["job_definitions", "schedules"]);
    assert!(survey.bases.read().is_err(), "a guard may be among what was not read");
    let asked = replay.asked();
    let pages = |part: &str| asked.iter().filter(|asked| asked.path.contains(part)).count();
    assert_eq!((pages("describejobdefinitions"), pages("/schedules?")), (12, 10));
}

/// Else the default version, which was read, would be taken for the latest, which was not.
#[tokio::test]
async fn where_there_are_too_many_templates_to_read_each_is_asked_for() {
    let (aws, _) = Replay::answering(|asked| {
        if !asked.text.contains("Action=DescribeLaunchTemplateVersions") {
            return answer(asked);
        }
        let all = asked.text.split_once("NextToken=").map(|(_, token)| token.to_owned());
        let (id, version, next) = match asked.text.split_once("LaunchTemplateId=") {
            Some((_, id)) => (id.split('&').next().unwrap(), 2, String::new()),
            None => ("lt-1", 1, format!("<nextToken>{}</nextToken>", after(all.as_deref()))),
        };
        Reply::Made(format!(
            "<DescribeLaunchTemplateVersionsResponse><launchTemplateVersionSet><item><launchTemplateId>{id}</launchTemplateId>\
             <versionNumber>{version}</versionNumber><defaultVersion>{}</defaultVersion></item></launchTemplateVersionSet>{next}\
             </DescribeLaunchTemplateVersionsResponse>",
            version == 1
        ))
    });
    let survey = aws.survey(&[], Principal::Nobody).await.unwrap();
    let latest = told(&survey.launch_templates, "lt-1:$Latest").unwrap().unwrap();
    assert_eq!(latest.version_number, 2);
}

/// An account with one environment.
pub(in crate::aws) fn few(asked: &Asked) -> Reply {
    let action = asked.text.split_once("Action=").map(|(_, rest)| rest);
    let told = match action.and_then(|rest| rest.split('&').next()) {
        Some("GetCallerIdentity") => xml(
            "GetCallerIdentity",
            "<Account>111122223333</Account><Arn>arn:aws:sts::111122223333:assumed-role/autotune/i-0</Arn>",
        ),
        Some("GetInstanceProfile") => {
            let roles = role("instance0", "ec2.amazonaws.com");
            let profile = "<InstanceProfile><Path>/</Path><InstanceProfileName>profile0</InstanceProfileName>\
                <InstanceProfileId>x</InstanceProfileId><Arn>x</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate>";
            xml(
                "GetInstanceProfile",
                &format!("{profile}<Roles>{roles}</Roles></InstanceProfile>"),
            )
        }
        Some("GetRole") => {
            let name = asked.text.split_once("RoleName=").unwrap().1;
            let name = name.split('&').next().unwrap();
            let told = role(name, "batch.amazonaws.com").replace("member>", "Role>");
            xml("GetRole", &told)
        }
        Some(action @ "ListAttachedRolePolicies") => {
            let one = "<member><PolicyName>own</PolicyName><PolicyArn>arn:own</PolicyArn></member>";
            xml(action, &format!("<AttachedPolicies>{one}</AttachedPolicies>"))
        }
        Some(action @ "ListRolePolicies") => xml(action, "<PolicyNames><member>inline</member></PolicyNames>"),
        None if asked.path.contains("describecomputeenvironments") => {
            json!({ "computeEnvironments": [environment(0)] }).to_string()
        }
        None if asked.path.contains("describejobqueues") => {
            let mut queue = queue(0);
            queue["schedulingPolicyArn"] = json!("arn:fair");
            json!({ "jobQueues": [queue] }).to_string()
        }
        None if asked.path.contains("describeschedulingpolicies") => {
            assert_eq!(asked.body, json!({"arns": ["arn:fair"]}));
            let fair = json!({ "shareDecaySeconds": 3600 });
            json!({ "schedulingPolicies": [{ "name": "fair", "arn": "arn:fair", "fairsharePolicy": fair }] })
                .to_string()
        }
        Some(_) | None => return answer(asked),
    };
    Reply::Made(told)
}

/// Of few, roles and profiles are not listed, and inline policies are read where those of AWS are not attached.
#[tokio::test]
async fn of_one_environment_role_profile_and_policies_are_asked_for_by_name() {
    let (aws, replay) = Replay::answering(few);
    let survey = aws.survey(&[], Principal::Caller).await.unwrap();
    let instance = told(&survey.roles, "instance0").unwrap().unwrap();
    assert_eq!(instance.attached_policies, ["arn:own"]);
    assert_eq!(instance.inline_policies, ["inline"]);
    let service = told(&survey.roles, "service0").unwrap().unwrap();
    assert_eq!(service.trusted_services, ["batch.amazonaws.com"]);
    let fair = told(&survey.scheduling_policies, "arn:fair").unwrap().unwrap();
    assert_eq!(fair.fairshare_policy.as_ref().unwrap().share_decay_seconds, Some(3600));
    // Whose policies count: those of the role, not of its session.
    let asked = replay.asked();
    let simulated = asked
        .iter()
        .find(|asked| asked.text.contains("SimulatePrincipalPolicy"));
    assert!(
        simulated.unwrap().text.contains("111122223333%3Arole%2Fautotune&"),
        "{simulated:?}"
    );
    assert!(!asked.iter().any(|asked| asked.text.contains("Action=ListRoles&")));
}

#[tokio::test]
async fn queues_of_sqs_are_found_and_which_of_them_take_what_could_not_be_delivered() {
    let (aws, _) = Replay::answering(|asked| {
        let url = |name: &str| format!("https://sqs.eu-central-1.amazonaws.com/111122223333/{name}");
        let told = match asked.path.as_str() {
            path if path.ends_with("ListQueues") => match asked.body["NextToken"].as_str() {
                None => json!({ "QueueUrls": [url("work"), url("dead")], "NextToken": "1" }),
                Some(_) => json!({ "QueueUrls": [url("more")] }),
            },
            path if path.ends_with("GetQueueAttributes") && asked.body["QueueUrl"] == url("work") => {
                let policy = json!({ "deadLetterTargetArn": "arn:aws:sqs:eu-central-1:111122223333:dead" }).to_string();
                json!({ "Attributes": { "RedrivePolicy": policy } })
            }
            path if path.ends_with("GetQueueAttributes") => json!({}),
            _ => return answer(asked),
        };
        Reply::Made(told.to_string())
    });
    let (_, found) = Box::pin(aws.discover()).await.unwrap();
    let found = found.read().unwrap();
    assert_eq!(found.names.iter().collect::<Vec<_>>(), ["dead", "more", "work"]);
    assert_eq!(found.dead_letter.iter().collect::<Vec<_>>(), ["dead"]);
    assert_eq!(found.cut, None);
}

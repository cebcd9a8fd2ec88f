//! What is around AWS Batch: network, images, templates, roles, the rule of events, launches.

use super::*;

const FORM: [(&str, &str); 1] = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];

impl Client {
    /// A form in, XML out.
    async fn form(&self, service: &str, body: &str) -> (u16, String) {
        let request = Self::request(service, "POST", "/", &FORM, body.as_bytes().to_vec());
        let (status, _, body) = self.raw(request).await;
        (status.as_u16(), String::from_utf8(body).unwrap())
    }

    async fn events(&self, operation: &str, input: Value) -> Result<Value, (u16, String, String)> {
        self.target(&format!("AWSEvents.{operation}"), input).await
    }
}

/// Texts of all elements of this name.
fn texts<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(&open).skip(1);
    parts.map(|part| part.split(&close).next().unwrap()).collect()
}

#[tokio::test]
async fn whatever_an_environment_names_is_there() {
    let client = Client::new();
    let spot = client.environment("spot").await;
    let resources = &spot["computeResources"];
    let named = |at: &Value| at.as_str().unwrap().to_owned();
    let subnets: Vec<String> = resources["subnets"].as_array().unwrap().iter().map(named).collect();
    let template = named(&resources["launchTemplate"]["launchTemplateId"]);
    let image = named(&resources["ec2Configuration"][0]["imageIdOverride"]);
    let group = named(&resources["securityGroupIds"][0]);
    let profile = named(&resources["instanceRole"]);
    let profile = profile.rsplit('/').next().unwrap();
    let asked = format!("SubnetId.1={}&SubnetId.2={}", subnets[0], subnets[2]);
    for (service, body, element, expected) in [
        ("ec2", format!("Action=DescribeSubnets&{asked}"), "subnetId", 2),
        ("ec2", format!("Action=DescribeImages&ImageId.1={image}"), "imageId", 1),
        (
            "ec2",
            format!("Action=DescribeSecurityGroups&GroupId.1={group}"),
            "groupId",
            1,
        ),
        (
            "ec2",
            format!("Action=DescribeLaunchTemplateVersions&LaunchTemplateId={template}&LaunchTemplateVersion.1=1"),
            "launchTemplateData",
            1,
        ),
        (
            "iam",
            format!("Action=GetInstanceProfile&InstanceProfileName={profile}"),
            "InstanceProfileId",
            1,
        ),
    ] {
        let (status, told) = client.form(service, &body).await;
        assert_eq!((status, texts(&told, element).len()), (200, expected), "{body}: {told}");
    }
    let (_, told) = client.form("ec2", &format!("Action=DescribeSubnets&{asked}")).await;
    assert_eq!(texts(&told, "availabilityZone"), ["eu-central-1a", "eu-central-1c"]);
    assert_eq!(texts(&told, "cidrBlock"), ["10.0.0.0/18", "10.0.128.0/18"]);
    let tables = "Action=DescribeRouteTables&Filter.1.Name=association.subnet-id&Filter.1.Value.1=";
    let (_, told) = client.form("ec2", &format!("{tables}{}", subnets[0])).await;
    assert_eq!(texts(&told, "natGatewayId").len(), 1, "{told}");
}

#[tokio::test]
async fn filters_pages_and_ids_choose() {
    let client = Client::new();
    for (body, element, expected) in [
        ("Action=DescribeSubnets", "subnetId", 3),
        (
            "Action=DescribeSubnets&Filter.1.Name=availability-zone&Filter.1.Value.1=eu-central-1b",
            "subnetId",
            1,
        ),
        (
            "Action=DescribeSubnets&Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-0&Filter.2.Name=state&Filter.2.Value.1=available",
            "subnetId",
            0,
        ),
        (
            "Action=DescribeImages&Owner.1=amazon&Filter.1.Name=name&Filter.1.Value.1=al2023-ami-ecs-gpu-*",
            "imageId",
            1,
        ),
        ("Action=DescribeImages&Owner.1=self", "imageId", 0),
        (
            "Action=DescribeLaunchTemplates&LaunchTemplateName.1=batch-spot",
            "launchTemplateName",
            1,
        ),
        ("Action=DescribeVpcEndpoints", "vpcEndpointId", 0),
        ("Action=DescribeInstances", "instanceId", 0),
        (
            "Action=DescribeSpotPriceHistory&InstanceType.1=m6i.large&InstanceType.2=c7i.large&ProductDescription.1=Linux%2FUNIX",
            "spotPrice",
            6,
        ),
        (
            "Action=DescribeSpotPriceHistory&ProductDescription.1=Windows",
            "spotPrice",
            0,
        ),
        (
            "Action=DescribeInstanceTypeOfferings&LocationType=availability-zone&Filter.1.Name=instance-type&Filter.1.Value.1=m6i.large",
            "location",
            3,
        ),
        (
            "Action=DescribeInstanceTypeOfferings&Filter.1.Name=instance-type&Filter.1.Value.1=m6i.large",
            "location",
            1,
        ),
    ] {
        let (status, told) = client.form("ec2", body).await;
        assert_eq!((status, texts(&told, element).len()), (200, expected), "{body}: {told}");
    }
    let (_, first) = client
        .form(
            "ec2",
            "Action=DescribeInstanceTypeOfferings&MaxResults=1000&LocationType=availability-zone",
        )
        .await;
    let token = texts(&first, "nextToken")[0];
    let next = format!("Action=DescribeInstanceTypeOfferings&LocationType=availability-zone&NextToken={token}");
    let (status, second) = client.form("ec2", &next).await;
    assert_eq!(status, 200);
    assert!(!texts(&second, "location").is_empty() && first != second);
}

/// Service, form, status and code of the answer.
const REFUSED: &[(&str, &str, u16, &str)] = &[
    (
        "ec2",
        "Action=DescribeSubnets&SubnetId.1=subnet-1",
        400,
        "InvalidSubnetID.NotFound",
    ),
    (
        "ec2",
        "Action=DescribeImages&ImageId.1=ami-1",
        400,
        "InvalidAMIID.NotFound",
    ),
    (
        "ec2",
        "Action=DescribeSubnets&Filter.1.Name=colour",
        400,
        "InvalidParameterValue",
    ),
    (
        "ec2",
        "Action=DescribeSubnets&MaxResults=many",
        400,
        "InvalidParameterValue",
    ),
    ("ec2", "Action=DescribeSubnets&NextToken=x", 400, "InvalidNextToken"),
    (
        "ec2",
        "Action=DescribeInstances&InstanceId.1=i-1",
        400,
        "InvalidInstanceID.NotFound",
    ),
    (
        "ec2",
        "Action=DescribeLaunchTemplateVersions&LaunchTemplateId=lt-1",
        400,
        "InvalidLaunchTemplateId.NotFound",
    ),
    (
        "ec2",
        "Action=DescribeLaunchTemplateVersions&LaunchTemplateName=x",
        400,
        "InvalidLaunchTemplateName.NotFoundException",
    ),
    (
        "ec2",
        "Action=DescribeLaunchTemplateVersions&LaunchTemplateName=batch-spot&LaunchTemplateVersion.1=2",
        400,
        "InvalidLaunchTemplateId.VersionNotFound",
    ),
    ("ec2", "Action=DescribeLaunchTemplateVersions", 400, "MissingParameter"),
    ("iam", "Action=GetRole&RoleName=nobody", 404, "NoSuchEntity"),
    ("iam", "Action=GetRole", 400, "ValidationError"),
    (
        "iam",
        "Action=GetInstanceProfile&InstanceProfileName=autotune-guard",
        404,
        "NoSuchEntity",
    ),
    (
        "iam",
        "Action=GetRolePolicy&RoleName=autotune-guard&PolicyName=x",
        404,
        "NoSuchEntity",
    ),
    (
        "iam",
        "Action=ListRolePolicies&RoleName=autotune-guard&MaxItems=0",
        400,
        "ValidationError",
    ),
    ("iam", "Action=CreateRole", 400, "InvalidAction"),
    (
        "autoscaling",
        "Action=DescribeScalingActivities&AutoScalingGroupName=x",
        400,
        "ValidationError",
    ),
    (
        "autoscaling",
        "Action=DescribeScalingActivities&Filters.member.1.Name=Colour",
        400,
        "ValidationError",
    ),
    (
        "autoscaling",
        "Action=DescribeAutoScalingGroups&NextToken=x",
        400,
        "InvalidNextToken",
    ),
];

#[tokio::test]
async fn what_is_not_there_is_refused_in_the_words_of_its_service() {
    let client = Client::new();
    for (service, body, status, code) in REFUSED {
        let (found, told) = client.form(service, body).await;
        assert_eq!((found, texts(&told, "Code")), (*status, vec![*code]), "{body}: {told}");
    }
    let (status, code, text) = client.events("DescribeRule", json!({"Name": "x"})).await.unwrap_err();
    assert_eq!((status, code.as_str()), (400, "ResourceNotFoundException"), "{text}");
    let (status, code, _) = client.events("DescribeRule", json!({})).await.unwrap_err();
    assert_eq!((status, code.as_str()), (400, "ValidationException"));
}

#[tokio::test]
async fn a_rule_hands_events_to_the_queue_until_it_is_disabled() {
    let client = Client::new();
    let target = json!({"TargetArn": "arn:aws:sqs:eu-central-1:111122223333:autotune-events"});
    let told = client.events("ListRuleNamesByTarget", target).await.unwrap();
    let name = told["RuleNames"][0].clone();
    let rule = client.events("DescribeRule", json!({"Name": name})).await.unwrap();
    assert_eq!(rule["State"], "ENABLED");
    assert!(rule["EventPattern"].as_str().unwrap().contains("aws.batch"));
    client.admin("POST", "flaws", Some(json!({"flaw": "no_events"}))).await;
    let rule = client.events("DescribeRule", json!({"Name": name})).await.unwrap();
    assert_eq!(rule["State"], "DISABLED");
    client.submit(json!({})).await;
    client.pass(300).await;
    let attributes = json!({
        "QueueUrl": "http://127.0.0.1:4566/111122223333/autotune-events",
        "AttributeNames": ["ApproximateNumberOfMessages"],
    });
    let told = client.sqs("GetQueueAttributes", attributes).await.unwrap();
    assert_eq!(told["Attributes"]["ApproximateNumberOfMessages"], "0");
}

#[tokio::test]
async fn flaws_are_listed_and_cured() {
    let client = Client::new();
    let flaw = json!({"flaw": "wrong_trust"});
    assert_eq!(client.admin("POST", "flaws", Some(flaw)).await.0, 200);
    assert_eq!(client.admin("POST", "flaws", Some(json!({"flaw": "x"}))).await.0, 400);
    assert_eq!(client.admin("GET", "flaws", None).await.1, json!(["wrong_trust"]));
    let role = "Action=GetRole&RoleName=ecsInstanceRole";
    let (_, told) = client.form("iam", role).await;
    assert!(!told.contains("ec2%2Eamazonaws%2Ecom"), "{told}");
    client.admin("DELETE", "flaws", None).await;
    let (_, told) = client.form("iam", role).await;
    assert!(told.contains("ec2%2Eamazonaws%2Ecom"), "{told}");
}

#[tokio::test]
async fn policies_allow_what_no_fault_denies() {
    let client = Client::new();
    let fault = json!({"trouble": "denied", "service": "batch", "operation": "ListJobs"});
    client.admin("POST", "faults", Some(fault)).await;
    let asked = "Action=SimulatePrincipalPolicy&PolicySourceArn=arn:aws:iam::111122223333:user/sandbox\
        &ActionNames.member.1=batch:ListJobs&ActionNames.member.2=batch:DescribeJobs&ResourceArns.member.1=*";
    let (status, told) = client.form("iam", asked).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(texts(&told, "EvalDecision"), ["explicitDeny", "allowed"]);
    let (_, code, _) = client.batch("ListJobs", json!({"jobQueue": "q"})).await.unwrap_err();
    assert_eq!(code, "AccessDeniedException");
    let of_two = format!("{asked}&ResourceArns.member.2=x&MaxItems=1");
    let (_, told) = client.form("iam", &of_two).await;
    assert_eq!(texts(&told, "EvalResourceDecision"), ["explicitDeny"; 2]);
    assert_eq!(texts(&told, "IsTruncated"), ["true"]);
    let (status, _) = client.form("iam", &asked.replace("user/sandbox", "user/other")).await;
    assert_eq!(status, 404);
}

/// What Auto Scaling says of the newest launch of an environment.
async fn latest(client: &Client, environment: &str) -> (String, String) {
    let (_, groups) = client.form("autoscaling", "Action=DescribeAutoScalingGroups").await;
    let groups = texts(&groups, "AutoScalingGroupName");
    let begins = format!("AWSBatch-{environment}-asg-");
    let group = groups.iter().find(|name| name.starts_with(&begins)).unwrap();
    let asked = format!("Action=DescribeScalingActivities&AutoScalingGroupName={group}&MaxRecords=1");
    let (_, told) = client.form("autoscaling", &asked).await;
    let one = |name: &str| texts(&told, name).first().copied().unwrap_or_default().to_owned();
    (one("StatusCode"), one("StatusMessage"))
}

#[tokio::test]
async fn launches_are_activities_and_what_was_short_is_in_their_words() {
    for (environment, drought, vcpus, status, text) in [
        ("on-demand", false, 4, "Successful", ""),
        ("on-demand", true, 4, "Failed", "do not have sufficient m6i."),
        ("spot", true, 4, "Failed", "UnfulfillableCapacity - "),
        // Ten vCPUs are left of either quota.
        ("on-demand", false, 64, "Failed", "your current vCPU limit of 50 allows"),
        ("spot", false, 64, "Failed", "Max spot instance count exceeded."),
    ] {
        let quotas = SCENARIO.replace("limit_vcpus = 400", "limit_vcpus = 50");
        let quotas = quotas.replace(
            "[[environments]]\nname = \"on-demand\"",
            "[[account.quotas]]\ncode = \"L-34B43A08\"\nlimit_vcpus = 10\n[[environments]]\nname = \"on-demand\"",
        );
        let is_short = vcpus > 4;
        let client = Client::of(if is_short { &quotas } else { SCENARIO }, Trace::default());
        if drought {
            let drought = json!({"environment": environment, "seconds": 3_600});
            assert_eq!(client.admin("POST", "drought", Some(drought)).await.0, 200);
        }
        let levels = json!({"computeEnvironment": environment, "computeResources": {"minvCpus": vcpus}});
        client.batch("UpdateComputeEnvironment", levels).await.unwrap();
        client.pass(30).await;
        let (found, words) = latest(&client, environment).await;
        assert_eq!(found, status, "{environment} {vcpus}: {words}");
        assert!(words.contains(text), "{environment} {vcpus}: {words}");
        if status == "Successful" {
            let (_, told) = client.form("ec2", "Action=DescribeInstances").await;
            let types = texts(&told, "instanceType");
            assert!(types.len() == 1 && types[0].starts_with("m6i."), "{told}");
        }
    }
}

#[tokio::test]
async fn activities_are_chosen_by_status_and_time() {
    let client = Client::new();
    let drought = json!({"environment": "on-demand", "seconds": 600});
    client.admin("POST", "drought", Some(drought)).await;
    let levels = json!({"computeEnvironment": "on-demand", "computeResources": {"minvCpus": 4}});
    client.batch("UpdateComputeEnvironment", levels).await.unwrap();
    client.pass(900).await;
    let count = async |filter: &str| {
        let (status, told) = client
            .form("autoscaling", &format!("Action=DescribeScalingActivities{filter}"))
            .await;
        assert_eq!(status, 200, "{told}");
        texts(&told, "ActivityId").len()
    };
    let failed = "&Filters.member.1.Name=Status&Filters.member.1.Values.member.1=Failed";
    let later = (NOW + Span::from_minutes(5)).to_string();
    let since = format!("{failed}&Filters.member.2.Name=StartTimeLowerBound&Filters.member.2.Values.member.1={later}");
    let (all, refused, late) = (count("").await, count(failed).await, count(&since).await);
    assert_eq!(all, refused + 1);
    assert!(late > 0 && late < refused, "{late} of {refused}");
}

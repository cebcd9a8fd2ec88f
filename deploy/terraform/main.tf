# autotune as a service on ECS Fargate: the service of ../cloudformation/service.yaml as a module. What it needs in the account stays one
# text, ../cloudformation/account.yaml, which is deployed as it is.
#
#   module "autotune" {
#     source                   = "git::https://.../autotune.git//deploy/terraform"
#     image                    = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/autotune:0.1.0"
#     vpc_id                   = "vpc-..."
#     subnet_ids               = ["subnet-...", "subnet-..."]
#     job_queue_arns           = [aws_batch_job_queue.work.arn]
#     compute_environment_arns = [aws_batch_compute_environment.spot.arn, aws_batch_compute_environment.on_demand.arn]
#     cluster_arns             = [aws_batch_compute_environment.spot.ecs_cluster_arn, aws_batch_compute_environment.on_demand.ecs_cluster_arn]
#   }
#
# The compute environments carry the tag autotune = "enabled", and Terraform leaves alone what autotune moves:
#
#   lifecycle { ignore_changes = [compute_resources[0].min_vcpus, compute_resources[0].desired_vcpus] }
terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.90"
    }
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  # Its name, under every version of the provider.
  region = data.aws_region.current.id
  logs = {
    logDriver = "awslogs"
    options = {
      awslogs-group         = aws_cloudwatch_log_group.this.name
      awslogs-region        = local.region
      awslogs-stream-prefix = "autotune"
    }
  }
  settings = merge(
    {
      AUTOTUNE__APPLY            = tostring(var.apply)
      AUTOTUNE__ACCOUNT          = data.aws_caller_identity.current.account_id
      AUTOTUNE__REGION           = local.region
      AUTOTUNE__POLICIES         = var.policy == null ? join(",", var.policies) : "/policies"
      AUTOTUNE__EVENTS_QUEUE_URL = aws_cloudformation_stack.account.outputs["EventsQueueUrl"]
      AUTOTUNE__GUARD__GROUP     = aws_cloudformation_stack.account.outputs["GuardGroup"]
      AUTOTUNE__GUARD__ROLE_ARN  = aws_cloudformation_stack.account.outputs["GuardRoleArn"]
      AUTOTUNE__JOURNAL__PATH    = "/var/lib/autotune/autotune.journal"
      AUTOTUNE__LISTEN           = var.scraper_security_group_id == null ? "127.0.0.1:9464" : "0.0.0.0:9464"
      AUTOTUNE__LISTEN_ANYWHERE  = tostring(var.scraper_security_group_id != null)
    },
    var.standby ? { AUTOTUNE__LEADERSHIP__TABLE = aws_cloudformation_stack.account.outputs["LeadershipTable"] } : {},
    var.settings,
  )
  autotune = {
    name                   = "autotune"
    image                  = var.image
    essential              = true
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"], add = [] } }
    stopTimeout            = 30
    environment            = [for name, value in local.settings : { name = name, value = value }]
    portMappings           = [{ containerPort = 9464, protocol = "tcp" }]
    mountPoints = [
      { sourceVolume = "journal", containerPath = "/var/lib/autotune", readOnly = false },
      { sourceVolume = "policies", containerPath = "/policies", readOnly = true },
    ]
    dependsOn = var.policy == null ? [] : [{ containerName = "policy", condition = "SUCCESS" }]
    healthCheck = {
      command     = ["CMD", "/usr/bin/autotune", "health", "--url", "http://127.0.0.1:9464"]
      interval    = 30
      timeout     = 10
      retries     = 3
      startPeriod = 120
    }
    logConfiguration = local.logs
  }
  # The image of autotune has no shell, so another one writes the policy down.
  policy_writer = {
    name                   = "policy"
    image                  = "public.ecr.aws/docker/library/busybox:stable-musl"
    essential              = false
    readonlyRootFilesystem = true
    command                = ["sh", "-c", "printf '%s\\n' \"$POLICY\" > /policies/policy.toml"]
    environment            = [{ name = "POLICY", value = var.policy == null ? "" : var.policy }]
    mountPoints            = [{ sourceVolume = "policies", containerPath = "/policies", readOnly = false }]
    logConfiguration       = local.logs
  }
}

# Wake-ups, guard, permissions.
resource "aws_cloudformation_stack" "account" {
  name          = "${var.name}-account"
  template_body = file("${path.module}/../cloudformation/account.yaml")
  capabilities  = ["CAPABILITY_IAM"]
  parameters = {
    JobQueueArns           = join(",", var.job_queue_arns)
    ComputeEnvironmentArns = join(",", var.compute_environment_arns)
    ClusterArns            = join(",", var.cluster_arns)
    SqsQueueArns           = join(",", var.sqs_queue_arns)
    Standby                = var.standby ? "yes" : "no"
    KmsKeyArn              = var.kms_key_arn
  }
  tags = var.tags
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/autotune/${var.name}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

data "aws_iam_policy_document" "tasks" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

# What the program may do.
resource "aws_iam_role" "task" {
  name_prefix        = "${var.name}-task-"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
  tags               = var.tags
}

resource "aws_iam_role_policy_attachment" "task" {
  role       = aws_iam_role.task.name
  policy_arn = aws_cloudformation_stack.account.outputs["PermissionsArn"]
}

# What ECS may do to start it.
resource "aws_iam_role" "execution" {
  name_prefix        = "${var.name}-execution-"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
  tags               = var.tags
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

resource "aws_security_group" "this" {
  name_prefix = "${var.name}-"
  description = "autotune - out to the APIs of AWS, in for the scraper alone"
  vpc_id      = var.vpc_id
  tags        = var.tags

  egress {
    description = "APIs of AWS"
    protocol    = "tcp"
    from_port   = 443
    to_port     = 443
    cidr_blocks = ["0.0.0.0/0"]
  }

  dynamic "ingress" {
    for_each = var.scraper_security_group_id == null ? [] : [var.scraper_security_group_id]
    content {
      description     = "metrics, health, status"
      protocol        = "tcp"
      from_port       = 9464
      to_port         = 9464
      security_groups = [ingress.value]
    }
  }
}

resource "aws_ecs_cluster" "this" {
  count = var.ecs_cluster == null ? 1 : 0
  name  = var.name
  tags  = var.tags
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 512
  memory                   = 1024
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions    = jsonencode(concat([local.autotune], var.policy == null ? [] : [local.policy_writer]))
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }
  # The journal is on the task and goes with it: that loses history, never safety, because base is also in the guards in the account.
  volume {
    name = "journal"
  }
  volume {
    name = "policies"
  }
}

resource "aws_ecs_service" "this" {
  name            = var.name
  cluster         = var.ecs_cluster == null ? aws_ecs_cluster.this[0].arn : var.ecs_cluster
  task_definition = aws_ecs_task_definition.this.arn
  launch_type     = "FARGATE"
  desired_count   = var.standby ? 2 : 1
  propagate_tags  = "SERVICE"
  tags            = var.tags
  # The old task stops before the new one starts: two must not write.
  deployment_minimum_healthy_percent = var.standby ? 50 : 0
  deployment_maximum_percent         = 100
  availability_zone_rebalancing      = "DISABLED"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = var.assign_public_ip
  }
  depends_on = [aws_iam_role_policy_attachment.task, aws_iam_role_policy_attachment.execution]
}

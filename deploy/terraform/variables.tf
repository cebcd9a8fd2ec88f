variable "name" {
  type        = string
  default     = "autotune"
  description = "Name of the service, and what other names begin with."
}

variable "image" {
  type        = string
  description = "The image that deploy/container/Dockerfile makes, in a registry that the task can reach."
}

variable "architecture" {
  type        = string
  default     = "X86_64"
  description = "What the image is made for: X86_64 or ARM64."
  validation {
    condition     = contains(["X86_64", "ARM64"], var.architecture)
    error_message = "Expected X86_64 or ARM64."
  }
}

variable "vpc_id" {
  type        = string
  description = "Where the task runs."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Subnets with a way to the APIs of AWS, through a NAT gateway or endpoints, or public ones with assign_public_ip."
}

variable "assign_public_ip" {
  type        = bool
  default     = false
  description = "For public subnets without a NAT gateway. Nobody may connect all the same."
}

variable "ecs_cluster" {
  type        = string
  default     = null
  description = "Name or ARN of an ECS cluster for the task; not set: one of its own. Not a cluster of AWS Batch."
}

variable "job_queue_arns" {
  type        = list(string)
  description = "ARNs of the job queues that a policy covers."
}

variable "compute_environment_arns" {
  type        = list(string)
  description = "ARNs of the compute environments that may be updated. Nothing else ever is."
}

variable "cluster_arns" {
  type        = list(string)
  description = "ARNs of the ECS clusters of those compute environments (ecs_cluster_arn)."
}

variable "sqs_queue_arns" {
  type        = list(string)
  default     = []
  description = "ARNs of the SQS queues whose backlog is read."
}

variable "kms_key_arn" {
  type        = string
  default     = ""
  description = "ARN of a KMS key of your own for the wake-ups; empty for SSE-SQS. Its key policy must allow events.amazonaws.com kms:Decrypt and kms:GenerateDataKey."
}

variable "apply" {
  type        = bool
  default     = false
  description = "Whether compute environments are changed. Look at its plans first."
}

variable "policies" {
  type        = list(string)
  default     = ["reactive"]
  description = "One shipped policy by its name (nearly all are for every queue, so two collide), or files and folders in the image. Not used with policy."
}

variable "policy" {
  type        = string
  default     = null
  description = "A policy of your own, as text: file(\"policy.toml\")."
}

variable "settings" {
  type        = map(string)
  default     = {}
  description = "Further settings as environment variables, such as AUTOTUNE__ON_STOP. The health check asks 127.0.0.1:9464, so leave AUTOTUNE__LISTEN as it is."
}

variable "standby" {
  type        = bool
  default     = false
  description = "Whether a second task stands by. The two agree in a DynamoDB table on the one that writes. Change it with apply = false first, since the task before knows nothing of the table."
}

variable "scraper_security_group_id" {
  type        = string
  default     = null
  description = "Security group of a Prometheus, or of a host with the CLI, that may read metrics, status, decisions and recordings on port 9464 (there is no login); not set: nobody."
}

variable "log_retention_days" {
  type        = number
  default     = 30
  description = "Days for which logs are kept."
}

variable "tags" {
  type        = map(string)
  default     = {}
  description = "Tags of everything."
}

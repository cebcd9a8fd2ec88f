output "service" {
  description = "The ECS service."
  value       = aws_ecs_service.this.id
}

output "log_group" {
  description = "Its logs."
  value       = aws_cloudwatch_log_group.this.name
}

output "security_group_id" {
  description = "The security group of its task."
  value       = aws_security_group.this.id
}

output "task_role_arn" {
  description = "The role that the program runs with."
  value       = aws_iam_role.task.arn
}

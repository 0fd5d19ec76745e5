"""Monitoring for operators: logs, metrics, health checks, traces, pipeline status and the status page."""

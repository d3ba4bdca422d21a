"""The shared language: events, commands and payloads. Imports no service."""

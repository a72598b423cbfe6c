"""The commands: flags and what they mean, a file a command, exit codes."""

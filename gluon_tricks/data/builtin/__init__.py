"""Pictures that are drawn here, so that every command has something to run on."""

"""The command's subcommands: one file each, with HELP, add_arguments(parser), execute(args)."""

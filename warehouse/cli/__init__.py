"""The command line ``upscale-audit``; loads what a command needs when it runs."""

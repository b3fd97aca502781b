"""``python -m upscale_audit.warehouse.cli``."""

from upscale_audit.warehouse.cli.main import main

main()

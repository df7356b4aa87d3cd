"""python -m sitewatch: the same as the command sitewatch."""

from sitewatch.cli import main

main()

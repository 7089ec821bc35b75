"""`python -m orbit_runner`"""

from orbit_runner.cli import main

main()

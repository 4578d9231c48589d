"""``python -m jreg`` is the command line."""

from jreg.cli.commands import main

if __name__ == "__main__":
    main()

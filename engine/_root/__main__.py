"""`python -m ringup` is the `ringup` command."""

from ringup.engine.cli import main

if __name__ == "__main__":
    main()

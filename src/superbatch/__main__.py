"""`python -m superbatch`: the command `superbatch`."""

from superbatch.entry import main

if __name__ == "__main__":
    main()

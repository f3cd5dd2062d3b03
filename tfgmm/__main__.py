"""`python -m tfgmm`: the same as the command `tfgmm`."""

from tfgmm.cli.app import main

if __name__ == "__main__":
    main()

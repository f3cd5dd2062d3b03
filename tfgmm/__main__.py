"""`python -m tfgmm`: the same as the command `tfgmm`."""

from tfgmm.cli import main

if __name__ == "__main__":
    main()
